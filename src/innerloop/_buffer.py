"""Replay: the newest experience, kept in the learner's state, so that a resumed run goes on with the same."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Int

from innerloop._types import Key


class Replay(NamedTuple):
    """A ring of items, stacked on the first axis of every leaf: `num_items` of them are filled, the next one goes to
    `cursor`. An item is whatever must stay together: a trial, a chunk, a transition."""

    items: Any
    cursor: Int[Array, ""]
    num_items: Int[Array, ""]

    @property
    def capacity(self) -> int:
        """How many items fit."""
        return jax.tree.leaves(self.items)[0].shape[0]

    def insert(self, batch: Any, keep: Bool[Array, " items"] | None = None) -> "Replay":
        """Put the items of a batch in, over the oldest ones if there is no room; only those to `keep`, if it is given.

        Raises ValueError if the batch is larger than the ring.
        """
        num_new = jax.tree.leaves(batch)[0].shape[0]
        if num_new > self.capacity:
            raise ValueError(f"Replay(capacity={self.capacity}): cannot take {num_new} items at once; make it larger.")
        keep = jnp.ones((num_new,), bool) if keep is None else keep
        rank = jnp.cumsum(keep.astype(jnp.int32))
        nowhere = self.capacity
        where = jnp.where(keep, (self.cursor + rank - 1) % self.capacity, nowhere)
        items = jax.tree.map(lambda old, new: old.at[where].set(new, mode="drop"), self.items, batch)
        filled = jnp.minimum(self.num_items + rank[-1], self.capacity)
        return Replay(items, (self.cursor + rank[-1]) % self.capacity, filled)

    def sample(self, key: Key, num: int) -> Any:
        """`num` items, each drawn uniformly from those that are filled."""
        chosen = jax.random.randint(key, (num,), 0, jnp.maximum(self.num_items, 1))
        return jax.tree.map(lambda x: x[chosen], self.items)


def empty_replay(item: Any, capacity: int) -> Replay:
    """Room for `capacity` items like `item`, whose values do not matter."""
    if capacity < 1:
        raise ValueError(f"empty_replay(capacity={capacity}): must be at least 1.")
    items = jax.tree.map(lambda x: jnp.zeros((capacity, *jnp.shape(x)), jnp.asarray(x).dtype), item)
    return Replay(items, jnp.zeros((), jnp.int32), jnp.zeros((), jnp.int32))
