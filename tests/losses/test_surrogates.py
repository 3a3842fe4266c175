"""Surrogates, baselines and divergences against independent NumPy loops."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import numpyro.distributions as dist
import pytest

from innerloop.losses import (
    answer_error,
    dice_surrogate,
    discounted_returns,
    kl_divergence,
    linear_baseline,
    lvc_surrogate,
    plain_surrogate,
)

LOG_PROB = jnp.log(jnp.asarray([0.5, 0.2, 0.9, 0.4]))
OLD = jnp.log(jnp.asarray([0.4, 0.25, 0.9, 0.1]))
ADVANTAGE = jnp.asarray([1.0, -2.0, 0.5, 3.0])
VALID = jnp.asarray([True, True, False, True])
GAUSSIANS = (([0.0, 1.0], [1.0, 2.0]), ([0.5, 1.0], [3.0, 1.0]))


def test_values_of_surrogates() -> None:
    plain = plain_surrogate(LOG_PROB, OLD, ADVANTAGE, VALID)
    np.testing.assert_allclose(plain, [np.log(0.5), -2 * np.log(0.2), 0.0, 3 * np.log(0.4)], rtol=1e-6)
    lvc = lvc_surrogate(LOG_PROB, OLD, ADVANTAGE, VALID)
    np.testing.assert_allclose(lvc, [0.5 / 0.4, -2 * 0.2 / 0.25, 0.0, 3 * 0.4 / 0.1], rtol=1e-6)
    np.testing.assert_array_equal(dice_surrogate(LOG_PROB, OLD, ADVANTAGE, VALID), jnp.zeros(4))


@pytest.mark.parametrize("surrogate", [plain_surrogate, lvc_surrogate, dice_surrogate])
def test_surrogates_agree_in_the_policy_gradient(surrogate) -> None:
    gradient = jax.grad(lambda x: surrogate(x, LOG_PROB, ADVANTAGE, VALID).sum())(LOG_PROB)
    np.testing.assert_allclose(gradient, [1.0, -2.0, 0.0, 3.0], rtol=1e-6)


def test_surrogates_differ_in_the_second_derivative() -> None:
    """In log-probabilities: nothing; each step with itself; each step with all before it, too."""

    def hessian(surrogate):
        return jax.hessian(lambda x: surrogate(x, LOG_PROB, ADVANTAGE, VALID).sum())(LOG_PROB)

    kept = np.asarray(VALID)
    np.testing.assert_allclose(hessian(plain_surrogate), np.zeros((4, 4)))
    np.testing.assert_allclose(hessian(lvc_surrogate), np.diag(np.where(kept, ADVANTAGE, 0.0)), rtol=1e-6)
    expected = np.zeros((4, 4))
    for i in range(4):
        for j in range(4):
            if kept[i] and kept[j]:
                expected[i, j] = ADVANTAGE[max(i, j)]
    np.testing.assert_allclose(hessian(dice_surrogate), expected, rtol=1e-6)


def test_discounted_returns_pass_over_padding() -> None:
    reward, discount = jnp.asarray([1.0, 2.0, 9.0, 4.0]), jnp.asarray([0.5, 0.5, 0.5, 0.0])
    np.testing.assert_allclose(discounted_returns(reward, discount, VALID), [1 + 0.5 * 4, 4.0, 0.0, 4.0])


def test_linear_baseline_is_least_squares_on_its_features() -> None:
    key = jax.random.key(0)
    obs, returns = jax.random.normal(key, (3, 50, 2)), jax.random.normal(jax.random.key(1), (3, 50))
    valid = jnp.arange(50)[None] < jnp.asarray([50, 20, 35])[:, None]
    fitted = linear_baseline(obs, returns, valid, ridge=1e-9)
    t = np.broadcast_to(np.arange(50)[None] / 100, (3, 50))
    x = np.stack([*np.moveaxis(np.asarray(obs), -1, 0), *np.moveaxis(np.asarray(obs) ** 2, -1, 0)], -1)
    x = np.concatenate([x, t[..., None], t[..., None] ** 2, t[..., None] ** 3, np.ones((3, 50, 1))], -1)
    kept = np.asarray(valid)
    solution = np.linalg.lstsq(x[kept], np.asarray(returns)[kept], rcond=None)[0]
    np.testing.assert_allclose(np.asarray(fitted)[kept], (x @ solution)[kept], atol=2e-3)


SHARP: dict[str, Any] = {
    "constant": lambda x: np.concatenate([x, np.full_like(x, 20.0)], axis=-1),
    "large-constant": lambda x: np.concatenate([x, np.full_like(x, 1000.0)], axis=-1),
    "twice": lambda x: np.concatenate([10.0 * x, 10.0 * x], axis=-1),
}


@pytest.mark.parametrize("name", SHARP)
def test_observations_that_tell_nothing_new_do_not_change_the_linear_baseline(name: str) -> None:
    rng = np.random.default_rng(0)
    obs, noise = rng.normal(size=(5, 60, 2)).astype(np.float32), rng.normal(size=(5, 60)).astype(np.float32)
    returns, valid = jnp.asarray(obs[..., 0] + obs[..., 1] ** 2 + noise), jnp.ones((5, 60), bool)
    expected, actual = (linear_baseline(jnp.asarray(x), returns, valid) for x in (obs, SHARP[name](obs)))
    np.testing.assert_allclose(actual, expected, atol=2e-3)


def test_linear_baseline_gives_up_on_what_is_not_finite() -> None:
    data = jnp.ones((2, 5, 1)), jnp.full((2, 5), jnp.nan), jnp.ones((2, 5), bool)
    assert np.isnan(linear_baseline(*data)).all()


def test_linear_baseline_solves_one_system_at_a_time_on_cpus() -> None:
    """Batched LAPACK kernels can wait for each other for ever: see `linear_baseline`."""
    data = (jnp.ones((7, 3, 5, 2)), jnp.ones((7, 3, 5)), jnp.ones((7, 3, 5), bool))
    text = jax.jit(jax.vmap(linear_baseline)).lower(*data).as_text()
    kernels = [line for line in text.splitlines() if "custom_call @lapack" in line]
    assert kernels
    assert not [line for line in kernels if "tensor<7x" in line]


def test_linear_baseline_knows_what_its_features_know() -> None:
    t = jnp.broadcast_to(jnp.arange(40.0)[None] / 100, (2, 40))
    obs = jax.random.normal(jax.random.key(0), (2, 40, 1))
    returns = 3 * t**3 - 2 * t + obs[..., 0] ** 2 + 5
    np.testing.assert_allclose(linear_baseline(obs, returns, jnp.ones((2, 40), bool)), returns, atol=2e-2)


def test_divergences() -> None:
    p, q = dist.CategoricalLogits(jnp.asarray([0.1, 0.5, -1.0])), dist.CategoricalLogits(jnp.asarray([1.0, 0.2, 0.3]))
    a, b = (np.asarray(jax.nn.softmax(x.logits)) for x in (p, q))
    np.testing.assert_allclose(kl_divergence(p, q), (a * np.log(a / b)).sum(), rtol=1e-5)
    p, q = (dist.Normal(jnp.asarray(x[0]), jnp.asarray(x[1])).to_event(1) for x in GAUSSIANS)
    expected = np.log(3) + (1 + 0.25) / 18 - 0.5 + np.log(0.5) + 4 / 2 - 0.5
    np.testing.assert_allclose(kl_divergence(p, q), expected, rtol=1e-5)
    assert kl_divergence(p, p) == 0


def test_errors_of_answers() -> None:
    policy = dist.Normal(jnp.asarray([1.0, -1.0]), jnp.ones((2,))).to_event(1)
    assert answer_error(policy, jnp.asarray([0.0, 1.0])) == 5.0
    classes = dist.CategoricalLogits(jnp.log(jnp.asarray([0.2, 0.8])))
    np.testing.assert_allclose(answer_error(classes, jnp.asarray(1)), -np.log(0.8), rtol=1e-6)
