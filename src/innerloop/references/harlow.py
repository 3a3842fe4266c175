"""The best policies for Harlow's task: they remember the object they took last and whether it paid."""

from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from innerloop._agent import Agent
from innerloop._env import EnvSpec
from innerloop._types import Key, TimeStep, Transition
from innerloop.envs.harlow import REACH
from innerloop.references.generic import NoExtras


class LastChoice(NamedTuple):
    """The object taken last, whether it paid, and whether there was one at all."""

    taken: Float[Array, "*object"]
    paid: Bool[Array, ""]
    known: Bool[Array, ""]


def _nothing(shape: tuple[int, ...]) -> LastChoice:
    return LastChoice(jnp.zeros(shape), jnp.zeros((), bool), jnp.zeros((), bool))


class WinStayLoseShift(Agent):
    """Takes the object that paid, avoids the one that did not, guesses first: optimal for `Harlow`."""

    spec: EnvSpec
    episodes_per_adapt: int = eqx.field(static=True, default=1)

    def _halves(self, obs: Array) -> tuple[Array, Array]:
        left, right = jnp.split(obs, 2, axis=max(obs.ndim - 2, 0))
        return left, right

    def init(self, key: Key) -> LastChoice:
        left, _ = self._halves(jnp.zeros(self.spec.obs.shape))
        return _nothing(left.shape)

    def act(self, key: Key, memory: LastChoice, timestep: TimeStep) -> tuple[Array, NoExtras]:
        left, _ = self._halves(timestep.obs)
        take_left = jnp.all(left == memory.taken) == memory.paid
        return jnp.where(jnp.where(memory.known, take_left, jax.random.bernoulli(key)), 0, 1), NoExtras()

    def observe(self, key: Key, memory: LastChoice, transition: Transition) -> LastChoice:
        left, right = self._halves(transition.timestep.obs)
        taken = jnp.where(transition.action == 0, left, right)
        return LastChoice(taken, transition.next_timestep.reward > 0, jnp.ones((), bool))

    def adapt(self, key: Key, memory: LastChoice, episodes: Transition) -> LastChoice:
        return memory


class WinStayLoseShift1D(Agent):
    """The same for `HarlowFixation1D`: walks to the cross, then to the object it wants (at first the left one)."""

    spec: EnvSpec
    episodes_per_adapt: int = eqx.field(static=True, default=1)

    def _field(self, obs: Float[Array, " features"]) -> Float[Array, "cells channels"]:
        return obs.reshape(2 * REACH + 1, -1)

    def init(self, key: Key) -> LastChoice:
        return _nothing((self._field(jnp.zeros(self.spec.obs.shape)).shape[1] - 1,))

    def act(self, key: Key, memory: LastChoice, timestep: TimeStep) -> tuple[Array, NoExtras]:
        field = self._field(timestep.obs)
        objects = field[:, 1:]
        is_object = jnp.any(objects != 0, axis=1)
        is_taken = jnp.all(objects == memory.taken[None], axis=1)
        wanted = is_object & (~memory.known | (is_taken == memory.paid))
        target = jnp.argmax(wanted | (field[:, 0] > 0))
        return jnp.where(target < REACH, 0, 1), NoExtras()

    def observe(self, key: Key, memory: LastChoice, transition: Transition) -> LastChoice:
        reward = transition.next_timestep.reward
        reached = self._field(transition.timestep.obs)[REACH - 1 + 2 * transition.action, 1:]
        chosen = jnp.abs(reward) > 0.5
        return LastChoice(
            jnp.where(chosen, reached, memory.taken), jnp.where(chosen, reward > 0, memory.paid), memory.known | chosen
        )

    def adapt(self, key: Key, memory: LastChoice, episodes: Transition) -> LastChoice:
        return memory
