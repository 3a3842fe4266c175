"""The agent of soft actor-critics: a policy on what a summary makes of the present and the past."""

import math
from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from innerloop._agent import ActExtras, Agent
from innerloop._env import Box, Discrete, Space, encode
from innerloop._types import Key, Memory, TimeStep, Transition
from innerloop.agents._summary import Summary
from innerloop.nn import Conditioned, Linear, PolicyName, PolicyOptions, conditioned

MIN_LOG_SCALE, MAX_LOG_SCALE = -5.0, 2.0


class Choice(NamedTuple):
    """An action as the critics see it (between -1 and 1, or one-hot), as the env takes it, and its log-probability."""

    features: Float[Array, "*batch width"]
    action: Array
    log_prob: Float[Array, "*batch"]


class SoftPolicy(eqx.Module):
    """A Gaussian squashed by tanh into the bounds of a box, or a categorical (Haarnoja et al. 2018b, appendix C).

    Log-probabilities are those of the squashed value between -1 and 1, whatever the bounds are. The last `num_context`
    features are a context, which shapes the net as `policy` says (`nn.conditioned`).
    """

    net: Conditioned
    space: Space
    num_context: int = eqx.field(static=True)

    def __init__(
        self,
        key: Key,
        num_in: int,
        space: Space,
        widths: tuple[int, ...],
        num_context: int = 0,
        policy: PolicyName = "mlp",
        policy_options: PolicyOptions | None = None,
    ):
        if isinstance(space, Box) and not math.isfinite(space.high - space.low):
            raise ValueError(f"SoftPolicy(space={space}): needs bounds on actions, which tanh is scaled to.")
        net_key, head_key = jax.random.split(key)
        num_out = space.num_features * (1 if isinstance(space, Discrete) else 2)
        self.net = conditioned(
            policy,
            net_key,
            num_context,
            num_in - num_context,
            widths,
            (lambda num: Linear(head_key, num, num_out, scale=0.01),),
            "relu",
            policy_options,
        )
        self.space = space
        self.num_context = num_context

    def _out(self, features: Float[Array, " num_in"]) -> Float[Array, " num_out"]:
        x, z = jnp.split(features, [features.size - self.num_context])
        return self.net(z, x)[0]

    def logits(self, features: Float[Array, " num_in"]) -> Float[Array, " actions"]:
        """Of discrete actions, normalised."""
        return jax.nn.log_softmax(self._out(features))

    def _gaussian(self, features: Float[Array, " num_in"]) -> tuple[Array, Array]:
        mean, raw = jnp.split(self._out(features), 2)
        squashed = 0.5 * (jnp.tanh(raw) + 1.0)
        return mean, MIN_LOG_SCALE + (MAX_LOG_SCALE - MIN_LOG_SCALE) * squashed

    def sample(self, key: Key, features: Float[Array, " num_in"]) -> Choice:
        """An action that gradients flow through, if it is continuous."""
        if isinstance(self.space, Discrete):
            logits = self.logits(features)
            action = jax.random.categorical(key, logits).astype(jnp.int32)
            return Choice(encode(self.space, action), action, logits[action])
        mean, log_scale = self._gaussian(features)
        noise = jax.random.normal(key, mean.shape)
        raw = mean + jnp.exp(log_scale) * noise
        log_prob = (-0.5 * jnp.square(noise) - log_scale - 0.5 * math.log(2 * math.pi)).sum()
        log_prob -= (2.0 * (math.log(2.0) - raw - jax.nn.softplus(-2.0 * raw))).sum()
        squashed = jnp.tanh(raw)
        return Choice(squashed, self._scaled(squashed), log_prob)

    def greedy(self, features: Float[Array, " num_in"]) -> Array:
        """The most probable action (continuous: that of the Gaussian's mean)."""
        if isinstance(self.space, Discrete):
            return jnp.argmax(self.logits(features)).astype(jnp.int32)
        return self._scaled(jnp.tanh(self._gaussian(features)[0]))

    def act(self, key: Key, features: Float[Array, " num_in"]) -> tuple[Array, ActExtras]:
        """A sampled action, with its log-probability and the greedy one; there is no value."""
        choice, greedy = self.sample(key, features), self.greedy(features)
        return choice.action, ActExtras(choice.log_prob, jnp.zeros(()), greedy, jnp.zeros(()))

    def _scaled(self, squashed: Float[Array, " width"]) -> Array:
        assert isinstance(self.space, Box)
        middle, half = (self.space.high + self.space.low) / 2, (self.space.high - self.space.low) / 2
        return (middle + half * squashed).reshape(self.space.shape)

    def features_of(self, action: Array) -> Float[Array, " width"]:
        """An action that the env took, as the critics see it."""
        if isinstance(self.space, Discrete):
            return encode(self.space, action)
        middle, half = (self.space.high + self.space.low) / 2, (self.space.high - self.space.low) / 2
        return jnp.clip((jnp.ravel(action) - middle) / half, -1.0, 1.0)


class Soft(Agent):
    """A soft policy on a summary. It explores by sampling; `Greedy` takes the most probable action."""

    summary: Summary
    policy: SoftPolicy
    episodes_per_adapt: int = eqx.field(static=True, default=1)

    def init(self, key: Key) -> Memory:
        return self.summary.init(key)

    def act(self, key: Key, memory: Memory, timestep: TimeStep) -> tuple[Array, ActExtras]:
        return self.policy.act(key, self.summary.see(memory, timestep))

    def observe(self, key: Key, memory: Memory, transition: Transition) -> Memory:
        return self.summary.observe(key, memory, transition)

    def adapt(self, key: Key, memory: Memory, episodes: Transition) -> Memory:
        return memory
