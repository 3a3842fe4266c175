"""Who forgets nothing: the reference for copy and associative recall."""

from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Int

from innerloop._agent import Agent
from innerloop._types import Key, TimeStep, Transition
from innerloop.envs.recall import Recall
from innerloop.references.generic import NoExtras


class Notes(NamedTuple):
    """The symbol noted for each key (or place), and how many items have been shown and asked for."""

    symbols: Int[Array, " keys"]
    num_shown: Int[Array, ""]
    num_asked: Int[Array, ""]


class Recaller(Agent):
    """Notes every symbol under its key, or in the order shown if there are no keys, and looks it up."""

    env: Recall
    episodes_per_adapt: int = eqx.field(static=True, default=1)

    def init(self, key: Key) -> Notes:
        nothing = jnp.zeros((), jnp.int32)
        return Notes(jnp.zeros((max(self.env.num_keys, self.env.max_items),), jnp.int32), nothing, nothing)

    def _place(self, obs: Array, count: Int[Array, ""]) -> Int[Array, ""]:
        num_keys = self.env.num_keys
        return jnp.argmax(obs[:num_keys]).astype(jnp.int32) if num_keys else count

    def act(self, key: Key, memory: Notes, timestep: TimeStep) -> tuple[Array, NoExtras]:
        return memory.symbols[self._place(timestep.obs, memory.num_asked)], NoExtras()

    def observe(self, key: Key, memory: Notes, transition: Transition) -> Notes:
        obs = transition.timestep.obs
        asked = (obs[-1] > 0).astype(jnp.int32)
        place = self._place(obs, memory.num_shown)
        shown = jnp.argmax(obs[self.env.num_keys : -1]).astype(jnp.int32)
        noted = jnp.where(asked > 0, memory.symbols, memory.symbols.at[place].set(shown))
        notes = Notes(noted, memory.num_shown + 1 - asked, memory.num_asked + asked)
        start = self.init(key)
        return jax.tree.map(lambda x, y: jnp.where(transition.next_timestep.last, x, y), start, notes)

    def adapt(self, key: Key, memory: Notes, episodes: Transition) -> Notes:
        return memory
