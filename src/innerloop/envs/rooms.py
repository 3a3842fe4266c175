"""The rooms of HyperX (Zintgraf et al. 2021): three goals in a fixed order, each worth ten times as much as the one before,
and nothing is paid for a goal whose turn has not come.

Rules and constants as in the authors' code: three rooms of 3 x 3 cells in a row, joined by corridors three cells long.
"""

from typing import NamedTuple

import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from innerloop._env import Box, Discrete, Env, EnvSpec, advance, restart
from innerloop._task import Finite
from innerloop._types import Key, TimeStep, Trials
from innerloop.envs.gridnavi import MOVES

SIDE = 6
"""How far the middles of the outer rooms are from that of the inner one."""
FAR = 7
"""The largest x."""
PAY = (1.0, 10.0, 100.0)
STEP_COST = 0.1


class RoomsTask(NamedTuple):
    """The (x, y) of the three goals in their order; (0, 0) is the middle."""

    goals: Int[Array, "3 2"]


class RoomsState(NamedTuple):
    """The position (x, y), the number of goals reached, and the steps done."""

    position: Int[Array, "2"]
    stage: Int[Array, ""]
    time: Int[Array, ""]


def is_free(position: Int[Array, "2"]) -> Bool[Array, ""]:
    """Whether there is a cell: in the row y = 0, or above or below it in a room."""
    x, y = jnp.abs(position)
    in_room = (x <= 1) | (x >= SIDE - 1)
    return (x <= FAR) & ((y == 0) | ((y == 1) & in_room))


class Rooms(Env):
    """Stay, up, right, down, left, from the middle of the middle room; walls hold.

    A step that ends on goal k pays 10^(k - 1) if all goals before it have been reached in this episode, and it does so again
    and again; every other step costs 0.1. Only time ends an episode. The observation is x / 7 and y.
    """

    spec: EnvSpec

    def __init__(self, max_steps: int = 50):
        self.spec = EnvSpec(Box((2,), -1.0, 1.0), Discrete(len(MOVES)), max_steps)

    def observe(self, position: Int[Array, "2"]) -> Array:
        """What the agent sees at `position`."""
        return position.astype(jnp.float32) / jnp.array([FAR, 1.0])

    def locate(self, obs: Array) -> Int[Array, "2"]:
        """The position that looks like `obs`."""
        return jnp.round(obs * jnp.array([FAR, 1.0])).astype(jnp.int32)

    def reset(self, key: Key, task: RoomsTask) -> tuple[RoomsState, TimeStep]:
        position, none = jnp.zeros((2,), jnp.int32), jnp.zeros((), jnp.int32)
        return RoomsState(position, none, none), restart(self.spec, self.observe(position))

    def step(self, key: Key, task: RoomsTask, state: RoomsState, action: Array) -> tuple[RoomsState, TimeStep]:
        target = state.position + jnp.array(MOVES)[action]
        position = jnp.where(is_free(target), target, state.position)
        paid = jnp.all(task.goals == position[None], axis=1) & (jnp.arange(len(PAY)) <= state.stage)
        reward = jnp.where(paid.any(), jnp.array(PAY)[jnp.argmax(paid)], -STEP_COST)
        stage = jnp.where(paid.any(), jnp.maximum(state.stage, jnp.argmax(paid) + 1), state.stage)
        state = RoomsState(position, stage, state.time + 1)
        truncated = state.time >= self.spec.max_steps
        return state, advance(self.observe(position), action, reward, truncated=truncated)


def rooms_tasks() -> Finite:
    """All 48: the first goal in a corner of the middle room, the second in one of the room on its side, the third in
    another corner of the middle room."""
    corners = [(x, y) for x in (-1, 1) for y in (-1, 1)]
    goals = [
        [first, (first[0] * SIDE + dx, y), third]
        for first in corners
        for dx, y in corners
        for third in corners
        if third != first
    ]
    return Finite(RoomsTask(jnp.array(goals, jnp.int32)))


def goals_reached(trials: Trials) -> Float[Array, ""]:
    """How many of the goals were reached, in their order, in the best episode of a trial."""
    best = trials.transitions.next_timestep.reward.max()
    return jnp.sum(best >= jnp.array(PAY)).astype(jnp.float32)
