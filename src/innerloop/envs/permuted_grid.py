"""Grid worlds that differ in their goal and in what actions do: a fixed set of tasks whose solutions conflict.

Each task is another pair of a cell that pays and an order of the actions, so the right action of a cell differs from task
to task, with nothing to tell it from but the task. A task is its number, as a one-hot code.
"""

import itertools
from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from innerloop._env import Box, Discrete, Env, EnvSpec, advance, restart
from innerloop._task import Finite
from innerloop._types import Key, TimeStep
from innerloop.envs.gridnavi import MOVES


class CodedTask(NamedTuple):
    """Which of the env's tasks it is, as a one-hot code."""

    code: Float[Array, " tasks"]


class GridPlace(NamedTuple):
    """The position (x, y) and the number of steps done."""

    position: Int[Array, "2"]
    time: Int[Array, ""]


class PermutedGrid(Env):
    """Every step that ends on the goal pays 1, every other nothing. Episodes start in any cell and are cut after
    `max_steps`.

    The observation is the position, both coordinates scaled to [-1, 1]. `goals[k]` is the goal of task k, `moves[k, a]`
    the step (dx, dy) of its action a: stay, up, right, down and left in an order of the task's own. Walls stop what runs
    into them. Tasks are drawn with `seed` and without replacement from all pairs of a cell and an order.
    """

    spec: EnvSpec
    goals: Int[Array, "tasks 2"]
    moves: Int[Array, "tasks actions 2"]
    size: int = eqx.field(static=True)

    def __init__(self, num_tasks: int, size: int = 5, max_steps: int = 10, seed: int = 0):
        if size < 2:
            raise ValueError(f"PermutedGrid(size={size}): must be at least 2.")
        orders = list(itertools.permutations(MOVES))
        num_pairs = size * size * len(orders)
        if not 1 <= num_tasks <= num_pairs:
            raise ValueError(f"PermutedGrid(num_tasks={num_tasks}): there are 1 to {num_pairs} tasks of this size.")
        drawn = np.random.Generator(np.random.PCG64(seed)).permutation(num_pairs)[:num_tasks]
        cells = drawn // len(orders)
        self.spec = EnvSpec(Box((2,), -1.0, 1.0), Discrete(len(MOVES)), max_steps)
        self.goals = jnp.asarray(np.stack([cells % size, cells // size], axis=1), jnp.int32)
        self.moves = jnp.asarray(np.array(orders)[drawn % len(orders)], jnp.int32)
        self.size = size

    def observe(self, position: Int[Array, "*cells 2"]) -> Float[Array, "*cells 2"]:
        """What a position looks like."""
        return 2.0 * position.astype(jnp.float32) / (self.size - 1) - 1.0

    def locate(self, obs: Float[Array, "2"]) -> Int[Array, "2"]:
        """The position that looks like `obs`."""
        return jnp.round((obs + 1.0) * (self.size - 1) / 2.0).astype(jnp.int32)

    def reset(self, key: Key, task: CodedTask) -> tuple[GridPlace, TimeStep]:
        position = jax.random.randint(key, (2,), 0, self.size)
        return GridPlace(position, jnp.zeros((), jnp.int32)), restart(self.spec, self.observe(position))

    def step(self, key: Key, task: CodedTask, state: GridPlace, action: Array) -> tuple[GridPlace, TimeStep]:
        number = jnp.argmax(task.code)
        position = jnp.clip(state.position + self.moves[number, action], 0, self.size - 1)
        reward = jnp.all(position == self.goals[number]).astype(jnp.float32)
        place = GridPlace(position, state.time + 1)
        return place, advance(self.observe(position), action, reward, truncated=place.time >= self.spec.max_steps)


def coded_tasks(num_tasks: int) -> Finite:
    """All tasks of an env that has so many."""
    return Finite(CodedTask(jnp.eye(num_tasks)))
