"""Memory and neuroscience: Harlow, two-step."""

from innerloop._benchmark import Benchmark, Reference, Rows
from innerloop.envs.harlow import Harlow, HarlowFixation1D, ObjectKind, accuracy_metrics, object_pairs
from innerloop.envs.two_step import TwoStep, stay_metrics, two_step_tasks
from innerloop.references.generic import Random
from innerloop.references.harlow import WinStayLoseShift, WinStayLoseShift1D
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


def rows() -> Rows:
    """The family's benchmarks by name."""
    wang_2018, wang_2016 = "Wang et al. 2018, simulation 4", "Wang et al. 2016, section 3.2.1"
    return {
        "harlow": lambda: _harlow("features"),
        "harlow-pixels": lambda: _harlow("pixels"),
        "harlow-1d": _harlow_1d,
        "two-step": lambda: _two_step("two-step", wang_2018, common=0.8, reversal=0.025, optimal=70.586),
        "two-step-2016": lambda: _two_step("two-step-2016", wang_2016, common=0.75, reversal=0.0, optimal=69.688),
    }
