"""Policy losses, per step: the caller averages over valid steps."""

import jax.numpy as jnp
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
