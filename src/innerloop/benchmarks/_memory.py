"""Memory and neuroscience: Harlow, two-step, T-mazes, copy and associative recall."""

from functools import partial

from innerloop._benchmark import Benchmark, Reference, Rows
from innerloop.envs.harlow import Harlow, HarlowFixation1D, ObjectKind, accuracy_metrics, object_pairs
from innerloop.envs.recall import Recall, recall_tasks
from innerloop.envs.t_maze import TMaze, sides
from innerloop.envs.two_step import TwoStep, stay_metrics, two_step_tasks
from innerloop.references.generic import Random
from innerloop.references.harlow import WinStayLoseShift, WinStayLoseShift1D
from innerloop.references.recall import Recaller
from innerloop.references.t_maze import Walker
from innerloop.references.two_step import KnownGoodState, ModelBasedBayes, ModelFreeWinStay


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


def _t_maze(length: int) -> Benchmark:
    env = TMaze(length)
    return Benchmark(
        name=f"t-maze-{length}",
        summary=f"A cue, a corridor of {length} steps, a junction: turn as the cue said",
        source="Ni et al. 2023, section 4.1 (passive T-maze); Bakker 2001",
        env=env,
        train=sides(),
        test=sides(),
        num_episodes=1,
        references={
            "optimal": Reference(Walker, "remembers the cue"),
            "forgetful": Reference(partial(Walker, forgetful=True), "walks straight on and guesses"),
            "random": Reference(partial(Random, env.spec), "any action"),
        },
        known={"return": {"optimal": 1.0, "forgetful": 0.5}},
    )


def _recall(name: str, summary: str, section: str, num_keys: int) -> Benchmark:
    env = Recall(num_keys=num_keys)
    tasks = recall_tasks(env, 1, env.max_items // 2)
    return Benchmark(
        name=name,
        summary=summary,
        source=f"after Graves et al. 2014, section {section}",
        env=env,
        train=tasks,
        test=tasks,
        num_episodes=1,
        ood=recall_tasks(env, env.max_items, env.max_items),
        references={
            "optimal": Reference(partial(Recaller, env), "notes every item"),
            "random": Reference(partial(Random, env.spec), "any answer"),
        },
        known={"return": {"optimal": 1.0, "random": 1 / env.num_symbols}},
    )


T_MAZES = (10, 30, 100, 300, 1000)
"""Lengths of the corridor."""


def rows() -> Rows:
    """The family's benchmarks by name."""
    wang_2018, wang_2016 = "Wang et al. 2018, simulation 4", "Wang et al. 2016, section 3.2.1"
    copied, recalled = "Show 1 to 8 symbols, then repeat them", "Show 1 to 8 pairs, then answer keys with their symbols"
    return {
        **{f"t-maze-{length}": partial(_t_maze, length) for length in T_MAZES},
        "copy": lambda: _recall("copy", f"{copied}; ood: 16", "4.1", 0),
        "associative-recall": lambda: _recall("associative-recall", f"{recalled}; ood: 16", "4.3", 32),
        "harlow": lambda: _harlow("features"),
        "harlow-pixels": lambda: _harlow("pixels"),
        "harlow-1d": _harlow_1d,
        "two-step": lambda: _two_step("two-step", wang_2018, common=0.8, reversal=0.025, optimal=70.586),
        "two-step-2016": lambda: _two_step("two-step-2016", wang_2016, common=0.75, reversal=0.0, optimal=69.688),
    }
