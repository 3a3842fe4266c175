import jax
import jax.numpy as jnp
import numpy as np
import pytest

from innerloop._check import check_env
from innerloop._task import sample_tasks
from innerloop.envs.pendulum import Pendulum, PendulumState, PendulumTask, pendulum_masses, standard_pendulum


def standard_task() -> PendulumTask:
    return standard_pendulum().sample(jax.random.key(0))


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_every_step_is_that_of_gymnasium(seed):
    gymnasium = pytest.importorskip("gymnasium")
    env, task, step = gymnasium.make("Pendulum-v1"), standard_task(), jax.jit(Pendulum().step)
    env.reset(seed=seed)
    angle, velocity = env.unwrapped.state
    state = PendulumState(jnp.float32(angle), jnp.float32(velocity), jnp.zeros((), jnp.int32))
    actions = np.asarray(jax.random.uniform(jax.random.key(seed), (200, 1), minval=-2.0, maxval=2.0))
    for number, action in enumerate(actions):
        obs, reward, terminated, truncated, _ = env.step(action)
        state, timestep = step(jax.random.key(0), task, state, jnp.asarray(action))
        np.testing.assert_allclose(timestep.obs, obs, atol=3e-4)
        assert float(timestep.reward) == pytest.approx(reward, abs=1e-3)
        assert bool(timestep.last) == (terminated or truncated) == (number == 199)
        assert float(timestep.discount) == 1.0 - terminated == 1.0


@pytest.mark.parametrize("constants", [(10.0, 1.0, 1.0), (6.0, 0.6, 1.3)])
def test_one_step_from_anywhere_is_that_of_gymnasium(constants):
    gymnasium = pytest.importorskip("gymnasium")
    env, step = gymnasium.make("Pendulum-v1").unwrapped, jax.jit(Pendulum().step)
    env.g, env.m, env.l = constants
    task = PendulumTask(*map(jnp.float32, constants))
    numbers = np.asarray(jax.random.uniform(jax.random.key(0), (300, 3), minval=-1.0)) * np.float32([10.0, 9.0, 3.0])
    clipped = 0
    for angle, velocity, torque in numbers:
        env.state = np.asarray([angle, velocity], np.float64)
        obs, reward, _, _, _ = env.step(np.asarray([torque]))
        state = PendulumState(jnp.asarray(angle), jnp.asarray(velocity), jnp.zeros((), jnp.int32))
        _, timestep = step(jax.random.key(0), task, state, jnp.asarray([torque]))
        np.testing.assert_allclose(timestep.obs, obs, rtol=1e-5, atol=1e-5)
        assert float(timestep.reward) == pytest.approx(reward, rel=1e-5, abs=1e-5)
        clipped += abs(obs[2]) == 8.0
    assert 10 < clipped < 150


def test_starts_are_uniform_and_time_runs_out_without_termination():
    env, task = Pendulum(max_steps=2), standard_task()
    starts, timesteps = jax.vmap(lambda key: env.reset(key, task))(jax.random.split(jax.random.key(0), 2000))
    for values, limit in ((starts.angle, np.pi), (starts.velocity, 1.0)):
        scaled = np.asarray(values) / limit
        assert np.abs(scaled).max() <= 1.0
        assert np.abs(scaled.mean()) < 0.04
        assert np.abs(scaled.std() - 1 / np.sqrt(3)) < 0.02
    assert np.abs(np.corrcoef(starts.angle, starts.velocity)[0, 1]) < 0.1
    expected = [np.cos(starts.angle), np.sin(starts.angle), starts.velocity]
    np.testing.assert_allclose(timesteps.obs, np.stack(expected, axis=1), atol=1e-6)
    state, _ = env.reset(jax.random.key(0), task)
    state, first = env.step(jax.random.key(0), task, state, jnp.ones((1,)))
    _, second = env.step(jax.random.key(0), task, state, jnp.ones((1,)))
    assert not bool(first.last)
    assert (bool(second.last), float(second.discount)) == (True, 1.0)


def test_masses_stay_in_their_range_and_the_rest_is_standard():
    tasks = sample_tasks(pendulum_masses(), jax.random.key(0), 2000)
    masses = np.asarray(tasks.mass)
    assert 0.5 <= masses.min() < 0.51
    assert 1.99 < masses.max() <= 2.0
    assert abs(masses.mean() - 1.25) < 0.03
    assert (np.asarray(tasks.gravity) == 10.0).all()
    assert (np.asarray(tasks.length) == 1.0).all()


def test_the_contract_is_kept_and_masses_matter():
    assert check_env(Pendulum(max_steps=40), pendulum_masses()).obs_differs
    report = check_env(Pendulum(max_steps=40), standard_pendulum(), num_tasks=1)
    assert (report.num_terminated, report.num_truncated, report.longest_episode) == (0, 8, 40)


def test_wrong_arguments_are_named():
    with pytest.raises(ValueError, match="low=2"):
        pendulum_masses(2.0, 1.0)
    with pytest.raises(ValueError, match="low=0"):
        pendulum_masses(low=0.0)
    with pytest.raises(ValueError, match="max_steps=0"):
        Pendulum(max_steps=0)
