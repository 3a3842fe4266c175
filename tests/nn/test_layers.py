import jax
import numpy as np

from innerloop.nn import orthogonal

KEYS = jax.random.split(jax.random.key(0), 3)


def draw(key: jax.Array) -> jax.Array:
    return orthogonal(key, 6, 4, scale=2.0)


def test_columns_are_orthonormal_times_the_scale() -> None:
    weight = draw(KEYS[0])
    np.testing.assert_allclose(weight.T @ weight, 4.0 * np.eye(4), atol=1e-5)


def test_many_agents_begin_as_each_does_alone() -> None:
    np.testing.assert_array_equal(jax.vmap(draw)(KEYS), [draw(key) for key in KEYS])


def test_decompositions_are_never_batched() -> None:
    """Two batches of them side by side, as several seeds would have, may wait for each other for ever."""
    text = jax.jit(jax.vmap(draw)).lower(KEYS).as_text()
    calls = [line for line in text.splitlines() if "geqrf" in line or "orgqr" in line]
    assert calls
    assert not any("tensor<3x6x4xf32>" in line for line in calls)
