"""Training tasks as vectors that a net can read."""

from typing import Literal

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from innerloop._task import Finite, TaskDistribution, sample_tasks
from innerloop._types import Task

CodeName = Literal["description", "index"]
MOST_VALUES = 1000
"""Of an entry that is an integer: more are no longer kinds of something, but a quantity or a seed."""


class Values(eqx.Module):
    """The integers of one array of a task, as a one-hot code for each entry: `num` values from `lowest` on."""

    lowest: int = eqx.field(static=True)
    num: int = eqx.field(static=True)

    def __call__(self, leaf: Array) -> Float[Array, " features"]:
        return jax.nn.one_hot(leaf.ravel() - self.lowest, self.num).ravel()


class TaskCode(eqx.Module):
    """A task as a float vector: its arrays, integers in one-hot code, so that nets generalise to other combinations of
    them; or ("index") its place in a finite training set, in one-hot code, which says nothing of what tasks share.

    Which integers there are is read off the training tasks, a thousand of them if there is no end of them.
    """

    tasks: Finite | None
    values: tuple[Values | None, ...]
    num_features: int = eqx.field(static=True)

    def __init__(self, tasks: TaskDistribution, kind: CodeName = "description"):
        if kind not in ("description", "index"):
            raise ValueError(f"TaskCode(kind={kind!r}): choose description or index.")
        if kind == "index" and not isinstance(tasks, Finite):
            raise ValueError("TaskCode(kind='index'): needs a finite set of training tasks; choose description.")
        stacked = tasks.tasks if isinstance(tasks, Finite) else sample_tasks(tasks, jax.random.key(0), 1000)
        self.tasks = tasks if isinstance(tasks, Finite) and kind == "index" else None
        self.values = tuple(_values(leaf) for leaf in jax.tree.leaves(stacked))
        one = jax.tree.map(lambda leaf: leaf[0], stacked)
        self.num_features = jax.eval_shape(self.__call__, one).shape[0]

    def __call__(self, task: Task) -> Float[Array, " features"]:
        if self.tasks is not None:
            return jax.nn.one_hot(self.tasks.find(task), self.tasks.num_tasks)
        leaves = zip(self.values, jax.tree.leaves(task), strict=True)
        return jnp.concatenate([code(x) if code else x.ravel().astype(jnp.float32) for code, x in leaves])


def _values(leaf: Array) -> Values | None:
    """The code of an array `[task ...]`; None if it has no integers."""
    if not jnp.issubdtype(leaf.dtype, jnp.integer):
        return None
    lowest, highest = int(np.min(leaf)), int(np.max(leaf))
    if highest - lowest >= MOST_VALUES:
        raise ValueError(
            f"TaskCode(tasks=...): integers from {lowest} to {highest} are too many for a one-hot code; make them floats."
        )
    return Values(lowest, highest - lowest + 1)
