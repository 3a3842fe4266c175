"""An agent without memory that is told the task, which says which net sees the observation."""

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from innerloop._agent import ActExtras, ActorCritic, Outputs
from innerloop._env import EnvSpec, encode
from innerloop._types import Key, Memory, TimeStep, Transition
from innerloop.agents._feedforward import NoMemory
from innerloop.nn import (
    Activation,
    Conditioned,
    Linear,
    MakeOut,
    PolicyHead,
    PolicyName,
    PolicyOptions,
    act_extras,
    conditioned,
)


class TaskConditioned(ActorCritic):
    """Policy and value nets on what is observed, shaped by the task: the last `num_context` features of the observation.

    Args:
        spec: of the env with the task in its observation (`RevealTask`).
        widths, activation, policy, policy_options: see `nn.conditioned`; policy and value have a net each.
    """

    policy: Conditioned
    value: Conditioned
    spec: EnvSpec
    num_context: int = eqx.field(static=True)
    episodes_per_adapt: int = eqx.field(static=True)

    def __init__(
        self,
        spec: EnvSpec,
        num_context: int,
        *,
        key: Key,
        widths: tuple[int, ...] = (64, 64),
        activation: Activation = "tanh",
        policy: PolicyName = "mlp",
        policy_options: PolicyOptions | None = None,
    ):
        num_in = spec.obs.num_features - num_context
        if num_context < 1 or num_in < 1:
            raise ValueError(
                f"TaskConditioned(num_context={num_context}): must be at least 1, and less than the "
                f"{spec.obs.num_features} features of the observation."
            )
        keys = jax.random.split(key, 4)

        def make(key: Key, out: MakeOut) -> Conditioned:
            return conditioned(policy, key, num_context, num_in, widths, (out,), activation, policy_options)

        self.policy = make(keys[0], lambda num: PolicyHead(keys[1], num, spec.action))
        self.value = make(keys[2], lambda num: Linear(keys[3], num, 1))
        self.spec = spec
        self.num_context = num_context
        self.episodes_per_adapt = 1

    def policy_inputs(self, memory: NoMemory, timestep: TimeStep) -> tuple[Array, Array]:
        """Context and input of `policy` and `value` before a step."""
        features = encode(self.spec.obs, timestep.obs)
        x, z = jnp.split(features, [features.size - self.num_context])
        return z, x

    def _judge(self, timestep: TimeStep) -> tuple[Any, Float[Array, ""]]:
        """Policy and value."""
        inputs = self.policy_inputs(NoMemory(), timestep)
        (policy,), (value,) = self.policy(*inputs), self.value(*inputs)
        return policy, value[0]

    def init(self, key: Key) -> NoMemory:
        return NoMemory()

    def act(self, key: Key, memory: NoMemory, timestep: TimeStep) -> tuple[Array, ActExtras]:
        policy, value = self._judge(timestep)
        action = policy.sample(key)
        return action, act_extras(policy, action, value)

    def observe(self, key: Key, memory: NoMemory, transition: Transition) -> NoMemory:
        return memory

    def adapt(self, key: Key, memory: Memory, episodes: Transition) -> Memory:
        return memory

    def unroll(self, memory: Memory, transitions: Transition, trial_first: Bool[Array, " time"]) -> Outputs:
        def judge(timestep: TimeStep, action: Array) -> tuple[Any, ...]:
            policy, value = self._judge(timestep)
            return policy.log_prob(action), policy.entropy(), value, encode(self.spec.obs, timestep.obs), policy

        return Outputs(*jax.vmap(judge)(transitions.timestep, transitions.action))
