"""Robots whose physics XLA compiles: they move as those over MuJoCo in C do, as far as single precision goes."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from innerloop.benchmarks import benchmark
from innerloop.bridges import _mujoco as robots
from innerloop.bridges._mujoco import Heading, Locomotion

pytest.importorskip("gymnasium")
pytest.importorskip("mujoco.mjx")

KEY = jax.random.key(0)
ROBOTS = {"cheetah": (robots.CHEETAH, 10), "hopper": (robots.HOPPER, 10), "ant": (robots.ANT, 2)}
"""How many steps are compared: the ant's feet touch the ground in the third one."""


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path, monkeypatch):
    """MuJoCo writes warnings to a file where the program was started; MJX lets arrays of other ranks and types fit."""
    monkeypatch.chdir(tmp_path)
    with jax.numpy_rank_promotion("allow"), jax.numpy_dtype_promotion("standard"):
        yield


@pytest.mark.parametrize("name", list(ROBOTS))
def test_a_short_horizon_is_that_of_the_simulator_in_c(name):
    """Observations and rewards, from one start and with the same random actions."""
    robot, num_steps = ROBOTS[name]
    plain, compiled = (
        Locomotion(robot, partial(robots.along, control=0.1), falls=True, engine=engine) for engine in ("mujoco", "mjx")
    )
    task, keys = Heading(jnp.array([1.0, 0.0])), jax.random.split(KEY, 3)
    steps = [jax.jit(jax.vmap(env.step, (None, None, 0, 0))) for env in (plain, compiled)]
    seen = [jax.jit(jax.vmap(env.reset, (0, None)))(keys, task) for env in (plain, compiled)]
    np.testing.assert_allclose(seen[0][1].obs, seen[1][1].obs, atol=1e-6)
    rng = np.random.default_rng(0)
    for _ in range(num_steps):
        action = rng.uniform(-1, 1, (3, robot.num_actions)).astype(np.float32)
        seen = [step(KEY, task, state, action) for step, (state, _) in zip(steps, seen, strict=True)]
        (_, a), (_, b) = seen
        np.testing.assert_allclose(a.obs, b.obs, atol=1e-3)
        np.testing.assert_allclose(a.reward, b.reward, atol=1e-4)
        np.testing.assert_array_equal(a.last, b.last)


def test_a_state_that_is_not_finite_ends_the_episode():
    env = Locomotion(robots.HOPPER, partial(robots.along, control=0.1), falls=True, engine="mjx")
    state, _ = env.reset(KEY, Heading(jnp.zeros(2)))
    broken = state._replace(physics=state.physics.at[4].set(jnp.inf))
    _, timestep = jax.jit(env.step)(KEY, Heading(jnp.zeros(2)), broken, jnp.zeros(3))
    assert timestep.last
    assert jnp.isfinite(timestep.obs).all()


def test_the_benchmark_is_that_of_the_simulator_in_c():
    compiled, plain = benchmark("mjx-cheetah-vel"), benchmark("cheetah-vel")
    assert compiled.env.spec == plain.env.spec
    assert compiled.train.sample(KEY) == plain.train.sample(KEY)
