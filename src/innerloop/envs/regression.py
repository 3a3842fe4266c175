"""Few-shot regression: a task is a function, an episode a few of its points."""

import math
from collections.abc import Callable
from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from innerloop._env import Box, EnvSpec, advance, restart
from innerloop._task import Sampled
from innerloop._types import Key, Task, TimeStep
from innerloop.envs.supervised import Supervised


class RegressionState(NamedTuple):
    """The x that was asked for, and points done so far."""

    x: Float[Array, "1"]
    steps: Int[Array, ""]


class Regression(Supervised):
    """Shows x, uniform on [`low`, `high`], and asks for `function(task, x)`; the reward is minus the squared error.

    An episode has `num_points` points and is truncated after the last one: its return is minus `num_points` times the
    mean squared error. x and y are vectors of length 1.
    """

    spec: EnvSpec
    function: Callable[[Task, Array], Array] = eqx.field(static=True)
    low: float = eqx.field(static=True)
    high: float = eqx.field(static=True)

    def __init__(
        self, function: Callable[[Task, Array], Array], num_points: int = 10, low: float = -5.0, high: float = 5.0
    ):
        if not low < high:
            raise ValueError(f"Regression(low={low}, high={high}): low must be below high.")
        self.spec = EnvSpec(Box((1,), low, high), Box((1,)), num_points)
        self.function = function
        self.low = low
        self.high = high

    def _ask(self, key: Key) -> Float[Array, "1"]:
        return jax.random.uniform(key, (1,), minval=self.low, maxval=self.high)

    def reset(self, key: Key, task: Task) -> tuple[RegressionState, TimeStep]:
        x = self._ask(key)
        return RegressionState(x, jnp.zeros((), jnp.int32)), restart(self.spec, x)

    def step(self, key: Key, task: Task, state: RegressionState, action: Array) -> tuple[RegressionState, TimeStep]:
        answer = self.function(task, state.x)
        error = jnp.square(action - answer).sum()
        state = RegressionState(self._ask(key), state.steps + 1)
        return state, advance(state.x, answer, -error, truncated=state.steps == self.spec.max_steps)


class Sinusoid(NamedTuple):
    """y = amplitude sin(frequency x + phase)."""

    amplitude: Float[Array, "*batch"]
    frequency: Float[Array, "*batch"]
    phase: Float[Array, "*batch"]


def sine(task: Sinusoid, x: Float[Array, "1"]) -> Float[Array, "1"]:
    """A task's y at x."""
    return task.amplitude * jnp.sin(task.frequency * x + task.phase)


def sinusoids() -> Sampled:
    """Amplitude uniform on [0.1, 5], phase shift on [0, π], frequency 1 (Finn et al. 2017, section 5.1): x on [-5, 5].

    The shift is to the right: y = A sin(x - shift).
    """
    return _sinusoids((1.0, 1.0), (-math.pi, 0.0))


def sinusoids_with_frequency() -> Sampled:
    """Amplitude uniform on [0.1, 5], frequency on [0.8, 1.2], phase on [0, π] (Li et al. 2017): x on [-5, 5]."""
    return _sinusoids((0.8, 1.2), (0.0, math.pi))


def _sinusoids(frequency: tuple[float, float], phase: tuple[float, float]) -> Sampled:
    def sample(key: Key) -> Sinusoid:
        shares = jax.random.uniform(key, (3,))
        ranges = zip(((0.1, 5.0), frequency, phase), shares, strict=True)
        return Sinusoid(*(low + share * (high - low) for (low, high), share in ranges))

    return Sampled(sample)


class Polynomial(NamedTuple):
    """y = Σ_k coefficients[k] x^k; those above the degree are 0."""

    coefficients: Float[Array, "*batch terms"]


MAX_DEGREE = 5


def polynomial(task: Polynomial, x: Float[Array, "1"]) -> Float[Array, "1"]:
    """A task's y at x."""
    return jnp.polyval(task.coefficients[::-1], x)


def polynomials(min_degree: int = 0, max_degree: int = 3) -> Sampled:
    """Degree uniform from `min_degree` to `max_degree` (5 at most), coefficients uniform on [-1, 1]; x on [-1, 1]."""
    if not 0 <= min_degree <= max_degree <= MAX_DEGREE:
        raise ValueError(
            f"polynomials(min_degree={min_degree}, max_degree={max_degree}): need 0 <= min <= max <= {MAX_DEGREE}."
        )

    def sample(key: Key) -> Polynomial:
        degree_key, key = jax.random.split(key)
        degree = jax.random.randint(degree_key, (), min_degree, max_degree + 1)
        coefficients = jax.random.uniform(key, (MAX_DEGREE + 1,), minval=-1.0, maxval=1.0)
        return Polynomial(jnp.where(jnp.arange(MAX_DEGREE + 1) <= degree, coefficients, 0.0))

    return Sampled(sample)
