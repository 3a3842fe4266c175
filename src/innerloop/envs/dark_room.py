"""Dark rooms (Laskin et al. 2022, algorithm distillation): the agent sees its cell and nothing else, and must find a goal,
or a key and then a door, by chance or by a systematic search.
"""

import itertools
from typing import NamedTuple

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, Bool, Int

from innerloop._env import Discrete, Env, EnvSpec, advance, restart
from innerloop._task import Finite
from innerloop._types import Key, TimeStep
from innerloop.envs.gridnavi import MOVES, GridState, GridTask


class KeyDoorTask(NamedTuple):
    """The key's and the door's (x, y)."""

    key: Int[Array, "2"]
    door: Int[Array, "2"]


class KeyDoorState(NamedTuple):
    """The position (x, y), what has been achieved in this episode, and the number of steps done."""

    position: Int[Array, "2"]
    has_key: Bool[Array, ""]
    opened: Bool[Array, ""]
    time: Int[Array, ""]


class Room(eqx.Module):
    """A square of cells, in whose middle every episode starts. The observation is the cell x + size * y."""

    size: int = eqx.field(static=True)

    def __check_init__(self) -> None:
        if self.size < 3 or self.size % 2 == 0:
            raise ValueError(f"Room(size={self.size}): choose an odd size of at least 3, which has a middle.")

    @property
    def start(self) -> Int[Array, "2"]:
        return jnp.full((2,), self.size // 2, jnp.int32)

    def observe(self, position: Int[Array, "2"]) -> Int[Array, ""]:
        return position[0] + self.size * position[1]

    def locate(self, cell: Int[Array, ""]) -> Int[Array, "2"]:
        return jnp.stack([cell % self.size, cell // self.size])

    def move(self, position: Int[Array, "2"], action: Array) -> Int[Array, "2"]:
        return jnp.clip(position + jnp.array(MOVES)[action], 0, self.size - 1)


class DarkRoom(Env):
    """Every step that ends on the goal pays 1, every other 0. Only time ends an episode."""

    spec: EnvSpec
    room: Room

    def __init__(self, size: int = 9, max_steps: int = 20):
        self.room = Room(size)
        self.spec = EnvSpec(Discrete(size * size), Discrete(len(MOVES)), max_steps)

    def reset(self, key: Key, task: GridTask) -> tuple[GridState, TimeStep]:
        position = self.room.start
        return GridState(position, jnp.zeros((), jnp.int32)), restart(self.spec, self.room.observe(position))

    def step(self, key: Key, task: GridTask, state: GridState, action: Array) -> tuple[GridState, TimeStep]:
        state = GridState(self.room.move(state.position, action), state.time + 1)
        reward = jnp.all(state.position == task.goal).astype(jnp.float32)
        truncated = state.time >= self.spec.max_steps
        return state, advance(self.room.observe(state.position), action, reward, truncated=truncated)


class DarkKeyToDoor(Env):
    """The first step that ends on the key pays 1, and so does the first that ends on the door with the key in hand.

    Who comes to a door that is where the key was must stay for another step. Only time ends an episode.
    """

    spec: EnvSpec
    room: Room

    def __init__(self, size: int = 9, max_steps: int = 50):
        self.room = Room(size)
        self.spec = EnvSpec(Discrete(size * size), Discrete(len(MOVES)), max_steps)

    def reset(self, key: Key, task: KeyDoorTask) -> tuple[KeyDoorState, TimeStep]:
        position, no = self.room.start, jnp.zeros((), bool)
        state = KeyDoorState(position, no, no, jnp.zeros((), jnp.int32))
        return state, restart(self.spec, self.room.observe(position))

    def step(self, key: Key, task: KeyDoorTask, state: KeyDoorState, action: Array) -> tuple[KeyDoorState, TimeStep]:
        position = self.room.move(state.position, action)
        takes = jnp.all(position == task.key) & ~state.has_key
        opens = jnp.all(position == task.door) & state.has_key & ~state.opened
        state = KeyDoorState(position, state.has_key | takes, state.opened | opens, state.time + 1)
        reward = (takes | opens).astype(jnp.float32)
        truncated = state.time >= self.spec.max_steps
        return state, advance(self.room.observe(position), action, reward, truncated=truncated)


def dark_goals(size: int = 9) -> Finite:
    """All cells, the start among them."""
    cells = list(itertools.product(range(size), repeat=2))
    return Finite(GridTask(jnp.array(cells, jnp.int32)))


def dark_keys_and_doors(size: int = 9) -> Finite:
    """All pairs of cells, equal ones among them: 6561 if `size` is 9."""
    cells = jnp.array(list(itertools.product(range(size), repeat=4)), jnp.int32)
    return Finite(KeyDoorTask(cells[:, :2], cells[:, 2:]))
