"""Task distributions: what a meta-learner generalises over."""

import abc
import itertools
import math
from collections.abc import Callable

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Int

from innerloop._types import Key, Task


class TaskDistribution(eqx.Module):
    """p(T). `sample(key)` draws one task, a pytree of arrays; `vmap` it over keys for more."""

    @abc.abstractmethod
    def sample(self, key: Key) -> Task:
        """Draw one task."""


class Sampled(TaskDistribution):
    """An infinite distribution, given by a function from a key to a task."""

    sampler: Callable[[Key], Task] = eqx.field(static=True)

    def sample(self, key: Key) -> Task:
        return self.sampler(key)


class Finite(TaskDistribution):
    """The uniform distribution over a stack of tasks: a pytree whose leaves share their leading axis."""

    tasks: Task

    def __check_init__(self) -> None:
        lengths = {leaf.shape[0] if leaf.ndim else 0 for leaf in jax.tree.leaves(self.tasks)}
        if len(lengths) != 1 or 0 in lengths:
            raise ValueError(
                f"Finite(tasks=...): leaves need one common leading axis of length >= 1, got lengths {sorted(lengths)}."
            )

    @property
    def num_tasks(self) -> int:
        return jax.tree.leaves(self.tasks)[0].shape[0]

    def sample(self, key: Key) -> Task:
        return self.take(jax.random.randint(key, (), 0, self.num_tasks))

    def take(self, index: Int[Array, "*indices"]) -> Task:
        """The tasks at `index`."""
        return jax.tree.map(lambda leaf: leaf[index], self.tasks)

    def find(self, task: Task) -> Int[Array, ""]:
        """The index of one of the tasks: the first that is equal to it."""
        same = jax.tree.map(lambda x, y: (x == y[None]).reshape(self.num_tasks, -1).all(axis=1), self.tasks, task)
        return jnp.argmax(jnp.stack(jax.tree.leaves(same)).all(axis=0)).astype(jnp.int32)

    def split(self, *fractions: float, key: Key | None = None) -> tuple["Finite", ...]:
        """Disjoint parts, after a shuffle if a `key` is given. One fraction f gives (f, 1 - f).

        Raises ValueError if a part would be empty or the fractions exceed 1.
        """
        parts = (*fractions, 1.0 - fractions[0]) if len(fractions) == 1 else fractions
        if min(parts) <= 0 or sum(parts) > 1 + 1e-9:
            raise ValueError(f"split{fractions}: fractions must be positive and sum to at most 1.")
        order = jnp.arange(self.num_tasks) if key is None else jax.random.permutation(key, self.num_tasks)
        bounds = [0] + [math.floor(sum(parts[: i + 1]) * self.num_tasks + 1e-6) for i in range(len(parts))]
        if any(start == stop for start, stop in itertools.pairwise(bounds)):
            raise ValueError(f"split{fractions}: a part of {self.num_tasks} tasks would be empty.")
        return tuple(Finite(self.take(order[start:stop])) for start, stop in itertools.pairwise(bounds))


class Mixture(TaskDistribution):
    """Draws from one of several distributions of the same task structure, with the given weights."""

    parts: tuple[TaskDistribution, ...]
    weights: tuple[float, ...] = eqx.field(static=True)

    def __check_init__(self) -> None:
        if len(self.parts) != len(self.weights) or not self.parts or min(self.weights) < 0 or sum(self.weights) <= 0:
            raise ValueError(
                f"Mixture(weights={self.weights}): need one weight >= 0 for each of {len(self.parts)} parts."
            )

    def sample(self, key: Key) -> Task:
        part_key, task_key = jax.random.split(key)
        logits = jnp.log(jnp.asarray(self.weights))
        branches = [part.sample for part in self.parts]
        return jax.lax.switch(jax.random.categorical(part_key, logits), branches, task_key)


def sample_tasks(tasks: TaskDistribution, key: Key, num_tasks: int) -> Task:
    """`num_tasks` tasks, stacked along a leading axis."""
    return jax.vmap(tasks.sample)(jax.random.split(key, num_tasks))
