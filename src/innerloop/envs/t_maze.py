"""The passive T-maze (Ni et al. 2023, section 4.1; after Bakker 2001): how long can a memory be?

At the start a cue says which way to turn; nothing shows it again. Whoever walks straight on comes to the junction with one
step left. Not keeping up is punished at once, so that walking needs no memory, and to turn is all that does.
"""

from typing import NamedTuple

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, Int

from innerloop._env import Discrete, Env, EnvSpec, advance, restart
from innerloop._task import Finite
from innerloop._types import Key, TimeStep

FORWARD, BACK, UP, DOWN = range(4)
"""The actions."""
CORRIDOR, JUNCTION, CUE = 0, 1, 2
"""Observations: the corridor, the junction, and at the start `CUE` + the side that pays (0: up, 1: down)."""


class TMazeTask(NamedTuple):
    """The side that pays: 0 is up, 1 is down."""

    side: Int[Array, ""]


class TMazeState(NamedTuple):
    """The cell, counted from the start, and the number of steps done."""

    cell: Int[Array, ""]
    time: Int[Array, ""]


class TMaze(Env):
    """A corridor of `length` steps to the junction; episodes have `length` + 1 steps.

    Each of the first `length` steps costs 1 / `length` if it leaves the agent behind the cell that walking straight on
    would have reached. The last one pays 1 if it turns to the right side at the junction. Walls stop what runs into them.
    """

    spec: EnvSpec
    length: int = eqx.field(static=True)

    def __init__(self, length: int = 10):
        if length < 1:
            raise ValueError(f"TMaze(length={length}): must be at least 1.")
        self.spec = EnvSpec(Discrete(4), Discrete(4), length + 1)
        self.length = length

    def reset(self, key: Key, task: TMazeTask) -> tuple[TMazeState, TimeStep]:
        nothing = jnp.zeros((), jnp.int32)
        return TMazeState(nothing, nothing), restart(self.spec, CUE + task.side)

    def step(self, key: Key, task: TMazeTask, state: TMazeState, action: Array) -> tuple[TMazeState, TimeStep]:
        time = state.time + 1
        is_last = time > self.length
        turned = is_last & (state.cell == self.length) & (action == UP + task.side)
        move = jnp.where(action == FORWARD, 1, jnp.where(action == BACK, -1, 0))
        cell = jnp.clip(state.cell + move, 0, self.length)
        behind = jnp.where(cell < time, -1.0 / self.length, 0.0)
        reward = jnp.where(is_last, turned.astype(jnp.float32), behind)
        obs = jnp.where(cell == self.length, JUNCTION, CORRIDOR)
        return TMazeState(cell, time), advance(obs, action, reward, terminated=is_last)


def sides() -> Finite:
    """Both sides."""
    return Finite(TMazeTask(jnp.arange(2, dtype=jnp.int32)))
