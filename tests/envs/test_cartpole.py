import jax
import jax.numpy as jnp
import numpy as np
import pytest

from innerloop._task import sample_tasks
from innerloop.envs.cartpole import (
    CartPole,
    CartPoleState,
    CartPoleTask,
    mean_pole,
    pole_ensemble,
    pole_grid,
    standard_cartpole,
    varied_cartpoles,
)


def standard_task() -> CartPoleTask:
    return standard_cartpole().sample(jax.random.key(0))


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_every_step_is_that_of_gymnasium(seed):
    gymnasium = pytest.importorskip("gymnasium")
    env, task, step = gymnasium.make("CartPole-v1"), standard_task(), jax.jit(CartPole().step)
    obs, _ = env.reset(seed=seed)
    state = CartPoleState(jnp.asarray(obs), jnp.zeros((), jnp.int32))
    actions = np.asarray(jax.random.bernoulli(jax.random.key(seed), shape=(500,))).astype(int)
    num_steps = 0
    for action in actions:
        num_steps += 1
        obs, reward, terminated, truncated, _ = env.step(action)
        state, timestep = step(jax.random.key(0), task, state, jnp.asarray(action))
        np.testing.assert_allclose(timestep.obs, obs, rtol=1e-3, atol=1e-5)
        assert float(timestep.reward) == reward
        assert bool(timestep.last) == (terminated or truncated)
        assert float(timestep.discount) == 1.0 - terminated
        if terminated:
            break
    assert 5 < num_steps < 200


def test_one_step_from_anywhere_is_that_of_gymnasium():
    gymnasium = pytest.importorskip("gymnasium")
    env, task, step = gymnasium.make("CartPole-v1").unwrapped, standard_task(), jax.jit(CartPole().step)
    env.reset(seed=0)
    states = np.asarray(jax.random.uniform(jax.random.key(0), (200, 4), minval=-1.0)) * [2.5, 3.0, 0.22, 3.0]
    ended = 0
    for number, physics in enumerate(states):
        env.state = physics
        env.steps_beyond_terminated = None
        obs, reward, terminated, _, _ = env.step(number % 2)
        state = CartPoleState(jnp.asarray(physics, jnp.float32), jnp.zeros((), jnp.int32))
        _, timestep = step(jax.random.key(0), task, state, jnp.asarray(number % 2))
        np.testing.assert_allclose(timestep.obs, obs, rtol=1e-4, atol=1e-5)
        assert float(timestep.reward) == reward == 1.0
        assert bool(timestep.last) == terminated
        ended += terminated
    assert 10 < ended < 190


def test_starts_are_uniform_and_time_runs_out_without_termination():
    env, task = CartPole(max_steps=2), standard_task()
    physics = np.asarray(
        jax.vmap(lambda key: env.reset(key, task)[0].physics)(jax.random.split(jax.random.key(0), 2000))
    )
    assert np.abs(physics).max() <= 0.05
    assert np.abs(physics.std(axis=0) - 0.05 / np.sqrt(3)).max() < 0.002
    state, _ = env.reset(jax.random.key(0), task)
    state, first = env.step(jax.random.key(0), task, state, jnp.asarray(1))
    _, second = env.step(jax.random.key(0), task, state, jnp.asarray(0))
    assert not bool(first.last)
    assert (bool(second.last), float(second.discount)) == (True, 1.0)


def test_varied_constants_stay_in_their_range():
    tasks = sample_tasks(varied_cartpoles(0.5, 1.5), jax.random.key(0), 500)
    for values, standard in zip(tasks, standard_task(), strict=True):
        factors = np.asarray(values / standard)
        assert 0.5 <= factors.min() < 0.55
        assert 1.45 < factors.max() <= 1.5
    with pytest.raises(ValueError, match="low=2"):
        varied_cartpoles(2.0, 1.0)


def test_an_ensemble_of_poles_is_cut_off_at_two_deviations_and_its_tests_reach_both_ends():
    tasks, grid, mean = sample_tasks(pole_ensemble(), jax.random.key(0), 4000), pole_grid(4, 3), mean_pole().tasks
    for name, middle, deviation in (("half_length", 1.5, 0.7), ("pole_mass", 0.5, 0.2)):
        values = np.asarray(getattr(tasks, name))
        assert abs(np.abs(values - middle).max() - 2 * deviation) < 0.01
        assert abs(values.mean() - middle) < 0.03
        assert abs(values.std() - 0.88 * deviation) < 0.02  # of a normal distribution cut off at two deviations
        tested = np.asarray(getattr(grid.tasks, name))
        np.testing.assert_allclose([tested.min(), tested.max()], [values.min(), values.max()], atol=0.01)
        np.testing.assert_allclose(getattr(mean, name), [middle])
    np.testing.assert_allclose(grid.tasks.half_length[::3], np.linspace(0.1, 2.9, 4), rtol=1e-6)
    assert len({(float(x), float(y)) for x, y in zip(grid.tasks.half_length, grid.tasks.pole_mass, strict=True)}) == 12
    for name in ("gravity", "cart_mass", "force"):
        standard = float(getattr(standard_task(), name))
        for some in (tasks, grid.tasks, mean):
            np.testing.assert_allclose(getattr(some, name), standard)
    with pytest.raises(ValueError, match="num_masses=1"):
        pole_grid(num_masses=1)
