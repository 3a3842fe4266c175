"""What variational inference of a task needs: Gaussians with diagonal covariance, by mean and log-variance."""

import jax.numpy as jnp
from jaxtyping import Array, Bool, Float


def gaussian_kl(
    mean: Float[Array, " latent"],
    log_variance: Float[Array, " latent"],
    other_mean: Float[Array, " latent"] | float = 0.0,
    other_log_variance: Float[Array, " latent"] | float = 0.0,
) -> Float[Array, ""]:
    """KL(N(mean, variance) ‖ N(other)), summed over dimensions; the other one is standard normal by default."""
    other_log_variance = jnp.asarray(other_log_variance, jnp.float32)
    ratio = jnp.exp(log_variance - other_log_variance)
    distance = jnp.square(mean - other_mean) * jnp.exp(-other_log_variance)
    return 0.5 * (ratio + distance - 1.0 + other_log_variance - log_variance).sum()


def bernoulli_log_prob(logit: Float[Array, "..."], happened: Float[Array, "..."]) -> Float[Array, "..."]:
    """log p(happened) where p(1) = σ(logit)."""
    return happened * logit - jnp.logaddexp(0.0, logit)


def gaussian_log_prob(mean: Float[Array, "..."], x: Float[Array, "..."]) -> Float[Array, "..."]:
    """-½ (x - mean)²: the log-density with unit variance but for its constant."""
    return -0.5 * jnp.square(x - mean)


def gaussian_product(
    mean: Float[Array, "factor latent"], log_variance: Float[Array, "factor latent"], counts: Bool[Array, " factor"]
) -> tuple[Float[Array, " latent"], Float[Array, " latent"]]:
    """Σ 1/σ² and Σ μ/σ² over the factors that count: the natural parameters of their normalised product.

    The product is N(Σ μ/σ² / Σ 1/σ², 1 / Σ 1/σ²); the order of factors does not matter (Rakelly et al. 2019, equation 3).
    """
    precision = jnp.exp(-log_variance) * counts.astype(jnp.float32)[:, None]
    return precision.sum(axis=0), (precision * mean).sum(axis=0)
