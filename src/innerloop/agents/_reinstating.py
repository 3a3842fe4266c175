"""The agent of episodic RL²: a recurrent net that is cleared when an episode ends, and a store of how it was left then."""

from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpyro.distributions as dist
from jaxtyping import Array, Bool, Float

from innerloop._agent import ActExtras, ActorCritic, Outputs
from innerloop._env import EnvSpec, encode
from innerloop._rollout import where
from innerloop._types import Key, Memory, TimeStep, Transition
from innerloop.nn import (
    MLP,
    Encoder,
    Linear,
    Past,
    PolicyHead,
    ReinstatingLSTM,
    Search,
    Store,
    act_extras,
    noted,
    read,
    write,
)
from innerloop.nn._cells import LSTMState
from innerloop.nn._store import check


class Before(NamedTuple):
    """The step before, if there was one in this episode; else zeros."""

    action: Array
    reward: Float[Array, ""]
    is_there: Bool[Array, ""]


class Recalled(NamedTuple):
    """The net's state in this episode, the key of the episode, and the cells in which earlier ones ended, under theirs."""

    state: LSTMState
    key: Float[Array, " key"]
    store: Store


class ReinstatingMemory(NamedTuple):
    """What is kept for an episode, and for the trial (the store)."""

    recalled: Recalled
    before: Before


class Inputs(NamedTuple):
    """What a step needs that does not depend on the memory, the step before apart: of the net's input, of that which closes
    the episode, and the key that the episode has if this is its first step."""

    projected: Float[Array, "*time gates"]
    closing: Float[Array, "*time gates"]
    key: Float[Array, "*time key"]


class Reinstating(ActorCritic):
    """An LSTM that is cleared at the end of each episode, and reinstates what it knew when it met the same context before
    (Ritter et al. 2018).

    An episode's key is made from its first observation: the encoded observation, or its entries `context` (from, up to).
    At every step the store is queried with it. If a key within `hit_distance` (squared) is found, the cells that the
    nearest keys hold are reinstated; if not, there is nothing but interaction. When the episode ends, the net sees how it
    ended, and its cell is written under the key; a key within `hit_distance` is overwritten.

    The input of step t is (obs_t, action_{t-1}, reward_{t-1}) within the episode.
    """

    encoder: Encoder
    cell: ReinstatingLSTM
    trunk: MLP
    policy: PolicyHead
    value: Linear
    spec: EnvSpec
    context: tuple[int, int] | None = eqx.field(static=True)
    memory_slots: int = eqx.field(static=True)
    num_neighbors: int = eqx.field(static=True)
    hit_distance: float = eqx.field(static=True)
    search: Search = eqx.field(static=True)
    episodes_per_adapt: int = eqx.field(static=True)

    def __init__(
        self,
        spec: EnvSpec,
        *,
        key: Key,
        hidden_size: int = 64,
        context: tuple[int, int] | None = None,
        memory_slots: int = 32,
        num_neighbors: int = 1,
        hit_distance: float = 0.25,
        search: Search = "exact",
        encoder_widths: tuple[int, ...] = (),
        head_widths: tuple[int, ...] = (),
    ):
        if hidden_size < 1:
            raise ValueError(f"hidden_size={hidden_size}: must be at least 1.")
        if hit_distance < 0:
            raise ValueError(f"hit_distance={hit_distance}: a squared distance, so not negative.")
        if context is not None and not 0 <= context[0] < context[1] <= spec.obs.num_features:
            raise ValueError(
                f"context={context}: choose entries (from, up to) of the {spec.obs.num_features} of an observation."
            )
        encoder_key, cell_key, trunk_key, policy_key, value_key = jax.random.split(key, 5)
        self.encoder = Encoder(encoder_key, spec.obs, encoder_widths)
        num_features = self.encoder.num_features
        self.cell = ReinstatingLSTM(cell_key, num_features + spec.action.num_features + 2, hidden_size)
        self.trunk = MLP(trunk_key, hidden_size + (num_features if head_widths else 0), head_widths)
        num_seen = head_widths[-1] if head_widths else hidden_size
        self.policy = PolicyHead(policy_key, num_seen, spec.action)
        self.value = Linear(value_key, num_seen, 1)
        self.spec = spec
        self.context = context
        self.memory_slots = memory_slots
        self.num_neighbors = num_neighbors
        self.hit_distance = hit_distance
        self.search = search
        self.episodes_per_adapt = 1
        check(memory_slots, self._key_size, num_neighbors, search)

    @property
    def _key_size(self) -> int:
        return self.encoder.num_features if self.context is None else self.context[1] - self.context[0]

    def init(self, key: Key) -> ReinstatingMemory:
        return ReinstatingMemory(self._empty(), self._no_step())

    def _empty(self) -> Recalled:
        store = Store.empty(self.memory_slots, self._key_size, self.cell.size)
        return Recalled(self.cell.initial(), jnp.zeros((self._key_size,)), store)

    def _no_step(self) -> Before:
        action = jnp.zeros(self.spec.action.shape, self.spec.action.dtype)
        return Before(action, jnp.zeros(()), jnp.zeros((), bool))

    def _inputs(self, before: Before, transition: Transition) -> Inputs:
        """For a step; all of a sequence at once under vmap."""
        obs, step = transition.timestep.obs, transition.next_timestep
        own = self._project(obs, before.action, before.reward, before.is_there.astype(jnp.float32), 0.0)
        closing = self._project(step.obs, step.prev_action, step.reward, 1.0, 1.0)
        return Inputs(own, closing, self._key(obs))

    def _project(
        self, obs: Array, action: Array, reward: Array, has_action: Array | float, ends: float
    ) -> Float[Array, " gates"]:
        scalars = jnp.stack([reward, jnp.asarray(ends, jnp.float32)])
        return self.cell.project(
            jnp.concatenate([self.encoder(obs), has_action * encode(self.spec.action, action), scalars])
        )

    def _key(self, obs: Array) -> Float[Array, " key"]:
        return self.encoder(obs) if self.context is None else encode(self.spec.obs, obs)[slice(*self.context)]

    def _recall(
        self, recalled: Recalled, key: Float[Array, " key"], starts: Bool[Array, ""]
    ) -> tuple[Recalled, Float[Array, " size"]]:
        """Query: what is reinstated. An episode counts as one query."""
        state, episode_key, store = recalled
        episode_key = jnp.where(starts, key, episode_key)
        found = read(store, episode_key, self.num_neighbors, self.search)
        hit = found.hit(self.hit_distance)
        store = where(starts, noted(store, found, hit), store)
        return Recalled(state, episode_key, store), jnp.where(hit, found.value, 0.0)

    def _advance(
        self, recalled: Recalled, inputs: Inputs, starts: Bool[Array, ""], ends: Bool[Array, ""]
    ) -> tuple[Recalled, Float[Array, " size"]]:
        """One step: what is kept of it, and the net's output."""
        recalled, cell_read = self._recall(recalled, inputs.key, starts)
        state = self.cell.advance(recalled.state, inputs.projected, cell_read)
        closed = self.cell.advance(state, inputs.closing, cell_read)
        store = write(recalled.store, recalled.key, closed.cell, self.hit_distance)
        ended = Recalled(self.cell.initial(), recalled.key, store)
        return where(ends, ended, recalled._replace(state=state)), state.output

    def _judge(self, output: Float[Array, " size"], obs: Array) -> tuple[dist.Distribution, Float[Array, ""]]:
        """Policy and value."""
        seen = self.trunk(jnp.concatenate([output, self.encoder(obs)]) if self.trunk.layers else output)
        return self.policy(seen), self.value(seen)[0]

    def act(self, key: Key, memory: ReinstatingMemory, timestep: TimeStep) -> tuple[Array, ActExtras]:
        before = memory.before
        recalled, cell_read = self._recall(memory.recalled, self._key(timestep.obs), ~before.is_there)
        has_action = before.is_there.astype(jnp.float32)
        projected = self._project(timestep.obs, before.action, before.reward, has_action, 0.0)
        output = self.cell.advance(recalled.state, projected, cell_read).output
        policy, value = self._judge(output, timestep.obs)
        action = policy.sample(key)
        return action, act_extras(policy, action, value)

    def observe(self, key: Key, memory: ReinstatingMemory, transition: Transition) -> ReinstatingMemory:
        inputs, ends = self._inputs(memory.before, transition), transition.next_timestep.last
        recalled, _ = self._advance(memory.recalled, inputs, ~memory.before.is_there, ends)
        return ReinstatingMemory(recalled, self._left(transition))

    def _left(self, transition: Transition) -> Before:
        """What the next step knows of this one."""
        step = transition.next_timestep
        return where(step.last, self._no_step(), Before(step.prev_action, step.reward, jnp.ones((), bool)))

    def adapt(self, key: Key, memory: Memory, episodes: Transition) -> Memory:
        return memory

    def unroll(self, memory: ReinstatingMemory, transitions: Transition, trial_first: Bool[Array, " time"]) -> Outputs:
        transitions = transitions._replace(extras=None)
        past = Past.of(jnp.ones((), jnp.int32), trial_first, transitions.valid)
        before = past.previous(memory.before, jax.vmap(self._left)(transitions), self._no_step())
        empty = self._empty()

        @jax.checkpoint
        def step(recalled: Recalled, inputs: tuple[Inputs, Before, Transition, Array]) -> tuple[Recalled, Array]:
            now, before, transition, first = inputs
            recalled = where(first, empty, recalled)
            after, output = self._advance(recalled, now, ~before.is_there, transition.next_timestep.last)
            return where(transition.valid, after, recalled), output

        inputs = jax.vmap(self._inputs)(before, transitions), before, transitions, trial_first
        _, features = jax.lax.scan(step, memory.recalled, inputs)

        def judge(output: Array, obs: Array, action: Array) -> tuple[Array, Array, Array, dist.Distribution]:
            policy, value = self._judge(output, obs)
            return policy.log_prob(action), policy.entropy(), value, policy

        log_prob, entropy, value, policy = jax.vmap(judge)(features, transitions.timestep.obs, transitions.action)
        return Outputs(log_prob, entropy, value, features, policy)
