"""Evaluation: which tasks are played, and what intervals say."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from innerloop._collect import JaxCollector
from innerloop._evaluate import bootstrap_interval, bootstrap_means, evaluate, held_out_tasks, iqm
from innerloop._task import Finite, TaskDistribution
from innerloop.envs.navigation import Navigation, navigation_goals
from innerloop.references.generic import Constant

KEY = jax.random.key(0)
ENV, GOALS = Navigation(max_steps=3), navigation_goals()
STILL = Constant(ENV.spec)


def test_tasks_of_a_finite_set_are_played_as_often_as_each_other() -> None:
    tasks = Finite(jnp.arange(7))
    played = [np.asarray(held_out_tasks(jax.random.key(i), tasks, 17)) for i in range(3)]
    for batch in played:
        assert sorted(np.bincount(batch)) == [2, 2, 2, 2, 3, 3, 3]
    assert len({tuple(sorted(batch)) for batch in played}) > 1, "those that are played once more are drawn"


@pytest.mark.parametrize("tasks", [GOALS, Finite(jax.vmap(GOALS.sample)(jax.random.split(KEY, 4)))])
def test_all_play_the_same_tasks_whatever_their_batches(tasks: TaskDistribution) -> None:
    whole = evaluate(KEY, STILL, JaxCollector(ENV, tasks, 10, 2))
    parts = evaluate(KEY, STILL, JaxCollector(ENV, tasks, 4, 2), num_batches=3, num_tasks=10)
    np.testing.assert_allclose(parts.returns, whole.returns, rtol=1e-6)
    assert len(np.unique(whole.returns[0, :, 0].round(4))) >= 4, "tasks that can be told apart"
    with pytest.raises(ValueError, match=r"num_tasks=13\): choose 1 to the 12"):
        evaluate(KEY, STILL, JaxCollector(ENV, tasks, 4, 2), num_batches=3, num_tasks=13)


def test_seeds_that_say_the_same_do_not_narrow_the_interval() -> None:
    """All seeds play the same tasks: copies of one seed know no more of them."""
    one = np.random.default_rng(1).normal(size=(1, 400, 2)) + 5.0
    five = np.repeat(one, 5, axis=0)
    for found in (lambda x: bootstrap_interval(x[..., 0]), lambda x: bootstrap_interval(x[..., 0], iqm)):
        (low, high), (low_of_five, high_of_five) = found(one), found(five)
        assert (high_of_five - low_of_five) / (high - low) == pytest.approx(1.0, abs=0.1)
    widths = [np.diff(bootstrap_means(x), axis=1) for x in (one, five)]
    np.testing.assert_allclose(widths[1] / widths[0], 1.0, atol=0.1)


def test_seeds_that_differ_widen_it() -> None:
    seeds = np.arange(4.0)[:, None] + np.zeros((4, 50))
    low, high = bootstrap_interval(seeds)
    assert low < 0.8
    assert high > 2.2
