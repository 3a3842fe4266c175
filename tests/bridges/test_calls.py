"""Calls to the host: once for a batch, on copies of the program's memory, by either way that JAX has."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from innerloop.bridges import _calls

SHAPES = (jax.ShapeDtypeStruct((2,), jnp.float32), jax.ShapeDtypeStruct((), bool))


@pytest.mark.parametrize("is_fast", [True, False])
def test_a_batch_is_one_call_and_what_was_given_stays(is_fast, monkeypatch):
    if not is_fast:
        monkeypatch.setattr(_calls, "buffer_callback", None)
    given = []

    def double(x):
        given.append(x)
        return np.stack([2 * x, x], axis=-1), x > 1

    def loop(x):
        def step(x, _):
            pair, is_large = _calls.call_host(double, SHAPES, x)
            return pair[0], (pair, is_large)

        return jax.lax.scan(step, x, None, 3)

    last, (pairs, flags) = jax.jit(jax.vmap(jax.vmap(loop)))(jnp.arange(4.0).reshape(2, 2))
    np.testing.assert_array_equal(last, 8 * np.arange(4.0).reshape(2, 2))
    np.testing.assert_array_equal(pairs[1, 0], [[4, 2], [8, 4], [16, 8]])
    np.testing.assert_array_equal(flags[0, 1], [False, True, True])
    assert [x.tolist() for x in given] == [(2**i * np.arange(4.0).reshape(2, 2)).tolist() for i in range(3)]


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("is_fast", [True, False])
def test_an_error_stops_the_program_and_is_told(is_fast, monkeypatch):
    if not is_fast:
        monkeypatch.setattr(_calls, "buffer_callback", None)

    def fail(x):
        raise RuntimeError("out of order")

    with pytest.raises(jax.errors.JaxRuntimeError, match="out of order"):
        jax.block_until_ready(jax.jit(lambda x: _calls.call_host(fail, SHAPES, x))(jnp.ones(())))
