"""EPOpt: which episodes are selected, that nothing else is learned from, and that worst cases get better for it."""

from dataclasses import replace
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from innerloop import JaxCollector, train
from innerloop._env import Discrete, Env, EnvSpec, advance, restart
from innerloop._task import Sampled
from innerloop._types import Key, TimeStep
from innerloop.agents import FeedForward
from innerloop.algorithms import EPOpt, Memoryless, OnPolicy
from innerloop.algorithms.epopt import WorstCase, worst
from innerloop.algorithms.ppo import PPO
from innerloop.benchmarks import benchmark
from table import BANDIT, bandit_trials

KEY = jax.random.key(0)


@pytest.mark.parametrize(
    ("num_episodes", "epsilon", "expected"),
    [(240, 0.1, 24), (100, 0.15, 15), (7, 0.5, 4), (10, 0.01, 1), (8, 1.0, 8), (9, 1 / 3, 3)],
)
def test_selected_are_the_lowest_returns_and_no_more_than_asked(
    num_episodes: int, epsilon: float, expected: int
) -> None:
    returns = jax.random.normal(KEY, (num_episodes, 1, 1))
    chosen = np.asarray(worst(returns, jnp.float32(epsilon)))
    assert chosen.sum() == expected
    assert set(np.flatnonzero(chosen)) == set(np.argsort(np.ravel(returns))[:expected])


def test_equal_returns_are_not_selected_together() -> None:
    chosen = worst(jnp.asarray([[2.0, 1.0], [1.0, 1.0]]), 0.5)
    assert chosen.tolist() == [[False, True], [True, False]]


def small(epsilon: Any) -> WorstCase:
    """Worst cases of a bandit's pulls."""
    make_agent = partial(FeedForward, BANDIT.spec, widths=(8,))
    ppo = PPO(make_agent, optax.adam(1e-2), num_epochs=1, num_minibatches=1, across_episodes=False, entropy_coef=0.01)
    return WorstCase(ppo, epsilon)


def test_an_update_depends_on_the_selected_episodes_only() -> None:
    learner, collector = small(0.25), bandit_trials()
    state = learner.init(KEY)
    agent = learner.agent(state)
    trials, _ = collector.collect(KEY, agent, collector.init(KEY, agent))
    returns = jax.random.normal(KEY, trials.returns().shape)
    chosen = worst(returns, 0.25)
    update = jax.jit(lambda *arguments: learner.update(*arguments))

    def updated(change: Any, where: Any) -> Any:
        step = trials.transitions.next_timestep
        reward = returns[..., None] + jnp.where(where[..., None], change, 0.0)
        transitions = trials.transitions._replace(next_timestep=step._replace(reward=reward))
        flipped = jnp.where(where[..., None] & (change > 0), 2 - transitions.action, transitions.action)
        after, metrics = update(KEY, state, trials._replace(transitions=transitions._replace(action=flipped)))
        return jax.tree.leaves(after), metrics

    before, metrics = updated(0.0, ~chosen)
    np.testing.assert_allclose(metrics["worst_return"], returns[chosen].mean(), rtol=1e-5)
    for x, y in zip(before, updated(10.0, ~chosen)[0], strict=True):
        np.testing.assert_array_equal(x, y)
    lowered, _ = updated(-1.0, chosen & (jnp.cumsum(chosen).reshape(chosen.shape) < 3))
    assert any(not np.array_equal(x, y) for x, y in zip(before, lowered, strict=True))


def test_epsilon_falls_from_one_without_a_second_program() -> None:
    settings = EPOpt(
        epsilon=0.2, epsilon_anneal=0.5, widths=(8,), training=replace(EPOpt().training, num_updates=8, num_tasks=8)
    )
    row = benchmark("bandit-n10-k5")
    learner, collector = settings.learner(row), JaxCollector(row.env, row.train, 8, row.num_episodes)
    _, rows = train(KEY, learner, collector, 8, log_every=1)
    np.testing.assert_allclose([x["epsilon"] for x in rows], [1.0, 0.8, 0.6, 0.4, 0.2, 0.2, 0.2, 0.2], atol=1e-6)


class Gamble(Env):
    """Action 0 pays .4. Action 1 pays 1, but -1 in every fifth task; nobody is shown in which one they are.

    Means: .4 and .6. Means of the worst 30 %: .4 and -1/3.
    """

    spec: EnvSpec = EnvSpec(Discrete(1), Discrete(2), max_steps=1)

    def reset(self, key: Key, task: Any) -> tuple[Any, TimeStep]:
        return (), restart(self.spec, jnp.zeros((), jnp.int32))

    def step(self, key: Key, task: Any, state: Any, action: Any) -> tuple[Any, TimeStep]:
        reward = jnp.where(action == 0, 0.4, jnp.where(task["bad"], -1.0, 1.0))
        return state, advance(jnp.zeros((), jnp.int32), action, reward, terminated=True)


GAMBLE = replace(
    benchmark("bandit-n10-k5"),
    env=Gamble(),
    train=Sampled(lambda key: {"bad": jax.random.bernoulli(key, 0.2)}),
    num_episodes=1,
)
SHORT = OnPolicy(num_updates=40, num_tasks=256, learning_rate=1e-2, across_episodes=False)


@pytest.mark.parametrize(
    ("settings", "gambles"),
    [
        (EPOpt(epsilon=0.3, widths=(8,), training=SHORT), False),
        (EPOpt(epsilon=1.0, widths=(8,), training=SHORT), True),
        (Memoryless(widths=(8,), training=SHORT), True),
    ],
)
def test_worst_cases_are_avoided_where_the_mean_would_gamble(settings: Any, gambles: bool) -> None:
    learner = settings.learner(GAMBLE)
    state, _ = train(KEY, learner, JaxCollector(GAMBLE.env, GAMBLE.train, 256, 1), SHORT.num_updates)
    agent = learner.agent(state)
    _, start = GAMBLE.env.reset(KEY, {"bad": jnp.zeros((), bool)})
    actions = jax.vmap(lambda key: agent.act(key, agent.init(key), start)[0])(jax.random.split(KEY, 500))
    assert float((actions == int(gambles)).mean()) > 0.9


def test_settings_that_make_no_sense_are_refused() -> None:
    for changes, message in (
        ({"epsilon": 0.0}, "epsilon=0.0: choose"),
        ({"epsilon": 1.5}, "epsilon=1.5: choose"),
        ({"epsilon_anneal": -0.5}, "epsilon_anneal=-0.5: choose"),
        ({"training": OnPolicy()}, "across_episodes=True.*set it to False"),
        ({"training": replace(SHORT, stream_steps=10)}, "stream_steps=10.*drop it"),
    ):
        with pytest.raises(ValueError, match=message):
            replace(EPOpt(), **changes).learner(GAMBLE)
