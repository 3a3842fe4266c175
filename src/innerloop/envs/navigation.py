"""Two-dimensional navigation: MAML's benchmark, and its kin whose dynamics vary, too."""

from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from innerloop._env import Box, Env, EnvSpec, advance, restart
from innerloop._task import Sampled
from innerloop._types import Key, TimeStep

STEP = 0.1


class NavigationTask(NamedTuple):
    """Where an episode starts, where to go, and how far an action carries."""

    start: Float[Array, "*batch 2"]
    goal: Float[Array, "*batch 2"]
    gain: Float[Array, "*batch"]


class NavigationState(NamedTuple):
    """Where the point is, and steps done so far."""

    position: Float[Array, "2"]
    steps: Int[Array, ""]


class Navigation(Env):
    """Adds 0.1 gain times the action, clipped to [-1, 1], to the position; shows the position, but not the goal.

    The reward is minus the distance to the goal after the step. With a `tolerance` the episode terminates as soon as
    both coordinates are nearer to the goal than that, as in MAML's released code (0.01); with None it never does. It is
    truncated after `max_steps`.
    """

    spec: EnvSpec
    tolerance: float | None = eqx.field(static=True)

    def __init__(self, max_steps: int = 100, tolerance: float | None = 0.01):
        if tolerance is not None and tolerance <= 0:
            raise ValueError(f"Navigation(tolerance={tolerance}): must be positive, or None for no end at the goal.")
        self.spec = EnvSpec(Box((2,)), Box((2,), -1.0, 1.0), max_steps)
        self.tolerance = tolerance

    def reset(self, key: Key, task: NavigationTask) -> tuple[NavigationState, TimeStep]:
        return NavigationState(task.start, jnp.zeros((), jnp.int32)), restart(self.spec, task.start)

    def step(
        self, key: Key, task: NavigationTask, state: NavigationState, action: Array
    ) -> tuple[NavigationState, TimeStep]:
        position = state.position + STEP * task.gain * jnp.clip(action, -1.0, 1.0)
        away = position - task.goal
        state = NavigationState(position, state.steps + 1)
        terminated = jnp.zeros((), bool) if self.tolerance is None else jnp.all(jnp.abs(away) < self.tolerance)
        truncated = ~terminated & (state.steps == self.spec.max_steps)
        reward = -jnp.sqrt(jnp.square(away).sum())
        return state, advance(position, action, reward, terminated=terminated, truncated=truncated)


def navigation_goals(half_width: float = 0.5) -> Sampled:
    """Goals uniform on a square around the start at the origin, gain 1 (Finn et al. 2017, section 5.3)."""
    if half_width <= 0:
        raise ValueError(f"navigation_goals(half_width={half_width}): must be positive.")

    def sample(key: Key) -> NavigationTask:
        goal = jax.random.uniform(key, (2,), minval=-half_width, maxval=half_width)
        return NavigationTask(jnp.zeros((2,)), goal, jnp.ones(()))

    return Sampled(sample)


def navigation_worlds(low_gain: float = 0.8, high_gain: float = 1.2) -> Sampled:
    """Start and goal uniform on [-1, 1]², gain uniform on [`low_gain`, `high_gain`]: dynamics differ, too."""
    if not 0 < low_gain < high_gain:
        raise ValueError(f"navigation_worlds(low_gain={low_gain}, high_gain={high_gain}): need 0 < low < high.")

    def sample(key: Key) -> NavigationTask:
        places_key, gain_key = jax.random.split(key)
        start, goal = jax.random.uniform(places_key, (2, 2), minval=-1.0, maxval=1.0)
        return NavigationTask(start, goal, jax.random.uniform(gain_key, (), minval=low_gain, maxval=high_gain))

    return Sampled(sample)
