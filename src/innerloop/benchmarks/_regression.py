"""Few-shot regression: sinusoids and polynomials."""

from collections.abc import Callable
from functools import partial

from jaxtyping import Array, Float

from innerloop._benchmark import Benchmark, Reference, Rows, mean_reward
from innerloop._task import TaskDistribution
from innerloop._types import Trials
from innerloop.envs.regression import (
    Regression,
    polynomial,
    polynomials,
    sine,
    sinusoids,
    sinusoids_with_frequency,
)
from innerloop.references.generic import Constant


def mean_squared_error(trials: Trials, set: int) -> Float[Array, ""]:
    """Of the answers to one set of questions."""
    return -mean_reward(trials, set)


MEASURES: dict[str, Callable[[Trials], Float[Array, ""]]] = {
    "mse_before": partial(mean_squared_error, set=0),
    "mse": partial(mean_squared_error, set=-1),
}
"""On the first set, and on the last."""


def _regression(
    name: str,
    env: Regression,
    tasks: TaskDistribution,
    source: str,
    known: dict[str, float],
    ood: TaskDistribution | None = None,
) -> Benchmark:
    return Benchmark(
        name=name,
        summary="A function is to be guessed from a few of its points",
        source=source,
        env=env,
        train=tasks,
        test=tasks,
        ood=ood,
        num_episodes=2,
        episodes_per_round=1,
        metrics=MEASURES,
        references={"zero": Reference(partial(Constant, env.spec), "always answers 0")},
        known={"mse": known} if known else {},
    )


def _sinusoid() -> Benchmark:
    known = {"zero": 4.25, "best without adaptation": 3.01}
    return _regression("sinusoid", Regression(sine), sinusoids(), "Finn et al. 2017, section 5.1", known)


def _sinusoid_frequency(num_points: int) -> Benchmark:
    env = Regression(sine, num_points)
    return _regression(f"sinusoid-frequency-{num_points}", env, sinusoids_with_frequency(), "Li et al. 2017", {})


def _polynomial() -> Benchmark:
    env = Regression(polynomial, low=-1.0, high=1.0)
    return _regression("polynomial", env, polynomials(), "this library", {}, ood=polynomials(4, 5))


def rows() -> Rows:
    """The family's benchmarks by name."""
    return {
        "sinusoid": _sinusoid,
        **{f"sinusoid-frequency-{n}": partial(_sinusoid_frequency, n) for n in (5, 10, 20)},
        "polynomial": _polynomial,
    }
