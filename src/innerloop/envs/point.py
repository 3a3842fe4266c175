"""A point that walks to a goal it is not told: the smallest continuous-control family."""

import math
from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from innerloop._env import Box, Env, EnvSpec, advance, restart
from innerloop._task import Finite, Sampled
from innerloop._types import Key, TimeStep, Transition

MAX_STEP = 0.1
ARENA = 5.0


class PointTask(NamedTuple):
    """Where to go, in the plane."""

    goal: Float[Array, "2"]


class PointState(NamedTuple):
    """Where the point is, and steps done so far."""

    position: Float[Array, "2"]
    steps: Int[Array, ""]


class PointGoal(Env):
    """Starts at the origin, or uniformly on the square of half width `start`; the reward is minus the distance to the
    goal after the step.

    The action, clipped to 0.1 on each axis, is added to the position, which stays within 5 of the origin on each axis.
    No goal ends the episode: it is truncated after `max_steps`. The observation is the position or, with
    `show_distance`, the position and the distance to the goal: that is garage's PointEnv (2021.3, with `never_done`),
    whose tasks are `square_goals()` and whose horizon is 100. With a `radius` the reward is `peak` - distance within it
    and 0 elsewhere (the sparse point robot of Rakelly et al. 2019, whose horizon is 20 and whose radius is 0.2).
    """

    spec: EnvSpec
    show_distance: bool = eqx.field(static=True)
    radius: float | None = eqx.field(static=True)
    peak: float = eqx.field(static=True)
    start: float = eqx.field(static=True)

    def __init__(
        self,
        max_steps: int = 100,
        show_distance: bool = False,
        radius: float | None = None,
        peak: float = 1.0,
        start: float = 0.0,
    ):
        if radius is not None and radius <= 0:
            raise ValueError(f"PointGoal(radius={radius}): must be positive.")
        if radius is None and peak != 1.0:
            raise ValueError(f"PointGoal(peak={peak}): only a sparse reward has one; give a radius, too.")
        if not 0 <= start <= ARENA:
            raise ValueError(f"PointGoal(start={start}): must be between 0 and {ARENA}.")
        self.radius = radius
        self.peak = peak
        self.start = start
        self.spec = EnvSpec(Box((3 if show_distance else 2,)), Box((2,), -MAX_STEP, MAX_STEP), max_steps)
        self.show_distance = show_distance

    def _show(self, position: Float[Array, "2"], distance: Float[Array, ""]) -> Float[Array, " features"]:
        return jnp.append(position, distance) if self.show_distance else position

    def reset(self, key: Key, task: PointTask) -> tuple[PointState, TimeStep]:
        position = jax.random.uniform(key, (2,), minval=-self.start, maxval=self.start)
        state = PointState(position, jnp.zeros((), jnp.int32))
        return state, restart(self.spec, self._show(position, _length(position - task.goal)))

    def step(self, key: Key, task: PointTask, state: PointState, action: Array) -> tuple[PointState, TimeStep]:
        move = jnp.clip(action, -MAX_STEP, MAX_STEP)
        position = jnp.clip(state.position + move, -ARENA, ARENA)
        distance = _length(position - task.goal)
        state = PointState(position, state.steps + 1)
        truncated = state.steps == self.spec.max_steps
        reward = -distance if self.radius is None else jnp.where(distance <= self.radius, self.peak - distance, 0.0)
        return state, advance(self._show(position, distance), action, reward, truncated=truncated)


def minus_distance(task: PointTask, transition: Transition) -> Float[Array, ""]:
    """The dense reward of a step: minus the distance to the goal after it."""
    return -_length(transition.next_timestep.obs[:2] - task.goal)


def _length(vector: Float[Array, "2"]) -> Float[Array, ""]:
    return jnp.sqrt(jnp.sum(vector**2))


def square_goals(half_width: float = 2.0) -> Sampled:
    """Goals uniform on a square around the origin; the default is garage's."""
    if half_width <= 0:
        raise ValueError(f"square_goals(half_width={half_width}): must be positive.")
    return Sampled(lambda key: PointTask(jax.random.uniform(key, (2,), minval=-half_width, maxval=half_width)))


def semicircle_goals(num_goals: int = 100, radius: float = 1.0) -> Finite:
    """`num_goals` goals on the upper half circle, in an order that makes every `split` cover all of it.

    Goal i has the angle pi * frac(i * golden ratio): any run of successive goals is spread evenly.
    """
    if num_goals < 1 or radius <= 0:
        raise ValueError(f"semicircle_goals(num_goals={num_goals}, radius={radius}): both must be positive.")
    golden = (math.sqrt(5) - 1) / 2
    angles = [math.pi * (i * golden % 1.0) for i in range(num_goals)]
    goals = [[radius * math.cos(angle), radius * math.sin(angle)] for angle in angles]
    return Finite(PointTask(jnp.asarray(goals, jnp.float32)))
