"""What is seen, and in which units."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from innerloop import Box, Discrete, EnvSpec
from innerloop._env import encode
from innerloop.nn import Encoder

KEY = jax.random.key(0)


def test_features_are_in_units_from_an_origin() -> None:
    space = Box((3,), ignored=(1,), origin=(0.0, 5.0, 0.75), unit=(1.0, 2.0, 0.1))
    np.testing.assert_allclose(encode(space, jnp.asarray([3.0, 9.0, 0.95])), [3.0, 2.0], rtol=1e-5)
    np.testing.assert_array_equal(encode(Box((3,)), jnp.asarray([3.0, 9.0, 0.5])), [3.0, 9.0, 0.5])


def test_nets_see_features() -> None:
    """The same net on the same features, told in metres or in tenths of them."""
    metres = Encoder(KEY, Box((2,), origin=(0.5, 0.5), unit=(0.1, 0.1)), (8,))
    tenths = Encoder(KEY, Box((2,)), (8,))
    np.testing.assert_allclose(metres(jnp.asarray([0.7, 0.4])), tenths(jnp.asarray([2.0, -1.0])), rtol=1e-5)
    assert not np.allclose(metres(jnp.asarray([0.7, 0.4])), tenths(jnp.asarray([0.7, 0.4])))


def test_ignoring_entries_keeps_units() -> None:
    spec = EnvSpec(Box((2,), -1.0, 1.0, origin=(1.0, 1.0), unit=(2.0, 2.0)), Discrete(2), 5).ignoring((0,))
    assert spec.obs == Box((2,), -1.0, 1.0, ignored=(0,), origin=(1.0, 1.0), unit=(2.0, 2.0))


@pytest.mark.parametrize(
    "units",
    [
        {"unit": (1.0, 1.0)},
        {"origin": (0.0, 0.0)},
        {"origin": (0.0,), "unit": (1.0,)},
        {"origin": (0.0, float("nan")), "unit": (1.0, 1.0)},
    ],
)
def test_every_entry_has_an_origin_and_a_unit(units: Any) -> None:
    with pytest.raises(ValueError, match=r"origin=.*unit=.*a finite origin and a unit of each entry"):
        Box((2,), **units)


@pytest.mark.parametrize("unit", [0.0, -1.0, float("inf"), float("nan")])
def test_units_are_positive(unit: float) -> None:
    with pytest.raises(ValueError, match=r"unit=.*positive and finite"):
        Box((2,), origin=(0.0, 0.0), unit=(1.0, unit))


def test_units_are_for_vectors_and_for_observations() -> None:
    with pytest.raises(ValueError, match="a vector; the shape is"):
        Box((2, 2), origin=(0.0, 0.0), unit=(1.0, 1.0))
    with pytest.raises(ValueError, match=r"action=.*leave `ignored`, `origin` and `unit` to observations"):
        EnvSpec(Discrete(2), Box((1,), origin=(0.0,), unit=(1.0,)), 5)
