"""Navigation: rewards, endings and references as the papers have them."""

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from innerloop import JaxCollector, sample_tasks
from innerloop.benchmarks import benchmark
from innerloop.envs import (
    Corners,
    Navigation,
    NavigationTask,
    ScaleActions,
    corner_tasks,
    navigation_goals,
    navigation_worlds,
)
from innerloop.envs.wrappers import RevealTask
from innerloop.references.generic import Constant
from innerloop.references.point import Navigate

KEY = jax.random.key(0)


@eqx.filter_jit
def played(agent: Any, env: Any, tasks: Any, num_tasks: int, num_rounds: int, per_round: int = 1) -> Any:
    """Trials of an agent."""
    collector = JaxCollector(env, tasks, num_tasks, num_rounds, per_round)
    return collector.play(KEY, agent, sample_tasks(tasks, KEY, num_tasks))


def task(start: tuple[float, float], goal: tuple[float, float], gain: float = 1.0) -> NavigationTask:
    return NavigationTask(jnp.asarray(start), jnp.asarray(goal), jnp.asarray(gain))


def test_steps_are_clipped_scaled_and_rewarded_by_the_distance_after_them() -> None:
    env = Navigation()
    here = task((0.2, 0.0), (0.5, 0.4), gain=1.2)
    state, first = env.reset(KEY, here)
    np.testing.assert_allclose(first.obs, [0.2, 0.0])
    state, after = env.step(KEY, here, state, jnp.asarray([5.0, -0.5]))
    np.testing.assert_allclose(after.obs, [0.32, -0.06], rtol=1e-5)
    assert float(after.reward) == pytest.approx(-np.hypot(0.5 - 0.32, 0.4 + 0.06), rel=1e-5)


def test_it_terminates_near_the_goal_on_both_axes_and_is_cut_at_the_limit() -> None:
    env, here = Navigation(max_steps=3), task((0.0, 0.0), (0.1, 0.0))
    state, _ = env.reset(KEY, here)
    state, missed = env.step(KEY, here, state, jnp.asarray([1.0, 0.2]))
    assert not missed.last
    state, reached = env.step(KEY, here, state, jnp.asarray([0.0, -0.11]))
    assert reached.last
    assert reached.discount == 0
    never = Navigation(max_steps=1, tolerance=None)
    state, _ = never.reset(KEY, here)
    _, cut = never.step(KEY, here, state, jnp.asarray([1.0, 0.0]))
    assert cut.last
    assert cut.discount == 1


def test_standing_still_and_going_straight_have_their_known_returns() -> None:
    env, goals = Navigation(), navigation_goals()
    still = played(Constant(env.spec), env, goals, 4000, 1)
    told = RevealTask(env, goals.sample(KEY))
    straight = played(Navigate(), told, goals, 4000, 1)

    def mean_return(trials) -> float:
        steps = trials.transitions
        return float(jnp.where(steps.valid, steps.next_timestep.reward, 0.0).sum() / 4000)

    assert mean_return(still) == pytest.approx(-38.30, abs=0.6)
    assert mean_return(straight) == pytest.approx(-0.507, abs=0.02)


def test_worlds_differ_in_start_goal_and_gain() -> None:
    worlds = sample_tasks(navigation_worlds(), KEY, 1000)
    assert 0.8 <= worlds.gain.min() < 0.82 < 1.18 < worlds.gain.max() <= 1.2
    assert np.abs(worlds.start).max() <= 1
    assert np.abs(worlds.goal).max() <= 1
    assert np.std(worlds.start) > 0.5


def test_scaled_actions_reach_the_env_scaled() -> None:
    env, scaled = Corners(), ScaleActions(Corners(), 0.02)
    here = jax.tree.map(lambda x: x[0], corner_tasks().tasks)
    state, _ = env.reset(KEY, here)
    (_, a), (_, b) = (
        env.step(KEY, here, state, jnp.asarray([0.1, -0.02])),
        scaled.step(KEY, here, state, jnp.asarray([5.0, -1.0])),
    )
    np.testing.assert_allclose(a.obs, b.obs, rtol=1e-6)
    assert b.prev_action.tolist() == [5.0, -1.0]
    assert scaled.spec.action.high == float("inf"), "so that policies start with deviation 1"


def test_metrics_by_adaptation_are_means_of_rounds() -> None:
    row = benchmark("nav2d")
    returns = jnp.arange(80.0)
    trials = played(Constant(row.env.spec, 20), row.env, row.train, 2, 4, 20)
    one = jax.tree.map(lambda x: x[0], trials)
    steps = one.transitions
    reward = jnp.zeros(steps.valid.shape).at[..., 0].set(returns.reshape(4, 20))
    one = one._replace(transitions=steps._replace(next_timestep=steps.next_timestep._replace(reward=reward)))
    assert [float(row.metrics[f"adapt_{k}"](one)) for k in range(4)] == [9.5, 29.5, 49.5, 69.5]
    assert [float(row.metrics[f"gain_{k}"](one)) for k in (1, 2, 3)] == [20.0, 40.0, 60.0]


def test_bad_arguments_are_named() -> None:
    with pytest.raises(ValueError, match="tolerance=0"):
        Navigation(tolerance=0.0)
    with pytest.raises(ValueError, match="half_width=-1"):
        navigation_goals(-1.0)
    with pytest.raises(ValueError, match="low_gain=2"):
        navigation_worlds(2.0, 1.0)
    with pytest.raises(ValueError, match="factor=0"):
        ScaleActions(Corners(), 0.0)
