"""From features to a distribution over actions."""

import math

import equinox as eqx
import jax.numpy as jnp
import numpyro.distributions as dist
from jaxtyping import Array, Float

from innerloop._agent import ActExtras
from innerloop._env import Box, Discrete, Space
from innerloop._types import Key
from innerloop.nn._layers import Init, Linear


class PolicyHead(eqx.Module):
    """Categorical for discrete actions; for boxes a diagonal Gaussian whose log standard deviation is a free parameter.

    The last layer starts small, so that the first policy is nearly uniform. Gaussian actions are not squashed:
    envs clip them to their bounds.
    """

    linear: Linear
    log_scale: Float[Array, "..."] | None
    space: Space

    def __init__(self, key: Key, num_in: int, space: Space, init: Init = "orthogonal"):
        self.space = space
        self.linear = Linear(key, num_in, space.num_features, scale=0.01, init=init)
        self.log_scale = None if isinstance(space, Discrete) else jnp.full(space.shape, _initial_log_scale(space))

    def __call__(self, features: Float[Array, " num_in"]) -> dist.Distribution:
        out = self.linear(features)
        if self.log_scale is None:
            return dist.Categorical(logits=out)
        mean = out.reshape(self.log_scale.shape)
        return dist.Normal(mean, jnp.exp(self.log_scale)).to_event(mean.ndim)

    def judge(
        self, features: Float[Array, " num_in"], action: Array
    ) -> tuple[Float[Array, ""], Float[Array, ""], dist.Distribution]:
        """The log-probability of an action, the entropy, and the distribution itself."""
        policy = self(features)
        return policy.log_prob(action), policy.entropy(), policy


def _initial_log_scale(space: Box) -> float:
    """Half the action range where it is known, else 1."""
    half = (space.high - space.low) / 2
    return math.log(half) if half < math.inf else 0.0


def act_extras(policy: dist.Distribution, action: Array, value: Float[Array, ""]) -> ActExtras:
    """What `act` says beside an action."""
    greedy = greedy_action(policy)
    return ActExtras(policy.log_prob(action), value, greedy, policy.log_prob(greedy))


def greedy_action(policy: dist.Distribution) -> Array:
    """The most probable action."""
    if isinstance(policy, dist.CategoricalLogits):
        return jnp.argmax(policy.logits, axis=-1).astype(jnp.int32)
    return policy.mean
