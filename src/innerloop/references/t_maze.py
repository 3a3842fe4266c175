"""Reference policies for the T-maze."""

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Int

from innerloop._agent import Agent
from innerloop._types import Key, TimeStep, Transition
from innerloop.envs.t_maze import CORRIDOR, CUE, FORWARD, JUNCTION, UP
from innerloop.references.generic import NoExtras


class Walker(Agent):
    """Walks straight on and turns as the cue said; or, if it is `forgetful`, at random."""

    forgetful: bool = eqx.field(static=True, default=False)
    episodes_per_adapt: int = eqx.field(static=True, default=1)

    def init(self, key: Key) -> Int[Array, ""]:
        return jnp.zeros((), jnp.int32)

    def act(self, key: Key, memory: Int[Array, ""], timestep: TimeStep) -> tuple[Array, NoExtras]:
        side = jax.random.randint(key, (), 0, 2) if self.forgetful else memory
        return jnp.where(timestep.obs == JUNCTION, UP + side, FORWARD), NoExtras()

    def observe(self, key: Key, memory: Int[Array, ""], transition: Transition) -> Int[Array, ""]:
        obs = transition.timestep.obs
        return jnp.where((obs == CORRIDOR) | (obs == JUNCTION), memory, obs - CUE)

    def adapt(self, key: Key, memory: Int[Array, ""], episodes: Transition) -> Int[Array, ""]:
        return memory
