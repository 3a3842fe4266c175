"""Replay: the newest experience, kept in the learner's state, so that a resumed run goes on with the same."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from innerloop._types import Key


class Drawn(NamedTuple):
    """Items of a replay, where they lie in it, and the weights that make up for how often each is drawn, at most 1."""

    items: Any
    place: Int[Array, " items"]
    weight: Float[Array, " items"]


class Replay(NamedTuple):
    """A ring of items, stacked on the first axis of every leaf: `num_items` of them are filled, the next one goes to
    `cursor`. An item is whatever must stay together: a trial, a chunk, a transition. `priority` is 0 where none is."""

    items: Any
    cursor: Int[Array, ""]
    num_items: Int[Array, ""]
    priority: Float[Array, " capacity"]

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
        rank = _running_sum(keep.astype(jnp.int32))
        nowhere = self.capacity
        where = jnp.where(keep, (self.cursor + rank - 1) % self.capacity, nowhere)
        items = jax.tree.map(lambda old, new: old.at[where].set(new, mode="drop"), self.items, batch)
        filled = jnp.minimum(self.num_items + rank[-1], self.capacity)
        highest = jnp.where(self.num_items > 0, self.priority.max(), 1.0)
        priority = self.priority.at[where].set(highest, mode="drop")
        return Replay(items, (self.cursor + rank[-1]) % self.capacity, filled, priority)

    def sample(self, key: Key, num: int) -> Any:
        """`num` items, each drawn uniformly from those that are filled."""
        place = jax.random.randint(key, (num,), 0, jnp.maximum(self.num_items, 1))
        return jax.tree.map(lambda x: x[place], self.items)

    def draw(self, key: Key, num: int, exponent: float, correction: float) -> Drawn:
        """`num` items, item i with probability P_i ~ priority_i ** exponent (Schaul et al. 2016).

        Weights are (n P_i) ** -correction, divided by the largest one of the items that are filled. New items have the
        highest priority so far.
        """
        powers = jnp.where(self.priority > 0, self.priority**exponent, 0.0)
        edges = jnp.cumsum(powers)
        at = jax.random.uniform(key, (num,), maxval=jnp.maximum(edges[-1], 1e-30))
        # Sums of the unfilled part's zeros may differ by rounding, and the last number drawn may be the last edge.
        last = jnp.maximum(self.num_items, 1) - 1
        place = jnp.minimum(jnp.searchsorted(edges, at, side="right"), last).astype(jnp.int32)
        rarest = jnp.where(powers > 0, powers, jnp.inf).min()
        weight = jnp.where(edges[-1] > 0, (powers[place] / rarest) ** -correction, 1.0)
        return Drawn(jax.tree.map(lambda x: x[place], self.items), place, weight)

    def reprioritise(self, place: Int[Array, " items"], priority: Float[Array, " items"]) -> "Replay":
        """With other priorities of some items; they must be positive."""
        return self._replace(priority=self.priority.at[place].set(jnp.maximum(priority, 1e-6)))


def empty_replay(item: Any, capacity: int) -> Replay:
    """Room for `capacity` items like `item`, whose values do not matter."""
    if capacity < 1:
        raise ValueError(f"empty_replay(capacity={capacity}): must be at least 1.")
    items = jax.tree.map(lambda x: jnp.zeros((capacity, *jnp.shape(x)), jnp.asarray(x).dtype), item)
    return Replay(items, jnp.zeros((), jnp.int32), jnp.zeros((), jnp.int32), jnp.zeros((capacity,)))


def _running_sum(x: Int[Array, "item ..."]) -> Int[Array, "item ..."]:
    """Over the first axis. `jnp.cumsum` of a constant crashes XLA's simplifier (jaxlib 0.10, CPU)."""
    return jax.lax.associative_scan(jnp.add, x)


class TaskReplay(NamedTuple):
    """A ring of items for each of several slots, one slot a task: leaves have axes `[slot item]`."""

    items: Any
    cursor: Int[Array, " slot"]
    num_items: Int[Array, " slot"]

    @property
    def capacity(self) -> int:
        """How many items fit into a slot."""
        return jax.tree.leaves(self.items)[0].shape[1]

    def clear(self, slots: Int[Array, " slots"]) -> "TaskReplay":
        """Forget what is in some of the slots."""
        return self._replace(cursor=self.cursor.at[slots].set(0), num_items=self.num_items.at[slots].set(0))

    def insert(self, slots: Int[Array, " items"], batch: Any, keep: Bool[Array, " items"]) -> "TaskReplay":
        """Put each item of a batch into its slot, over the oldest ones if there is no room; only those to `keep`, and of
        more than a slot holds the last ones."""
        num_slots, capacity = self.cursor.shape[0], self.capacity
        chosen = jax.nn.one_hot(slots, num_slots, dtype=jnp.int32) * keep[:, None].astype(jnp.int32)
        rank = jnp.take_along_axis(_running_sum(chosen), slots[:, None], axis=1)[:, 0] - 1
        num_kept = chosen.sum(axis=0)
        stays = keep & (num_kept[slots] - rank <= capacity)
        where = jnp.where(stays, (self.cursor[slots] + rank) % capacity, capacity)
        items = jax.tree.map(lambda old, new: old.at[slots, where].set(new, mode="drop"), self.items, batch)
        filled = jnp.minimum(self.num_items + num_kept, capacity)
        return TaskReplay(items, (self.cursor + num_kept) % capacity, filled)

    def sample(self, key: Key, slot: Int[Array, ""], num: int) -> Any:
        """`num` items of one slot, each drawn uniformly from those that are filled."""
        chosen = jax.random.randint(key, (num,), 0, jnp.maximum(self.num_items[slot], 1))
        return jax.tree.map(lambda x: x[slot, chosen], self.items)


def empty_task_replay(item: Any, num_slots: int, capacity: int) -> TaskReplay:
    """Room for `capacity` items like `item` in each of `num_slots` slots."""
    for name, value in {"num_slots": num_slots, "capacity": capacity}.items():
        if value < 1:
            raise ValueError(f"empty_task_replay({name}={value}): must be at least 1.")
    items = jax.tree.map(lambda x: jnp.zeros((num_slots, capacity, *jnp.shape(x)), jnp.asarray(x).dtype), item)
    return TaskReplay(items, jnp.zeros((num_slots,), jnp.int32), jnp.zeros((num_slots,), jnp.int32))


def without_replay(state: Any) -> Any:
    """A learner's state with nothing where its replays are."""

    def is_replay(x: Any) -> bool:
        return isinstance(x, Replay | TaskReplay)

    return jax.tree.map(lambda x: None if is_replay(x) else x, state, is_leaf=is_replay)
