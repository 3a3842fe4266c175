import jax
import numpy as np
import pytest

from innerloop._task_api import TaskEnv
from innerloop.envs.bandits import BernoulliBandit, uniform_bandits
from innerloop.envs.cartpole import CartPole, standard_cartpole
from innerloop.envs.point import PointGoal, semicircle_goals, square_goals


def rollout(env: TaskEnv, seed: int) -> list[float]:
    env.reset(seed)
    rewards = []
    while True:
        _, reward, terminated, truncated, _ = env.step(np.asarray([0.05, 0.02]))
        rewards.append(reward)
        if terminated or truncated:
            return rewards


def test_reset_never_changes_the_task():
    env = TaskEnv(PointGoal(max_steps=5), square_goals())
    before = env.get_task()
    for seed in (None, 0, 7):
        env.reset(seed)
        env.step(np.zeros(2))
        np.testing.assert_array_equal(env.get_task().goal, before.goal)
    env.sample_tasks(3)
    np.testing.assert_array_equal(env.get_task().goal, before.goal)


def test_set_task_decides_the_rewards_and_can_be_repeated():
    env = TaskEnv(PointGoal(max_steps=5), square_goals())
    first, second = env.sample_tasks(2)
    env.set_task(first)
    expected = rollout(env, 0)
    env.set_task(second)
    assert rollout(env, 0) != expected
    env.set_task(first)
    assert rollout(env, 0) == expected
    np.testing.assert_array_equal(env.get_task().goal, first.goal)
    position = 0.05 * np.arange(1, 6)[:, None] * np.asarray([1.0, 0.4])
    np.testing.assert_allclose(expected, -np.linalg.norm(position - first.goal, axis=1), atol=1e-5)


def test_tasks_are_copies():
    env = TaskEnv(PointGoal(), square_goals())
    task = env.sample_tasks(1)[0]
    env.set_task(task)
    kept = env.get_task().goal.copy()
    task.goal[:] = 100.0
    env.get_task().goal[:] = 100.0
    np.testing.assert_array_equal(env.get_task().goal, kept)


def test_step_returns_what_gymnasium_programs_expect():
    env = TaskEnv(CartPole(max_steps=3), standard_cartpole(), seed=1)
    obs, info = env.reset()
    assert isinstance(obs, np.ndarray)
    assert obs.shape == env.observation_space.shape == (4,)
    assert obs.dtype == env.observation_space.dtype
    assert info == {}
    assert env.action_space.num_values == 2
    kinds = []
    for action in (0, 1, np.int64(0)):
        obs, reward, terminated, truncated, info = env.step(action)
        kinds.append((type(reward), terminated, truncated))
    assert kinds == [(float, False, False), (float, False, False), (float, False, True)]
    bandit = TaskEnv(BernoulliBandit(3), uniform_bandits(3))
    bandit.reset()
    assert bandit.step(2)[2:4] == (True, False)


def test_seeds_make_episodes_and_tasks_repeatable():
    one, two = (TaskEnv(CartPole(), standard_cartpole(), seed=3) for _ in range(2))
    np.testing.assert_array_equal(one.reset()[0], two.reset()[0])
    assert (one.reset()[0] != one.reset()[0]).any()
    np.testing.assert_array_equal(one.reset(seed=5)[0], one.reset(seed=5)[0])
    other = TaskEnv(PointGoal(), square_goals(), seed=4)
    assert (other.get_task().goal != TaskEnv(PointGoal(), square_goals(), seed=5).get_task().goal).any()


def test_nothing_is_compiled_again_for_another_task():
    env = TaskEnv(PointGoal(), semicircle_goals())
    env.reset()
    env.step(np.zeros(2))
    with jax.log_compiles(False):
        sizes = env._step._cached._cache_size(), env._reset._cached._cache_size()
        for task in env.sample_tasks(3):
            env.set_task(task)
            env.reset()
            env.step(np.zeros(2))
            env.step([0.1, 0.0])
        assert (env._step._cached._cache_size(), env._reset._cached._cache_size()) == sizes


@pytest.mark.parametrize(
    ("action", "reason"), [(2, "below 2"), (-1, "at least 0"), (0.5, "dtype float64"), ([0], r"shape \(1,\)")]
)
def test_wrong_actions_are_named(action, reason):
    env = TaskEnv(CartPole(), standard_cartpole())
    env.reset()
    with pytest.raises(ValueError, match=reason):
        env.step(action)


def test_a_step_needs_a_running_episode():
    env = TaskEnv(BernoulliBandit(2), uniform_bandits(2))
    with pytest.raises(ValueError, match=r"call reset\(\)"):
        env.step(0)
    env.reset()
    env.step(0)
    with pytest.raises(ValueError, match=r"call reset\(\)"):
        env.step(0)
    env.reset()
    env.set_task(env.sample_tasks(1)[0])
    with pytest.raises(ValueError, match=r"call reset\(\)"):
        env.step(0)


def test_wrong_tasks_are_named():
    env = TaskEnv(PointGoal(), square_goals())
    with pytest.raises(ValueError, match="built like"):
        env.set_task(np.zeros(2))
    with pytest.raises(ValueError, match=r"shape \(3,\)"):
        env.set_task(env.get_task()._replace(goal=np.zeros(3)))
    with pytest.raises(ValueError, match="num_tasks=0"):
        env.sample_tasks(0)
