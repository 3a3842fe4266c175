"""The external memory: what is overwritten, what is evicted, what is found, and what gradients know of it."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from innerloop.nn import Found, Store, noted, read, store_metrics, write

KEY = jax.random.key(0)
NUM_SLOTS, NEAR = 4, 0.01


class Listed:
    """What the store's documentation says, with lists."""

    def __init__(self) -> None:
        self.rows: list[dict[str, Any]] = []
        self.now = 0

    def close(self, key: np.ndarray) -> dict[str, Any] | None:
        """The nearest row, if it is near."""
        self.rows_by_distance = sorted(self.rows, key=lambda row: float(np.square(row["key"] - key).sum()))
        row = next(iter(self.rows_by_distance), None)
        return row if row is not None and np.square(row["key"] - key).sum() <= NEAR else None

    def read(self, key: np.ndarray) -> dict[str, Any] | None:
        row = self.close(key)
        for neighbor in self.rows_by_distance[:2] if row is not None else []:
            neighbor["used"] = self.now
        return row

    def write(self, key: np.ndarray, value: np.ndarray) -> None:
        self.now += 1
        row = self.close(key)
        if row is None:
            if len(self.rows) < NUM_SLOTS:
                self.rows.append({})
                row = self.rows[-1]
            else:
                row = min(self.rows, key=lambda row: row["used"])
        row.update(key=key, value=value, written=self.now, used=self.now)


def test_it_overwrites_fills_and_evicts_as_a_list_does() -> None:
    listed, store = Listed(), Store.empty(NUM_SLOTS, 2, 1)
    rng = np.random.default_rng(0)
    places = rng.normal(size=(7, 2))
    hits = queries = age = 0.0

    @jax.jit
    def go(store: Store, key: Any, value: Any, writes: Any) -> tuple[Store, Found]:
        found = read(store, key, 2)
        after = noted(store, found, found.hit(NEAR))
        written = write(store, key, value, NEAR)
        return jax.tree.map(lambda a, b: jnp.where(writes, a, b), written, after), found

    evicted = 0
    for step in range(80):
        key = (places[rng.integers(7)] + 1e-3 * rng.normal(size=2)).astype(np.float32)
        writes = bool(rng.integers(2))
        value = np.full(1, step, np.float32)
        before = np.asarray(store.written)
        store, found = go(store, key, value, writes)
        if writes:
            evicted += int(store.num_used) == NUM_SLOTS and all(before > 0)
            listed.write(key, value)
        else:
            row = listed.read(key)
            queries += 1
            hits += row is not None
            assert bool(found.hit(NEAR)) == (row is not None)
            if row is not None:
                age += listed.now - row["written"]
                np.testing.assert_allclose(found.value, row["value"], atol=0.5)
        count = len(listed.rows)
        assert int(store.num_used) == count
        for name, of in (("keys", "key"), ("values", "value"), ("written", "written"), ("used", "used")):
            np.testing.assert_array_equal(getattr(store, name)[:count], np.stack([row[of] for row in listed.rows]))
    assert evicted > 5
    assert store.keys.shape == (NUM_SLOTS, 2)
    batch = jax.tree.map(lambda x: jnp.stack([x, x]), store)
    metrics = store_metrics({"anything": batch, "else": jnp.zeros(3)})
    expected = {"memory/hit_rate": hits / queries, "memory/age": age / hits, "memory/size": NUM_SLOTS}
    assert {name: pytest.approx(float(x)) for name, x in metrics.items()} == expected
    assert store_metrics(jnp.zeros(3)) == {}


def filled(memory_slots: int, num_writes: int) -> Store:
    keys, values = jax.random.normal(KEY, (num_writes, 3)), jax.random.normal(jax.random.key(1), (num_writes, 2))
    store = Store.empty(memory_slots, 3, 2)
    for key, value in zip(keys, values, strict=True):
        store = write(store, key, value)
    return store


def test_both_searches_find_the_nearest_keys_and_weigh_them_by_the_kernel() -> None:
    store = filled(8, 6)
    query = jnp.asarray([0.1, -0.3, 0.2])
    found = read(store, query, 3)
    distances = np.square(np.asarray(store.keys[:6]) - np.asarray(query)).sum(axis=1)
    order = np.argsort(distances)[:3]
    np.testing.assert_array_equal(found.slots, order)
    weights = 1 / (distances[order] + 1e-3)
    np.testing.assert_allclose(found.value, weights @ np.asarray(store.values)[order] / weights.sum(), rtol=1e-5)
    other = read(store, query, 3, "approximate")
    for a, b in zip(found, other, strict=True):
        np.testing.assert_array_equal(a, b)


def test_gradients_reach_what_was_written_and_the_query_and_an_empty_store_has_none() -> None:
    def found(key: Any, value: Any, query: Any, num_writes: int) -> Any:
        store = filled(8, num_writes)
        store = write(store, key, value) if num_writes else store
        return read(store, query, 2).value.sum()

    where = jnp.asarray([0.3, 0.1, 0.2])
    gradients = jax.grad(found, argnums=(0, 1, 2))(where, jnp.ones(2), where + 0.1, 3)
    assert all(np.isfinite(x).all() and np.abs(x).max() > 0 for x in gradients)
    numeric = [
        (found(where, jnp.ones(2), where + 0.1 + e, 3) - found(where, jnp.ones(2), where + 0.1 - e, 3)) / 2e-3
        for e in 1e-3 * np.eye(3, dtype=np.float32)
    ]
    np.testing.assert_allclose(gradients[2], numeric, rtol=0.02, atol=1e-3)
    for x in jax.grad(found, argnums=(0, 1, 2))(where, jnp.ones(2), where, 0):
        np.testing.assert_array_equal(x, 0.0)
