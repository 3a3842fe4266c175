import jax
import jax.numpy as jnp
import numpy as np
import pytest

from innerloop import bridges
from innerloop._env import Discrete
from playing import end, play, run, stacked

jumanji = pytest.importorskip("jumanji")


def both(made, name, seeds, actions):
    """The bridged env's time steps and the package's, of the same instances and actions."""
    package = jumanji.make(name)

    def one(key, actions):
        state, first = package.reset(key)
        return stacked(first, jax.lax.scan(package.step, state, actions)[1])

    seeds = jnp.asarray(seeds)
    keys = jax.vmap(jax.random.key)(seeds)
    shape = (len(seeds), len(actions[0]))
    merged = actions if actions.ndim == 2 else 10 * actions[..., 0] + actions[..., 1]
    others = jax.random.split(jax.random.key(9), (len(seeds), 1 + shape[1]))  # an instance comes from its seed alone
    ours = play(made.env, bridges.InstanceTask(seeds), others[:, 0], others[:, 1:], merged)
    return ours, run(one, jax.vmap(jax.random.key_data)(keys), actions)


def test_every_step_is_the_packages_but_time_that_runs_out_is_a_truncation():
    made, endings = bridges.jumanji("Maze-v0"), set()
    assert made.env.spec.max_steps == jumanji.make("Maze-v0").time_limit == 100
    seeds = [1, 2, 3, 4, 6, 7, 8, 9, 11, 12]
    all_ours, found = both(made, "Maze-v0", seeds, jax.random.randint(jax.random.key(0), (len(seeds), 100), 0, 4))
    for i in range(len(seeds)):
        theirs, ours = (jax.tree.map(lambda leaf, i=i: leaf[i], x) for x in (found, all_ours))
        last = end(theirs.step_type == 2)
        assert end(ours.last) == last
        x = theirs.observation
        cells = (x.agent_position.row, x.agent_position.col, x.target_position.row, x.target_position.col)
        entries = [
            *(cell[:, None] / 9 for cell in cells),
            x.walls.reshape(101, -1),
            x.step_count[:, None],
            x.action_mask,
        ]
        np.testing.assert_allclose(ours.obs[: last + 1], np.concatenate(entries, axis=1)[: last + 1], rtol=1e-6)
        np.testing.assert_array_equal(ours.reward[: last + 1], theirs.reward[: last + 1])
        assert theirs.discount[last] == 0
        assert ours.discount[last] == 1 - ours.reward[last]
        endings.add(float(ours.discount[last]))
    assert endings == {0.0, 1.0}


def test_a_snake_that_bites_the_wall_has_ended():
    ours, found = both(bridges.jumanji("Snake-v1", max_steps=30), "Snake-v1", [1], jnp.zeros((1, 30), jnp.int32))
    last = end(found.step_type[0] == 2)
    assert end(ours.last[0]) == last < 30
    assert ours.discount[0, last] == 0
    np.testing.assert_allclose(ours.obs[0, :last, :-5], found.observation.grid[0].reshape(31, -1)[:last], rtol=1e-6)
    assert 0 <= ours.obs.min() <= ours.obs.max() <= 1  # counts are scaled


def test_choices_of_several_numbers_become_one():
    made = bridges.jumanji("Minesweeper-v0", max_steps=5)
    assert made.env.spec.action == Discrete(100)
    ours, found = both(made, "Minesweeper-v0", [1], jnp.asarray([[(3, 7), (0, 2)]]))
    np.testing.assert_array_equal(ours.reward, found.reward)
    boards = found.observation.board[0].reshape(3, -1)
    changed = boards[1] != boards[0]
    assert changed[37]
    np.testing.assert_array_equal(ours.obs[0, 1, :100] != ours.obs[0, 0, :100], changed)


def test_training_and_test_instances_are_disjoint():
    made = bridges.jumanji("Maze-v0")
    keys = jax.random.split(jax.random.key(0), 400)
    train, test = (np.asarray(jax.vmap(part.sample)(keys).seed) for part in made[1:])
    assert set(train % 5) == {1, 2, 3, 4}
    assert set(test % 5) == {0}
    other = bridges.jumanji("Maze-v0", same_instance=False)
    first = jax.vmap(other.env.reset, (0, None))(keys[:5], other.train.take(jnp.asarray(0)))[1].obs
    assert len(np.unique(first, axis=0)) == 5
    same = jax.vmap(made.env.reset, (0, None))(keys[:5], made.train.sample(keys[0]))[1].obs
    assert len(np.unique(same, axis=0)) == 1


def test_what_is_not_bridged_is_named():
    for call, message in (
        (lambda: bridges.jumanji("Maze-v7"), r"name='Maze-v7'\): choose one of .*Maze-v0"),
        (lambda: bridges.jumanji("TSP-v1"), "has no time limit; pass max_steps"),
        (lambda: bridges.jumanji("LevelBasedForaging-v0"), r"rewards have shape \(2,\); one agent is bridged"),
        (lambda: bridges.jumanji("MMST-v0"), r"\(36, 36, 36\) choices at once are more than 1000 actions"),
    ):
        with pytest.raises(ValueError, match=message):
            call()
