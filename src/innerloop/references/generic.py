"""Reference policies for any environment, and what reference policies share."""

import math
from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from innerloop._agent import Agent
from innerloop._env import Discrete, EnvSpec
from innerloop._types import Key, TimeStep, Transition


class NoMemory(NamedTuple):
    """Nothing to remember."""


class NoExtras(NamedTuple):
    """Nothing to say beside the action."""


class Random(Agent):
    """Actions uniform over the action space: what an agent scores that never looks."""

    spec: EnvSpec
    episodes_per_adapt: int = eqx.field(static=True, default=1)

    def __check_init__(self) -> None:
        space = self.spec.action
        if not isinstance(space, Discrete) and not math.isfinite(space.high - space.low):
            raise ValueError(f"Random(spec=...): cannot draw uniformly from {space}; give its Box finite bounds.")

    def init(self, key: Key) -> NoMemory:
        return NoMemory()

    def act(self, key: Key, memory: NoMemory, timestep: TimeStep) -> tuple[Array, NoExtras]:
        space = self.spec.action
        if isinstance(space, Discrete):
            return jax.random.randint(key, (), 0, space.num_values), NoExtras()
        return jax.random.uniform(key, space.shape, minval=space.low, maxval=space.high), NoExtras()

    def observe(self, key: Key, memory: NoMemory, transition: Transition) -> NoMemory:
        return memory

    def adapt(self, key: Key, memory: NoMemory, episodes: Transition) -> NoMemory:
        return memory


class Constant(Agent):
    """Always the same action: 0, or the first one. What is earned by doing nothing."""

    spec: EnvSpec
    episodes_per_adapt: int = eqx.field(static=True, default=1)

    def init(self, key: Key) -> NoMemory:
        return NoMemory()

    def act(self, key: Key, memory: NoMemory, timestep: TimeStep) -> tuple[Array, NoExtras]:
        return jnp.zeros(self.spec.action.shape, self.spec.action.dtype), NoExtras()

    def observe(self, key: Key, memory: NoMemory, transition: Transition) -> NoMemory:
        return memory

    def adapt(self, key: Key, memory: NoMemory, episodes: Transition) -> NoMemory:
        return memory


def random_argmax(key: Key, scores: Float[Array, " choices"]) -> Int[Array, ""]:
    """The index of the largest score, drawn uniformly among ties."""
    lottery = jax.random.uniform(key, scores.shape)
    return jnp.argmax(jnp.where(scores == jnp.max(scores), lottery, -1.0)).astype(jnp.int32)
