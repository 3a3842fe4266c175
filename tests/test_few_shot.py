"""The few-shot curve: it starts before adaptation, asks the same questions throughout, and follows `adapt`."""

import jax
import numpy as np

from innerloop._few_shot import few_shot_curve
from innerloop._rollout import play_round
from innerloop.agents import AnswerError, FeedForward, Gradient
from innerloop.envs import Regression, sine, sinusoids

KEY = jax.random.key(0)
SUPPORT, MANY, QUERY = Regression(sine, 10), Regression(sine, 100), Regression(sine, 30)


def predictor(rate: float, steps_per_round: int = 1) -> Gradient:
    base = FeedForward(SUPPORT.spec, key=KEY, widths=(20,), is_predictor=True)
    return Gradient(base, AnswerError(), episodes_per_round=1, rate=rate, steps_per_round=steps_per_round)


def test_the_curve_falls_with_steps_and_starts_where_nobody_has_adapted() -> None:
    curve = -few_shot_curve(KEY, predictor(0.01), MANY, QUERY, sinusoids(), num_tasks=100, num_steps=5)
    assert curve.shape == (100, 6)
    means = curve.mean(axis=0)
    assert 3.0 < means[0] < 5.5
    assert (np.diff(means) < 0).all()


def test_without_a_step_size_nothing_changes() -> None:
    curve = few_shot_curve(KEY, predictor(0.0), SUPPORT, QUERY, sinusoids(), num_tasks=4, num_steps=3)
    np.testing.assert_array_equal(curve, np.repeat(curve[:, :1], 4, axis=1))


def test_two_steps_of_the_curve_are_one_adaptation_of_two_steps() -> None:
    agent = predictor(0.02, steps_per_round=2)
    memory = agent.init(KEY)
    task = sinusoids().sample(KEY)
    _, examples = play_round(KEY, SUPPORT, agent, task, memory)
    assert examples.timestep.obs.shape == (1, 10, 1)
    twice, _ = agent.descend_once(KEY, agent.descend_once(KEY, memory, examples)[0], examples)
    once = agent.adapt(KEY, memory, examples)
    for x, y in zip(jax.tree.leaves(twice.params), jax.tree.leaves(once.params), strict=True):
        np.testing.assert_allclose(x, y, rtol=1e-5, atol=1e-7)
