"""The best policy of a grid with permuted actions."""

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array

from innerloop._agent import Agent
from innerloop._types import Key, TimeStep, Transition
from innerloop.envs.permuted_grid import PermutedGrid
from innerloop.references.generic import NoExtras, NoMemory


class Guide(Agent):
    """Told which task it is, takes the action that ends nearest to the goal. Plays `RevealTask(env)`."""

    env: PermutedGrid
    episodes_per_adapt: int = eqx.field(static=True, default=1)

    def init(self, key: Key) -> NoMemory:
        return NoMemory()

    def act(self, key: Key, memory: NoMemory, timestep: TimeStep) -> tuple[Array, NoExtras]:
        obs, code = jnp.split(timestep.obs, [2])
        number = jnp.argmax(code)
        after = jnp.clip(self.env.locate(obs)[None] + self.env.moves[number], 0, self.env.size - 1)
        distance = jnp.abs(after - self.env.goals[number][None]).sum(axis=1)
        return jnp.argmin(distance).astype(jnp.int32), NoExtras()

    def observe(self, key: Key, memory: NoMemory, transition: Transition) -> NoMemory:
        return memory

    def adapt(self, key: Key, memory: NoMemory, episodes: Transition) -> NoMemory:
        return memory
