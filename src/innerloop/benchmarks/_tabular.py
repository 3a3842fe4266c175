"""Tabular MDPs and random walks."""

from functools import partial

from innerloop._benchmark import Benchmark, Reference, Rows
from innerloop.envs.tabular import TabularMDP, random_mdps, random_walk_env, random_walks
from innerloop.references import tabular as tabular_policies
from innerloop.references.generic import Random

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
    10: {"psrl": 133.4, "greedy": 154.2, "beb": 157.0, "myopic": 162.9},
    25: {"psrl": 403.5, "greedy": 433.7, "beb": 452.5},
    50: {"psrl": 903.7, "greedy": 915.7, "beb": 973.6},
    75: {"psrl": 1415.7, "beb": 1505.0},
    100: {"psrl": 1951.5, "greedy": 1886.8, "beb": 2040.4},
}
# The best exploration bonus of a coarse grid, found on tasks of their own.
_BEB_BONUS = {10: 0.5, 25: 0.7, 50: 1.0, 75: 1.5, 100: 1.5}
_MYOPIC_BONUS = 0.8  # for n = 10


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
            "myopic": Reference(
                partial(tabular_policies.Myopic, 10, 5, bonus=_MYOPIC_BONUS),
                f"best posterior mean + {_MYOPIC_BONUS} / sqrt(1 + visits) in each state, without planning",
            ),
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


def rows() -> Rows:
    """The family's benchmarks by name."""
    found: Rows = {}
    for num_episodes in _PUBLISHED_MDPS:
        found[f"mdp-n{num_episodes}"] = partial(_random_mdp, f"mdp-n{num_episodes}", num_episodes)
    found["random-walk"] = _random_walk
    return found
