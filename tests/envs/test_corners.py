import jax
import jax.numpy as jnp
import numpy as np
import pytest

from innerloop._check import check_env
from innerloop._collect import JaxCollector
from innerloop.benchmarks import benchmark
from innerloop.envs.corners import CORNERS, Corners, CornerState, CornerTask, corner_tasks
from innerloop.references.generic import Constant

GOALS = np.array([[-2, -2], [2, -2], [-2, 2], [2, 2]], float)


def task(corner):
    return CornerTask(jnp.asarray(corner, jnp.int32))


def released_reward(before, after, corner):
    """What the authors' code pays, in float64."""
    if np.abs(after).sum() < 0.5:
        return 0.0
    distances = [np.linalg.norm(after - goal) for goal in GOALS]
    if distances[corner] > min(distances):
        return 0.0
    return np.linalg.norm(before - GOALS[corner]) - distances[corner]


@pytest.mark.parametrize("corner", range(4))
def test_random_walks_follow_an_independent_loop(corner):
    env = Corners()
    step = jax.jit(env.step)
    paid = 0
    for walk in range(3):
        rng = np.random.default_rng([walk, corner])
        drift = 0.04 * GOALS[rng.integers(4) if walk else corner]
        state, timestep = env.reset(jax.random.key(walk), task(corner))
        position = np.asarray(timestep.obs, float)
        for number in range(100):
            action = (drift + rng.normal(size=2) * 0.15).astype(np.float32)
            state, timestep = step(jax.random.key(number), task(corner), state, jnp.asarray(action))
            after = position + np.clip(action.astype(float), -0.2, 0.2)
            expected = released_reward(position, after, corner)
            np.testing.assert_allclose(timestep.obs, after, atol=1e-4)
            assert float(timestep.reward) == pytest.approx(expected, abs=1e-5)
            np.testing.assert_array_equal(timestep.prev_action, action)
            assert float(timestep.discount) == 1.0
            assert bool(timestep.last) == (number == 99)
            position = after
            paid += expected != 0
        assert np.abs(position).max() > 2.5  # nothing bounds the plane
    assert 50 < paid < 300


def pay(before, action, corner):
    state = CornerState(jnp.asarray(before, jnp.float32), jnp.zeros((), jnp.int32))
    _, timestep = Corners().step(jax.random.key(0), task(corner), state, jnp.asarray(action, jnp.float32))
    return float(timestep.reward)


def test_where_the_reward_is_silent():
    norm = np.linalg.norm
    assert pay([0.2, 0.1], [0.05, 0.1], 3) == 0.0  # |x| + |y| = .45 after the step
    assert pay([0.2, 0.2], [0.1, 0.1], 3) == pytest.approx(norm([1.8, 1.8]) - norm([1.7, 1.7]), abs=1e-5)  # .6, L2 .42
    assert pay([0.3, 0.3], [-0.1, -0.1], 3) == 0.0  # back inside: what counts is where the step ends
    assert pay([0.3, 0.3], [0.1, 0.1], 0) == 0.0  # another corner is nearer
    assert pay([1.0, 1.0], [-0.2, -0.2], 3) == pytest.approx(norm([1, 1]) - norm([1.2, 1.2]), abs=1e-5)  # negative
    expected = norm([1.5, 2]) - norm([1.3, 2])
    assert [pay([0.5, 0.0], [0.2, 0.0], corner) for corner in (1, 3)] == pytest.approx(
        [expected] * 2, abs=1e-5
    )  # a tie
    assert [pay([0.5, 0.0], [0.2, 0.0], corner) for corner in (0, 2)] == [0.0, 0.0]


def test_actions_are_clipped_on_each_axis():
    assert pay([1.0, 1.0], [5.0, 0.1], 3) == pytest.approx(pay([1.0, 1.0], [0.2, 0.1], 3), abs=1e-6)
    assert pay([1.0, 1.0], [-0.1, -5.0], 3) == pytest.approx(pay([1.0, 1.0], [-0.1, -0.2], 3), abs=1e-6)


def test_starts_are_uniform_within_a_fifth_of_the_origin():
    keys = jax.random.split(jax.random.key(0), 4000)
    starts = np.asarray(jax.vmap(lambda key: Corners().reset(key, task(0))[1].obs)(keys))
    assert -0.2 <= starts.min() < -0.199
    assert 0.199 < starts.max() < 0.2
    np.testing.assert_allclose(starts.std(axis=0), 0.4 / np.sqrt(12), rtol=0.03)


def test_there_are_four_tasks():
    tasks = corner_tasks()
    assert tasks.num_tasks == 4
    np.testing.assert_array_equal(np.asarray(CORNERS)[np.asarray(tasks.tasks.corner)], GOALS)
    report = check_env(Corners(), tasks)
    assert (report.reward_differs, report.num_terminated, report.longest_episode) == (True, 0, 100)
    assert not report.obs_differs


def test_measures_count_corners_seen_before_and_goals_reached_after_adaptation():
    """Round 1: one episode passes corner 0, one corner 3. Round 4: half of the episodes pass the goal, corner 2."""
    row = benchmark("corners")
    position = np.zeros((4, 20, 100, 2), np.float32)
    position[0, 0, 50] = CORNERS[0]
    position[0, 7, 99] = np.array(CORNERS[3]) - 0.6
    position[3, ::2, 10] = np.array(CORNERS[2]) + 0.3
    position[3, 1, 10] = CORNERS[1]
    collector = JaxCollector(row.env, row.train, 1, 4, 20)
    trials = collector.play(jax.random.key(0), Constant(row.env.spec, 20), corner_tasks().take(jnp.array([2])))
    one = jax.tree.map(lambda x: x[0], trials)
    seen = one.transitions.next_timestep._replace(obs=jnp.asarray(position))
    one = one._replace(transitions=one.transitions._replace(next_timestep=seen))
    assert float(row.metrics["corners_visited"](one)) == 2.0
    assert float(row.metrics["goal_reached"](one)) == 0.5
