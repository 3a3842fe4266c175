"""MuJoCo robots: they move as Gymnasium's do, and are as pure as any other environment."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from innerloop import _extras
from innerloop.bridges import _mujoco as robots
from innerloop.bridges._mujoco import Body, Heading, Locomotion, Motion

gymnasium = pytest.importorskip("gymnasium")
pytest.importorskip("mujoco")

KEY = jax.random.key(0)
GYMNASIUM = {
    "HalfCheetah-v5": (robots.CHEETAH, {}, {"control": 0.1}),
    "Ant-v5": (
        robots.ANT,
        {"include_cfrc_ext_in_observation": False, "contact_cost_weight": 0.0},
        {"control": 0.5, "alive": 1.0},
    ),
    "Hopper-v5": (robots.HOPPER, {}, {"control": 1e-3, "alive": 1.0}),
    "Walker2d-v5": (robots.WALKER, {}, {"control": 1e-3, "alive": 1.0}),
}


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path, monkeypatch):
    """MuJoCo writes warnings to a file where the program was started."""
    monkeypatch.chdir(tmp_path)


def start(name):
    """The same state in both; Gymnasium's env runs on in double precision, ours from its bits."""
    robot, options, reward = GYMNASIUM[name]
    env = Locomotion(robot, jax.tree_util.Partial(robots.along, **reward), falls=True)
    task = Heading(jnp.array([1.0, 0.0]))
    other = gymnasium.make(name, **options).unwrapped
    state, timestep = env.reset(KEY, task)
    other.reset(seed=0)
    num, size = robot.num_positions, robot.num_positions + robot.num_velocities
    joints = np.asarray(state.physics).view(np.float64)[1 : 1 + size]
    other.set_state(joints[:num], joints[num:])
    return env, task, state, timestep, other


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", list(GYMNASIUM))
def test_every_step_is_that_of_gymnasium(name):
    """Observation, reward and end, until it falls or for 10 steps: beyond, solvers that start elsewhere drift apart.

    (The ant's speed is of its torso as MuJoCo drew it last, a substep before.)
    """
    env, task, state, timestep, other = start(name)
    rng, step = np.random.default_rng(0), jax.jit(env.step)
    np.testing.assert_allclose(timestep.obs, other._get_obs(), atol=1e-6)
    for _ in range(10):
        action = rng.uniform(-1, 1, env.spec.action.shape).astype(np.float32)
        state, timestep = step(KEY, task, state, action)
        obs, reward, terminated, _, _ = other.step(action)
        np.testing.assert_allclose(timestep.obs, obs, rtol=1e-4, atol=1e-4)
        np.testing.assert_allclose(timestep.reward, reward, rtol=1e-4, atol=1e-2 if name == "Ant-v5" else 1e-4)
        assert bool(timestep.last) == terminated == (timestep.discount == 0)
        if terminated:
            break


def test_who_falls_ends_the_episode_unless_it_may():
    fallen = jnp.zeros(robots.HOPPER.num_positions)
    motion = Motion(fallen, jnp.zeros(6), jnp.zeros(2))
    env = Locomotion(robots.HOPPER, robots.forward, falls=True)
    assert env._fallen(motion)
    assert not env._fallen(motion._replace(position=fallen.at[1].set(1.2)))
    assert not Locomotion(robots.CHEETAH, robots.at_speed)._fallen(Motion(jnp.zeros(9), jnp.zeros(9), jnp.zeros(2)))


def test_a_batch_is_its_rows_and_states_can_be_played_again():
    """Two vmaps, as over seeds and tasks, and one row alone give the same bits."""
    env, task = Locomotion(robots.CHEETAH, jax.tree_util.Partial(robots.along, control=0.05)), Heading(jnp.eye(2)[0])
    keys = jax.random.split(KEY, (2, 3))
    reset = jax.jit(jax.vmap(jax.vmap(env.reset, (0, None)), (0, None)))
    step = jax.jit(jax.vmap(jax.vmap(env.step, (0, None, 0, 0)), (0, None, 0, 0)))
    state, _ = reset(keys, task)
    action = jax.random.uniform(KEY, (2, 3, 6), minval=-1.0)
    first, seen = step(keys, task, state, action)
    again, _ = step(keys, task, state, action)
    one, alone = env.step(KEY, task, jax.tree.map(lambda x: x[1, 2], state), action[1, 2])
    np.testing.assert_array_equal(first.physics, again.physics)
    np.testing.assert_array_equal(first.physics[1, 2], one.physics)
    np.testing.assert_array_equal(seen.obs[1, 2], alone.obs)


def test_a_body_of_factors_one_is_the_model_and_a_heavier_one_moves_otherwise():
    env, robot = Locomotion(robots.HOPPER, robots.forward), robots.HOPPER
    ones = Body(
        jnp.ones(robot.num_bodies),
        jnp.ones((robot.num_bodies, 3)),
        jnp.ones(robot.num_velocities),
        jnp.ones((robot.num_shapes, 3)),
    )
    heavy = ones._replace(mass=2 * ones.mass)
    tasks = jax.tree.map(lambda *x: jnp.stack(x), ones, heavy)
    state, _ = env.reset(KEY, ones)
    action = jnp.ones(3)
    _, both = jax.jit(jax.vmap(env.step, (None, 0, None, None)))(KEY, tasks, state, action)
    plain = Locomotion(robots.HOPPER, lambda task, motion, action: jnp.zeros(()))
    _, model = plain.step(KEY, Heading(jnp.zeros(2)), state, action)
    np.testing.assert_array_equal(both.obs[0], model.obs)
    assert np.abs(both.obs[1] - both.obs[0]).max() > 0.01


def test_a_state_that_is_not_finite_ends_the_episode():
    env = Locomotion(robots.ANT, jax.tree_util.Partial(robots.along, control=0.5), falls=True)
    task = Heading(jnp.eye(2)[0])
    state, _ = env.reset(KEY, task)
    broken = np.asarray(state.physics).view(np.float64).copy()
    broken[5] = np.inf
    _, timestep = env.step(KEY, task, state._replace(physics=jnp.asarray(broken.view(np.uint32))), jnp.zeros(8))
    assert timestep.last
    assert np.isfinite(timestep.obs).all()


def test_a_missing_package_is_one_clear_error(monkeypatch):
    monkeypatch.setattr(_extras, "installed", lambda extra: False)
    robots.simulator.cache_clear()
    with pytest.raises(ValueError, match=r"innerloop\[mujoco\]"):
        Locomotion(robots.CHEETAH, robots.at_speed).reset(KEY, None)


def test_an_engine_that_cannot_change_bodies_says_so():
    env, robot = Locomotion(robots.HOPPER, robots.forward, engine="mjx"), robots.HOPPER
    body = Body(
        jnp.ones(robot.num_bodies), jnp.ones((robot.num_bodies, 3)), jnp.ones(6), jnp.ones((robot.num_shapes, 3))
    )
    with pytest.raises(ValueError, match=r"engine='mjx'.*need engine='mujoco'"):
        env.step(KEY, body, robots.LocomotionState(jnp.zeros(12), jnp.zeros((), jnp.int32)), jnp.zeros(3))
