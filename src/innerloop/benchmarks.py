"""The table of benchmarks: one block of rows per family, each row a function that builds its benchmark when asked.

A family is a function that returns `{name: row}`. To add a family, write one more such function and name it in
`REGISTRY`; imports go to the top of the file. Sources of all published numbers are on the benchmark's page.
"""

import dataclasses
import difflib
import functools
from collections.abc import Callable
from functools import partial

import jax

from innerloop._benchmark import Benchmark, Reference, improvement
from innerloop._task import Mixture, TaskDistribution
from innerloop.envs import bandits, start_goal
from innerloop.envs.cartpole import CartPole, standard_cartpole
from innerloop.envs.gridnavi import GridNavi, gridnavi_goals
from innerloop.envs.harlow import Harlow, HarlowFixation1D, ObjectKind, accuracy_metrics, object_pairs
from innerloop.envs.point import PointGoal, semicircle_goals, square_goals
from innerloop.envs.tabular import TabularMDP, random_mdps, random_walk_env, random_walks
from innerloop.envs.two_step import TwoStep, stay_metrics, two_step_tasks
from innerloop.references import bandits as policies
from innerloop.references import gridnavi as gridnavi_policies
from innerloop.references import tabular as tabular_policies
from innerloop.references.generic import Random
from innerloop.references.harlow import WinStayLoseShift, WinStayLoseShift1D
from innerloop.references.point import GoToGoal
from innerloop.references.start_goal import Explorer, ShortestPath
from innerloop.references.two_step import KnownGoodState, ModelBasedBayes, ModelFreeWinStay

Rows = dict[str, Callable[[], Benchmark]]


# --- bandits ---------------------------------------------------------------------------------------------------------

# Total reward of RL² (Duan et al. 2016, Table 1) and SNAIL (Mishra et al. 2018, Table 3), each on 1000 tasks, by
# (pulls, arms); for 10 pulls also the exact optimum and exact greedy (`references.bandits`).
_PUBLISHED_BANDITS = {
    (10, 5): {"rl2": 6.7, "snail": 6.6, "bayes_optimal": 6.6600, "greedy": 6.6262},
    (10, 10): {"rl2": 6.7, "snail": 6.7, "bayes_optimal": 6.7140, "greedy": 6.6931},
    (10, 50): {"rl2": 6.8, "snail": 6.7, "bayes_optimal": 6.7140, "greedy": 6.7080},
    (100, 5): {"rl2": 78.7, "snail": 79.1},
    (100, 10): {"rl2": 83.5, "snail": 83.5},
    (100, 50): {"rl2": 84.9, "snail": 85.1},
    (500, 5): {"rl2": 401.6, "snail": 408.1},
    (500, 10): {"rl2": 432.5, "snail": 432.4},
    (500, 50): {"rl2": 438.9, "snail": 442.6},
}
# Lower mean (None: uniform) and exact optimum of the regret over 100 pulls (`references.bandits`).
_DEPENDENT_BANDITS = {"easy": (0.1, 0.625), "medium": (0.25, 1.000), "hard": (0.4, 2.312), "uniform": (None, 1.221)}
_BANDIT_METRICS = {"regret": bandits.regret}


def _bandit_references(num_arms: int, num_pulls: int) -> dict[str, Reference]:
    """UCB1's c is the best of 0.1, 0.2 and 0.3 on tasks drawn apart; other constants are not tuned."""
    c = 0.1 if num_pulls <= 10 else 0.2
    spec = bandits.BernoulliBandit(num_arms).spec
    if num_pulls <= 100:
        gittins = Reference(partial(policies.Gittins, num_arms, num_pulls), "finite-horizon Gittins index, exact table")
    else:
        discount = 1.0 - 1.0 / num_pulls
        gittins = Reference(
            partial(policies.ApproximateGittins, num_arms, discount), "Gittins index in Whittle's closed form"
        )
    return {
        "random": Reference(partial(Random, spec), "any arm"),
        "greedy": Reference(partial(policies.Greedy, num_arms), "highest posterior mean, ties at random"),
        "epsilon_greedy": Reference(partial(policies.EpsilonGreedy, num_arms, 0.05), "greedy; any arm 5 % of the time"),
        "ucb1": Reference(partial(policies.UCB1, num_arms, c), f"optimism in the face of uncertainty, c = {c}"),
        "thompson": Reference(partial(policies.Thompson, num_arms), "a draw from the posterior"),
        "gittins": gittins,
    }


def _independent_bandit(name: str, num_arms: int, num_pulls: int) -> Benchmark:
    tasks = bandits.uniform_bandits(num_arms)
    return Benchmark(
        name=name,
        summary=f"Bernoulli bandit, {num_arms} arms with uniform means, {num_pulls} pulls",
        source="Duan et al. 2016 (RL²), section 3.1",
        env=bandits.BernoulliBandit(num_arms),
        train=tasks,
        test=tasks,
        num_episodes=num_pulls,
        metrics=_BANDIT_METRICS,
        references=_bandit_references(num_arms, num_pulls),
        known={"return": _PUBLISHED_BANDITS[num_pulls, num_arms]},
    )


def _two_arm() -> Benchmark:
    tasks = bandits.uniform_bandits(2)
    return Benchmark(
        name="two-arm",
        summary="Bernoulli bandit, two independent arms, 100 pulls",
        source="Wang et al. 2016, section 3.1.1",
        env=bandits.BernoulliBandit(2),
        train=tasks,
        test=tasks,
        num_episodes=100,
        metrics=_BANDIT_METRICS,
        references=_bandit_references(2, 100),
        known={
            "regret": {"bayes_optimal": 1.748, "thompson": 2.79, "random": 100 / 6},
            "return": {"bayes_optimal": 64.918, "random": 50.0},
        },
    )


def _dependent_bandit(name: str, mean: float | None, optimum: float) -> Benchmark:
    """Two arms whose means sum to 1: one of them is `mean`, or uniform if None."""
    tasks = bandits.uniform_dependent_bandits() if mean is None else bandits.dependent_bandits(mean)
    means = "p uniform" if mean is None else f"p = {mean} or {1 - mean}, trained and tested on the same two tasks"
    references = _bandit_references(2, 100)
    return Benchmark(
        name=name,
        summary=f"two arms with means p and 1 - p, {means}; 100 pulls",
        source="Wang et al. 2016, section 3.1.2",
        env=bandits.BernoulliBandit(2),
        train=tasks,
        test=tasks,
        ood=bandits.uniform_bandits(2),
        num_episodes=100,
        metrics=_BANDIT_METRICS,
        references={
            **{policy: references[policy] for policy in ("random", "ucb1", "thompson")},
            "dependent_thompson": Reference(policies.DependentThompson, "a draw from the posterior of p"),
            "bayes_optimal": Reference(policies.DependentGreedy, "the arm that more evidence speaks for; exact"),
        },
        known={"regret": {"bayes_optimal": optimum, "random": 25.0 if mean is None else 50.0 * (1 - 2 * mean)}},
    )


def _eleven_arm() -> Benchmark:
    env, tasks = bandits.InformativeBandit(), bandits.informative_bandits()
    return Benchmark(
        name="eleven-arm",
        summary="ten arms, one pays 5, an eleventh tells which; 5 pulls; trained and tested on the same ten tasks",
        source="Wang et al. 2016, section 3.1.3",
        env=env,
        train=tasks,
        test=tasks,
        num_episodes=5,
        metrics=_BANDIT_METRICS,
        references={
            "random": Reference(partial(Random, env.spec), "any arm"),
            "bayes_optimal": Reference(policies.AskThenExploit, "the telling arm once, then the target; exact"),
        },
        known={"return": {"bayes_optimal": 20.55, "never_asks": 11.0, "random": 5 * (5 + 9 + 0.55) / 11}},
    )


def _restless_bandit(name: str, step_size: float) -> Benchmark:
    """Trained on both volatilities, as in the paper, so that an agent must find out how fast to forget."""
    env = bandits.RestlessBandit()
    slow, fast = bandits.restless_bandits(0.02), bandits.restless_bandits(0.1)
    references = _bandit_references(2, 100)
    return Benchmark(
        name=name,
        summary=f"two arms with drifting means p and 1 - p, {step_size} a pull; 100 pulls; trained on 0.02 and 0.1",
        source="Wang et al. 2016, section 3.1.4; the sizes of the steps are ours",
        env=env,
        train=Mixture((slow, fast), (0.5, 0.5)),
        test=bandits.restless_bandits(step_size),
        num_episodes=1,
        metrics=_BANDIT_METRICS,
        references={
            **{policy: references[policy] for policy in ("random", "ucb1", "thompson")},
            "bayes_optimal": Reference(
                partial(policies.RestlessBayes, (0.02, 0.1)), "exact filter over p and the volatility, on a grid"
            ),
        },
        known={"regret": {"random": 25.0}},
    )


def _bandit_rows() -> Rows:
    rows: Rows = {}
    for num_pulls, num_arms in _PUBLISHED_BANDITS:
        name = f"bandit-n{num_pulls}-k{num_arms}"
        rows[name] = partial(_independent_bandit, name, num_arms, num_pulls)
    rows["two-arm"] = _two_arm
    for level, (mean, optimum) in _DEPENDENT_BANDITS.items():
        rows[f"dependent-{level}"] = partial(_dependent_bandit, f"dependent-{level}", mean, optimum)
    rows["eleven-arm"] = _eleven_arm
    rows["restless-slow"] = partial(_restless_bandit, "restless-slow", 0.02)
    rows["restless-fast"] = partial(_restless_bandit, "restless-fast", 0.1)
    return rows


# --- tabular MDPs, random walks --------------------------------------------------------------------------------------


# Total reward by episodes per trial: first what Duan et al. (2016, Table 2) print, on 1000 tasks, then ours, on 2000 to
# 40 000. Their PSRL and greedy numbers are those of agents that believe mean rewards to be N(0, 1); they are N(1, 1).
_PUBLISHED_MDPS = {
    10: {"rl2": 156.2, "psrl_prior_mean_0": 138.1, "greedy_prior_mean_0": 134.8, "ucrl2": 146.6, "opsrl": 144.1},
    25: {"rl2": 445.7, "psrl_prior_mean_0": 408.8, "greedy_prior_mean_0": 368.8, "ucrl2": 424.1, "opsrl": 425.2},
    50: {"rl2": 936.1, "psrl_prior_mean_0": 904.4, "greedy_prior_mean_0": 769.3, "ucrl2": 918.9, "opsrl": 930.7},
    75: {"rl2": 1428.8, "psrl_prior_mean_0": 1417.1, "greedy_prior_mean_0": 1172.9, "ucrl2": 1427.6, "opsrl": 1449.2},
    100: {"rl2": 1913.7, "psrl_prior_mean_0": 1939.5, "greedy_prior_mean_0": 1578.5, "ucrl2": 1942.1, "opsrl": 1973.9},
}
_COMPUTED_MDPS = {
    10: {"psrl": 133.4, "greedy": 154.2, "beb": 157.0},
    25: {"psrl": 403.5, "greedy": 433.7, "beb": 452.5},
    50: {"psrl": 903.7, "greedy": 915.7, "beb": 973.6},
    75: {"psrl": 1415.7, "beb": 1505.0},
    100: {"psrl": 1951.5, "greedy": 1886.8, "beb": 2040.4},
}
# The best exploration bonus of a coarse grid, found on tasks of their own.
_BEB_BONUS = {10: 0.5, 25: 0.7, 50: 1.0, 75: 1.5, 100: 1.5}


def _random_mdp(name: str, num_episodes: int) -> Benchmark:
    env, tasks = TabularMDP(10, 5), random_mdps(10, 5)
    psrl, greedy, beb = (
        partial(agent, 10, 5, env.spec.max_steps)
        for agent in (tabular_policies.psrl, tabular_policies.greedy, tabular_policies.beb)
    )
    bonus = _BEB_BONUS[num_episodes]
    return Benchmark(
        name=name,
        summary=f"random MDPs with 10 states and 5 actions, {num_episodes} episodes of 10 steps",
        source="Duan et al. 2016 (RL²), section 3.2",
        env=env,
        train=tasks,
        test=tasks,
        num_episodes=num_episodes,
        references={
            "random": Reference(partial(Random, env.spec), "any action"),
            "psrl": Reference(psrl, "posterior sampling, true prior"),
            "psrl_prior_mean_0": Reference(partial(psrl, prior_mean=0.0), "posterior sampling, as published"),
            "greedy": Reference(greedy, "plans for the posterior mean, true prior, ties at random"),
            "greedy_prior_mean_0": Reference(partial(greedy, prior_mean=0.0), "greedy, as published"),
            "beb": Reference(partial(beb, bonus=bonus), f"greedy with a bonus {bonus} / (1 + visits), true prior"),
            "optimal": Reference(
                partial(tabular_policies.OptimalPolicy, 10, 5, env.spec.max_steps), "knows the MDP", reveals_task=True
            ),
        },
        known={
            "return": {
                **_PUBLISHED_MDPS[num_episodes],
                **_COMPUTED_MDPS[num_episodes],
                "random": 10.0 * num_episodes,
                "optimal": round(21.83 * num_episodes, 1),
            }
        },
    )


def _random_walk() -> Benchmark:
    env, tasks = random_walk_env(7), random_walks(7)
    return Benchmark(
        name="random-walk",
        summary="a chain of 7 states whose two ends pay different amounts, 3 episodes of 10 steps",
        source="ours, for teaching and tests",
        env=env,
        train=tasks,
        test=tasks,
        num_episodes=3,
        references={
            "random": Reference(partial(Random, env.spec), "any move"),
            "bayes_optimal": Reference(partial(tabular_policies.RandomWalkBayes, 7, 3), "exact"),
            "optimal": Reference(
                partial(tabular_policies.OptimalPolicy, 7, 2, env.spec.max_steps), "knows both ends", reveals_task=True
            ),
        },
        known={"return": {"bayes_optimal": 12.433, "optimal": 14.0}},
    )


def _tabular_rows() -> Rows:
    rows: Rows = {}
    for num_episodes in _PUBLISHED_MDPS:
        rows[f"mdp-n{num_episodes}"] = partial(_random_mdp, f"mdp-n{num_episodes}", num_episodes)
    rows["random-walk"] = _random_walk
    return rows


# --- grid worlds -----------------------------------------------------------------------------------------------------


def _gridnavi(name: str, summary: str, train: TaskDistribution, test: TaskDistribution) -> Benchmark:
    """The references hold all 21 goals possible, whatever the split."""
    env, goals = GridNavi(), gridnavi_goals()
    return Benchmark(
        name=name,
        summary=summary,
        source="Zintgraf et al. 2020 (variBAD), section 5.1",
        env=env,
        train=train,
        test=test,
        num_episodes=4,
        metrics={"improvement": improvement},
        references={
            "random": Reference(partial(Random, env.spec), "any action"),
            "posterior_sampling": Reference(
                partial(gridnavi_policies.PosteriorSampling, env, goals.tasks.goal), "goes to a goal that may be it"
            ),
            "bayes_optimal": Reference(
                partial(gridnavi_policies.bayes_optimal, env, goals, 4),
                "the best search, then the shortest path; exact",
            ),
            "optimal": Reference(partial(gridnavi_policies.Oracle, env), "knows the goal", reveals_task=True),
        },
    )


def _gridnavi_published() -> Benchmark:
    goals = gridnavi_goals()
    summary = "find one of 21 hidden goals on a 5 x 5 grid, 4 episodes of 15 steps; trained and tested on the same 21"
    row = _gridnavi("gridnavi", summary, goals, goals)
    known = {"random": -4.6, "posterior_sampling": 11.6, "bayes_optimal": 37.214, "optimal": 44.286}
    return dataclasses.replace(row, known={"return": known})


def _gridnavi_held_out() -> Benchmark:
    train, test = gridnavi_goals().split(15 / 21, key=jax.random.key(0))
    return _gridnavi("gridnavi-held-out", "GridNavi trained on 15 of its goals and tested on the other 6", train, test)


_START_GOAL_METRICS = {
    "first_episode_steps": start_goal.first_episode_steps,
    "last_episode_steps": start_goal.last_episode_steps,
    "shortest_path": start_goal.shortest_path,
    "last_over_shortest": start_goal.last_over_shortest,
    "success_last": start_goal.success_last,
}


def _start_goal_references(env: start_goal.StartGoalGrid) -> dict[str, Reference]:
    return {
        "random": Reference(partial(Random, env.spec), "any move"),
        "explorer": Reference(partial(Explorer, env), "nearest unvisited cell, then the shortest path it knows"),
        "optimal": Reference(partial(ShortestPath, env), "knows the way", reveals_task=True),
    }


def _start_goal(name: str, size: int) -> Benchmark:
    env = start_goal.StartGoalGrid(size)
    train, test = start_goal.placements(size).split(0.8, key=jax.random.key(0))
    return Benchmark(
        name=name,
        summary=f"hidden start-goal pairs on a {size} x {size} grid, 5 episodes; tested on the 20 % of pairs held out",
        source="ours",
        env=env,
        train=train,
        test=test,
        num_episodes=5,
        metrics=_START_GOAL_METRICS,
        references=_start_goal_references(env),
    )


def _maze(name: str, size: int, num_loops: int) -> Benchmark:
    env = start_goal.StartGoalGrid(size, show_walls=True)
    return Benchmark(
        name=name,
        summary=f"a new {size} x {size} maze with a hidden goal for each task, 3 episodes; tested on layouts held out",
        source="ours, after the mazes of Duan et al. 2016 (RL²), section 3.3",
        env=env,
        train=start_goal.Mazes(size, "train", num_loops),
        test=start_goal.Mazes(size, "test", num_loops),
        num_episodes=3,
        metrics=_START_GOAL_METRICS,
        references=_start_goal_references(env),
    )


def _grid_rows() -> Rows:
    return {
        "gridnavi": _gridnavi_published,
        "gridnavi-held-out": _gridnavi_held_out,
        "start-goal-5": partial(_start_goal, "start-goal-5", 5),
        "start-goal-7": partial(_start_goal, "start-goal-7", 7),
        "maze-7": partial(_maze, "maze-7", 7, 2),
        "maze-9": partial(_maze, "maze-9", 9, 3),
    }


# --- memory and neuroscience: Harlow, two-step -----------------------------------------------------------------------


def _harlow(objects: ObjectKind) -> Benchmark:
    env = Harlow(objects)
    train, test = object_pairs(objects).split(0.5)
    return Benchmark(
        name="harlow" if objects == "features" else f"harlow-{objects}",
        summary="Two objects never seen before, six choices, one object pays +1 and the other -1.",
        source="Harlow 1949; Wang et al. 2016, section 3.2.2 (without gaze and fixation)",
        env=env,
        train=train,
        test=test,
        num_episodes=6,
        metrics=accuracy_metrics(6),
        references={
            "bayes_optimal": Reference(lambda: WinStayLoseShift(env.spec), "remembers which object paid"),
            "random": Reference(lambda: Random(env.spec), "uniform choices"),
        },
        known={
            "return": {"bayes_optimal": 5.0, "random": 0.0},
            "accuracy_1": {"bayes_optimal": 0.5, "random": 0.5},
            "accuracy_2_to_6": {"bayes_optimal": 1.0, "random": 0.5},
        },
    )


def _harlow_1d() -> Benchmark:
    env = HarlowFixation1D()
    train, test = object_pairs().split(0.5)
    return Benchmark(
        name="harlow-1d",
        summary="Harlow's task with a gaze on a circle of 17 cells: find the cross, then walk to an object.",
        source="Wang et al. 2018, simulation 5, in the one-dimensional form used for CPU tests",
        env=env,
        train=train,
        test=test,
        num_episodes=1,
        metrics=accuracy_metrics(6),
        references={
            "bayes_optimal": Reference(lambda: WinStayLoseShift1D(env.spec), "remembers which object paid"),
            "random": Reference(lambda: Random(env.spec), "uniform moves"),
        },
        known={
            "return": {"bayes_optimal": 6.2},
            "accuracy_1": {"bayes_optimal": 0.5},
            "accuracy_2_to_6": {"bayes_optimal": 1.0},
        },
    )


def _two_step(name: str, source: str, common: float, reversal: float, optimal: float) -> Benchmark:
    env, tasks = TwoStep(common=common), two_step_tasks(reversal)
    known = {"oracle": 100 * (common * 0.9 + (1 - common) * 0.1), "bayes_optimal": optimal, "random": 50.0}
    return Benchmark(
        name=name,
        summary="Two-step task, 100 trials: are actions repeated for their reward or for what they lead to?",
        source=source,
        env=env,
        train=tasks,
        test=tasks,
        num_episodes=1,
        metrics=stay_metrics(),
        references={
            "oracle": Reference(KnownGoodState, "told which second-stage state pays", reveals_task=True),
            "bayes_optimal": Reference(lambda: ModelBasedBayes(reversal=reversal), "model-based, exact belief"),
            "win_stay": Reference(ModelFreeWinStay, "model-free: repeats what was rewarded"),
            "random": Reference(lambda: Random(env.spec), "uniform choices"),
        },
        known={"return": known},
    )


def _memory_rows() -> Rows:
    wang_2018, wang_2016 = "Wang et al. 2018, simulation 4", "Wang et al. 2016, section 3.2.1"
    return {
        "harlow": lambda: _harlow("features"),
        "harlow-pixels": lambda: _harlow("pixels"),
        "harlow-1d": _harlow_1d,
        "two-step": lambda: _two_step("two-step", wang_2018, common=0.8, reversal=0.025, optimal=70.586),
        "two-step-2016": lambda: _two_step("two-step-2016", wang_2016, common=0.75, reversal=0.0, optimal=69.688),
    }


# --- small control: a point that walks, cart and pole ----------------------------------------------------------------


def _point(
    name: str, env: PointGoal, num_episodes: int, train: TaskDistribution, test: TaskDistribution, source: str
) -> Benchmark:
    return Benchmark(
        name=name,
        summary="A point walks to a goal that only its reward (minus the distance) tells.",
        source=source,
        env=env,
        train=train,
        test=test,
        num_episodes=num_episodes,
        references={
            "oracle": Reference(GoToGoal, "told the goal, walks straight to it", reveals_task=True),
            "random": Reference(lambda: Random(env.spec), "uniform steps"),
        },
    )


def _point_env() -> Benchmark:
    goals = square_goals()
    return _point("point-env", PointGoal(show_distance=True), 4, goals, goals, "garage 2021.3, PointEnv")


def _point_goal() -> Benchmark:
    train, test = semicircle_goals().split(0.8)
    return _point("point-goal", PointGoal(), 3, train, test, "this library")


def _cartpole() -> Benchmark:
    env, tasks = CartPole(), standard_cartpole()
    return Benchmark(
        name="cartpole",
        summary="CartPole-v1, a single task: for speed, and to see that a learner learns at all.",
        source="Barto, Sutton and Anderson 1983; Gymnasium",
        env=env,
        train=tasks,
        test=tasks,
        num_episodes=1,
        references={"random": Reference(lambda: Random(env.spec), "uniform pushes")},
        known={"return": {"optimal": 500.0}},
    )


def _control_rows() -> Rows:
    return {"point-env": _point_env, "point-goal": _point_goal, "cartpole": _cartpole}


# --- the table -------------------------------------------------------------------------------------------------------

REGISTRY: Rows = {**_bandit_rows(), **_tabular_rows(), **_grid_rows(), **_memory_rows(), **_control_rows()}


@functools.cache
def benchmark(name: str) -> Benchmark:
    """The benchmark called `name`, built on the first call. Raises ValueError for a name that is not in `REGISTRY`."""
    if name not in REGISTRY:
        near = difflib.get_close_matches(name, REGISTRY, n=3, cutoff=0.4)
        hint = f"did you mean {', '.join(near)}?" if near else f"known names: {', '.join(sorted(REGISTRY))}."
        raise ValueError(f"benchmark(name={name!r}): there is no such benchmark; {hint}")
    return REGISTRY[name]()
