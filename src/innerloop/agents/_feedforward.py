"""An agent without memory."""

from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from innerloop._agent import ActExtras, ActorCritic, Outputs
from innerloop._env import EnvSpec
from innerloop._types import Key, Memory, TimeStep, Transition
from innerloop.nn import Activation, Encoder, Init, Linear, PolicyHead, act_extras, greedy_action


class NoMemory(NamedTuple):
    """Nothing is remembered."""


class FeedForward(ActorCritic):
    """Policy and value nets on the current observation alone. On a task distribution this is domain randomisation.

    Args:
        widths, activation, init: hidden layers of both nets, and how all layers but the value begin (`nn.Linear`).
        num_context: further inputs of the policy net, parameters that start at 0: the context of CAVIA (Zintgraf et
            al. 2019), the bias transformation of Finn et al. 2017b.
        has_value: without a value net, values are 0.
        is_predictor: act without noise; for supervised tasks, where actions are answers.
    """

    policy_net: Encoder
    policy: PolicyHead
    context: Float[Array, " num_context"] | None
    value_net: Encoder | None
    value: Linear | None
    is_predictor: bool = eqx.field(static=True)
    episodes_per_adapt: int = eqx.field(static=True)

    def __init__(
        self,
        spec: EnvSpec,
        *,
        key: Key,
        widths: tuple[int, ...] = (64, 64),
        activation: Activation = "tanh",
        init: Init = "orthogonal",
        num_context: int = 0,
        has_value: bool = True,
        is_predictor: bool = False,
    ):
        if num_context < 0 or (num_context and not widths):
            raise ValueError(f"FeedForward(num_context={num_context}): must be at least 0, and needs a hidden layer.")
        policy_net_key, value_net_key, policy_key, value_key = jax.random.split(key, 4)
        self.policy_net = Encoder(policy_net_key, spec.obs, widths, activation, num_context, init)
        self.policy = PolicyHead(policy_key, self.policy_net.num_features, spec.action, init)
        self.context = jnp.zeros((num_context,)) if num_context else None
        self.value_net = Encoder(value_net_key, spec.obs, widths, activation, init=init) if has_value else None
        self.value = None if self.value_net is None else Linear(value_key, self.value_net.num_features, 1)
        self.is_predictor = is_predictor
        self.episodes_per_adapt = 1

    def value_of(self, obs: Array) -> Float[Array, ""]:
        """The value of an observation."""
        if self.value_net is None or self.value is None:
            return jnp.zeros(())
        return self.value(self.value_net(obs))[0]

    def init(self, key: Key) -> NoMemory:
        return NoMemory()

    def act(self, key: Key, memory: NoMemory, timestep: TimeStep) -> tuple[Array, ActExtras]:
        policy = self.policy(self.policy_net(timestep.obs, self.context))
        action = greedy_action(policy) if self.is_predictor else policy.sample(key)
        return action, act_extras(policy, action, self.value_of(timestep.obs))

    def observe(self, key: Key, memory: NoMemory, transition: Transition) -> NoMemory:
        return memory

    def adapt(self, key: Key, memory: Memory, episodes: Transition) -> Memory:
        return memory

    def unroll(self, memory: Memory, transitions: Transition, trial_first: Bool[Array, " time"]) -> Outputs:
        obs = transitions.timestep.obs
        features = jax.vmap(lambda obs: self.policy_net(obs, self.context))(obs)
        log_prob, entropy, policy = jax.vmap(self.policy.judge)(features, transitions.action)
        return Outputs(log_prob, entropy, jax.vmap(self.value_of)(obs), features, policy)
