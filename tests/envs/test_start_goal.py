import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from innerloop._rollout import trial
from innerloop._task import sample_tasks
from innerloop.envs import start_goal
from innerloop.envs.start_goal import Mazes, StartGoalGrid, StartGoalTask, distance_map, placements
from innerloop.envs.wrappers import RevealTask
from innerloop.references.generic import Random
from innerloop.references.start_goal import ShortestPath


def flood(walls, goal, size):
    """Distances to `goal` by a plain breadth-first search."""
    distance = {goal: 0}
    queue = [goal]
    for cell in queue:
        x, y = cell % size, cell // size
        for nx, ny in ((x, y + 1), (x + 1, y), (x, y - 1), (x - 1, y)):
            other = nx + size * ny
            if 0 <= nx < size and 0 <= ny < size and not walls[other] and other not in distance:
                distance[other] = distance[cell] + 1
                queue.append(other)
    return np.array([distance.get(cell, size * size) for cell in range(size * size)])


def small_maze():
    """. # G
    . # .
    S . .   (y grows upward)"""
    walls = jnp.zeros(9, bool).at[jnp.array([4, 7])].set(True)
    goal = jnp.arange(9) == 8
    return StartGoalTask(jnp.asarray(0, jnp.int32), jnp.asarray(8, jnp.int32), walls, distance_map(goal, walls, 3))


def play(env, task, actions):
    state, timestep = env.reset(jax.random.key(0), task)
    step = jax.jit(env.step)
    steps = []
    for action in actions:
        state, timestep = step(jax.random.key(0), task, state, jnp.asarray(action, jnp.int32))
        cell = int(env.locate(timestep.obs))
        steps.append((cell, round(float(timestep.reward), 6), bool(timestep.last), float(timestep.discount)))
    return steps, timestep


@pytest.mark.parametrize("show_walls", [False, True])
@pytest.mark.parametrize("obs", ["cell", "pixels"])
def test_walls_block_and_the_goal_terminates(obs, show_walls):
    env = StartGoalGrid(3, show_walls=show_walls, obs=obs)
    steps, timestep = play(env, small_maze(), [3, 1, 0, 1, 0, 0])
    assert steps == [
        (0, -0.1, False, 1.0),
        (1, -0.1, False, 1.0),
        (1, -0.1, False, 1.0),
        (2, -0.1, False, 1.0),
        (5, -0.1, False, 1.0),
        (8, 1.0, True, 0.0),
    ]
    assert timestep.obs.shape == env.spec.obs.shape


def test_time_truncates_but_not_at_the_goal():
    late, _ = play(StartGoalGrid(3, max_steps=3), small_maze(), [0, 0, 0])
    assert late[-1] == (6, -0.1, True, 1.0)
    in_time, _ = play(StartGoalGrid(3, max_steps=4), small_maze(), [1, 1, 0, 0])
    assert in_time[-1] == (8, 1.0, True, 0.0)


def test_observations_show_the_walls_but_never_the_goal():
    task = small_maze()
    _, timestep = StartGoalGrid(3, show_walls=True).reset(jax.random.key(0), task)
    np.testing.assert_array_equal(timestep.obs, [1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 1])
    _, timestep = play(StartGoalGrid(3, show_walls=True), task, [1])
    np.testing.assert_array_equal(timestep.obs[-4:], [1, 0, 1, 0])
    _, timestep = StartGoalGrid(3, show_walls=True, obs="pixels").reset(jax.random.key(0), task)
    np.testing.assert_array_equal(timestep.obs[:, :, 1].reshape(-1), task.walls)
    moved = task._replace(goal=jnp.asarray(5, jnp.int32))
    for obs in ("cell", "pixels"):
        env = StartGoalGrid(3, show_walls=True, obs=obs)
        np.testing.assert_array_equal(
            env.reset(jax.random.key(0), task)[1].obs, env.reset(jax.random.key(0), moved)[1].obs
        )


def test_placements_are_all_pairs_and_splits_are_disjoint():
    tasks = placements(4)
    pairs = set(zip(np.asarray(tasks.tasks.start).tolist(), np.asarray(tasks.tasks.goal).tolist(), strict=True))
    assert len(pairs) == tasks.num_tasks == 16 * 15
    for i in range(0, 240, 37):
        np.testing.assert_array_equal(tasks.tasks.distance[i], flood(np.zeros(16, bool), int(tasks.tasks.goal[i]), 4))
    train, test = (
        set(zip(part.tasks.start.tolist(), part.tasks.goal.tolist(), strict=True))
        for part in tasks.split(0.8, key=jax.random.key(0))
    )
    assert train.isdisjoint(test)
    assert train | test == pairs


@pytest.mark.parametrize("num_loops", [0, 3])
def test_mazes_are_connected_and_distances_are_right(num_loops):
    size = 7
    tasks = jax.tree.map(
        np.asarray, eqx.filter_jit(sample_tasks)(Mazes(size, num_loops=num_loops), jax.random.key(0), 100)
    )
    for task in zip(*tasks, strict=True):
        start, goal, walls, distance = task
        assert start != goal
        assert not walls[start]
        assert not walls[goal]
        assert walls.sum() == 18 - num_loops  # 16 rooms and a tree's 15 doors are free, of 49 cells
        expected = flood(walls, int(goal), size)
        np.testing.assert_array_equal(distance, expected)
        assert (expected[~walls] < size * size).all()
    assert len(np.unique(tasks.walls, axis=0)) > 95
    assert len(np.unique(tasks.start)) > 20


def test_maze_parts_share_no_layout_and_cover_all():
    train, test, both = (
        {
            walls.tobytes()
            for walls in np.asarray(eqx.filter_jit(sample_tasks)(Mazes(5, part), jax.random.key(i), 3000).walls)
        }
        for i, part in enumerate(("train", "test", "all"))
    )
    assert train.isdisjoint(test)
    assert train | test == both  # 3 x 3 rooms have only 192 spanning trees
    assert len(both) == 192
    assert 0.1 < len(test) / len(both) < 0.3


def test_metrics_of_the_shortest_path_and_of_a_random_walk():
    env, tasks = StartGoalGrid(4), placements(4)
    task = tasks.take(jnp.asarray(100))
    trials = eqx.filter_jit(trial)(jax.random.key(0), RevealTask(env, task), ShortestPath(env), task, 3)
    shortest = float(start_goal.shortest_path(trials))
    assert shortest == abs(int(task.start) % 4 - int(task.goal) % 4) + abs(int(task.start) // 4 - int(task.goal) // 4)
    np.testing.assert_array_equal(start_goal.steps_per_episode(trials), [shortest] * 3)
    assert float(start_goal.last_over_shortest(trials)) == 1.0
    assert float(start_goal.success_last(trials)) == 1.0

    short = StartGoalGrid(4, max_steps=2)
    far = StartGoalTask(jnp.asarray(0, jnp.int32), jnp.asarray(15, jnp.int32), *task[2:])
    trials = eqx.filter_jit(trial)(jax.random.key(0), short, Random(short.spec), far, 2)
    np.testing.assert_array_equal(start_goal.steps_per_episode(trials), [2.0, 2.0])
    assert float(start_goal.success_last(trials)) == 0.0
    assert float(start_goal.first_episode_steps(trials)) == float(start_goal.second_episode_steps(trials)) == 2.0
    assert float(start_goal.last_episode_steps(trials)) == 2.0


def test_bad_arguments_are_named():
    with pytest.raises(ValueError, match="size=1"):
        StartGoalGrid(1)
    with pytest.raises(ValueError, match="size=6"):
        Mazes(6)
    with pytest.raises(ValueError, match="num_loops=10"):
        Mazes(7, num_loops=10)
