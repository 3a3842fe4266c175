"""An agent without memory."""

from typing import NamedTuple

import equinox as eqx
import jax
from jaxtyping import Array, Bool

from innerloop._agent import ActExtras, ActorCritic, Outputs
from innerloop._env import EnvSpec
from innerloop._types import Key, Memory, TimeStep, Transition
from innerloop.nn import Encoder, Linear, PolicyHead, greedy_action


class NoMemory(NamedTuple):
    """Nothing is remembered."""


class FeedForward(ActorCritic):
    """Policy and value nets on the current observation alone. On a task distribution this is domain randomisation."""

    policy_net: Encoder
    value_net: Encoder
    policy: PolicyHead
    value: Linear
    episodes_per_adapt: int = eqx.field(static=True)

    def __init__(self, spec: EnvSpec, *, key: Key, widths: tuple[int, ...] = (64, 64)):
        policy_net_key, value_net_key, policy_key, value_key = jax.random.split(key, 4)
        self.policy_net = Encoder(policy_net_key, spec.obs, widths)
        self.value_net = Encoder(value_net_key, spec.obs, widths)
        self.policy = PolicyHead(policy_key, self.policy_net.num_features, spec.action)
        self.value = Linear(value_key, self.value_net.num_features, 1)
        self.episodes_per_adapt = 1

    def init(self, key: Key) -> NoMemory:
        return NoMemory()

    def act(self, key: Key, memory: NoMemory, timestep: TimeStep) -> tuple[Array, ActExtras]:
        policy = self.policy(self.policy_net(timestep.obs))
        action = policy.sample(key)
        value = self.value(self.value_net(timestep.obs))[0]
        return action, ActExtras(policy.log_prob(action), value, greedy_action(policy))

    def observe(self, key: Key, memory: NoMemory, transition: Transition) -> NoMemory:
        return memory

    def adapt(self, key: Key, memory: Memory, episodes: Transition) -> Memory:
        return memory

    def unroll(self, memory: Memory, transitions: Transition, trial_first: Bool[Array, " time"]) -> Outputs:
        obs = transitions.timestep.obs
        features = jax.vmap(self.policy_net)(obs)
        value = jax.vmap(lambda obs: self.value(self.value_net(obs))[0])(obs)
        log_prob, entropy = jax.vmap(self.policy.judge)(features, transitions.action)
        return Outputs(log_prob, entropy, value, features)
