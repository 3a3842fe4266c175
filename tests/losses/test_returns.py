"""Golden numbers from independent NumPy loops."""

import jax.numpy as jnp
import numpy as np

from innerloop.losses import (
    clipped_surrogate,
    clipped_value_error,
    explained_variance,
    following_value,
    generalized_advantage,
    policy_gradient,
    value_error,
)

RNG = np.random.default_rng(0)
REWARD, VALUE, NEXT = RNG.normal(size=(3, 8)).astype(np.float32)
DISCOUNT = RNG.uniform(size=8).astype(np.float32)
TRACE = RNG.uniform(size=8).astype(np.float32)
VALID = np.array([1, 1, 0, 1, 1, 1, 0, 0], bool)


def test_generalized_advantage_is_the_sum_of_discounted_errors() -> None:
    expected = np.zeros(8)
    steps = np.flatnonzero(VALID)
    for i, t in enumerate(steps):
        weight = 1.0
        for u in steps[i:]:
            expected[t] += weight * (REWARD[u] + DISCOUNT[u] * NEXT[u] - VALUE[u])
            weight *= TRACE[u]
    actual = generalized_advantage(*map(jnp.asarray, (REWARD, VALUE, NEXT, DISCOUNT, TRACE, VALID)))
    np.testing.assert_allclose(actual, expected, rtol=1e-5)


def test_lambda_one_gives_monte_carlo_returns() -> None:
    gamma = 0.9
    value = jnp.asarray(VALUE)
    valid = jnp.ones(8, bool)
    following = following_value(value, jnp.asarray(2.0), valid)
    flat = jnp.full(8, gamma)
    advantage = generalized_advantage(jnp.asarray(REWARD), value, following, flat, flat, valid)
    expected, after = np.zeros(8), 2.0
    for t in reversed(range(8)):
        expected[t] = after = REWARD[t] + gamma * after
    np.testing.assert_allclose(advantage + value, expected, rtol=1e-4)


def test_following_value_passes_over_padding() -> None:
    actual = following_value(jnp.asarray(VALUE), jnp.asarray(5.0), jnp.asarray(VALID))
    expected = [VALUE[1], VALUE[3], VALUE[3], VALUE[4], VALUE[5], 5.0, 5.0, 5.0]
    np.testing.assert_allclose(actual, expected, rtol=1e-6)


def test_policy_losses() -> None:
    new, old = np.log(RNG.uniform(0.1, 1, size=(2, 50))).astype(np.float32)
    advantage = RNG.normal(size=50).astype(np.float32)
    expected = []
    for n, o, a in zip(new, old, advantage, strict=True):
        ratio = np.exp(n - o)
        held = min(max(ratio, 0.8), 1.2)
        expected.append(-min(ratio * a, held * a))
    actual = clipped_surrogate(jnp.asarray(new), jnp.asarray(old), jnp.asarray(advantage), 0.2)
    np.testing.assert_allclose(actual, expected, rtol=1e-5)
    np.testing.assert_allclose(policy_gradient(jnp.asarray(new), jnp.asarray(advantage)), -new * advantage, rtol=1e-6)


def test_value_losses() -> None:
    value, old, target = RNG.normal(size=(3, 50)).astype(np.float32)
    expected = []
    for v, o, g in zip(value, old, target, strict=True):
        near = o + min(max(v - o, -0.3), 0.3)
        expected.append(max(0.5 * (v - g) ** 2, 0.5 * (near - g) ** 2))
    actual = clipped_value_error(*map(jnp.asarray, (value, old, target)), 0.3)
    np.testing.assert_allclose(actual, expected, rtol=1e-5)
    np.testing.assert_allclose(
        value_error(jnp.asarray(value), jnp.asarray(target)), 0.5 * (value - target) ** 2, rtol=1e-5
    )


def test_explained_variance() -> None:
    value, target = RNG.normal(size=(2, 8)).astype(np.float32)
    expected = 1 - np.var((target - value)[VALID]) / np.var(target[VALID])
    actual = explained_variance(jnp.asarray(value), jnp.asarray(target), jnp.asarray(VALID))
    np.testing.assert_allclose(actual, expected, rtol=1e-4)
    perfect = explained_variance(jnp.asarray(target), jnp.asarray(target), jnp.asarray(VALID))
    np.testing.assert_allclose(perfect, 1.0)
