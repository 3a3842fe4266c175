import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jaxtyping import Array

from innerloop._check import check_env
from innerloop._task import sample_tasks
from innerloop._types import TimeStep
from innerloop.envs.reacher import (
    Reacher,
    ReacherState,
    ReacherTask,
    coriolis_matrix,
    fingertip,
    mass_matrix,
    reacher_goals,
)

TASK = ReacherTask(jnp.asarray([0.05, -0.1]))


def kinetic_energy(angles: Array, velocities: Array) -> Array:
    """Of two rods of 0.05 kg and 0.1 m: each moves like two points of half its mass, 0.1 / sqrt(12) from its middle."""
    along = 0.05 + 0.1 / math.sqrt(12) * jnp.asarray([-1.0, 1.0])

    def points(angles: Array) -> Array:
        directions = jnp.cumsum(angles)
        units = jnp.stack([jnp.cos(directions), jnp.sin(directions)], axis=1)
        links = along[None, :, None] * units[:, None, :]
        return links.at[1].add(0.1 * units[:1])

    _, speeds = jax.jvp(points, (angles,), (velocities,))
    return 0.5 * 0.025 * jnp.sum(speeds**2)


momentum = jax.grad(kinetic_energy, argnums=1)


def random_motions(number: int, speed: float = 10.0) -> tuple[Array, Array]:
    angles_key, velocities_key = jax.random.split(jax.random.key(0))
    angles = jax.random.uniform(angles_key, (number, 2), minval=-np.pi, maxval=np.pi)
    return angles, jax.random.uniform(velocities_key, (number, 2), minval=-speed, maxval=speed)


def play(env: Reacher, angles: Array, velocities: Array, actions: Array) -> tuple[ReacherState, TimeStep]:
    def step(state: ReacherState, action: Array) -> tuple[ReacherState, tuple[ReacherState, TimeStep]]:
        state, timestep = env.step(jax.random.key(0), TASK, state, action)
        return state, (state, timestep)

    return jax.lax.scan(step, ReacherState(angles, velocities, jnp.zeros((), jnp.int32)), actions)[1]


def test_the_mass_matrix_is_that_of_the_rods_symmetric_and_positive_definite():
    angles, velocities = random_motions(100)
    matrices = np.asarray(jax.vmap(mass_matrix)(angles))
    np.testing.assert_array_equal(matrices, matrices.swapaxes(1, 2))
    assert np.linalg.eigvalsh(matrices).min() > 1e-5
    expected = jax.jit(jax.vmap(jax.jacfwd(momentum, argnums=1)))(angles, velocities)
    np.testing.assert_allclose(matrices, expected, rtol=1e-4, atol=1e-8)


def test_the_coriolis_terms_are_those_of_lagrange():
    angles, velocities = random_motions(100)

    def force(angles: Array, velocities: Array) -> Array:
        _, growth = jax.jvp(lambda angles: momentum(angles, velocities), (angles,), (velocities,))
        return growth - jax.grad(kinetic_energy)(angles, velocities)

    matrices = jax.vmap(coriolis_matrix)(angles, velocities)
    terms = jnp.einsum("nij,nj->ni", matrices, velocities)
    np.testing.assert_allclose(terms, jax.jit(jax.vmap(force))(angles, velocities), rtol=1e-3, atol=1e-6)
    others = jnp.roll(velocities, 1, axis=0)
    swapped = jnp.einsum("nij,nj->ni", jax.vmap(coriolis_matrix)(angles, others), velocities)
    np.testing.assert_allclose(jnp.einsum("nij,nj->ni", matrices, others), swapped, atol=1e-7)


@pytest.mark.parametrize("damping", [0.0, 0.01, 1.0])
def test_energy_and_momentum_stay_without_damping_and_decay_with_it(damping):
    env, rest = Reacher(50, damping), jnp.zeros((50, 2))

    def run(angles: Array, velocities: Array) -> tuple[Array, Array]:
        states, _ = play(env, angles, velocities, rest)
        motions = jnp.vstack([angles, states.angles]), jnp.vstack([velocities, states.velocities])
        return jax.vmap(kinetic_energy)(*motions), jax.vmap(momentum)(*motions)[:, 0]

    energies, momenta = map(np.asarray, jax.jit(jax.vmap(run))(*random_motions(50)))
    ratios = energies / energies[:, :1]
    if damping == 0.0:
        assert np.abs(ratios - 1.0).max() < 0.005
        assert np.abs(momenta - momenta[:, :1]).max() < 0.005 * np.abs(momenta).max()
    else:
        assert (np.diff(ratios, axis=1) <= 1e-6).all()
        assert ratios[:, 1].max() < 0.8
        assert ratios[:, -1].max() < 1e-4


def test_a_torque_at_the_fixed_joint_alone_adds_momentum_in_proportion():
    env, actions = Reacher(50, damping=0.0), jnp.tile(jnp.asarray([[0.5, 0.0]]), (5, 1))
    states, _ = jax.jit(lambda actions: play(env, jnp.asarray([0.3, 1.0]), jnp.zeros((2,)), actions))(actions)
    momenta = jax.jit(jax.vmap(momentum))(states.angles, states.velocities)[:, 0]
    np.testing.assert_allclose(momenta, 0.05 * 0.02 * np.arange(1, 6), rtol=0.02)


def test_the_hardest_driving_stays_finite():
    actions = jnp.sign(jax.random.normal(jax.random.key(0), (20, 200, 2)))
    for damping, limit in ((0.01, 15.0), (0.0, 50.0)):
        run = jax.jit(jax.vmap(lambda actions, env=Reacher(200, damping): play(env, *jnp.zeros((2, 2)), actions)))
        states, timesteps = run(actions)
        assert np.isfinite(timesteps.obs).all()
        assert limit / 2 < np.abs(states.velocities).max() <= limit


@pytest.mark.parametrize(
    ("angles", "position"),
    [
        ((0.0, 0.0), (0.2, 0.0)),
        ((np.pi / 2, 0.0), (0.0, 0.2)),
        ((0.0, np.pi / 2), (0.1, 0.1)),
        ((np.pi / 2, np.pi / 2), (-0.1, 0.1)),
        ((1.0, np.pi), (0.0, 0.0)),
        ((np.pi / 3, -np.pi / 3), (0.15, 0.1 * np.sin(np.pi / 3))),
    ],
)
def test_the_fingertip_is_where_it_should_be(angles, position):
    np.testing.assert_allclose(fingertip(jnp.asarray(angles, jnp.float32)), position, atol=1e-6)


def test_reward_and_observation_are_those_after_the_step():
    angles, velocities, action = jnp.asarray([0.4, -1.1]), jnp.asarray([8.0, -6.0]), jnp.asarray([0.5, -3.0])
    env = Reacher()
    state = ReacherState(angles, velocities, jnp.zeros((), jnp.int32))
    state, timestep = env.step(jax.random.key(0), TASK, state, action)
    reach = np.asarray(fingertip(state.angles))
    assert np.linalg.norm(reach - fingertip(angles)) > 0.01
    expected = -np.linalg.norm(reach - TASK.goal) - 0.01 * (0.5**2 + 1.0**2)
    assert float(timestep.reward) == pytest.approx(expected, abs=1e-6)
    expected = [*np.cos(state.angles), *np.sin(state.angles), *(np.asarray(state.velocities) / 10), *reach]
    np.testing.assert_allclose(timestep.obs, expected, atol=1e-6)


def test_every_goal_can_be_reached_and_held():
    """Inverse kinematics and a proportional-derivative controller, from the start of an episode."""
    tasks = sample_tasks(reacher_goals(), jax.random.key(0), 100)
    env = Reacher()

    def run(key: Array, task: ReacherTask) -> tuple[Array, Array]:
        elbow = jnp.arccos(jnp.clip(jnp.sum(task.goal**2) / (2 * 0.1**2) - 1.0, -1.0, 1.0))
        wanted = jnp.stack([jnp.arctan2(task.goal[1], task.goal[0]) - elbow / 2, elbow])

        def step(state: ReacherState, _: None) -> tuple[ReacherState, tuple[Array, Array]]:
            error = wanted - state.angles
            error = error - 2 * np.pi * jnp.round(error / (2 * np.pi))
            state, timestep = env.step(key, task, state, 3.0 * error - 0.1 * state.velocities)
            return state, (timestep.reward, jnp.linalg.norm(timestep.obs[6:] - task.goal))

        return jax.lax.scan(step, env.reset(key, task)[0], length=50)[1]

    rewards, distances = jax.jit(jax.vmap(run))(jax.random.split(jax.random.key(1), 100), tasks)
    assert np.asarray(distances)[:, -10:].max() < 0.02
    assert np.sum(rewards, axis=1).mean() > -3.0


def test_starts_are_at_rest_and_time_runs_out_without_termination():
    env = Reacher(max_steps=2)
    starts, timesteps = jax.vmap(lambda key: env.reset(key, TASK))(jax.random.split(jax.random.key(0), 2000))
    angles = np.asarray(starts.angles)
    assert np.abs(angles).max() <= 0.1
    assert np.abs(angles.std(axis=0) - 0.1 / np.sqrt(3)).max() < 0.004
    assert not np.asarray(starts.velocities).any()
    np.testing.assert_allclose(timesteps.obs[:, 6:], jax.vmap(fingertip)(starts.angles), atol=1e-6)
    state, _ = env.reset(jax.random.key(0), TASK)
    state, first = env.step(jax.random.key(0), TASK, state, jnp.ones((2,)))
    _, second = env.step(jax.random.key(0), TASK, state, jnp.ones((2,)))
    assert not bool(first.last)
    assert (bool(second.last), float(second.discount)) == (True, 1.0)


def test_goals_are_uniform_on_the_disc_by_area():
    goals = np.asarray(sample_tasks(reacher_goals(), jax.random.key(0), 4000).goal)
    shares = np.sort((goals**2).sum(axis=1)) / 0.2**2
    assert shares.max() <= 1.0 + 1e-6
    assert np.abs(shares - (np.arange(4000) + 0.5) / 4000).max() < 0.03
    turns = np.sort(np.arctan2(goals[:, 1], goals[:, 0])) / (2 * np.pi) + 0.5
    assert np.abs(turns - (np.arange(4000) + 0.5) / 4000).max() < 0.03
    assert np.linalg.norm(sample_tasks(reacher_goals(0.05), jax.random.key(0), 100).goal, axis=1).max() <= 0.05


def test_the_contract_is_kept_and_the_goal_shows_in_the_reward_alone():
    report = check_env(Reacher(), reacher_goals())
    assert (report.reward_differs, report.obs_differs, report.num_terminated) == (True, False, 0)


def test_wrong_arguments_are_named():
    with pytest.raises(ValueError, match="radius=0"):
        reacher_goals(0.0)
    with pytest.raises(ValueError, match=r"radius=0\.3"):
        reacher_goals(0.3)
    with pytest.raises(ValueError, match="damping=-1"):
        Reacher(damping=-1.0)
    with pytest.raises(ValueError, match="max_steps=0"):
        Reacher(max_steps=0)
