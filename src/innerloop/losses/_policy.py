"""Policy losses, per step: the caller averages over valid steps."""

import jax
import jax.numpy as jnp
import numpyro.distributions as dist
from jaxtyping import Array, Float


def policy_gradient(log_prob: Float[Array, "*steps"], advantage: Float[Array, "*steps"]) -> Float[Array, "*steps"]:
    """-log π(a_t) A_t (Williams 1992)."""
    return -log_prob * advantage


def clipped_surrogate(
    log_prob: Float[Array, "*steps"],
    old_log_prob: Float[Array, "*steps"],
    advantage: Float[Array, "*steps"],
    clip_ratio: Float[Array, ""] | float,
) -> Float[Array, "*steps"]:
    """-min(ρ A, clip(ρ, 1 - ε, 1 + ε) A), ρ = π / π_old (Schulman et al. 2017, eq. 7)."""
    ratio = jnp.exp(log_prob - old_log_prob)
    return -jnp.minimum(ratio * advantage, jnp.clip(ratio, 1.0 - clip_ratio, 1.0 + clip_ratio) * advantage)


def kl_divergence(p: dist.Distribution, q: dist.Distribution) -> Float[Array, ""]:
    """KL(p ‖ q) of two policies of the same kind at one step: categorical, or diagonal Gaussian."""
    if isinstance(p, dist.CategoricalLogits):
        log_p, log_q = jax.nn.log_softmax(p.logits), jax.nn.log_softmax(q.logits)
        return (jnp.exp(log_p) * (log_p - log_q)).sum()
    p, q = _normal(p), _normal(q)
    ratio = jnp.square(p.scale / q.scale)
    return 0.5 * (ratio + jnp.square((p.loc - q.loc) / q.scale) - 1.0 - jnp.log(ratio)).sum()


def answer_error(policy: dist.Distribution, answer: Array) -> Float[Array, ""]:
    """The error of one prediction: squared for real numbers (summed over entries), -log p(answer) for classes."""
    if isinstance(policy, dist.CategoricalLogits):
        return -jax.nn.log_softmax(policy.logits)[answer]
    return jnp.square(_normal(policy).loc - answer).sum()


def _normal(policy: dist.Distribution) -> dist.Normal:
    """The Gaussian of a policy, whatever the rank of its actions."""
    return policy.base_dist if isinstance(policy, dist.Independent) else policy
