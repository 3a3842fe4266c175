"""An external memory: a bounded store of keys and values, read by the nearest keys (after Pritzel et al. 2017).

What is written is a value under a key; a key that is written again, or one within `merge_distance` of it, replaces what
was there. The first empty slot comes next; once there is none, the slot that was least recently written or read is
evicted. Nothing ever grows.
"""

from typing import Any, Literal, NamedTuple, get_args

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

Search = Literal["exact", "approximate"]
DELTA = 1e-3
"""δ of the kernel 1 / (d + δ): how much a key that is met exactly outweighs others (Pritzel et al. 2017, section 3.1)."""


class Store(NamedTuple):
    """Slots, and what has been done with them. Time is counted in writes: the first one is number 1.

    Slots are filled in order, so the first `num_used` are in use. The last three fields add up what `noted` was told.
    """

    keys: Float[Array, "slot key"]
    values: Float[Array, "slot width"]
    written: Int[Array, " slot"]
    """When each slot was last written."""
    used: Int[Array, " slot"]
    """When it was last written or read."""
    num_used: Int[Array, ""]
    num_writes: Int[Array, ""]
    num_queries: Float[Array, ""]
    num_hits: Float[Array, ""]
    age: Float[Array, ""]
    """Writes since the nearest slot was written, summed over hits."""

    @classmethod
    def empty(cls, memory_slots: int, key_size: int, width: int) -> "Store":
        """No slot in use."""
        check(memory_slots, key_size)
        never, none = jnp.zeros((memory_slots,), jnp.int32), jnp.zeros((), jnp.int32)
        keys, values = jnp.zeros((memory_slots, key_size)), jnp.zeros((memory_slots, width))
        return cls(keys, values, never, never, none, none, *(jnp.zeros(()) for _ in range(3)))


class Found(NamedTuple):
    """What a query finds: the kernel's mean of the neighbours' values (zeros if the store is empty), and of the neighbours
    their slots, whether there is one in each, and squared distances, the nearest first."""

    value: Float[Array, " width"]
    slots: Int[Array, " neighbor"]
    present: Bool[Array, " neighbor"]
    distances: Float[Array, " neighbor"]

    def hit(self, within: float) -> Bool[Array, ""]:
        """Whether the nearest key is at most this squared distance away: if not, nothing close was found."""
        return self.present[0] & (self.distances[0] <= within)


def _distances(store: Store, query: Float[Array, " key"]) -> Float[Array, " slot"]:
    """Squared distances of a query to all keys; those of empty slots mean nothing."""
    return jnp.square(store.keys - query[None]).sum(axis=-1)


def _in_use(store: Store) -> Bool[Array, " slot"]:
    return jnp.arange(store.keys.shape[0]) < store.num_used


def check(memory_slots: int, key_size: int, num_neighbors: int = 1, search: Search = "exact") -> None:
    """Raise unless there is such a store, and it can be read so."""
    for name, count in (("memory_slots", memory_slots), ("key_size", key_size)):
        if count < 1:
            raise ValueError(f"{name}={count}: must be at least 1.")
    if not 1 <= num_neighbors <= memory_slots:
        raise ValueError(f"num_neighbors={num_neighbors}: choose from 1 to memory_slots={memory_slots}.")
    if search not in get_args(Search):
        raise ValueError(f"search={search!r}: choose exact or approximate.")


def read(store: Store, query: Float[Array, " key"], num_neighbors: int, search: Search = "exact") -> Found:
    """The `num_neighbors` nearest keys by squared distance d, and Σ w v of their values, w ∝ 1 / (d + δ).

    Differentiable with respect to the query, the keys and the values; which slots are chosen is not. The approximate
    search is `jax.lax.approx_min_k`, which is fast on TPUs; elsewhere XLA falls back to an exact one.
    """
    memory_slots, key_size = store.keys.shape
    check(memory_slots, key_size, num_neighbors, search)
    distances, in_use = _distances(store, query), _in_use(store)
    compared = jax.lax.stop_gradient(jnp.where(in_use, distances, jnp.inf))
    if search == "exact":
        slots = jax.lax.top_k(-compared, num_neighbors)[1]
    else:
        slots = jax.lax.approx_min_k(compared, num_neighbors)[1]
    # Weights of all slots, most of them 0: on CPU the gradient of a gather would be a loop.
    chosen = _is_among(memory_slots, slots) & in_use
    weights = jnp.where(chosen, 1.0 / (distances + DELTA), 0.0)
    value = weights @ store.values / jnp.maximum(weights.sum(), DELTA)
    return Found(value, slots, slots < store.num_used, compared[slots])


def _is_among(memory_slots: int, slots: Int[Array, " neighbor"]) -> Bool[Array, " slot"]:
    return (jnp.arange(memory_slots)[:, None] == slots[None]).any(axis=1)


def noted(store: Store, found: Found, hit: Bool[Array, ""]) -> Store:
    """The store after something was made of what was found: its slots count as used now, and so do the statistics.

    A query that was no hit counts as a query and uses nothing.
    """
    is_read = _is_among(store.keys.shape[0], found.slots) & _in_use(store) & hit
    was_hit = hit.astype(jnp.float32)
    age = (store.num_writes - store.written[found.slots[0]]).astype(jnp.float32)
    return store._replace(
        used=jnp.where(is_read, store.num_writes, store.used),
        num_queries=store.num_queries + 1.0,
        num_hits=store.num_hits + was_hit,
        age=store.age + was_hit * age,
    )


def write(store: Store, key: Float[Array, " key"], value: Float[Array, " width"], merge_distance: float = 0.0) -> Store:
    """The store with a value under a key.

    The slot: that of the nearest key, if its squared distance is at most `merge_distance`; else the first empty one; else
    the least recently used one, the first of equals.
    """
    distances = jnp.where(_in_use(store), jax.lax.stop_gradient(_distances(store, key)), jnp.inf)
    nearest = jnp.argmin(distances).astype(jnp.int32)
    memory_slots = distances.shape[0]
    is_known, is_full = distances[nearest] <= merge_distance, store.num_used == memory_slots
    oldest = jnp.argmin(store.used).astype(jnp.int32)
    slot = jnp.where(is_known, nearest, jnp.where(is_full, oldest, store.num_used))
    now = store.num_writes + 1
    chosen = jnp.arange(memory_slots) == slot
    return store._replace(
        keys=jnp.where(chosen[:, None], key[None], store.keys),
        values=jnp.where(chosen[:, None], value[None], store.values),
        written=jnp.where(chosen, now, store.written),
        used=jnp.where(chosen, now, store.used),
        num_used=store.num_used + (~is_known & ~is_full).astype(jnp.int32),
        num_writes=now,
    )


def store_metrics(memories: Any) -> dict[str, Float[Array, ""]]:
    """Means over all stores in a batch of memories (there may be none): the share of queries that found something close,
    its age in writes, and slots in use."""
    leaves = jax.tree.leaves(memories, is_leaf=lambda x: isinstance(x, Store))
    stores = [leaf for leaf in leaves if isinstance(leaf, Store)]
    if not stores:
        return {}

    def total(name: str) -> Float[Array, ""]:
        return jnp.stack([getattr(store, name).astype(jnp.float32).sum() for store in stores]).sum()

    num_stores = sum(store.num_used.size for store in stores)
    return {
        "memory/hit_rate": total("num_hits") / jnp.maximum(total("num_queries"), 1.0),
        "memory/age": total("age") / jnp.maximum(total("num_hits"), 1.0),
        "memory/size": total("num_used") / num_stores,
    }
