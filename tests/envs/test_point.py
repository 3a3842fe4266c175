import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from innerloop._collect import JaxCollector
from innerloop._task import sample_tasks
from innerloop._types import Transition
from innerloop.benchmarks import benchmark
from innerloop.envs.point import PointGoal, PointTask, minus_distance, semicircle_goals, square_goals
from innerloop.envs.wrappers import RevealTask
from innerloop.references.point import GoToGoal, best_returns


@pytest.mark.parametrize("show_distance", [False, True])
def test_steps_follow_an_independent_loop(show_distance):
    env = PointGoal(max_steps=120, show_distance=show_distance)
    goal = np.asarray([1.5, -0.4], np.float32)
    task, step = PointTask(jnp.asarray(goal)), jax.jit(env.step)
    actions = np.asarray(0.15 * jax.random.normal(jax.random.key(0), (120, 2))) + np.asarray([0.09, -0.01], np.float32)
    state, timestep = env.reset(jax.random.key(0), task)
    position = np.zeros(2, np.float32)
    for number in range(120):
        expected = [*position, np.linalg.norm(position - goal)] if show_distance else position
        np.testing.assert_allclose(timestep.obs, expected, atol=1e-4)
        state, timestep = step(jax.random.key(number), task, state, jnp.asarray(actions[number]))
        position = np.clip(position + np.clip(actions[number], -0.1, 0.1), -5, 5)
        assert float(timestep.reward) == pytest.approx(-np.linalg.norm(position - goal), abs=1e-4)
        assert float(timestep.discount) == 1.0
        assert bool(timestep.last) == (number == 119)
    assert position[0] == 5.0


@pytest.mark.parametrize(("radius", "peak"), [(0.2, 1.0), (0.8, 2.0)])
def test_a_sparse_reward_is_paid_within_the_radius_only(radius, peak):
    env, goal = PointGoal(40, radius=radius, peak=peak), np.array([1.2, 1.6])
    task, step = PointTask(jnp.asarray(goal, jnp.float32)), jax.jit(env.step)
    state, _ = env.reset(jax.random.key(0), task)
    position, rewards = np.zeros(2), []
    for number in range(40):
        state, timestep = step(jax.random.key(0), task, state, jnp.array([0.06, 0.08]))
        position = position + np.array([0.06, 0.08])
        away = np.linalg.norm(position - goal)
        if abs(away - radius) > 1e-3:  # where rounding does not decide
            assert float(timestep.reward) == pytest.approx(peak - away if away < radius else 0.0, abs=1e-4)
        rewards.append(float(timestep.reward))
        assert bool(timestep.last) == (number == 39)
    assert max(rewards) == pytest.approx(peak, abs=1e-4)
    assert rewards[0] == rewards[-1] == 0.0


def test_half_circle_oracle_earns_what_is_known_and_knows_when_it_is_paid():
    row = benchmark("half-circle")
    env, goals = RevealTask(row.env, row.test.take(jnp.asarray(0))), row.test.tasks
    collector = JaxCollector(env, row.test, 100, row.num_episodes // 20, 20)
    trials = eqx.filter_jit(collector.play)(jax.random.key(0), GoToGoal(20), goals)
    returns = np.asarray(trials.returns())
    np.testing.assert_allclose(returns[:, -1, -1], best_returns(row.env, np.asarray(goals.goal)), atol=1e-3)
    assert returns[:, -1].mean() == pytest.approx(row.known["adapt_3"]["oracle"], abs=1e-3)
    assert float(row.metrics["goal_reached"](jax.tree.map(lambda leaf: leaf[0], trials))) == 1.0
    unpaid = trials.transitions.next_timestep.reward[0].at[-1, 5:].set(0.0)  # but for 5 episodes of the last round
    one = jax.tree.map(lambda leaf: leaf[0], trials)
    timestep = one.transitions.next_timestep._replace(reward=unpaid)
    one = one._replace(transitions=one.transitions._replace(next_timestep=timestep))
    assert float(row.metrics["goal_reached"](one)) == 0.25


def test_half_circle_holds_out_as_many_goals_as_it_trains_on():
    row = benchmark("half-circle")
    parts = [np.asarray(part.tasks.goal) for part in (row.train, row.test)]
    assert [len(part) for part in parts] == [100, 100]
    assert np.abs(parts[0][:, None] - parts[1][None]).max(axis=2).min() > 1e-3
    for part in parts:
        np.testing.assert_allclose(np.linalg.norm(part, axis=1), 2.0, atol=1e-5)
    assert row.shaped is minus_distance


def test_knowing_the_goal_is_worth_the_straight_walk():
    tasks = sample_tasks(square_goals(), jax.random.key(0), 32)
    env = RevealTask(PointGoal(), jax.tree.map(lambda leaf: leaf[0], tasks))
    trials = eqx.filter_jit(JaxCollector(env, square_goals(), 32, 1).play)(jax.random.key(0), GoToGoal(), tasks)
    returns = np.sum(trials.transitions.next_timestep.reward, axis=(1, 2, 3))
    distance = np.abs(np.asarray(tasks.goal))[:, :, None] - 0.1 * np.arange(1, 101)
    expected = -np.linalg.norm(np.maximum(distance, 0.0), axis=1).sum(axis=1)
    np.testing.assert_allclose(returns, expected, atol=1e-2)


def test_goals_lie_where_they_should():
    goals = np.asarray(sample_tasks(square_goals(), jax.random.key(0), 2000).goal)
    assert np.abs(goals).max() < 2
    assert np.abs(goals.mean(axis=0)).max() < 0.15
    assert np.abs(goals.std(axis=0) - 2 / np.sqrt(3)).max() < 0.05
    np.testing.assert_allclose(np.linalg.norm(semicircle_goals().tasks.goal, axis=1), 1.0, atol=1e-5)
    assert (np.asarray(semicircle_goals().tasks.goal)[:, 1] >= 0).all()


def test_each_part_of_a_split_covers_the_half_circle_and_none_is_in_two():
    train, test = semicircle_goals(100).split(0.8)
    angles = [np.sort(np.arctan2(part.tasks.goal[:, 1], part.tasks.goal[:, 0])) for part in (train, test)]
    assert [len(part) for part in angles] == [80, 20]
    for part in angles:
        gaps = np.diff([0.0, *part, np.pi])
        assert gaps.max() < 2.7 * np.pi / len(part)
    assert np.abs(angles[0][:, None] - angles[1][None]).min() > 1e-3


def test_wrong_arguments_are_named():
    for arguments, told in (({"peak": 2.0}, r"peak=2\.0"), ({"radius": 0.0}, "radius=0"), ({"start": 9.0}, "start=9")):
        with pytest.raises(ValueError, match=told):
            PointGoal(**arguments)
    with pytest.raises(ValueError, match="half_width=0"):
        square_goals(0.0)
    with pytest.raises(ValueError, match="num_goals=0"):
        semicircle_goals(0)


def test_a_task_is_found_again_among_its_siblings():
    goals = semicircle_goals(7)
    indices = jnp.arange(7)
    np.testing.assert_array_equal(jax.vmap(goals.find)(goals.take(indices)), indices)


def test_near_a_sparse_goal_the_reward_is_what_is_left_of_the_distance():
    env, task = PointGoal(20, radius=0.2), PointTask(jnp.asarray([0.3, 0.0]))
    state, timestep = env.reset(jax.random.key(0), task)
    np.testing.assert_array_equal(timestep.obs, 0.0)
    rewards = []
    for _ in range(3):
        state, timestep = env.step(jax.random.key(0), task, state, jnp.asarray([0.06, 0.0]))
        rewards.append(float(timestep.reward))
    np.testing.assert_allclose(rewards, [0.0, 0.82, 0.88], atol=1e-5)
    dense = [float(minus_distance(task, Transition(timestep, jnp.zeros(2), timestep, jnp.ones((), bool), None)))]
    np.testing.assert_allclose(dense, [-0.12], atol=1e-5)


def test_who_is_told_a_goal_on_the_half_circle_earns_13_36():
    """Known from straight walks: 13.36 an episode of the sparse point robot."""
    row = benchmark("sparse-point")
    tasks = sample_tasks(row.test, jax.random.key(0), 200)
    env = RevealTask(row.env, jax.tree.map(lambda leaf: leaf[0], tasks))
    trials = eqx.filter_jit(JaxCollector(env, row.test, 200, 1).play)(jax.random.key(0), GoToGoal(), tasks)
    assert float(trials.returns().mean()) == pytest.approx(13.36, abs=0.15)


def test_starts_are_spread_where_told():
    env = PointGoal(20, start=1.0)
    task = PointTask(jnp.zeros(2))
    starts = jax.vmap(lambda key: env.reset(key, task)[1].obs)(jax.random.split(jax.random.key(0), 500))
    assert float(jnp.abs(starts).max()) <= 1.0
    np.testing.assert_allclose(starts.std(axis=0), 3**-0.5, atol=0.05)
