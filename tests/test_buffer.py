"""Replay: a ring that gives back what was put in."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from innerloop._buffer import Replay, empty_replay

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
