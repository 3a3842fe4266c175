"""The agent of RL²: a recurrent net fed with what happened, whose state is kept until the trial ends."""

from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from innerloop._agent import ActExtras, ActorCritic, Outputs
from innerloop._env import EnvSpec
from innerloop._rollout import where
from innerloop._types import Key, Memory, TimeStep, Transition
from innerloop.envs.wrappers import encode
from innerloop.nn import Core, CoreName, Encoder, Linear, PolicyHead, greedy_action, make_core


class RecurrentMemory(NamedTuple):
    """The core's state, and the last step's action, reward and end flag, which the next step's input needs."""

    state: Any
    prev_action: Array
    prev_reward: Float[Array, ""]
    prev_last: Bool[Array, ""]
    has_prev: Bool[Array, ""]


class Recurrent(ActorCritic):
    """Policy and value on a shared recurrent core (Duan et al. 2016, section 2.3; Wang et al. 2016).

    The input of step t is (obs_t, action_{t-1}, reward_{t-1}, episode-end flag_{t-1}), across episode boundaries:
    the reward that ends an episode reaches the core at the first step of the next one.

    Ablations: `feed_reward=False` and `feed_action=False` blank that input, `reset_at_episodes=True` clears the
    memory whenever an episode ends.
    """

    encoder: Encoder
    core: Core
    policy: PolicyHead
    value: Linear
    spec: EnvSpec
    feed_action: bool = eqx.field(static=True)
    feed_reward: bool = eqx.field(static=True)
    reset_at_episodes: bool = eqx.field(static=True)
    episodes_per_adapt: int = eqx.field(static=True)

    def __init__(
        self,
        spec: EnvSpec,
        *,
        key: Key,
        core: CoreName = "gru",
        hidden_size: int = 64,
        encoder_widths: tuple[int, ...] = (),
        feed_action: bool = True,
        feed_reward: bool = True,
        reset_at_episodes: bool = False,
    ):
        encoder_key, core_key, policy_key, value_key = jax.random.split(key, 4)
        self.encoder = Encoder(encoder_key, spec.obs, encoder_widths)
        num_in = self.encoder.num_features + spec.action.num_features + 2
        self.core = make_core(core, core_key, num_in, hidden_size)
        self.policy = PolicyHead(policy_key, hidden_size, spec.action)
        self.value = Linear(value_key, hidden_size, 1)
        self.spec = spec
        self.feed_action = feed_action
        self.feed_reward = feed_reward
        self.reset_at_episodes = reset_at_episodes
        self.episodes_per_adapt = 1

    def init(self, key: Key) -> RecurrentMemory:
        return self._initial()

    def _initial(self) -> RecurrentMemory:
        action = jnp.zeros(self.spec.action.shape, self.spec.action.dtype)
        no = jnp.zeros((), bool)
        return RecurrentMemory(self.core.initial(), action, jnp.zeros(()), no, no)

    def _advance(self, memory: RecurrentMemory, obs_features: Array) -> tuple[Any, Float[Array, " size"]]:
        """One step of the core on everything that is known before acting."""
        known = memory.has_prev.astype(jnp.float32)
        action = encode(self.spec.action, memory.prev_action) * (known if self.feed_action else 0.0)
        reward = memory.prev_reward * (1.0 if self.feed_reward else 0.0)
        scalars = jnp.stack([reward, memory.prev_last.astype(jnp.float32)])
        return self.core.step(memory.state, jnp.concatenate([obs_features, action, scalars]))

    def _write(self, state: Any, transition: Transition) -> RecurrentMemory:
        step = transition.next_timestep
        memory = RecurrentMemory(state, transition.action, step.reward, step.last, jnp.ones((), bool))
        return where(step.last, self._initial(), memory) if self.reset_at_episodes else memory

    def act(self, key: Key, memory: RecurrentMemory, timestep: TimeStep) -> tuple[Array, ActExtras]:
        _, features = self._advance(memory, self.encoder(timestep.obs))
        policy = self.policy(features)
        action = policy.sample(key)
        extras = ActExtras(policy.log_prob(action), self.value(features)[0], greedy_action(policy))
        return action, extras

    def observe(self, key: Key, memory: RecurrentMemory, transition: Transition) -> RecurrentMemory:
        state, _ = self._advance(memory, self.encoder(transition.timestep.obs))
        return self._write(state, transition)

    def adapt(self, key: Key, memory: Memory, episodes: Transition) -> Memory:
        return memory

    def unroll(self, memory: Memory, transitions: Transition, trial_first: Bool[Array, " time"]) -> Outputs:
        obs_features = jax.vmap(self.encoder)(transitions.timestep.obs)

        @jax.checkpoint
        def step(memory: RecurrentMemory, inputs: Any) -> tuple[RecurrentMemory, Array]:
            transition, first, obs_features = inputs
            memory = where(first, self._initial(), memory)
            state, features = self._advance(memory, obs_features)
            return where(transition.valid, self._write(state, transition), memory), features

        kept = transitions._replace(extras=None)
        _, features = jax.lax.scan(step, memory, (kept, trial_first, obs_features))
        log_prob, entropy = jax.vmap(self.policy.judge)(features, transitions.action)
        return Outputs(log_prob, entropy, jax.vmap(self.value)(features)[:, 0], features)
