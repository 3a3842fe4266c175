"""Tasks that come back within a trial, with a barcode by which to know them: bandits and a grid."""

from functools import partial

from innerloop._agent import Agent
from innerloop._benchmark import Benchmark, Reference, Rows
from innerloop.envs.bandits import BernoulliBandit, one_good_arm
from innerloop.envs.gridnavi import GridNavi, gridnavi_goals
from innerloop.envs.reoccurring import Reoccurring, regret_metrics, reoccurring_tasks, return_metrics
from innerloop.references.generic import Random
from innerloop.references.gridnavi import Oracle, bayes_optimal
from innerloop.references.reoccurring import BestArm, ByBarcode, MostLikelyArm, Told, most_likely_arm_regret

NUM_TASKS, NUM_BITS, NUM_EPISODES = 6, 8, 30
SOURCE = "after Ritter et al. 2018"


def _references(env: Reoccurring, agent: Agent, once: Agent, oracle: Agent) -> dict[str, Reference]:
    return {
        "oracle": Reference(partial(Told, env, oracle), "told all tasks", reveals_task=True),
        "remembering": Reference(partial(ByBarcode, env, agent), "keeps what it found out under the barcode"),
        "forgetful": Reference(partial(ByBarcode, env, once, forgetful=True), "starts afresh in each episode"),
        "random": Reference(partial(Random, env.spec), "any action"),
    }


def _bandits() -> Benchmark:
    num_arms, num_pulls, high = 5, 10, 0.9
    env = Reoccurring(BernoulliBandit(num_arms, num_pulls), NUM_TASKS, NUM_BITS)
    tasks = reoccurring_tasks(one_good_arm(num_arms, high, 1 - high), NUM_TASKS, NUM_BITS)
    agent = MostLikelyArm(num_arms)
    first = most_likely_arm_regret(num_arms, num_pulls, high)
    any_arm = num_pulls * (2 * high - 1) * (1 - 1 / num_arms)
    return Benchmark(
        name="reoccurring-bandits",
        summary=f"{NUM_TASKS} bandits that come back, a barcode each, {num_pulls} pulls an episode: find the good arm once",
        source=f"{SOURCE} (contextual bandits)",
        env=env,
        train=tasks,
        test=tasks,
        num_episodes=NUM_EPISODES,
        metrics=regret_metrics(env, first),
        references=_references(env, agent, agent, BestArm(num_arms)),
        known={
            "regret_first": {"oracle": 0.0, "remembering": first, "forgetful": first, "random": any_arm},
            "regret_again": {"oracle": 0.0, "forgetful": first, "random": any_arm},
            "again_over_first": {"oracle": 0.0, "forgetful": 1.0, "random": any_arm / first},
        },
    )


def _grid() -> Benchmark:
    inner, goals = GridNavi(obs="cell"), gridnavi_goals()
    env, tasks = Reoccurring(inner, NUM_TASKS, NUM_BITS), reoccurring_tasks(goals, NUM_TASKS, NUM_BITS)
    return Benchmark(
        name="reoccurring-grid",
        summary=f"GridNavi with {NUM_TASKS} goals that come back, a barcode each: search once",
        source=f"{SOURCE}; Zintgraf et al. 2020 (GridNavi)",
        env=env,
        train=tasks,
        test=tasks,
        num_episodes=NUM_EPISODES,
        metrics=return_metrics(env),
        references=_references(env, bayes_optimal(inner, goals, 4), bayes_optimal(inner, goals, 1), Oracle(inner)),
    )


def rows() -> Rows:
    """The family's benchmarks by name."""
    return {"reoccurring-bandits": _bandits, "reoccurring-grid": _grid}
