import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from innerloop._task import sample_tasks
from innerloop.envs.tabular import TabularMDP, TabularState, TabularTask, random_mdps, random_walk_env, random_walks


def step_often(env, task, state, action, num=40_000):
    """`num` independent steps from one state."""
    keys = jax.random.split(jax.random.key(1), num)
    env_state = TabularState(jnp.asarray(state, jnp.int32), jnp.zeros((), jnp.int32))
    step = jax.jit(jax.vmap(lambda key: env.step(key, task, env_state, jnp.asarray(action, jnp.int32))))
    _, timestep = step(keys)
    return jax.tree.map(np.asarray, timestep)


@pytest.mark.parametrize(("state", "action"), [(0, 0), (3, 1)])
def test_next_states_and_rewards_follow_the_task(state, action):
    rng = np.random.Generator(np.random.PCG64(0))
    transitions = rng.dirichlet(np.ones(4), (4, 2)).astype(np.float32)
    mean_reward = rng.normal(1, 1, (4, 2)).astype(np.float32)
    env = TabularMDP(4, 2, reward_std=0.5)
    task = TabularTask(jnp.asarray(mean_reward), jnp.cumsum(jnp.asarray(transitions), axis=-1))
    timestep = step_often(env, task, state, action)
    p = transitions[state, action]
    frequency = np.bincount(timestep.obs, minlength=4) / len(timestep.obs)
    np.testing.assert_array_less(np.abs(frequency - p), 4.5 * np.sqrt(p * (1 - p) / len(timestep.obs)) + 1e-6)
    noise = (timestep.reward - mean_reward[state, action]) / 0.5
    assert abs(noise.mean()) < 4.5 / np.sqrt(len(noise))
    assert abs(noise.var() - 1) < 4.5 * np.sqrt(2 / len(noise))
    assert abs(np.mean(noise**4) - 3) < 4.5 * np.sqrt(96 / len(noise))
    assert abs(np.corrcoef(noise, timestep.obs)[0, 1]) < 4.5 / np.sqrt(len(noise))


def test_random_mdps_follow_their_prior():
    tasks = eqx.filter_jit(sample_tasks)(random_mdps(10, 5), jax.random.key(0), 400)
    mean_reward = np.asarray(tasks.mean_reward)
    transitions = np.diff(np.asarray(tasks.cumulative), axis=-1, prepend=0)
    assert mean_reward.shape == (400, 10, 5)
    assert abs(mean_reward.mean() - 1) < 4.5 / np.sqrt(mean_reward.size)
    assert abs(mean_reward.var() - 1) < 4.5 * np.sqrt(2 / mean_reward.size)
    assert transitions.min() >= 0
    np.testing.assert_allclose(transitions.sum(axis=-1), 1, atol=1e-6)
    # Each entry of a flat Dirichlet over 10 is Beta(1, 9): mean 1/10, variance 9/1100.
    np.testing.assert_allclose(transitions.mean(axis=(0, 1, 2)), 0.1, atol=4.5 * np.sqrt(9 / 1100 / 20_000))
    np.testing.assert_allclose(transitions.var(axis=(0, 1, 2)), 9 / 1100, rtol=0.08)


def test_an_episode_is_cut_at_the_horizon_and_never_terminates():
    env = TabularMDP(3, 2, max_steps=4, start_state=2)
    task = random_mdps(3, 2).sample(jax.random.key(0))
    state, timestep = env.reset(jax.random.key(1), task)
    step = jax.jit(env.step)
    assert int(timestep.obs) == 2
    assert bool(timestep.first)
    ends = []
    for i in range(4):
        state, timestep = step(jax.random.key(i), task, state, jnp.asarray(i % 2, jnp.int32))
        ends.append((bool(timestep.last), float(timestep.discount)))
    assert ends == [(False, 1.0)] * 3 + [(True, 1.0)]


def test_random_walk_pays_at_the_end_it_reaches_and_stays_there():
    env, tasks = random_walk_env(5, max_steps=6), random_walks(5)
    task, step = jax.jit(tasks.sample)(jax.random.key(0)), jax.jit(env.step)
    left, right = float(task.mean_reward[0, 0]), float(task.mean_reward[4, 0])
    assert left != right
    for action, pay, path in [(0, left, [1, 0, 0, 0, 0, 0]), (1, right, [3, 4, 4, 4, 4, 4])]:
        state, timestep = env.reset(jax.random.key(1), task)
        assert int(timestep.obs) == 2
        obs, rewards = [], []
        for i in range(6):
            move = action if i < 4 else 1 - action  # once there, no way back
            state, timestep = step(jax.random.key(i), task, state, jnp.asarray(move, jnp.int32))
            obs.append(int(timestep.obs))
            rewards.append(float(timestep.reward))
        assert obs == path
        np.testing.assert_allclose(rewards, [0, 0, pay, pay, pay, pay])


def test_random_walk_slips():
    timestep = step_often(random_walk_env(5), random_walks(5, slip=0.25).sample(jax.random.key(0)), 2, 1)
    assert set(np.unique(timestep.obs)) == {1, 3}
    assert abs(np.mean(timestep.obs == 1) - 0.25) < 0.01


def test_bad_arguments_are_named():
    with pytest.raises(ValueError, match="start_state=3"):
        TabularMDP(3, 2, start_state=3)
    with pytest.raises(ValueError, match="reward_std"):
        TabularMDP(3, 2, reward_std=-1.0)
    with pytest.raises(ValueError, match="slip=1"):
        random_walks(slip=1.0)
