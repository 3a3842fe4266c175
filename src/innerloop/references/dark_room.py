"""The best there is in a dark room for who is told the task: the shortest way."""

from typing import NamedTuple

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool

from innerloop._agent import Agent
from innerloop._types import Key, TimeStep, Transition
from innerloop.envs.dark_room import DarkKeyToDoor, DarkRoom
from innerloop.references.generic import NoExtras, NoMemory
from innerloop.references.gridnavi import decode, shortest_move


def best_returns(env: DarkRoom, goals: np.ndarray) -> np.ndarray:
    """What an episode pays at most for each of `goals` [tasks 2]: all steps but those before the one into the goal."""
    away = np.abs(goals - env.room.size // 2).sum(axis=1)
    return env.spec.max_steps + 1 - np.maximum(away, 1)


class Oracle(Agent):
    """Knows the goal: plays `RevealTask(env, task)`, goes straight there and stays."""

    env: DarkRoom
    episodes_per_adapt: int = eqx.field(static=True, default=1)

    def init(self, key: Key) -> NoMemory:
        return NoMemory()

    def act(self, key: Key, memory: NoMemory, timestep: TimeStep) -> tuple[Array, NoExtras]:
        position = self.env.room.locate(decode(self.env.spec.obs, timestep.obs[:-2]))
        return shortest_move(position, timestep.obs[-2:].astype(jnp.int32)), NoExtras()

    def observe(self, key: Key, memory: NoMemory, transition: Transition) -> NoMemory:
        return memory

    def adapt(self, key: Key, memory: NoMemory, episodes: Transition) -> NoMemory:
        return memory


class Pocket(NamedTuple):
    """Whether the key is in it."""

    has_key: Bool[Array, ""]


class KeyOracle(Agent):
    """Knows key and door: plays `RevealTask(env, task)` and goes to the one, then to the other."""

    env: DarkKeyToDoor
    episodes_per_adapt: int = eqx.field(static=True, default=1)

    def init(self, key: Key) -> Pocket:
        return Pocket(jnp.zeros((), bool))

    def act(self, key: Key, memory: Pocket, timestep: TimeStep) -> tuple[Array, NoExtras]:
        position = self.env.room.locate(decode(self.env.spec.obs, timestep.obs[:-4]))
        told = timestep.obs[-4:].astype(jnp.int32)
        return shortest_move(position, jnp.where(memory.has_key, told[2:], told[:2])), NoExtras()

    def observe(self, key: Key, memory: Pocket, transition: Transition) -> Pocket:
        after = transition.next_timestep
        return Pocket((memory.has_key | (after.reward > 0)) & ~after.last)

    def adapt(self, key: Key, memory: Pocket, episodes: Transition) -> Pocket:
        return memory
