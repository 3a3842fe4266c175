"""Few-shot regression: what is asked, answered and revealed."""

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from innerloop import JaxCollector, sample_tasks
from innerloop.envs import Regression, polynomial, polynomials, sine, sinusoids, sinusoids_with_frequency
from innerloop.references.generic import Constant

KEY = jax.random.key(0)


@eqx.filter_jit
def played(agent: Any, env: Any, tasks: Any, num_tasks: int, num_rounds: int, per_round: int = 1) -> Any:
    """Trials of an agent."""
    collector = JaxCollector(env, tasks, num_tasks, num_rounds, per_round)
    return collector.play(KEY, agent, sample_tasks(tasks, KEY, num_tasks))


def test_an_episode_asks_points_and_reveals_their_answers() -> None:
    env, tasks = Regression(sine, num_points=7), sinusoids()
    trials = played(Constant(env.spec), env, tasks, 16, 2)
    steps = trials.transitions
    x, y = np.asarray(steps.timestep.obs)[..., 0], np.asarray(steps.next_timestep.prev_action)[..., 0]
    amplitude, frequency, phase = (np.asarray(leaf)[:, None, None, None] for leaf in trials.tasks)
    np.testing.assert_allclose(y, amplitude * np.sin(frequency * x + phase), atol=1e-4)
    np.testing.assert_allclose(steps.next_timestep.reward, -(y**2), rtol=1e-4, atol=1e-5)
    assert np.asarray(steps.valid).all()
    assert np.asarray(steps.next_timestep.last)[..., -1].all()
    assert not np.asarray(steps.next_timestep.last)[..., :-1].any()
    assert (np.asarray(steps.next_timestep.discount) == 1).all(), "an episode is cut, it does not end"
    assert np.abs(x).max() <= 5
    assert np.unique(x).size == x.size


def test_families_have_their_published_ranges() -> None:
    plain, varied = (sample_tasks(tasks, KEY, 4000) for tasks in (sinusoids(), sinusoids_with_frequency()))
    for tasks in (plain, varied):
        assert 0.1 <= tasks.amplitude.min() < 0.2
        assert 4.9 < tasks.amplitude.max() <= 5
    assert (plain.frequency == 1).all()
    assert varied.frequency.min() >= 0.8
    assert 1.19 < varied.frequency.max() <= 1.2
    assert -np.pi <= plain.phase.min()
    assert plain.phase.max() <= 0
    assert 0 <= varied.phase.min() <= varied.phase.max() <= 3.15


def test_the_trivial_predictor_has_its_known_error() -> None:
    env, tasks = Regression(sine), sinusoids()
    trials = played(Constant(env.spec), env, tasks, 20_000, 1)
    assert float(-trials.transitions.next_timestep.reward.mean()) == pytest.approx(4.25, abs=0.1)


def test_polynomials_have_their_degree() -> None:
    tasks = sample_tasks(polynomials(1, 3), KEY, 500)
    degrees = (np.asarray(tasks.coefficients) != 0).cumsum(axis=1).argmax(axis=1)
    assert set(degrees.tolist()) == {1, 2, 3}
    one = jax.tree.map(lambda x: x[0], tasks)
    x = jnp.asarray([0.7])
    expected = sum(float(c) * 0.7**k for k, c in enumerate(one.coefficients))
    np.testing.assert_allclose(polynomial(one, x)[0], expected, rtol=1e-5)


def test_bad_arguments_are_named() -> None:
    with pytest.raises(ValueError, match="low=2"):
        Regression(sine, low=2.0, high=1.0)
    with pytest.raises(ValueError, match="max_degree=9"):
        polynomials(0, 9)
