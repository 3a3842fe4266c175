"""MAESN: latents of training tasks' own, held for an episode, adapted as the policy of an action or through actions."""

from dataclasses import replace
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.flatten_util import ravel_pytree

from innerloop._collect import JaxCollector
from innerloop._learner import Learner
from innerloop._types import Trials
from innerloop.agents._objectives import replay
from innerloop.algorithms import MAESN, InnerLoop, MetaTraining, Net
from innerloop.benchmarks import benchmark
from innerloop.envs.point import PointGoal

KEY = jax.random.key(0)
ROW = replace(benchmark("half-circle"), env=PointGoal(4), shaped=None)
TRAINING = MetaTraining(num_updates=4, num_tasks=4)
SMALL = MAESN(kl_coef=0.3, final_kl_coef=0.1, prior_share=0.0, net=Net(widths=(5,)), training=TRAINING)


def settled(learner: Any) -> Any:
    """A fresh state whose training tasks have latents far apart."""
    state = learner.init(KEY)
    mean = jnp.stack([jnp.arange(100.0) - 50.0, jnp.zeros((100,))], axis=1)
    latents = state.params.latents._replace(mean=mean, log_variance=jnp.full((100, 2), -3.0))
    return state._replace(params=state.params._replace(latents=latents))


def played(learner: Any, state: Any, num_tasks: int = 4) -> Trials:
    collector = JaxCollector(ROW.env, ROW.train, num_tasks, 2, 3)
    player = learner.player(state)
    return eqx.filter_jit(collector.collect)(KEY, player, collector.init(KEY, player))[0]


def small(**options: Any) -> Learner:
    inner = InnerLoop(episodes_per_round=3, normalize_advantage=False)
    return replace(SMALL, inner=inner, **options).learner(ROW)


def test_training_plays_each_task_from_its_own_latent_and_keeps_it_for_an_episode() -> None:
    learner: Any = small(latent_rate=0.0)
    trials = played(learner, settled(learner))
    own = jax.vmap(ROW.train.find)(trials.tasks).astype(jnp.float32) - 50.0  # type: ignore[attr-defined]
    drawn = np.asarray(trials.transitions.extras.drawn)
    assert np.abs(drawn[..., 0] - np.asarray(own)[:, None, None, None]).max() < 1.0
    assert (drawn == drawn[:, :, :, :1]).all(), "the latent changed within an episode"
    assert len(np.unique(drawn[..., 0, 0])) == drawn[..., 0, 0].size, "two episodes share a latent"


def test_the_agent_starts_test_tasks_from_the_prior_and_holds_no_training_task() -> None:
    learner: Any = small()
    agent = learner.agent(settled(learner))
    np.testing.assert_array_equal(jnp.concatenate([*agent.base.latent]), 0.0)
    assert all(x.shape[:1] != (100,) for x in jax.tree.leaves(agent))


@pytest.mark.parametrize("latent_gradient", ["score", "pathwise"])
def test_the_first_step_answers_for_the_latent_if_it_counts_as_an_action(latent_gradient: Any) -> None:
    learner: Any = small(latent_gradient=latent_gradient)
    state = settled(learner)
    trials = played(learner, state)
    agent = learner.player(state).on(jax.tree.map(lambda x: x[0], trials.tasks))
    episode = jax.tree.map(lambda x: x[0, 0, 0], trials.transitions)
    said = agent.base.unroll(agent.base.init(KEY), episode, jnp.zeros((4,), bool))
    np.testing.assert_allclose(said.log_prob, episode.extras.log_prob, rtol=1e-4)
    mean, variance = np.asarray(agent.base.latent.mean), np.exp(np.asarray(agent.base.latent.log_variance))
    z = np.asarray(episode.extras.drawn[0])
    density = -0.5 * ((z - mean) ** 2 / variance + np.log(2 * np.pi * variance)).sum()
    of_actions = said.policy.log_prob(episode.action)
    of_actions = of_actions.sum(axis=-1) if of_actions.ndim == 2 else of_actions
    extra = np.zeros(4)
    extra[0] = density if latent_gradient == "score" else 0.0
    np.testing.assert_allclose(said.log_prob - of_actions, extra, rtol=1e-3, atol=1e-4)


def test_a_narrow_latent_moves_by_as_many_deviations_as_a_wide_one_and_has_bounds() -> None:
    learner: Any = small(latent_rate=1.0)
    state = learner.init(KEY)
    episodes = jax.tree.map(lambda x: x[0, 0], played(learner, state).transitions)
    agent, moved = learner.agent(state), {}
    for variance in (-3.0, 0.0, -40.0, -4.0):
        narrow = eqx.tree_at(lambda x: x.base.latent.log_variance, agent, jnp.full((2,), variance))
        drawn = jnp.exp(0.5 * max(variance, -4.0)) * episodes.extras.drawn
        scaled = episodes._replace(extras=episodes.extras._replace(drawn=drawn))
        log_prob = replay(narrow.base, narrow.base.init(KEY), scaled).log_prob
        scaled = scaled._replace(extras=scaled.extras._replace(log_prob=log_prob))
        after = narrow.adapt(KEY, narrow.init(KEY), scaled).params.latent
        moved[variance] = np.asarray(after.mean) / np.exp(0.5 * max(variance, -4.0))
    np.testing.assert_allclose(moved[-3.0], moved[0.0], rtol=1e-3)
    np.testing.assert_allclose(moved[-40.0], moved[-4.0], rtol=1e-3)


def test_adaptation_moves_the_latent_to_those_of_the_episodes_that_paid() -> None:
    learner: Any = small(latent_rate=1.0)
    state = learner.init(KEY)
    trials = played(learner, state)
    agent = learner.agent(state)
    memory = agent.init(KEY)
    episodes = jax.tree.map(lambda x: x[0, 0], trials.transitions)
    after = agent.adapt(KEY, memory, episodes).params.latent
    advantage, _ = agent.objective.advantages(KEY, agent.base, memory.base, episodes, jnp.zeros((3, 4)))
    z, credit = np.asarray(episodes.extras.drawn[:, 0]), np.asarray(advantage)[:, 0] / advantage.size
    np.testing.assert_allclose(after.mean, (z * credit[:, None]).sum(axis=0), rtol=1e-3, atol=1e-6)
    np.testing.assert_allclose(after.log_variance, ((z**2 - 1) * credit[:, None]).sum(axis=0), rtol=1e-3, atol=1e-6)


@pytest.mark.parametrize("latent_gradient", ["score", "pathwise"])
def test_meta_gradients_match_finite_differences(double: None, latent_gradient: Any) -> None:
    with jax.enable_x64(False):
        learner: Any = small(latent_gradient=latent_gradient, latent_rate=0.5)
        state = learner.init(KEY)
        trials = played(learner, state)
    params, trials = (
        jax.tree.map(lambda x: x.astype(jnp.float64) if eqx.is_inexact_array(x) else x, tree)
        for tree in (state.params, trials)
    )
    trained, static = eqx.partition(params, eqx.is_inexact_array)
    flat, unravel = ravel_pytree(trained)

    @jax.jit
    @jax.value_and_grad
    def loss(x: Any) -> Any:
        return learner.loss(eqx.combine(unravel(x), static), KEY, params, trials)[0]

    at = flat + 0.05 * jax.random.normal(jax.random.key(5), flat.shape, flat.dtype)
    for key in jax.random.split(jax.random.key(7), 2):
        direction = jax.random.normal(key, flat.shape, flat.dtype)
        measured = (loss(at + 1e-5 * direction)[0] - loss(at - 1e-5 * direction)[0]) / 2e-5
        np.testing.assert_allclose(loss(at)[1] @ direction, measured, rtol=1e-5)


def test_a_share_of_the_updates_starts_tasks_from_the_prior_and_teaches_their_latents_nothing() -> None:
    learner: Any = small(prior_share=0.25)
    state = settled(learner)
    starts = [bool(learner.start.has_prior(jnp.asarray(i))) for i in range(8)]
    assert starts == [False, False, False, True] * 2
    state = state._replace(num_updates=jnp.asarray(3))
    task = ROW.train.take(jnp.asarray(7))  # type: ignore[attr-defined]
    np.testing.assert_array_equal(jnp.concatenate([*learner.player(state).on(task).base.latent]), 0.0)
    trials = played(learner, state)

    def loss(params: Any) -> Any:
        return learner.loss(params, KEY, state.params, trials, state.num_updates)[0]

    gradients = eqx.filter_jit(eqx.filter_grad(loss))(state.params)
    np.testing.assert_array_equal(gradients.latents.mean, 0.0)
    np.testing.assert_array_equal(gradients.agent.base.latent.mean, 0.0)
    assert float(jnp.abs(gradients.agent.rates.latent.mean).sum()) > 0


def test_the_price_of_leaving_the_prior_is_its_kl_and_is_annealed() -> None:
    learner: Any = small()
    state = settled(learner)
    task = ROW.train.take(jnp.asarray(7))  # type: ignore[attr-defined]
    variance, mean = np.exp(-3.0), 7.0 - 50.0
    divergence = 0.5 * (2 * (variance - 1.0 + 3.0) + mean**2)
    for num_updates, weight in ((0, 0.3), (2, 0.2), (4, 0.1), (9, 0.1)):
        _, costs = learner.start.at(state.params, task, jnp.asarray(num_updates))
        np.testing.assert_allclose(costs["latent_term"], weight * divergence, rtol=1e-4)


def test_the_outer_loss_counts_the_denser_reward_and_the_inner_loop_does_not() -> None:
    row = replace(ROW, shaped=lambda task, transition: 3.0 * transition.next_timestep.reward + task.goal[0])
    learner: Any = replace(SMALL, inner=InnerLoop(episodes_per_round=3)).learner(row)
    plain: Any = replace(SMALL, inner=InnerLoop(episodes_per_round=3), training=replace(TRAINING, shaped=False))
    trials = played(learner, learner.init(KEY))
    task, rounds = (jax.tree.map(lambda x: x[0], tree) for tree in (trials.tasks, trials.transitions))
    counted, seen = learner._counted(task, rounds), rounds.next_timestep.reward
    np.testing.assert_array_equal(counted.next_timestep.reward[0], seen[0])
    np.testing.assert_allclose(counted.next_timestep.reward[1], 3.0 * seen[1] + task.goal[0], rtol=1e-5)
    assert plain.learner(row).shaped is None


@pytest.mark.parametrize(
    ("options", "name", "message"),
    [
        ({}, "nav2d", "not a finite set"),
        ({"net": Net(num_context=2)}, "half-circle", "num_context"),
        ({"training": replace(TRAINING, outer="trpo")}, "half-circle", "trust region"),
        ({"training": replace(TRAINING, reference="average")}, "half-circle", "average"),
        ({"prior_share": 1.5}, "half-circle", "prior_share=1.5"),
        ({"latent_size": 0}, "half-circle", "latent_size=0"),
    ],
)
def test_what_makes_no_sense_is_refused(options: Any, name: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        replace(SMALL, **options).learner(benchmark(name)).init(KEY)
