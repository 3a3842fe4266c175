"""Classical agents for tabular MDPs. Most plan once an episode, by value iteration over the finite horizon.

The model is conjugate: mean rewards N(prior_mean, 1) with observation noise N(0, 1), transitions Dirichlet(1, ..., 1).
That is the true prior of the random MDPs of RL² when `prior_mean` is 1; the agents in the RL² paper were run with 0.
"""

from collections.abc import Callable
from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from innerloop._agent import Agent
from innerloop._types import Key, TimeStep, Transition
from innerloop.references.generic import NoExtras, random_argmax


def value_iteration(
    mean_reward: Float[Array, "states actions"], transitions: Float[Array, "states actions states"], horizon: int
) -> Float[Array, "horizon states actions"]:
    """Q_t = R + P max_a Q_{t+1} with Q_horizon = 0, for t = 0 .. horizon - 1."""

    def backward(
        value: Float[Array, " states"], _: None
    ) -> tuple[Float[Array, " states"], Float[Array, "states actions"]]:
        q = mean_reward + transitions @ value
        return q.max(axis=-1), q

    _, q = jax.lax.scan(backward, jnp.zeros(mean_reward.shape[:1]), None, length=horizon, reverse=True)
    return q


class TabularMemory(NamedTuple):
    """Sufficient statistics of the trial, the plan for this episode, and the steps done in it."""

    reward_sum: Float[Array, "states actions"]
    counts: Float[Array, "states actions states"]
    q: Float[Array, "horizon states actions"]
    time: Int[Array, ""]


def statistics(
    episodes: Transition, num_states: int, num_actions: int
) -> tuple[Float[Array, "states actions"], Float[Array, "states actions states"]]:
    """Sum of rewards by (state, action) and number of transitions by (state, action, next state)."""
    flat = jax.tree.map(jnp.ravel, (episodes.timestep.obs, episodes.action, episodes.next_timestep, episodes.valid))
    state, action, next_timestep, valid = flat
    state_code = jax.nn.one_hot(state, num_states) * valid.astype(jnp.float32)[:, None]
    pair = state_code[:, :, None] * jax.nn.one_hot(action, num_actions)[:, None, :]
    reward_sum = jnp.einsum("tsa,t->sa", pair, next_timestep.reward)
    return reward_sum, jnp.einsum("tsa,tn->san", pair, jax.nn.one_hot(next_timestep.obs, num_states))


def sample_dirichlet(key: Key, concentration: Float[Array, "*batch n"]) -> Float[Array, "*batch n"]:
    """Dirichlet vectors for concentrations >= 1, without a loop, so that it is fast under vmap.

    Normalised gamma variables by the method of Marsaglia and Tsang (2000): d (1 + c x)³ with x normal, accepted with
    probability 0.95 or more. Four proposals are drawn and the first accepted one is used; the chance that none is, in
    which case the last one is used, is below 1e-5.
    """
    normal_key, uniform_key = jax.random.split(key)
    d = concentration[None] - 1.0 / 3.0
    x = jax.random.normal(normal_key, (4, *concentration.shape))
    v = (1.0 + x * jax.lax.rsqrt(9.0 * d)) ** 3
    log_v = jnp.log(jnp.maximum(v, 1e-30))
    accept = jnp.log1p(-jax.random.uniform(uniform_key, x.shape)) < 0.5 * x**2 + d * (1.0 - v + log_v)
    gamma = (d * jnp.maximum(v, 1e-30))[3]
    for i in (2, 1, 0):
        gamma = jnp.where(accept[i], (d * v)[i], gamma)
    return gamma / gamma.sum(axis=-1, keepdims=True)


Model = Callable[[Key, Array, Array], tuple[Array, Array]]
"""From a key, the reward sums [S A] and the counts [S A S] to mean rewards [S A] and transitions [S A S]."""


class TabularPlanner(Agent):
    """At the start of every episode plans for `model(key, reward_sum, counts)`; ties are broken at random."""

    num_states: int = eqx.field(static=True)
    num_actions: int = eqx.field(static=True)
    horizon: int = eqx.field(static=True)
    model: Model = eqx.field(static=True)
    episodes_per_adapt: int = eqx.field(static=True, default=1)

    def _plan(self, key: Key, reward_sum: Array, counts: Array) -> TabularMemory:
        mean_reward, transitions = self.model(key, reward_sum, counts)
        q = value_iteration(mean_reward, transitions, self.horizon)
        return TabularMemory(reward_sum, counts, q, jnp.zeros((), jnp.int32))

    def init(self, key: Key) -> TabularMemory:
        shape = (self.num_states, self.num_actions)
        return self._plan(key, jnp.zeros(shape), jnp.zeros((*shape, self.num_states)))

    def act(self, key: Key, memory: TabularMemory, timestep: TimeStep) -> tuple[Array, NoExtras]:
        q = memory.q[memory.time, timestep.obs]
        best = q >= q.max() - 1e-4  # equal but for rounding errors
        return random_argmax(key, best.astype(jnp.float32)), NoExtras()

    def observe(self, key: Key, memory: TabularMemory, transition: Transition) -> TabularMemory:
        return memory._replace(time=memory.time + 1)

    def adapt(self, key: Key, memory: TabularMemory, episodes: Transition) -> TabularMemory:
        reward_sum, counts = statistics(episodes, self.num_states, self.num_actions)
        return self._plan(key, memory.reward_sum + reward_sum, memory.counts + counts)


def psrl(num_states: int, num_actions: int, horizon: int, prior_mean: float | Float[Array, ""] = 1.0) -> TabularPlanner:
    """Posterior sampling (Strens 2000; Osband et al. 2013): plan for one MDP drawn from the posterior."""

    def model(key: Key, reward_sum: Array, counts: Array) -> tuple[Array, Array]:
        reward_key, transition_key = jax.random.split(key)
        precision = 1.0 + counts.sum(axis=-1)
        noise = jax.random.normal(reward_key, reward_sum.shape) / jnp.sqrt(precision)
        return (prior_mean + reward_sum) / precision + noise, sample_dirichlet(transition_key, 1.0 + counts)

    return TabularPlanner(num_states, num_actions, horizon, model)


def beb(
    num_states: int,
    num_actions: int,
    horizon: int,
    bonus: float | Float[Array, ""] = 1.0,
    prior_mean: float | Float[Array, ""] = 1.0,
) -> TabularPlanner:
    """Plan for the posterior mean with `bonus / (1 + visits)` added to every reward (Kolter and Ng 2009)."""

    def model(key: Key, reward_sum: Array, counts: Array) -> tuple[Array, Array]:
        visits = counts.sum(axis=-1, keepdims=True)
        mean_reward = (prior_mean + reward_sum + bonus) / (1.0 + visits[:, :, 0])
        return mean_reward, (1.0 + counts) / (num_states + visits)

    return TabularPlanner(num_states, num_actions, horizon, model)


def greedy(
    num_states: int, num_actions: int, horizon: int, prior_mean: float | Float[Array, ""] = 1.0
) -> TabularPlanner:
    """Plan for the posterior mean."""
    return beb(num_states, num_actions, horizon, bonus=0.0, prior_mean=prior_mean)


class MyopicMemory(NamedTuple):
    """Sufficient statistics of rewards."""

    reward_sum: Float[Array, "states actions"]
    visits: Float[Array, "states actions"]


class Myopic(Agent):
    """Takes the action with the highest posterior mean reward in the present state, plus `bonus / sqrt(1 + visits)`.

    It learns at every step and never plans. Where a next state is nearly as good as another, as in random MDPs, that
    earns more than planning once an episode for a model of which little is known.
    """

    num_states: int = eqx.field(static=True)
    num_actions: int = eqx.field(static=True)
    bonus: float | Float[Array, ""] = eqx.field(converter=jnp.asarray, default=0.0)
    prior_mean: float | Float[Array, ""] = eqx.field(converter=jnp.asarray, default=1.0)
    episodes_per_adapt: int = eqx.field(static=True, default=1)

    def init(self, key: Key) -> MyopicMemory:
        nothing = jnp.zeros((self.num_states, self.num_actions))
        return MyopicMemory(nothing, nothing)

    def act(self, key: Key, memory: MyopicMemory, timestep: TimeStep) -> tuple[Array, NoExtras]:
        reward_sum, visits = (x[timestep.obs] for x in memory)
        value = (self.prior_mean + reward_sum) / (1.0 + visits) + self.bonus * jax.lax.rsqrt(1.0 + visits)
        return random_argmax(key, value), NoExtras()

    def observe(self, key: Key, memory: MyopicMemory, transition: Transition) -> MyopicMemory:
        place = transition.timestep.obs, transition.action
        reward_sum = memory.reward_sum.at[place].add(transition.next_timestep.reward)
        return MyopicMemory(reward_sum, memory.visits.at[place].add(1.0))

    def adapt(self, key: Key, memory: MyopicMemory, episodes: Transition) -> MyopicMemory:
        return memory


class OptimalMemory(NamedTuple):
    """The steps done in this episode."""

    time: Int[Array, ""]


class OptimalPolicy(Agent):
    """Knows the MDP: plays `RevealTask(TabularMDP(...), task)` and plans for the true model."""

    num_states: int = eqx.field(static=True)
    num_actions: int = eqx.field(static=True)
    horizon: int = eqx.field(static=True)
    episodes_per_adapt: int = eqx.field(static=True, default=1)

    def init(self, key: Key) -> OptimalMemory:
        return OptimalMemory(jnp.zeros((), jnp.int32))

    def act(self, key: Key, memory: OptimalMemory, timestep: TimeStep) -> tuple[Array, NoExtras]:
        shape = (self.num_states, self.num_actions)
        sizes = (self.num_states, self.num_states + self.num_states * self.num_actions)
        state_code, mean_reward, cumulative = jnp.split(timestep.obs, sizes)
        cumulative = cumulative.reshape(*shape, self.num_states)
        transitions = jnp.diff(cumulative, prepend=jnp.zeros((*shape, 1)), axis=-1)
        q = value_iteration(mean_reward.reshape(shape), transitions, self.horizon)
        return jnp.argmax(state_code @ q[memory.time]).astype(jnp.int32), NoExtras()

    def observe(self, key: Key, memory: OptimalMemory, transition: Transition) -> OptimalMemory:
        return OptimalMemory(jnp.where(transition.next_timestep.last, 0, memory.time + 1))

    def adapt(self, key: Key, memory: OptimalMemory, episodes: Transition) -> OptimalMemory:
        return memory


# --- the random walk -------------------------------------------------------------------------------------------------


class Ends(NamedTuple):
    """What the left and the right end pay (-1: unknown), the end to go to (0 or 1), and the episodes left to play."""

    pay: Float[Array, "2"]
    side: Int[Array, ""]
    num_left: Int[Array, ""]


class RandomWalkBayes(Agent):
    """Bayes-optimal for `random_walks` without slips, in a trial of `num_episodes`.

    Go to one end. With n episodes left and an end known to pay u, the other is worth a visit if
    1/2 + (n - 1) E[max(u, U)] > n u for U uniform, that is if u < sqrt(n) / (sqrt(n) + 1). Then go to the better one.
    """

    num_states: int = eqx.field(static=True)
    num_episodes: int = eqx.field(static=True)
    episodes_per_adapt: int = eqx.field(static=True, default=1)

    def init(self, key: Key) -> Ends:
        side = jax.random.randint(key, (), 0, 2)
        return Ends(jnp.full((2,), -1.0), side, jnp.asarray(self.num_episodes, jnp.int32))

    def act(self, key: Key, memory: Ends, timestep: TimeStep) -> tuple[Array, NoExtras]:
        return memory.side, NoExtras()

    def observe(self, key: Key, memory: Ends, transition: Transition) -> Ends:
        at_end = transition.timestep.obs == jnp.array([0, self.num_states - 1])
        return memory._replace(pay=jnp.where(at_end, transition.next_timestep.reward, memory.pay))

    def adapt(self, key: Key, memory: Ends, episodes: Transition) -> Ends:
        num_left = memory.num_left - 1
        root = jnp.sqrt(num_left.astype(jnp.float32))
        curious = (memory.pay.min() < 0.0) & (memory.pay.max() < root / (root + 1.0))
        side = jnp.where(curious, 1 - memory.side, jnp.argmax(memory.pay).astype(jnp.int32))
        return Ends(memory.pay, side, num_left)
