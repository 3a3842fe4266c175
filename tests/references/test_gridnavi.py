import jax
import jax.numpy as jnp
import numpy as np
import pytest

from innerloop._collect import JaxCollector
from innerloop._task import Finite
from innerloop.envs.gridnavi import MOVES, GridNavi, gridnavi_goals
from innerloop.envs.wrappers import RevealTask
from innerloop.references.generic import Random
from innerloop.references.gridnavi import (
    Oracle,
    PosteriorSampling,
    Reader,
    bayes_optimal,
    optimal_search,
    search_returns,
)


def dynamic_program(env, goals, num_episodes):
    """The optimal value by backward induction over (cell, set of goals left), independent of the search."""
    size, steps = env.size, env.spec.max_steps
    cells = [(x, y) for x in range(size) for y in range(size)]
    subsets = np.arange(2 ** len(goals))
    num_left = np.array([int(subset).bit_count() for subset in subsets])
    known = [sum(1.0 if t >= sum(goal) else -0.1 for t in range(1, steps + 1)) for goal in goals]
    value = np.zeros((len(cells), len(subsets)))
    for episode in reversed(range(num_episodes)):
        value = np.tile(value[0], (len(cells), 1))  # every episode starts in cell 0
        for time in reversed(range(steps)):
            best = np.full(value.shape, -np.inf)
            for i, (x, y) in enumerate(cells):
                for dx, dy in MOVES:
                    end = (min(max(x + dx, 0), size - 1), min(max(y + dy, 0), size - 1))
                    left, q = subsets, 0.0
                    if end in goals:
                        bit = 1 << goals.index(end)
                        left = subsets & ~bit
                        later = (num_episodes - 1 - episode) * known[goals.index(end)]
                        q = ((subsets & bit) > 0) * (steps - time + later)
                    best[i] = np.maximum(best[i], q - 0.1 * num_left[left] + value[cells.index(end)][left])
            value = best
    return value[0, -1] / len(goals)


@pytest.mark.parametrize(("num_episodes", "value"), [(1, 4.0), (2, 15.071), (3, 26.143), (4, 37.214)])
def test_the_published_grid_has_the_known_optimum(num_episodes, value):
    env, goals = GridNavi(), gridnavi_goals()
    returns = search_returns(env, goals, optimal_search(env, goals, num_episodes))
    np.testing.assert_allclose(sum(returns), value, atol=5e-4)
    np.testing.assert_allclose(returns, [4.0] + [11.0714] * (num_episodes - 1), atol=1e-4)


@pytest.mark.parametrize("seed", [1, 3, 5, 11])
@pytest.mark.parametrize(("steps", "num_episodes"), [(6, 3), (8, 2)])
def test_the_search_agrees_with_dynamic_programming_where_one_episode_is_not_enough(seed, steps, num_episodes):
    chosen = np.random.Generator(np.random.PCG64(seed)).choice(21, 8, replace=False)
    goals = gridnavi_goals().take(jnp.asarray(chosen))
    env, cells = GridNavi(5, steps), [tuple(goal) for goal in goals.goal.tolist()]
    returns = search_returns(env, Finite(goals), optimal_search(env, Finite(goals), num_episodes))
    np.testing.assert_allclose(sum(returns), dynamic_program(env, cells, num_episodes), rtol=1e-6)


def test_a_search_that_is_too_large_says_so():
    with pytest.raises(ValueError, match="max_nodes=5"):
        optimal_search(GridNavi(), gridnavi_goals(), 4, max_nodes=5)


def score(env, agent, num_tasks=4000):
    """Mean return of four episodes and the standard errors."""
    collector = JaxCollector(env, gridnavi_goals(), num_tasks, 4)
    key = jax.random.key(0)
    play = jax.jit(lambda key: collector.collect(key, agent, collector.init(key, agent))[0].transitions)
    returns = np.asarray(play(key).next_timestep.reward).sum(axis=(2, 3))
    return returns.mean(axis=0), returns.std(axis=0) / np.sqrt(num_tasks)


XY, CELL = GridNavi(), GridNavi(obs="cell")


@pytest.mark.parametrize(
    ("name", "env", "expected"),
    [
        ("random", XY, [-1.16] * 4),
        ("posterior_sampling", XY, [0.45, 2.23, 3.77, 5.16]),
        ("bayes_optimal", CELL, [4.0, 11.0714, 11.0714, 11.0714]),
        ("oracle", CELL, [11.0714] * 4),
        ("oracle", XY, [11.0714] * 4),
        ("oracle", GridNavi(dense_reward=True), [9.5333] * 4),
        ("reader", GridNavi(shows_goal=True), [11.0714] * 4),
    ],
)
def test_agents_score_what_is_known(name, env, expected):
    goals = gridnavi_goals()
    agents = {
        "random": lambda: Random(env.spec),
        "posterior_sampling": lambda: PosteriorSampling(env, goals.tasks.goal),
        "bayes_optimal": lambda: bayes_optimal(env, goals, 4),
        "oracle": lambda: Oracle(env),
        "reader": lambda: Reader(env),
    }
    played = RevealTask(env, goals.take(jnp.asarray(0))) if name == "oracle" else env
    mean, error = score(played, agents[name]())
    np.testing.assert_array_less(np.abs(mean - np.array(expected)), 4.5 * error + 0.01)
