"""HyperX: what is new, what is surprising, who is paid for it, and until when."""

from dataclasses import replace
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from innerloop import JaxCollector
from innerloop._learner import apply_gradients
from innerloop._types import Trials
from innerloop.algorithms import BeliefSettings, HyperX, HyperXLearner, OnPolicy
from innerloop.algorithms._sequences import Moments, as_sequences
from innerloop.algorithms.hyperx import Distillation, _in_units_of
from innerloop.benchmarks import benchmark
from innerloop.losses import gaussian_log_prob

KEY = jax.random.key(0)
ROW = benchmark("bandit-n10-k5")
SETTINGS = HyperX(
    belief=BeliefSettings(
        latent_size=2, hidden_size=8, input_widths=(), inference_batch=4, capacity=32, reward_scale=2.0
    ),
    training=OnPolicy(num_updates=4, num_tasks=8, num_minibatches=2),
)


def played(learner: HyperXLearner) -> tuple[Any, Trials]:
    """A fresh state and a batch of its trials."""
    state = learner.init(KEY)
    agent = learner.agent(state)
    collector = JaxCollector(ROW.env, ROW.train, 8, ROW.num_episodes)
    return state, collector.collect(KEY, agent, collector.init(KEY, agent))[0]


def test_what_was_seen_is_told_from_what_was_not() -> None:
    nets = Distillation(KEY, 3, (32,), 8)
    known, new = (
        jax.random.normal(key, (64, 3)) + shift for key, shift in zip(jax.random.split(KEY), (0, 4), strict=True)
    )
    optimizer = optax.adam(1e-2)

    def error(nets: Distillation, x: Any) -> Any:
        return jax.vmap(nets.error)(x).mean()

    @jax.jit
    def learn(nets: Distillation) -> Distillation:
        def step(carry: Any, _: Any) -> tuple[Any, None]:
            return apply_gradients(optimizer, jax.grad(error)(carry[0], known), carry[1], carry[0]), None

        return jax.lax.scan(step, (nets, optimizer.init(nets)), None, 300)[0][0]

    after = learn(nets)
    assert float(error(after, known)) < 0.1 * float(error(nets, known))
    assert float(error(after, new)) > 10 * float(error(after, known))
    for a, b in zip(jax.tree.leaves(nets.target), jax.tree.leaves(after.target), strict=True):
        np.testing.assert_array_equal(a, b)


def test_a_larger_random_net_is_as_much_further_from_where_learning_begins() -> None:
    plain, sharp = (Distillation(KEY, 3, (32,), 8, scale) for scale in (1.0, 10.0))
    for a, b in zip(jax.tree.leaves(plain.target), jax.tree.leaves(sharp.target), strict=True):
        np.testing.assert_allclose(10 * a, b, rtol=1e-6)
        assert np.abs(a).min() > 0, "without biases a larger net is the same one times a number"
    for a, b in zip(jax.tree.leaves(plain.learned), jax.tree.leaves(sharp.learned), strict=True):
        np.testing.assert_array_equal(a, b)


def test_surprise_is_how_unlikely_the_belief_after_a_step_holds_its_reward() -> None:
    learner = SETTINGS.learner(ROW)
    state, trials = played(learner)
    steps = jax.tree.map(lambda x: x[0], as_sequences(trials).transitions._replace(extras=None))
    seen, surprise = learner._look(KEY, state, steps)
    agent, decoder = learner.agent(state), state.varibad.inference.reward
    memory, noise = agent.init(KEY), jax.random.normal(jax.random.split(KEY)[1], (steps.valid.shape[0], 2))
    for t in range(3):
        step = jax.tree.map(lambda x, t=t: x[t], steps)
        memory = agent.observe(KEY, memory, step)
        belief = agent.belief(memory)
        np.testing.assert_allclose(seen[t], jnp.concatenate([jnp.ones(1), *belief]), atol=1e-5)
        features = jnp.concatenate([belief.at(noise[t]), jnp.ones(1)])
        guess = decoder.head(decoder.net(features))[0]
        np.testing.assert_allclose(surprise[t], -gaussian_log_prob(guess, step.next_timestep.reward / 2.0), rtol=1e-4)


def test_bonuses_are_as_large_as_rewards_vary_over_what_follows_them() -> None:
    learner = SETTINGS.learner(ROW)
    valid = jnp.ones((64, 5), bool)
    reward, bonus = 7.0 + 3.0 * jax.random.normal(KEY, (64, 5)), jnp.full((64, 5), 0.02)
    of_reward, of_bonus = (learner._include(Moments.start(), x, valid) for x in (reward, bonus))
    paid = _in_units_of(of_reward, of_bonus) * bonus
    steps = np.arange(5)
    to_go = np.triu(0.99 ** np.maximum(steps[None] - steps[:, None], 0))
    returns = [np.asarray(x) @ to_go.T for x in (reward, paid)]
    np.testing.assert_allclose(np.sqrt(np.square(returns[1]).mean()), returns[0].std(), rtol=1e-4)


def test_the_policy_is_paid_and_beliefs_predict_rewards_as_they_are() -> None:
    learner = SETTINGS.learner(ROW)
    state, trials = played(learner)
    after, told = eqx.filter_jit(learner.update)(KEY, state, trials)
    reward = as_sequences(trials).transitions.next_timestep.reward
    np.testing.assert_array_equal(after.varibad.replay.items.next_timestep.reward[:8], reward)
    assert float(told["bonus"]) > 0
    half = replace(SETTINGS.belief, stored_share=0.5)
    unpaid = replace(SETTINGS, novelty_coef=0.0, surprise_coef=0.0, belief=half).learner(ROW)
    other, told = eqx.filter_jit(unpaid.update)(KEY, state, trials)
    assert float(told["bonus"]) == 0
    assert int(other.varibad.replay.num_items) == 4, "half of the eight trials"
    moved = zip(jax.tree.leaves(after.varibad.policy.params), jax.tree.leaves(other.varibad.policy.params), strict=True)
    assert any(not np.array_equal(a, b) for a, b in moved)


def test_beliefs_are_fed_rewards_as_they_were_also_when_the_policy_earns_bonuses() -> None:
    once = replace(SETTINGS.training, num_epochs=1, num_minibatches=1)
    learner = replace(SETTINGS, training=once, novelty_coef=10.0).learner(ROW)
    state, trials = played(learner)
    _, told = eqx.filter_jit(learner.update)(KEY, state, trials)
    assert float(told["bonus"]) > 1
    assert abs(float(told["kl"])) < 1e-6, "before the first step the policy is not the one that played"


def test_bonuses_fade_out() -> None:
    learner = replace(SETTINGS, bonus_share=0.5).learner(ROW)
    state, trials = played(learner)
    bonuses, update = [], eqx.filter_jit(learner.update)
    for _ in range(3):
        state, told = update(KEY, state, trials)
        bonuses.append(float(told["bonus"]))
    assert bonuses[0] > 0
    assert bonuses[2] == 0


def test_no_step_pays_more_than_the_most() -> None:
    state, trials = played(SETTINGS.learner(ROW))
    bonuses = [
        eqx.filter_jit(replace(SETTINGS, max_bonus=most).learner(ROW).update)(KEY, state, trials)[1]["bonus"]
        for most in (None, 0.1)
    ]
    assert float(bonuses[0]) > 0.2 >= float(bonuses[1]) > 0


def test_settings_that_make_no_sense_are_refused() -> None:
    with pytest.raises(ValueError, match="max_bonus=0"):
        replace(SETTINGS, max_bonus=0.0).learner(ROW)
    with pytest.raises(ValueError, match="bonus_share=0"):
        replace(SETTINGS, bonus_share=0.0).learner(ROW)
