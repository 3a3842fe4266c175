"""The four corners of ProMP (Rothfuss et al. 2019): a reward that only shows once the right corner is the nearest.

Rules and constants as in the authors' `point_env_2d_corner.py`, with 100 steps as in their `pro-mp_run_point_mass.py`.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from innerloop._env import Box, Env, EnvSpec, advance, restart
from innerloop._task import Finite
from innerloop._types import Key, TimeStep

CORNERS = ((-2.0, -2.0), (2.0, -2.0), (-2.0, 2.0), (2.0, 2.0))
MAX_STEP = 0.2
START_HALF_WIDTH = 0.2
SILENT_RADIUS = 0.5


class CornerTask(NamedTuple):
    """Which of `CORNERS` is the goal."""

    corner: Int[Array, ""]


class CornerState(NamedTuple):
    """Where the point is, and steps done so far."""

    position: Float[Array, "2"]
    time: Int[Array, ""]


class Corners(Env):
    """A point in the plane, observed as it is, starts uniformly within 0.2 of the origin on each axis.

    The action, clipped to 0.2 on each axis, is added to the position, which nothing bounds. Of the position s' after
    the step:

        reward = 0                             if |x'| + |y'| < 0.5, or another corner is nearer to s' than the goal
                 |s - goal|_2 - |s' - goal|_2  otherwise, also where the goal and another corner are equally near

    No position ends the episode: it is truncated after `max_steps`. The authors train behind a wrapper that
    multiplies actions by 0.02, so that a policy of standard deviation 1 moves by 0.02.
    """

    spec: EnvSpec

    def __init__(self, max_steps: int = 100):
        self.spec = EnvSpec(Box((2,)), Box((2,), -MAX_STEP, MAX_STEP), max_steps)

    def reset(self, key: Key, task: CornerTask) -> tuple[CornerState, TimeStep]:
        position = jax.random.uniform(key, (2,), minval=-START_HALF_WIDTH, maxval=START_HALF_WIDTH)
        return CornerState(position, jnp.zeros((), jnp.int32)), restart(self.spec, position)

    def step(self, key: Key, task: CornerTask, state: CornerState, action: Array) -> tuple[CornerState, TimeStep]:
        position = state.position + jnp.clip(action, -MAX_STEP, MAX_STEP)
        distances = _distances(position)
        distance = distances[task.corner]
        silent = (jnp.sum(jnp.abs(position)) < SILENT_RADIUS) | (distance > jnp.min(distances))
        progress = _distances(state.position)[task.corner] - distance
        next_state = CornerState(position, state.time + 1)
        truncated = next_state.time >= self.spec.max_steps
        return next_state, advance(position, action, jnp.where(silent, 0.0, progress), truncated=truncated)


def _distances(position: Float[Array, "2"]) -> Float[Array, " corners"]:
    return jnp.sqrt(jnp.sum((position[None] - jnp.array(CORNERS)) ** 2, axis=1))


def corner_tasks() -> Finite:
    """The four corners, in the order (-2, -2), (2, -2), (-2, 2), (2, 2)."""
    return Finite(CornerTask(jnp.arange(len(CORNERS), dtype=jnp.int32)))
