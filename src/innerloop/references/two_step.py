"""Reference policies for the two-step task with one env step a trial (`TwoStep(stages=1)`)."""

from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from innerloop._agent import Agent
from innerloop._types import Key, TimeStep, Transition
from innerloop.references.generic import NoExtras


class Belief(NamedTuple):
    """Probability that second-stage state 1 is the good one at the next trial."""

    good_is_1: Float[Array, ""]


class ModelBasedBayes(Agent):
    """Filters the good state with the true constants, then takes the action that commonly leads to the likelier one.

    After place s and reward r, b <- P(r | s, good = 1) b / P(r | s), then b <- b (1 - reversal) + (1 - b) reversal.
    Both second-stage states tell equally much, so there is nothing to explore and this greedy policy is Bayes-optimal.
    """

    high: float = eqx.field(static=True, default=0.9)
    reversal: float = eqx.field(static=True, default=0.025)
    episodes_per_adapt: int = eqx.field(static=True, default=1)

    def init(self, key: Key) -> Belief:
        return Belief(jnp.full((), 0.5))

    def act(self, key: Key, memory: Belief, timestep: TimeStep) -> tuple[Array, NoExtras]:
        tie = jax.random.bernoulli(key)
        go_to_1 = jnp.where(memory.good_is_1 == 0.5, tie, memory.good_is_1 > 0.5)
        return go_to_1.astype(jnp.int32), NoExtras()

    def observe(self, key: Key, memory: Belief, transition: Transition) -> Belief:
        at_1 = transition.next_timestep.obs == 2
        rewarded = transition.next_timestep.reward > 0
        speaks_for_1 = at_1 == rewarded
        for_1 = memory.good_is_1 * jnp.where(speaks_for_1, self.high, 1.0 - self.high)
        for_0 = (1.0 - memory.good_is_1) * jnp.where(speaks_for_1, 1.0 - self.high, self.high)
        belief = for_1 / (for_1 + for_0)
        return Belief(belief * (1.0 - self.reversal) + (1.0 - belief) * self.reversal)

    def adapt(self, key: Key, memory: Belief, episodes: Transition) -> Belief:
        return memory


class NextAction(NamedTuple):
    """The action to take next, if there was a trial before."""

    action: Int[Array, ""]
    known: Bool[Array, ""]


class ModelFreeWinStay(Agent):
    """Repeats a first-stage action that was rewarded and leaves one that was not, whatever the transition was."""

    episodes_per_adapt: int = eqx.field(static=True, default=1)

    def init(self, key: Key) -> NextAction:
        return NextAction(jnp.zeros((), jnp.int32), jnp.zeros((), bool))

    def act(self, key: Key, memory: NextAction, timestep: TimeStep) -> tuple[Array, NoExtras]:
        guess = jax.random.bernoulli(key).astype(jnp.int32)
        return jnp.where(memory.known, memory.action, guess), NoExtras()

    def observe(self, key: Key, memory: NextAction, transition: Transition) -> NextAction:
        rewarded = transition.next_timestep.reward > 0
        return NextAction(jnp.where(rewarded, transition.action, 1 - transition.action), jnp.ones((), bool))

    def adapt(self, key: Key, memory: NextAction, episodes: Transition) -> NextAction:
        return memory


class TrialCount(NamedTuple):
    """Trials done so far."""

    trial: Int[Array, ""]


class KnownGoodState(Agent):
    """Reads the good state of each trial from the revealed task: common * high + (1 - common) * (1 - high) a trial."""

    episodes_per_adapt: int = eqx.field(static=True, default=1)

    def init(self, key: Key) -> TrialCount:
        return TrialCount(jnp.zeros((), jnp.int32))

    def act(self, key: Key, memory: TrialCount, timestep: TimeStep) -> tuple[Array, NoExtras]:
        return timestep.obs[3 + memory.trial].astype(jnp.int32), NoExtras()

    def observe(self, key: Key, memory: TrialCount, transition: Transition) -> TrialCount:
        return TrialCount(jnp.where(transition.next_timestep.last, 0, memory.trial + 1))

    def adapt(self, key: Key, memory: TrialCount, episodes: Transition) -> TrialCount:
        return memory
