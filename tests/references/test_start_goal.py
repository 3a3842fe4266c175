import jax
import numpy as np
import pytest

from innerloop._collect import JaxCollector
from innerloop.envs.start_goal import Mazes, StartGoalGrid, placements, shortest_path, steps_per_episode
from innerloop.envs.wrappers import RevealTask
from innerloop.references.start_goal import Explorer, ShortestPath
from marks import rarely


def steps(env, tasks, agent, num_tasks=300):
    """Steps by [task episode], and the shortest path of each task."""
    collector = JaxCollector(env, tasks, num_tasks, 3)

    def play(key):
        trials, _ = collector.collect(key, agent, collector.init(key, agent))
        return jax.vmap(steps_per_episode)(trials), jax.vmap(shortest_path)(trials)

    return jax.tree.map(np.asarray, jax.jit(play)(jax.random.key(0)))


@pytest.mark.parametrize("obs", ["cell", "pixels"])
def test_who_knows_the_maze_takes_the_shortest_path(obs):
    env, tasks = StartGoalGrid(7, show_walls=True, obs=obs), Mazes(7, "test", 2)
    counts, shortest = steps(RevealTask(env, tasks.sample(jax.random.key(0))), tasks, ShortestPath(env), 50)
    np.testing.assert_array_equal(counts, np.repeat(shortest[:, None], 3, axis=1))


def test_explorer_searches_an_open_grid_once():
    counts, shortest = steps(StartGoalGrid(5), placements(5), Explorer(StartGoalGrid(5)))
    np.testing.assert_array_equal(counts[:, 1:], np.repeat(shortest[:, None], 2, axis=1))
    assert 2 * shortest.mean() < counts[:, 0].mean() < 16  # a tour without any repetition takes 12 on average
    assert counts[:, 0].max() < 50


@pytest.mark.parametrize("show_walls", rarely((True, False), False))
def test_explorer_learns_a_maze(show_walls):
    env = StartGoalGrid(7, show_walls=show_walls)
    counts, shortest = steps(env, Mazes(7), Explorer(env))
    assert counts[:, 0].max() < 98
    assert counts[:, 1].mean() < 0.6 * counts[:, 0].mean()
    assert counts[:, 2].mean() < 1.25 * shortest.mean()


def test_explorer_refuses_images():
    with pytest.raises(ValueError, match="obs='pixels'"):
        Explorer(StartGoalGrid(5, obs="pixels"))
