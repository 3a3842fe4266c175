"""Divergences and log-probabilities against closed forms computed elsewhere."""

import jax
import jax.numpy as jnp
import numpy as np
import numpyro.distributions as dist

from innerloop.losses import bernoulli_log_prob, gaussian_kl, gaussian_log_prob

KEYS = jax.random.split(jax.random.key(0), 4)


def test_gaussian_kl_is_that_of_numpyro() -> None:
    mean, log_variance, other_mean, other_log_variance = (jax.random.normal(key, (5,)) for key in KEYS)
    p = dist.Normal(mean, jnp.exp(0.5 * log_variance))
    q = dist.Normal(other_mean, jnp.exp(0.5 * other_log_variance))
    found = gaussian_kl(mean, log_variance, other_mean, other_log_variance)
    np.testing.assert_allclose(found, dist.kl_divergence(p, q).sum(), rtol=1e-5)
    standard = dist.kl_divergence(p, dist.Normal(0.0, 1.0)).sum()
    np.testing.assert_allclose(gaussian_kl(mean, log_variance), standard, rtol=1e-5)
    np.testing.assert_allclose(gaussian_kl(mean, log_variance, mean, log_variance), 0.0, atol=1e-6)


def test_log_probs() -> None:
    logit, mean, x = (jax.random.normal(key, (7,)) for key in KEYS[:3])
    p = np.asarray(jax.nn.sigmoid(logit))
    np.testing.assert_allclose(bernoulli_log_prob(logit, jnp.ones(7)), np.log(p), rtol=1e-5)
    np.testing.assert_allclose(bernoulli_log_prob(logit, jnp.zeros(7)), np.log(1 - p), rtol=1e-5)
    constant = 0.5 * np.log(2 * np.pi)
    np.testing.assert_allclose(gaussian_log_prob(mean, x) - constant, dist.Normal(mean, 1.0).log_prob(x), rtol=1e-5)
