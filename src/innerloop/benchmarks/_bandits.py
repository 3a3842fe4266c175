"""Bernoulli bandits: independent, dependent, eleven-armed, restless."""

from functools import partial

from innerloop._benchmark import Benchmark, Reference, Rows
from innerloop._task import Mixture
from innerloop.envs import bandits
from innerloop.references import bandits as policies
from innerloop.references.generic import Random

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
            "bayes_optimal": Reference(
                policies.DependentGreedy, "the arm that more evidence speaks for; exact but for `ood`"
            ),
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
                partial(policies.RestlessBayes, (0.02, 0.1)),
                "exact filter over p and both volatilities of the training tasks, on a grid",
            ),
        },
        known={"regret": {"random": 25.0}},
    )


def rows() -> Rows:
    """The family's benchmarks by name."""
    found: Rows = {}
    for num_pulls, num_arms in _PUBLISHED_BANDITS:
        name = f"bandit-n{num_pulls}-k{num_arms}"
        found[name] = partial(_independent_bandit, name, num_arms, num_pulls)
    found["two-arm"] = _two_arm
    for level, (mean, optimum) in _DEPENDENT_BANDITS.items():
        found[f"dependent-{level}"] = partial(_dependent_bandit, f"dependent-{level}", mean, optimum)
    found["eleven-arm"] = _eleven_arm
    found["restless-slow"] = partial(_restless_bandit, "restless-slow", 0.02)
    found["restless-fast"] = partial(_restless_bandit, "restless-fast", 0.1)
    return found
