"""PEARL: products of Gaussians, whose experience is seen where, and a probe that posterior sampling solves."""

from dataclasses import replace
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from innerloop import Finite, JaxCollector, evaluate, train
from innerloop._benchmark import Benchmark
from innerloop._types import TimeStep, Transition, Trials
from innerloop.agents import Posterior
from innerloop.algorithms import PEARL, OffPolicy, PEARLLearner
from innerloop.benchmarks import benchmark
from innerloop.envs.probes import PROBES, ProbeTask
from table import probe_row

KEY = jax.random.key(0)
ROW = benchmark("sparse-point")
FEW = OffPolicy(num_tasks=8, num_gradient_steps=3, batch_size=16, capacity=4000, num_warmup=0, widths=(8,))
SMALL = PEARL(latent_size=3, encoder_widths=(8,), tasks_per_step=4, training=FEW)


def played(learner: PEARLLearner, row: Benchmark, num_tasks: int = 8, num_rounds: int = 3) -> tuple[Posterior, Trials]:
    agent = learner.agent(learner.init(KEY))
    collector = JaxCollector(row.env, row.train, num_tasks, num_rounds)
    return agent, collector.collect(KEY, agent, collector.init(KEY, agent))[0]


def one_trial(trials: Trials) -> Transition:
    """The first trial `[time]`."""
    steps = trials.transitions._replace(extras=None)
    return jax.tree.map(lambda x: x[0].reshape(-1, *x.shape[4:]), steps)


def test_the_posterior_is_the_normalised_product_of_prior_and_factors() -> None:
    agent, trials = played(SMALL.learner(ROW), ROW)
    steps = jax.tree.map(lambda x: x[:3], one_trial(trials))
    encoder: Any = agent.encoder
    mean, log_variance = jax.vmap(encoder._factor)(steps)
    found = encoder.posterior(encoder.write(encoder.empty(), steps))
    grid = np.linspace(-30, 30, 200_001)
    for i in range(3):
        log_density = -(grid**2) / 2 + sum(
            -((grid - m) ** 2) / (2 * v) for m, v in zip(mean[:, i], np.exp(log_variance[:, i]), strict=True)
        )
        density = np.exp(log_density - log_density.max())
        density /= density.sum()
        expected = (grid * density).sum()
        np.testing.assert_allclose(found.mean[i], expected, atol=1e-4)
        np.testing.assert_allclose(np.exp(found.log_variance[i]), (grid**2 * density).sum() - expected**2, rtol=1e-3)


@pytest.mark.parametrize("encoder", ["product", "gru"])
def test_what_is_ignored_changes_nothing(encoder: Any) -> None:
    """Neither what the agent does and believes, nor what is learned; another entry does."""
    learner = replace(SMALL, ignored=(1,), encoder=encoder, next_obs=encoder == "product", shaped=False).learner(ROW)
    agent, trials = played(learner, ROW, num_rounds=ROW.num_episodes)

    def told(entry: int, factor: float) -> list[Any]:
        """Action, belief and parameters after an update, where an entry of all observations is so many times what it was."""

        def with_lies(step: TimeStep) -> TimeStep:
            return step._replace(obs=step.obs.at[..., entry].multiply(factor))

        steps = trials.transitions
        steps = steps._replace(timestep=with_lies(steps.timestep), next_timestep=with_lies(steps.next_timestep))
        memory = agent.adapt(KEY, agent.init(KEY), jax.tree.map(lambda x: x[0, 0], steps))
        action, _ = agent.act(KEY, memory, jax.tree.map(lambda x: x[0, 0, 0, 5], steps.timestep))
        state, _ = learner.update(KEY, learner.init(KEY), trials._replace(transitions=steps))
        return jax.tree.leaves(eqx.filter((action, agent.belief(memory), state.params), eqx.is_array))

    honest = told(0, 1.0)
    assert all(np.array_equal(x, y) for x, y in zip(honest, told(1, 3.0), strict=True))
    assert not any(np.array_equal(x, y) for x, y in zip(honest[:2], told(0, 3.0)[:2], strict=True))


@pytest.mark.parametrize("ignored", [(2,), (-1,), (0, 0), (0, 1)])
def test_only_entries_of_an_observation_are_ignored_and_not_all_of_them(ignored: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match=r"ignored=.*name some of the entries 0 to 1, each once"):
        replace(SMALL, ignored=ignored).learner(ROW)
    with pytest.raises(ValueError, match="only entries of a vector are ignored"):
        replace(SMALL, ignored=(0,)).learner(probe_row("two-arms"))


def test_the_order_of_transitions_does_not_matter_and_padding_does_not_count() -> None:
    agent, trials = played(SMALL.learner(ROW), ROW)
    encoder, steps = agent.encoder, one_trial(trials)
    order = jax.random.permutation(KEY, steps.valid.shape[0])
    shuffled = jax.tree.map(lambda x: x[order], steps)
    half = jnp.arange(order.shape[0]) < 30
    alone = jax.tree.map(lambda x: x[:30], steps)
    padded = steps._replace(valid=steps.valid & half)
    for a, b in ((steps, shuffled), (alone, padded)):
        x, y = (encoder.posterior(encoder.write(encoder.empty(), part)) for part in (a, b))
        np.testing.assert_allclose(x.mean, y.mean, atol=1e-5)
        np.testing.assert_allclose(x.log_variance, y.log_variance, atol=1e-5)


@pytest.mark.parametrize("encoder", ["product", "gru"])
def test_the_context_is_what_the_agent_did_in_this_trial(encoder: Any) -> None:
    """Its memory at each round is the posterior of its own transitions so far; before any, the prior."""
    agent, trials = played(replace(SMALL, encoder=encoder).learner(ROW), ROW)
    first = jax.tree.map(lambda x: x[:, 0], trials.memories)
    prior = jax.vmap(agent.belief)(first)
    np.testing.assert_array_equal(prior.mean, 0.0)
    np.testing.assert_array_equal(prior.log_variance, 0.0)
    steps = trials.transitions._replace(extras=None)
    for task in range(2):
        context = agent.encoder.empty()
        for round in range(3):
            memory = jax.tree.map(lambda x, i=task, j=round: x[i, j], trials.memories)
            expected = agent.encoder.posterior(context)
            np.testing.assert_allclose(agent.belief(memory).mean, expected.mean, atol=1e-5)
            episode = jax.tree.map(lambda x, i=task, j=round: x[i, j, 0], steps)
            context = agent.encoder.write(context, episode)
    z = trials.memories.z
    assert float(jnp.abs(z[:, 1:] - z[:, :-1]).min(axis=-1).max()) > 0, "a new sample for each episode"


def test_prior_episodes_do_not_look_at_the_posterior() -> None:
    learner = replace(SMALL, num_prior_episodes=3).learner(ROW)
    agent, trials = played(learner, ROW, num_rounds=4)
    sharp = eqx.tree_at(lambda agent: agent.encoder.head.bias, agent, jnp.asarray([9.0] * 3 + [-8.0] * 3))
    memory = jax.tree.map(lambda x: x[0, 0], trials.memories)
    for number in range(1, 5):
        memory = sharp.adapt(KEY, memory, jax.tree.map(lambda x: x[0, 0], trials.transitions))
        assert bool(jnp.allclose(memory.z, 9.0, atol=0.3)) == (number >= 3)


def test_contexts_are_first_episodes_and_no_fewer_than_from_the_prior() -> None:
    learner = replace(SMALL, num_prior_episodes=5).learner(ROW)
    _, trials = played(learner, ROW, num_rounds=20)
    state = eqx.filter_jit(learner._keep)(learner.init(KEY), trials)
    slot = jnp.argmax(state.newest.num_items)
    contexts = jax.vmap(lambda key: learner._context(key, state.newest, slot))(jax.random.split(KEY, 200))
    counts = contexts.valid.sum(axis=1) // ROW.env.spec.max_steps
    assert (int(counts.min()), int(counts.max())) == (5, 20)
    assert bool(jnp.all(contexts.valid == (jnp.arange(400)[None] < 20 * counts[:, None])))


@pytest.mark.parametrize("context_steps", [30, 300])
def test_steps_of_a_context_are_drawn_once_each_from_its_episodes(context_steps: int) -> None:
    learner = replace(SMALL, num_prior_episodes=5, context_steps=context_steps).learner(ROW)
    _, trials = played(learner, ROW, num_rounds=20)
    # A reward that tells which step of the trial it was.
    numbers = jnp.broadcast_to(jnp.arange(400.0).reshape(20, 1, 20), trials.transitions.valid.shape)
    numbered = eqx.tree_at(lambda trials: trials.transitions.next_timestep.reward, trials, numbers)
    state = eqx.filter_jit(learner._keep)(learner.init(KEY), numbered)
    slot = jnp.argmax(state.newest.num_items)
    contexts = jax.vmap(lambda key: learner._context(key, state.newest, slot))(jax.random.split(KEY, 200))
    assert contexts.valid.shape == (200, context_steps)
    drawn = [np.asarray(x[valid]) for x, valid in zip(contexts.next_timestep.reward, contexts.valid, strict=True)]
    assert all(len(np.unique(x)) == len(x) for x in drawn)
    assert {len(x) for x in drawn} == {min(20 * episodes, context_steps) for episodes in range(5, 21)}
    assert len(np.unique(np.concatenate(drawn))) > 360


def test_an_agent_weighs_what_it_saw_as_the_contexts_of_its_training_were_weighed() -> None:
    agent, trials = played(replace(SMALL, context_steps=30).learner(ROW), ROW)
    encoder, steps = agent.encoder, one_trial(trials)

    def told(num_steps: int, times: int, encoder: Any = encoder) -> Any:
        context = encoder.empty()
        for _ in range(times):
            context = encoder.write(context, jax.tree.map(lambda x: x[:num_steps], steps))
        return encoder.posterior(context)

    unlimited = played(SMALL.learner(ROW), ROW)[0].encoder
    for num_steps, times, alike in ((10, 3, 3), (10, 6, 3), (30, 40, 1)):
        expected = told(num_steps, alike, unlimited)
        for x, y in zip(told(num_steps, times), expected, strict=True):
            np.testing.assert_allclose(x, y, rtol=1e-4, atol=1e-5)
    assert float(jnp.abs(told(30, 40, unlimited).log_variance - told(30, 1).log_variance).max()) > 1.0


def test_replay_keeps_tasks_apart_and_trains_on_the_shaped_reward_which_the_context_never_shows() -> None:
    learner = replace(SMALL, training=replace(FEW, capacity=16_000)).learner(ROW)
    _, trials = played(learner, ROW, num_tasks=40, num_rounds=20)
    state = eqx.filter_jit(learner._keep)(learner.init(KEY), trials)
    assert isinstance(ROW.train, Finite)
    goals = np.asarray(ROW.train.tasks.goal)
    known = np.asarray(state.replay.num_items)
    assert 0 < (known > 0).sum() < 80
    assert known.sum() == 40 * 400
    for slot in np.flatnonzero(known):
        steps = jax.tree.map(lambda x, i=slot: np.asarray(x[i, : known[i]]), state.replay.items)
        distance = np.linalg.norm(steps.next_obs - goals[slot], axis=1)
        np.testing.assert_allclose(steps.reward, -distance, atol=1e-5)
        seen = jax.tree.map(lambda x, i=slot: np.asarray(x[i, : state.newest.num_items[i]]), state.newest.items)
        distance = np.linalg.norm(seen.next_timestep.obs - goals[slot], axis=-1)
        shown = np.where(distance <= 0.2, 1.0 - distance, 0.0)
        np.testing.assert_allclose(seen.next_timestep.reward, shown, atol=1e-5)


def test_without_finitely_many_tasks_every_trial_has_a_slot_of_its_own() -> None:
    row = benchmark("bandit-n10-k5")
    learner = replace(SMALL, num_slots=12).learner(row)
    state = learner.init(KEY)
    for number in range(3):
        agent = learner.agent(state)
        collector = JaxCollector(row.env, row.train, 8, row.num_episodes)
        trials, _ = collector.collect(jax.random.key(number), agent, collector.init(KEY, agent))
        state = learner._keep(state, trials)
    assert int(state.next_slot) == 0
    np.testing.assert_array_equal(state.replay.num_items, 10)
    assert state.replay.capacity == 10, "room for one trial"


def test_it_samples_an_arm_and_then_the_one_that_pays() -> None:
    """One pull tells all; what posterior sampling loses is half of the first one."""
    probe = PROBES["two-arms"]
    arms = Finite(ProbeTask(jnp.arange(2)))
    row = replace(probe_row("two-arms"), train=arms)
    training = OffPolicy(
        num_tasks=32, num_gradient_steps=20, batch_size=64, learning_rate=3e-3, initial_alpha=0.3, learn_alpha=False
    )
    learner = PEARL(latent_size=2, encoder_widths=(32,), tasks_per_step=8, kl_coef=0.001, training=training).learner(
        row
    )
    state, _ = train(KEY, learner, JaxCollector(row.env, arms, 32, row.num_episodes), 40)
    held_out = JaxCollector(row.env, arms, 512, row.num_episodes)
    returns = evaluate(KEY, learner.agent(state), held_out, greedy=True).per_episode()
    assert float(returns.sum()) > probe.threshold
    assert abs(float(returns[0]) - 0.5) < 0.1


def test_settings_that_make_no_sense_are_refused() -> None:
    with pytest.raises(ValueError, match="batch_size=10: must be a multiple"):
        replace(SMALL, training=replace(FEW, batch_size=10)).learner(ROW)
    with pytest.raises(ValueError, match="window=2"):
        replace(SMALL, training=replace(FEW, window=2)).learner(ROW)
    with pytest.raises(ValueError, match="num_prior_episodes=21"):
        replace(SMALL, num_prior_episodes=21).learner(ROW)
    with pytest.raises(ValueError, match="context_steps=0: must be at least 1"):
        replace(SMALL, context_steps=0).learner(ROW)
    with pytest.raises(ValueError, match="encoder='gru'"):
        replace(SMALL, context_steps=8, encoder="gru").learner(ROW)
    with pytest.raises(ValueError, match=r"num_slots=4: bandit-n10-k5 draws new tasks .* num_tasks=8"):
        replace(SMALL, num_slots=4, training=replace(FEW, num_tasks=8)).learner(benchmark("bandit-n10-k5"))
    with pytest.raises(ValueError, match="latent_size=0"):
        replace(SMALL, latent_size=0).learner(ROW).init(KEY)
