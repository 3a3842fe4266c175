from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from innerloop._check import check_env
from innerloop._task import sample_tasks
from innerloop.envs.acrobot import Acrobot, AcrobotState, AcrobotTask, standard_acrobot, varied_acrobots

OTHER = (0.9, 1.2, 1.1, 0.7, 1.3, 1.5, 7.0)


def standard_task() -> AcrobotTask:
    return standard_acrobot().sample(jax.random.key(0))


def set_constants(env: Any, task: AcrobotTask) -> None:
    """Gymnasium fixes gravity at 9.8; k times as strong is as k times as short, with inertia and torque / k²."""
    ratio = float(task.gravity) / 9.8
    env.LINK_LENGTH_1, env.LINK_COM_POS_1 = float(task.length_1) / ratio, float(task.length_1) / ratio / 2
    env.LINK_LENGTH_2, env.LINK_COM_POS_2 = float(task.length_2) / ratio, float(task.length_2) / ratio / 2
    env.LINK_MASS_1, env.LINK_MASS_2 = float(task.mass_1), float(task.mass_2)
    env.LINK_MOI = float(task.inertia) / ratio**2
    env.AVAIL_TORQUE = [sign * float(task.torque) / ratio**2 for sign in (-1.0, 0.0, 1.0)]


@pytest.mark.parametrize("seed", [0, 1])
def test_every_step_is_that_of_gymnasium(seed):
    gymnasium = pytest.importorskip("gymnasium")
    env, task, step = gymnasium.make("Acrobot-v1", max_episode_steps=200), standard_task(), jax.jit(Acrobot(200).step)
    env.reset(seed=seed)
    state = AcrobotState(jnp.asarray(env.unwrapped.state, jnp.float32), jnp.zeros((), jnp.int32))
    actions = np.asarray(jax.random.randint(jax.random.key(seed), (200,), 0, 3))
    for number, action in enumerate(actions):
        obs, reward, terminated, truncated, _ = env.step(action)
        state, timestep = step(jax.random.key(0), task, state, jnp.asarray(action))
        np.testing.assert_allclose(timestep.obs, obs, atol=1e-3)
        assert float(timestep.reward) == reward
        assert bool(timestep.last) == (terminated or truncated) == (number == 199)
        assert float(timestep.discount) == 1.0 - terminated


@pytest.mark.parametrize("constants", [None, OTHER])
def test_one_step_from_anywhere_is_that_of_gymnasium(constants):
    gymnasium = pytest.importorskip("gymnasium")
    env, step = gymnasium.make("Acrobot-v1").unwrapped, jax.jit(Acrobot().step)
    env.reset(seed=0)
    task = standard_task()
    if constants is not None:
        task = AcrobotTask(*map(jnp.float32, constants))
        set_constants(env, task)
    scale = np.float32([np.pi, np.pi, 4 * np.pi, 9 * np.pi])
    states = np.asarray(jax.random.uniform(jax.random.key(0), (300, 4), minval=-1.0)) * scale
    states[::2, 2:] /= 10
    ended = clipped = 0
    for number, physics in enumerate(states):
        env.state = physics.astype(np.float64)
        obs, reward, terminated, _, _ = env.step(number % 3)
        state = AcrobotState(jnp.asarray(physics), jnp.zeros((), jnp.int32))
        state, timestep = step(jax.random.key(0), task, state, jnp.asarray(number % 3))
        np.testing.assert_allclose(timestep.obs, obs, rtol=1e-4, atol=1e-3)
        assert np.abs(state.physics[:2]).max() < np.pi + 1e-5
        assert float(timestep.reward) == reward == (0.0 if terminated else -1.0)
        assert float(timestep.discount) == 1.0 - terminated
        assert bool(timestep.last) == terminated
        ended += terminated
        clipped += np.abs(obs[4]) > 12.56 or np.abs(obs[5]) > 28.27
    assert 30 < ended < 270
    assert 10 < clipped < 290


def test_an_episode_that_ends_on_its_last_step_terminates():
    env, task = Acrobot(max_steps=1), standard_task()
    up, down = jnp.asarray([3.1, 0.0, 0.0, 0.0]), jnp.zeros((4,))
    for physics, discount, reward in ((up, 0.0, 0.0), (down, 1.0, -1.0)):
        state = AcrobotState(physics, jnp.zeros((), jnp.int32))
        _, timestep = env.step(jax.random.key(0), task, state, jnp.asarray(1))
        assert (bool(timestep.last), float(timestep.discount), float(timestep.reward)) == (True, discount, reward)


def test_starts_are_uniform_and_time_runs_out_without_termination():
    env, task = Acrobot(max_steps=2), standard_task()
    starts, timesteps = jax.vmap(lambda key: env.reset(key, task))(jax.random.split(jax.random.key(0), 2000))
    physics = np.asarray(starts.physics)
    assert np.abs(physics).max() <= 0.1
    assert np.abs(physics.std(axis=0) - 0.1 / np.sqrt(3)).max() < 0.004
    cos, sin = np.cos(physics), np.sin(physics)
    expected = [cos[:, 0], sin[:, 0], cos[:, 1], sin[:, 1], physics[:, 2], physics[:, 3]]
    np.testing.assert_allclose(timesteps.obs, np.stack(expected, axis=1), atol=1e-6)
    state, _ = env.reset(jax.random.key(0), task)
    state, first = env.step(jax.random.key(0), task, state, jnp.asarray(2))
    _, second = env.step(jax.random.key(0), task, state, jnp.asarray(0))
    assert not bool(first.last)
    assert (bool(second.last), float(second.discount)) == (True, 1.0)


def test_varied_constants_stay_in_their_range_and_are_independent():
    tasks = sample_tasks(varied_acrobots(), jax.random.key(0), 1000)
    factors = np.stack([values / standard for values, standard in zip(tasks, standard_task(), strict=True)])
    assert (factors.min(axis=1) >= 0.799).all()
    assert (factors.min(axis=1) < 0.81).all()
    assert (factors.max(axis=1) > 1.19).all()
    assert (factors.max(axis=1) <= 1.201).all()
    assert np.abs(np.corrcoef(factors) - np.eye(len(factors))).max() < 0.15


def test_the_contract_is_kept_and_constants_matter():
    assert check_env(Acrobot(max_steps=60), varied_acrobots()).obs_differs


def test_wrong_arguments_are_named():
    with pytest.raises(ValueError, match="low=2"):
        varied_acrobots(2.0, 1.0)
    with pytest.raises(ValueError, match="low=0"):
        varied_acrobots(low=0.0)
    with pytest.raises(ValueError, match="max_steps=0"):
        Acrobot(max_steps=0)
