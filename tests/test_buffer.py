"""Replay: a ring that gives back what was put in."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from innerloop._buffer import Replay, TaskReplay, empty_replay, empty_task_replay, without_replay

KEY = jax.random.key(0)


def items(*numbers: int) -> dict[str, jax.Array]:
    """Items whose two leaves belong together."""
    x = jnp.asarray(numbers)
    return {"number": x, "pair": jnp.stack([x, 10 * x], axis=1).astype(jnp.float32)}


def ring(capacity: int = 4) -> Replay:
    """An empty one for such items."""
    return empty_replay(jax.tree.map(lambda x: x[0], items(0)), capacity)


def test_the_newest_items_are_kept() -> None:
    replay = ring().insert(items(1, 2, 3))
    assert (int(replay.num_items), int(replay.cursor)) == (3, 3)
    replay = replay.insert(items(4, 5))
    assert (int(replay.num_items), int(replay.cursor)) == (4, 1)
    assert sorted(replay.items["number"].tolist()) == [2, 3, 4, 5]


def test_samples_are_whole_items_that_were_put_in() -> None:
    replay = ring().insert(items(7, 8))
    drawn = replay.sample(KEY, 200)
    assert set(drawn["number"].tolist()) == {7, 8}
    np.testing.assert_array_equal(drawn["pair"], np.stack([drawn["number"], 10 * drawn["number"]], axis=1))


def test_only_what_is_to_be_kept_is_put_in() -> None:
    replay = ring().insert(items(1, 2, 3, 4), keep=jnp.asarray([True, False, True, False]))
    assert (int(replay.num_items), int(replay.cursor)) == (2, 2)
    assert replay.items["number"].tolist() == [1, 3, 0, 0]
    replay = replay.insert(items(5, 6, 7), keep=jnp.asarray([True, True, True]))
    assert sorted(replay.items["number"].tolist()) == [3, 5, 6, 7]
    assert int(replay.cursor) == 1
    assert int(replay.insert(items(8), keep=jnp.asarray([False])).cursor) == 1


def test_all_items_are_drawn_equally_often() -> None:
    drawn = ring().insert(items(1, 2, 3, 4)).insert(items(5)).sample(KEY, 4000)
    counts = np.unique(np.asarray(drawn["number"]), return_counts=True)
    assert counts[0].tolist() == [2, 3, 4, 5]
    assert np.all(np.abs(counts[1] - 1000) < 120)


def test_too_much_at_once_and_no_room_are_refused() -> None:
    with pytest.raises(ValueError, match="cannot take 5 items"):
        ring().insert(items(1, 2, 3, 4, 5))
    with pytest.raises(ValueError, match="capacity=0"):
        ring(0)


def test_items_are_drawn_by_priority_and_weights_make_up_for_it() -> None:
    replay = ring().insert(items(1, 2, 3)).reprioritise(jnp.asarray([0, 1, 2]), jnp.asarray([1.0, 4.0, 16.0]))
    drawn = replay.draw(KEY, 20_000, 0.5, 1.0)
    shares = np.bincount(np.asarray(drawn.items["number"]), minlength=4) / 20_000
    np.testing.assert_allclose(shares, [0, 1 / 7, 2 / 7, 4 / 7], atol=0.01)
    np.testing.assert_allclose(drawn.weight, np.asarray([1, 1 / 2, 1 / 4])[drawn.place], rtol=1e-5)
    weighted = float((drawn.weight * drawn.items["number"].astype(jnp.float32)).sum() / drawn.weight.sum())
    assert weighted == pytest.approx(2.0, abs=0.03), "the mean of a uniform draw"
    assert set(replay.draw(KEY, 500, 0.0, 1.0).items["number"].tolist()) == {1, 2, 3}


def test_what_is_not_filled_is_never_drawn(monkeypatch: pytest.MonkeyPatch) -> None:
    """Sums in floating point may rise where nothing is added; the highest number drawn then lies beyond what is filled."""
    replay = ring().insert(items(1, 2, 3))
    monkeypatch.setattr(jnp, "cumsum", lambda x: jnp.asarray([1.0, 2.0, 2.9, 3.0]))
    drawn = replay.draw(KEY, 2_000, 1.0, 1.0)
    assert int(drawn.place.max()) == 2
    assert bool(jnp.isfinite(drawn.weight).all())


def test_what_is_new_has_the_highest_priority() -> None:
    replay = ring().insert(items(1)).reprioritise(jnp.asarray([0]), jnp.asarray([0.25])).insert(items(2))
    np.testing.assert_allclose(replay.priority, [0.25, 0.25, 0.0, 0.0])
    replay = replay.reprioritise(jnp.asarray([1]), jnp.asarray([3.0])).insert(items(3, 4), jnp.asarray([False, True]))
    np.testing.assert_allclose(replay.priority, [0.25, 3.0, 3.0, 0.0])
    assert replay.items["number"].tolist() == [1, 2, 4, 0]


def slots(capacity: int = 3) -> TaskReplay:
    """Two empty slots."""
    return empty_task_replay(jax.tree.map(lambda x: x[0], items(0)), 2, capacity)


def put(replay: TaskReplay, where: list[int], *numbers: int, keep: list[bool] | None = None) -> TaskReplay:
    return replay.insert(jnp.asarray(where), items(*numbers), jnp.asarray(keep or [True] * len(numbers)))


def test_every_slot_is_a_ring_of_its_own() -> None:
    replay = put(slots(), [0, 1, 0, 1], 1, 2, 3, 4, keep=[True, True, True, False])
    assert replay.num_items.tolist() == [2, 1]
    assert replay.items["number"].tolist() == [[1, 3, 0], [2, 0, 0]]
    replay = put(replay, [0, 0, 1], 5, 6, 7)
    assert replay.items["number"].tolist() == [[6, 3, 5], [2, 7, 0]]
    drawn = jax.vmap(lambda slot: replay.sample(KEY, slot, 100))(jnp.arange(2))
    assert [set(x) for x in drawn["number"].tolist()] == [{3, 5, 6}, {2, 7}]
    assert replay.clear(jnp.asarray([0])).num_items.tolist() == [0, 2]


def test_of_more_than_a_slot_holds_the_last_ones_stay() -> None:
    replay = put(put(slots(), [0], 9), [0, 1, 0, 0, 0, 0], 1, 2, 3, 4, 5, 6)
    assert sorted(replay.items["number"][0].tolist()) == [4, 5, 6]
    assert replay.num_items.tolist() == [3, 1]
    replay = put(replay, [0], 7)
    assert sorted(replay.items["number"][0].tolist()) == [5, 6, 7]


def test_a_constant_mask_does_not_crash_the_compiler() -> None:
    """`jnp.cumsum` did, on jaxlib 0.10."""
    keep = jnp.ones((32,), bool)
    replay = jax.jit(lambda replay: replay.insert(items(*range(32)), keep))(ring(40))
    assert int(replay.num_items) == 32


def test_slots_need_room() -> None:
    with pytest.raises(ValueError, match="num_slots=0"):
        empty_task_replay(jax.tree.map(lambda x: x[0], items(0)), 0, 3)


def test_a_state_without_its_replay_keeps_all_else() -> None:
    net = jnp.ones(3)
    state = {
        "net": net,
        "replay": empty_replay(net, 4),
        "tasks": {"replay": empty_task_replay(net, 2, 4), "count": net},
    }
    assert [x.shape for x in jax.tree.leaves(without_replay(state))] == [(3,), (3,)]
