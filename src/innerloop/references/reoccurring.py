"""Reference policies for tasks that come back: agents of the inner env, with a page for each barcode."""

import functools
from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from innerloop._agent import Agent
from innerloop._rollout import where
from innerloop._types import Key, Memory, TimeStep, Transition
from innerloop.envs.reoccurring import Reoccurring, recognise
from innerloop.references.bandits import CountingAgent, Counts
from innerloop.references.generic import NoExtras, random_argmax
from innerloop.references.gridnavi import decode


class Pages(NamedTuple):
    """Memories of the inner agent, one for each barcode that was met, in that order; barcodes not met yet are 0."""

    barcodes: Float[Array, "tasks bits"]
    pages: Memory


class ByBarcode(Agent):
    """`agent`, a policy for the inner env, with a memory of its own for each barcode of the trial.

    Tasks say nothing about each other, so this loses nothing. If `forgetful`, all memories are empty again after each
    episode. For agents that learn in `observe` alone: their `adapt` is not called.
    """

    env: Reoccurring
    agent: Agent
    forgetful: bool = eqx.field(static=True, default=False)
    episodes_per_adapt: int = eqx.field(static=True, default=1)

    def init(self, key: Key) -> Pages:
        pages = jax.vmap(self.agent.init)(jax.random.split(key, self.env.num_tasks))
        return Pages(jnp.zeros((self.env.num_tasks, self.env.num_bits)), pages)

    def _page(self, memory: Pages, barcode: Float[Array, " bits"]) -> Int[Array, ""]:
        """The page of a barcode: its own, or the first that is empty."""
        match = jnp.all(memory.barcodes == barcode[None], axis=1)
        empty = jnp.all(memory.barcodes == 0, axis=1)
        return jnp.argmax(jnp.where(jnp.any(match), match, empty)).astype(jnp.int32)

    def _inner(self, timestep: TimeStep) -> TimeStep:
        space = self.env.env.spec.obs
        return timestep._replace(obs=decode(space, timestep.obs[: space.num_features]))

    def act(self, key: Key, memory: Pages, timestep: TimeStep) -> tuple[Array, NoExtras]:
        page = self._page(memory, self.env.barcode(timestep.obs))
        return self.agent.act(key, jax.tree.map(lambda leaf: leaf[page], memory.pages), self._inner(timestep))

    def observe(self, key: Key, memory: Pages, transition: Transition) -> Pages:
        init_key, observe_key = jax.random.split(key)
        barcode = self.env.barcode(transition.timestep.obs)
        page = self._page(memory, barcode)
        seen = transition._replace(
            timestep=self._inner(transition.timestep), next_timestep=self._inner(transition.next_timestep)
        )
        written = self.agent.observe(observe_key, jax.tree.map(lambda leaf: leaf[page], memory.pages), seen)
        pages = jax.tree.map(lambda leaf, new: leaf.at[page].set(new), memory.pages, written)
        memory = Pages(memory.barcodes.at[page].set(barcode), pages)
        return where(transition.next_timestep.last, self.init(init_key), memory) if self.forgetful else memory

    def adapt(self, key: Key, memory: Pages, episodes: Transition) -> Pages:
        return memory


class Told(Agent):
    """`agent`, which plays `RevealTask` of the inner env, told the task of each barcode. Plays `RevealTask(env)`.

    For inner tasks that are a single array.
    """

    env: Reoccurring
    agent: Agent
    episodes_per_adapt: int = eqx.field(static=True, default=1)

    def init(self, key: Key) -> Memory:
        return self.agent.init(key)

    def _inner(self, timestep: TimeStep) -> TimeStep:
        num_features, num_bits = self.env.env.spec.obs.num_features, self.env.num_bits
        told = timestep.obs[num_features + num_bits :]
        cut = told.shape[0] - self.env.num_tasks * num_bits
        which = recognise(self.env.barcode(timestep.obs), told[cut:].reshape(self.env.num_tasks, num_bits))
        task = told[:cut].reshape(self.env.num_tasks, -1)[which]
        return timestep._replace(obs=jnp.concatenate([timestep.obs[:num_features], task]))

    def act(self, key: Key, memory: Memory, timestep: TimeStep) -> tuple[Array, NoExtras]:
        return self.agent.act(key, memory, self._inner(timestep))

    def observe(self, key: Key, memory: Memory, transition: Transition) -> Memory:
        seen = transition._replace(
            timestep=self._inner(transition.timestep), next_timestep=self._inner(transition.next_timestep)
        )
        return self.agent.observe(key, memory, seen)

    def adapt(self, key: Key, memory: Memory, episodes: Transition) -> Memory:
        return memory


class MostLikelyArm(CountingAgent):
    """Pulls the arm that is most likely the good one, where all others are alike (`one_good_arm`), ties at random.

    With means p and 1 - p each reward multiplies the odds of its arm by p / (1 - p), and each failure divides them by
    it: the posterior orders arms by successes - failures.
    """

    num_arms: int = eqx.field(static=True)
    episodes_per_adapt: int = eqx.field(static=True, default=1)

    def act(self, key: Key, memory: Counts, timestep: TimeStep) -> tuple[Array, NoExtras]:
        return random_argmax(key, (memory.successes - memory.failures).astype(jnp.float32)), NoExtras()


def most_likely_arm_regret(num_arms: int, num_pulls: int, high: float) -> float:
    """Expected regret of `MostLikelyArm` in its first `num_pulls` pulls, the means being `high` and 1 - `high`. Exact."""

    @functools.cache
    def value(good: int, others: tuple[int, ...], pulls: int) -> float:
        """From the arms' successes - failures, and the pulls that are left."""
        if pulls == 0:
            return 0.0
        best = max(good, *others)
        tied = [i for i, score in enumerate(others) if score == best]
        total = 0.0
        for i in tied:
            won, failed = (
                value(good, tuple(sorted((*others[:i], best + change, *others[i + 1 :]))), pulls - 1)
                for change in (1, -1)
            )
            total += 2 * high - 1 + (1 - high) * won + high * failed
        if good == best:
            total += high * value(good + 1, others, pulls - 1) + (1 - high) * value(good - 1, others, pulls - 1)
        return total / (len(tied) + (good == best))

    return value(0, (0,) * (num_arms - 1), num_pulls)


class BestArm(CountingAgent):
    """Knows the means: plays `RevealTask` of a bandit."""

    num_arms: int = eqx.field(static=True)
    episodes_per_adapt: int = eqx.field(static=True, default=1)

    def act(self, key: Key, memory: Counts, timestep: TimeStep) -> tuple[Array, NoExtras]:
        return jnp.argmax(timestep.obs[-self.num_arms :]).astype(jnp.int32), NoExtras()
