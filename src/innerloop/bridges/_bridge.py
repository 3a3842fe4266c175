"""What bridges to packages written in JAX share."""

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from innerloop._env import Box, Env
from innerloop._task import Finite, TaskDistribution, sample_tasks
from innerloop._types import Key


class Bridged(NamedTuple):
    """What a bridge returns: the env, and where its training and its test tasks come from."""

    env: Env
    train: TaskDistribution
    test: TaskDistribution


@contextmanager
def lenient() -> Iterator[None]:
    """Other packages are traced under JAX's ordinary rules for dtypes and ranks, whatever rules hold outside.

    What they do with those that they need, and should no longer, is not for whoever uses them here.
    """
    with warnings.catch_warnings(), jax.numpy_dtype_promotion("standard"), jax.numpy_rank_promotion("allow"):
        warnings.simplefilter("ignore", DeprecationWarning)
        yield


def as_arrays(tree: Any) -> Any:
    """Every leaf as an array whose dtype is its own, so that a state can be carried through a scan."""
    return jax.tree.map(lambda leaf: jax.lax.convert_element_type(leaf, jnp.asarray(leaf).dtype), tree)


def alike(new: Any, old: Any) -> Any:
    """`new` with the shapes and dtypes of `old`: packages may return an int where there was a float."""
    return jax.tree.map(lambda x, y: jnp.reshape(x, y.shape).astype(y.dtype), new, old)


def scalar(value: Any) -> Float[Array, ""]:
    """A reward as it has to be."""
    return jnp.reshape(jnp.asarray(value), ()).astype(jnp.float32)


def flatten(tree: Any) -> Float[Array, " entries"]:
    """All arrays of an observation, in the order of its leaves, as one vector of floats."""
    return jnp.concatenate([jnp.ravel(jnp.asarray(leaf)).astype(jnp.float32) for leaf in jax.tree.leaves(tree)])


def bounded(where: str, space: Any, shape: tuple[int, ...], low: Any, high: Any) -> Box:
    """A space of actions with the same bounds for every entry; ValueError if they differ."""
    lows, highs = np.unique(np.asarray(low, np.float32)), np.unique(np.asarray(high, np.float32))
    if lows.size != 1 or highs.size != 1:
        raise ValueError(
            f"{where}: actions are {space}, whose bounds differ from entry to entry; scale them in the env."
        )
    return Box(tuple(shape), float(lows[0]), float(highs[0]))


def split_draws(tasks: TaskDistribution, key: Key, num_draws: int) -> tuple[Finite, Finite]:
    """What is distinct among `num_draws` draws, as four fifths for training and one for testing."""
    draw_key, order_key = jax.random.split(key)
    drawn = jax.jit(lambda key: sample_tasks(tasks, key, num_draws))(draw_key)
    rows = np.concatenate([np.asarray(leaf).reshape(num_draws, -1) for leaf in jax.tree.leaves(drawn)], axis=1)
    _, first = np.unique(rows, axis=0, return_index=True)
    train, test = Finite(jax.tree.map(lambda leaf: leaf[np.sort(first)], drawn)).split(0.8, key=order_key)
    return train, test
