"""DREAM: what exploring is paid, who learns from what, what the agent holds, and that it looks where looking costs."""

from dataclasses import replace
from functools import partial
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from innerloop import JaxCollector, evaluate, train
from innerloop._rollout import trial
from innerloop._task import Finite, Sampled, TaskDistribution
from innerloop._types import Trials
from innerloop.agents._decoders import SumDecoder, guesses
from innerloop.algorithms import DREAM, RL2, DREAMLearner, OnPolicy
from innerloop.algorithms._insider import Bottleneck, TaskEncoder
from innerloop.algorithms._sequences import as_sequences
from innerloop.algorithms._task_code import CodeName, TaskCode
from innerloop.algorithms.dream import DREAMState, information_gain
from innerloop.benchmarks import benchmark
from table import probe_row

KEY = jax.random.key(0)
ROW = benchmark("bus")
SMALL = OnPolicy(num_updates=4, num_tasks=8, num_minibatches=1, num_epochs=1)
SETTINGS = DREAM(latent_size=3, hidden_size=8, input_widths=(8,), num_decoder_steps=2, training=SMALL)


def played(settings: DREAM = SETTINGS) -> tuple[DREAMLearner, DREAMState, Trials]:
    """A learner, its first state, and trials of its player."""
    learner = settings.learner(ROW)
    state = learner.init(KEY)
    collector = JaxCollector(ROW.env, ROW.train, 8, ROW.num_episodes)
    player = learner.player(state)
    return learner, state, eqx.filter_jit(collector.collect)(KEY, player, collector.init(KEY, player))[0]


def log_density(x: np.ndarray, mean: np.ndarray, deviation: float) -> float:
    return float(np.sum(-0.5 * ((x - mean) / deviation) ** 2 - np.log(deviation) - 0.5 * np.log(2 * np.pi)))


def test_a_sum_of_steps_knows_no_order_and_nothing_of_steps_that_were_not_made() -> None:
    learner, _, trials = played()
    steps = jax.tree.map(lambda x: x[0], as_sequences(learner._explored(trials)).transitions._replace(extras=None))
    decoder = SumDecoder(ROW.env.spec, 3, key=KEY, widths=(8,))
    one, num = guesses(decoder, steps), int(steps.valid.sum())
    turned = jax.tree.map(lambda x: jnp.concatenate([x[:num][::-1], x[num:]]), steps)
    np.testing.assert_allclose(guesses(decoder, turned)[-1], one[-1], atol=1e-5)
    alone = jax.tree.map(lambda x: x[2:3], steps)
    np.testing.assert_allclose(one[3] - one[2], guesses(decoder, alone)[1] - guesses(decoder, alone)[0], atol=1e-5)
    hidden = guesses(decoder, steps._replace(valid=jnp.zeros_like(steps.valid)))
    np.testing.assert_array_equal(hidden, jnp.broadcast_to(decoder.bias, hidden.shape))


def test_which_bus_goes_where_is_linear_in_the_products_and_in_nothing_else_that_steps_say() -> None:
    """One-hot codes of where a step began and where it led: what their pair means, at random, is fitted by least squares."""
    decoder, rng = SumDecoder(ROW.env.spec, 3, key=KEY, widths=(64,)), np.random.default_rng(0)
    num_before, num_after = decoder.product.first.weight.shape[0], decoder.product.second.weight.shape[0]
    first, last = rng.integers(12, size=(2, 500))
    before, after = np.eye(num_before, dtype=np.float32)[first], np.eye(num_after, dtype=np.float32)[last]
    meaning = rng.normal(size=(12, 12))[first, last]

    def error(features: np.ndarray) -> float:
        features = np.concatenate([features, np.ones((500, 1))], axis=1)
        return float(np.square(features @ np.linalg.lstsq(features, meaning, rcond=1e-5)[0] - meaning).mean())

    assert error(np.asarray(jax.vmap(decoder.product)(before, after))) < 1e-3
    assert error(np.concatenate([before, after], axis=1)) > 0.5
    assert error(np.asarray(jax.vmap(decoder.net)(np.concatenate([before, after], axis=1)))) > 0.1


def test_exploring_is_paid_the_change_of_the_log_likelihood() -> None:
    learner, state, trials = played()
    steps = as_sequences(learner._explored(trials)).transitions._replace(extras=None)
    codes = jax.vmap(learner.code)(trials.tasks)
    gain, told = eqx.filter_jit(learner._look)(state, codes, steps)
    agent, encoder = learner.agent(state), learner.player(state).encoder
    noise = np.random.default_rng(0).normal(size=3)
    read, guess = eqx.filter_jit(agent.decoder.read), eqx.filter_jit(agent.decoder.guess)
    for i in range(2):
        target, memory = np.asarray(encoder(codes[i])), agent.decoder.start()
        guessed = [np.asarray(guess(memory))]
        for t in range(steps.valid.shape[1]):
            step = jax.tree.map(lambda x, i=i, t=t: x[i, t], steps)
            if bool(step.valid):
                memory = read(memory, step)
            guessed.append(np.asarray(guess(memory)))
        draws = [target + learner.deviation * sign * noise for sign in (-1, 1)]  # whose mean is that over all draws
        likely = [np.mean([log_density(z, guess, learner.decoder_deviation) for z in draws]) for guess in guessed]
        np.testing.assert_allclose(gain[i], np.diff(likely), atol=2e-4)
    assert float(jnp.abs(gain).max()) > 1e-3
    np.testing.assert_allclose(told["information"], gain.sum(axis=1).mean(), rtol=1e-4)


def test_padding_tells_nothing() -> None:
    learner, state, trials = played()
    steps = as_sequences(learner._explored(trials)).transitions._replace(extras=None)
    codes = jax.vmap(learner.code)(trials.tasks)
    gain, _ = learner._look(state, codes, steps._replace(valid=steps.valid & (jnp.arange(20) < 7)[None]))
    assert not np.any(np.asarray(gain)[:, 7:])
    assert np.any(np.asarray(gain)[:, :7])


def test_the_noise_of_the_task_vector_cancels() -> None:
    target, guesses = jnp.asarray([1.0, 0.0]), jnp.asarray([[0.0, 0.0], [1.0, 0.0], [1.0, 2.0]])
    np.testing.assert_allclose(information_gain(target, guesses, 0.5), [2.0, -8.0], rtol=1e-5)


def test_the_bottleneck_is_the_divergence_and_pulls_the_mean_to_zero() -> None:
    features = jnp.asarray([[0.5, -2.0], [0.0, 1.0]])
    error = Bottleneck(0.3).error(None, features)
    constant = 2 * (0.3**2 - 1) / 2 - 2 * np.log(0.3)
    np.testing.assert_allclose(error, 0.5 * (np.asarray(features) ** 2).sum(axis=1) + constant, rtol=1e-5)
    pull = jax.grad(lambda x: Bottleneck(0.3).error(None, x).sum())(features)
    np.testing.assert_allclose(pull, features, rtol=1e-5)


@pytest.mark.slow
def test_a_narrow_bottleneck_takes_tasks_out_of_the_code() -> None:
    spread, training = {}, replace(SMALL, num_epochs=30, learning_rate=1e-2, final_learning_rate=1e-2)
    for coef in (0.0, 100.0):
        learner, state, trials = played(replace(SETTINGS, bottleneck_coef=coef, training=training))
        codes = jax.vmap(learner.code)(trials.tasks)
        after, _ = eqx.filter_jit(learner.update)(KEY, state, trials)
        before, now = (jnp.square(jax.vmap(learner.player(x).encoder)(codes)).sum() for x in (state, after))
        spread[coef] = float(now / before)
    assert spread[100.0] < 0.5 < spread[0.0]


def test_policies_are_replayed_as_they_played() -> None:
    """Else the ratio of the surrogate is not 1 at its start: what a policy earns is not what it is fed."""
    for share in (0.0, 0.5, 1.0):
        learner, state, trials = played(replace(SETTINGS, decoded_share=share, step_cost=0.7))
        _, told = eqx.filter_jit(learner.update)(KEY, state, trials)
        for name in ("explore_kl", "exploit_kl"):
            assert abs(float(told[name])) < 1e-6, name


def test_each_part_learns_from_its_own_episodes() -> None:
    learner, state, trials = played()
    update = eqx.filter_jit(learner.update)

    def with_rewards_of(episode: int) -> DREAMState:
        """After an update on trials in which one episode paid something else."""
        step = trials.transitions.next_timestep
        reward = step.reward.at[:, episode].add(jnp.arange(20.0))
        changed = trials.transitions._replace(next_timestep=step._replace(reward=reward))
        return update(KEY, state, trials._replace(transitions=changed))[0]

    def same(a: Any, b: Any) -> bool:
        return all(np.array_equal(x, y) for x, y in zip(jax.tree.leaves(a), jax.tree.leaves(b), strict=True))

    plain, exploring, exploiting = update(KEY, state, trials)[0], with_rewards_of(0), with_rewards_of(1)
    assert same(plain.exploiter, exploring.exploiter)
    assert not same(plain.exploiter, exploiting.exploiter)
    assert same(plain.explorer, exploiting.explorer)
    decoded, _ = learner._decode(KEY, state, *_decoder_batch(learner, trials))
    assert same((decoded.exploiter, decoded.explorer), (state.exploiter, state.explorer))
    assert not same(decoded.decoder, state.decoder)


def _decoder_batch(learner: DREAMLearner, trials: Trials) -> tuple[Any, Any]:
    steps = as_sequences(learner._explored(trials)).transitions._replace(extras=None)
    return jax.vmap(learner.code)(trials.tasks), steps


def test_the_decoder_learns_the_mean_of_the_code() -> None:
    learner, state, trials = played(replace(SETTINGS, num_decoder_steps=150, decoder_rate=1e-2))
    batch = _decoder_batch(learner, trials)
    before, after = state, eqx.filter_jit(learner._decode)(KEY, state, *batch)[0]
    errors = [float(learner._look(x, *batch)[1]["decoder_error"]) for x in (before, after)]
    assert errors[1] < 0.2 * errors[0]


def test_the_agent_knows_only_what_it_has_seen() -> None:
    learner, state, _ = played()
    agent = learner.agent(state)
    encoders = jax.tree.leaves(agent, is_leaf=lambda x: isinstance(x, TaskEncoder))
    assert not any(isinstance(x, TaskEncoder) for x in encoders)
    other = eqx.tree_at(lambda x: x.exploiter.params.agent.encoder.head.bias, state, replace_fn=lambda x: x + 1.0)
    for a, b in zip(jax.tree.leaves(agent), jax.tree.leaves(learner.agent(other)), strict=True):
        np.testing.assert_array_equal(a, b)
    played_by_agent = trial(KEY, ROW.env, agent, ROW.test.sample(KEY), 2)
    steps = jax.tree.map(lambda x: x[0, 0], played_by_agent.transitions)._replace(extras=None)
    z = guesses(agent.decoder, steps)[-1]
    np.testing.assert_allclose(played_by_agent.memories.z[1], z, atol=1e-5)
    with pytest.raises((ValueError, TypeError), match="Agent"):
        evaluate(KEY, learner.player(state), JaxCollector(ROW.env, ROW.test, 8, 2))  # type: ignore[arg-type]


def test_training_is_told_the_task_but_for_a_share() -> None:
    for share in (0.0, 1.0):
        learner, state, trials = played(replace(SETTINGS, decoded_share=share))
        memories, codes = trials.memories, jax.vmap(learner.code)(trials.tasks)
        told = jax.vmap(learner.player(state).encoder)(codes) + learner.deviation * memories.noise[:, 1]
        _, steps = _decoder_batch(learner, trials)
        decoded = jax.vmap(partial(guesses, learner.agent(state).decoder))(steps)[:, -1]
        np.testing.assert_allclose(memories.agent.z[:, 1], decoded if share else told, atol=1e-5)


def test_integers_are_coded_one_by_one() -> None:
    code = TaskCode(Finite({"a": jnp.asarray([[2, 3], [4, 2]]), "b": jnp.asarray([0.5, 7.0])}))
    assert code.num_features == 2 * 3 + 1
    task = {"a": jnp.asarray([3, 4]), "b": jnp.asarray(0.25)}
    np.testing.assert_array_equal(code(task), [0, 1, 0, 0, 0, 1, 0.25])
    index = TaskCode(ROW.train, "index")
    assert isinstance(ROW.train, Finite)
    np.testing.assert_array_equal(index(ROW.train.take(jnp.asarray(3))), np.eye(16)[3])
    sampled = TaskCode(Sampled(lambda key: jax.random.randint(key, (), -1, 3)))
    assert sampled.num_features == 4


MANY = Sampled(lambda key: jax.random.randint(key, (), 0, 1_000_000))


@pytest.mark.parametrize(("tasks", "kind"), [(MANY, "description"), (MANY, "index")])
def test_tasks_that_cannot_be_coded(tasks: TaskDistribution, kind: CodeName) -> None:
    with pytest.raises(ValueError, match=r"one-hot|finite"):
        TaskCode(tasks, kind)


@pytest.mark.parametrize(
    "changes",
    [
        {"num_exploration_episodes": 2},
        {"num_exploration_episodes": 0},
        {"deviation": 0.0},
        {"decoded_share": 1.5},
        {"task_code": "name"},
        {"policy_widths": ()},
        {"training": replace(SMALL, stream_steps=5)},
        {"training": replace(SMALL, num_free_episodes=1)},
    ],
)
def test_settings_that_cannot_work(changes: dict[str, Any]) -> None:
    with pytest.raises((ValueError, TypeError)):
        replace(SETTINGS, **changes).learner(ROW).init(KEY)


def last_return(settings: Any) -> float:
    """Of the second episode, after training where a look at the target costs."""
    row = probe_row("costly-look")
    learner = settings.learner(row)
    collector = JaxCollector(row.env, row.train, settings.training.num_tasks, 2)
    state, _ = train(jax.random.key(3), learner, collector, settings.training.num_updates)
    held_out = JaxCollector(row.env, row.test, 512, 2)
    return float(evaluate(KEY, learner.agent(state), held_out, greedy=True).per_episode()[1])


PROBE_TRAINING = OnPolicy(num_updates=100, num_tasks=128, learning_rate=1e-2, num_minibatches=2, gae_lambda=0.9)


def test_it_looks_where_looking_costs() -> None:
    settings = DREAM(latent_size=3, hidden_size=16, input_widths=(16,), decoder_rate=1e-2, training=PROBE_TRAINING)
    assert last_return(settings) > 0.95


@pytest.mark.slow
def test_an_agent_paid_for_all_episodes_does_not_look() -> None:
    assert last_return(RL2(hidden_size=16, training=PROBE_TRAINING)) < 0.7
