"""Plays envs with given keys and actions, to be held beside the package that they come from."""

import warnings
from contextlib import ExitStack

import jax
import jax.numpy as jnp
import numpy as np


def stacked(first, rest):
    """The time step after the reset, and those after it."""
    return jax.tree.map(lambda one, more: jnp.concatenate([one[None], more]), first, rest)


def play(env, tasks, keys, step_keys, actions):
    """The time steps of one episode of each task, axes `[task time]`; steps after an episode's end go on."""

    def one(task, key, step_keys, actions):
        state, first = env.reset(key, task)
        return stacked(
            first, jax.lax.scan(lambda state, x: env.step(x[0], task, state, x[1]), state, (step_keys, actions))[1]
        )

    return jax.tree.map(np.asarray, jax.jit(jax.vmap(one))(tasks, keys, step_keys, actions))


def run(function, *arguments):
    """What `function` of another package gives for each of the stacked `arguments`, under JAX's ordinary rules."""
    with ordinary():
        return jax.tree.map(np.asarray, jax.jit(jax.vmap(function))(*arguments))


def ordinary():
    """The rules for dtypes and ranks under which packages are written, and no word of what they should no longer use."""
    rules = ExitStack()
    rules.enter_context(warnings.catch_warnings())
    warnings.simplefilter("ignore", DeprecationWarning)
    rules.enter_context(jax.numpy_dtype_promotion("standard"))
    rules.enter_context(jax.numpy_rank_promotion("allow"))
    return rules


def end(last):
    """The number of the step that ends the episode."""
    assert last.any()
    return int(np.argmax(last))


def only(tree):
    """The tree without its leading axis, which has one entry."""
    return jax.tree.map(lambda leaf: leaf[0], tree)
