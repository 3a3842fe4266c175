import bz2
import pickle
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from innerloop import bridges
from innerloop.bridges import _xland
from playing import end, ordinary, play, run, stacked

xminigrid = pytest.importorskip("xminigrid")
NUM_TASKS, NUM_STEPS = 16, 60


@pytest.fixture(scope="module")
def made():
    return bridges.xland("XLand-MiniGrid-R1-9x9", max_steps=NUM_STEPS)


def test_every_step_is_the_packages(made):
    """The last step included, of episodes that reach the goal and of those that do not."""
    package, params = xminigrid.make("XLand-MiniGrid-R1-9x9", max_steps=NUM_STEPS)
    # Goals to be near a thing, and mostly steps ahead: on its way an agent passes many things.
    tasks = made.train.take(jnp.asarray(np.flatnonzero(np.asarray(made.train.tasks.goal[:, 0]) == 3)[:NUM_TASKS]))
    keys = jax.random.split(jax.random.key(0), NUM_TASKS)
    actions = jax.random.choice(jax.random.key(1), jnp.asarray([0, 0, 0, 1, 2, 3, 4, 5]), (NUM_TASKS, NUM_STEPS))

    def one(task, key, actions):
        ruled = params.replace(ruleset=xminigrid.types.RuleSet(*task))

        def step(timestep, action):
            after = package.step(ruled, timestep, action)
            return after, seen(after)

        def seen(x):
            return x.observation, x.state.agent.direction, x.reward, x.discount, x.step_type

        first = package.reset(ruled, key)
        return stacked(seen(first), jax.lax.scan(step, first, actions)[1])

    views, directions, rewards, discounts, kinds = run(one, tasks, keys, actions)
    step_keys = jax.random.split(jax.random.key(2), (NUM_TASKS, NUM_STEPS))
    ours, endings = play(made.env, tasks, keys, step_keys, actions), set()
    for i in range(NUM_TASKS):
        last = end(kinds[i] == 2)
        assert end(ours.last[i]) == last
        until = slice(last + 1)
        tiles, colors = (np.eye(num)[views[i, ..., n]].reshape(NUM_STEPS + 1, -1) for n, num in enumerate((13, 12)))
        codes = np.concatenate([tiles, colors, np.eye(4)[directions[i]]], axis=1)
        np.testing.assert_array_equal(ours.obs[i, until], codes[until])
        np.testing.assert_array_equal(ours.reward[i, until], rewards[i, until])
        np.testing.assert_array_equal(ours.discount[i, until], discounts[i, until])
        reached = ours.discount[i, last] == 0
        assert reached or last == NUM_STEPS
        assert ours.reward[i, last] == pytest.approx(1 - 0.9 * last / NUM_STEPS if reached else 0.0)
        endings.add(bool(reached))
    assert endings == {True, False}


def test_trivial_rulesets_are_all_goals_that_the_generator_can_draw():
    tasks = jax.tree.map(np.asarray, _xland.trivial_rulesets(21_410))
    assert len(np.unique(tasks.goal, axis=0)) == len(tasks.goal) == 60 + 5 * 70 + 5 * 70 * 60
    goals = xminigrid.core.goals
    a, b = np.array([3, 1], np.uint8), np.array([5, 9], np.uint8)
    for goal in (
        goals.AgentHoldGoal(a),
        goals.AgentNearGoal(a),
        goals.TileNearGoal(a, b),
        goals.TileNearUpGoal(a, b),
        goals.TileNearLeftGoal(a, b),
        goals.AgentNearDownGoal(b),
    ):
        (row,) = np.flatnonzero((tasks.goal == np.asarray(goal.encode())).all(axis=1))
        # Its own things lie about, and three that it does not name.
        things = [tuple(tile) for tile in tasks.init_tiles[row]]
        own = [tuple(np.asarray(tile)) for tile in vars(goal).values()]
        assert things[: len(own)] == own
        others = things[2:]
        assert len(others) == 3
        assert not set(others) & set(own)
        assert all(3 <= tile <= 12 and 1 <= color <= 11 and color != 7 for tile, color in others)
    named = [
        {tuple(goal[1:3]), tuple(goal[3:5])} & {tuple(tile) for tile in tiles[2:]}
        for goal, tiles in zip(tasks.goal[::37], tasks.init_tiles[::37], strict=True)
    ]
    assert named == [set()] * len(named)
    assert not tasks.rules.any()
    kinds = np.bincount(np.asarray(_xland.trivial_rulesets(400).goal)[:, 0])
    assert np.flatnonzero(kinds).tolist() == [1, 3, 4, *range(7, 15)]
    assert kinds[kinds > 0].min() > 15  # of 36 on average; evenly over goals it would be 1


def test_training_and_test_tasks_share_no_goal_whatever_it_is_called():
    made = bridges.xland(num_rulesets=21_410)

    def meanings(tasks):
        found = set()
        for kind, *codes in np.asarray(tasks.goal).tolist():
            a, b = tuple(codes[:2]), tuple(codes[2:])
            if kind == 4:
                a, b = min(a, b), max(a, b)
            if kind in (9, 10):
                kind, a, b = kind - 2, b, a
            found.add((kind, a, b))
        return found

    train, test = meanings(made.train.tasks), meanings(made.test.tasks)
    assert not train & test
    assert len(test) == pytest.approx(0.2 * len(train | test), abs=1)
    assert (
        len(train | test) == 410 + 2430 + 2 * 4800
    )  # one thing; two in any way; two above each other, or side by side
    assert made.train.num_tasks + made.test.num_tasks == 21_410


def test_two_names_of_a_goal_mean_the_same_to_the_package():
    """b put down below a is near it above it; the same with sides."""
    goals = xminigrid.core.goals
    a, b = jnp.asarray([3, 1], jnp.uint8), jnp.asarray([5, 9], jnp.uint8)
    for (y, x), pair in (
        ((3, 2), (goals.TileNearDownGoal(a, b), goals.TileNearUpGoal(b, a))),
        ((2, 3), (goals.TileNearRightGoal(a, b), goals.TileNearLeftGoal(b, a))),
        ((2, 3), (goals.TileNearGoal(a, b), goals.TileNearGoal(b, a))),
    ):
        grid = jnp.zeros((5, 5, 2), jnp.uint8).at[2, 2].set(a).at[y, x].set(b)
        with ordinary():
            assert all(bool(goal(grid, xminigrid.types.AgentState(), 4, (y, x))) for goal in pair)
            codes = np.stack([np.asarray(goal.encode(), np.uint8) for goal in pair])
        assert len(set(_xland.same_goals(codes))) == 1


def test_files_of_rulesets_are_read_but_run_nothing(made, tmp_path, monkeypatch):
    tasks = made.test.take(jnp.arange(40))
    arrays = {
        "goals": tasks.goal,
        "rules": tasks.rules,
        "init_tiles": tasks.init_tiles,
        "num_rules": jnp.zeros((40, 1)),
    }
    xminigrid.benchmarks.save_bz2_pickle(arrays | {"generation_config": {"seed": 1}}, str(tmp_path / "trivial_21k"))
    monkeypatch.setenv("XLAND_MINIGRID_DATA", str(tmp_path))
    for name in ("trivial-21k", str(tmp_path / "trivial_21k")):
        found = bridges.xland(rulesets=name, max_steps=NUM_STEPS)
        assert found.train.num_tasks + found.test.num_tasks == 40
    rows = {tuple(np.asarray(goal)) for part in found[1:] for goal in part.tasks.goal}
    assert rows == {tuple(np.asarray(goal)) for goal in tasks.goal}
    with pytest.raises(ValueError, match=r"there is no file .*medium_1m_v3.*ruleset_generator.py"):
        bridges.xland(rulesets="medium-1m")
    with bz2.open(tmp_path / "bad", "wb") as file:
        pickle.dump({"goals": partial(print, "run")}, file)
    with pytest.raises(ValueError, match=r"holds functools.partial; only arrays are read"):
        bridges.xland(rulesets=str(tmp_path / "bad"))
    with pytest.raises(ValueError, match=r"xland\(name='XLand-MiniGrid-R3-9x9'\): choose one of XLand-MiniGrid-R1-9x9"):
        bridges.xland("XLand-MiniGrid-R3-9x9")
