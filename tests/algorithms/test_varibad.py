"""VariBAD: the evidence lower bound against a plain loop, who trains what, and beliefs that come true."""

from dataclasses import replace
from itertools import pairwise
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from innerloop import JaxCollector, evaluate, train
from innerloop._env import Discrete, EnvSpec
from innerloop._learner import scheduled
from innerloop._types import Transition
from innerloop.agents import Belief
from innerloop.algorithms import BeliefSettings, OnPolicy, VariBAD
from innerloop.algorithms._inference import Inference, RewardDecoder, StateDecoder
from innerloop.algorithms._sequences import as_sequences
from innerloop.benchmarks import benchmark
from innerloop.envs.probes import PROBES
from innerloop.losses import bernoulli_log_prob, gaussian_kl
from table import probe_row

KEY = jax.random.key(0)
ROW = benchmark("gridnavi-cells")
SPEC = ROW.env.spec
SMALL = OnPolicy(num_updates=4, num_tasks=8, num_minibatches=2)


def a_trial(agent: Belief) -> Transition:
    """One trial `[time]`, of which the last two steps are padding."""
    collector = JaxCollector(ROW.env, ROW.train, 1, 2)
    trial = jax.tree.map(lambda x: x[0], as_sequences(collector.collect(KEY, agent, collector.init(KEY, agent))[0]))
    steps = trial.transitions
    return steps._replace(valid=jnp.arange(steps.valid.shape[0]) < steps.valid.shape[0] - 2)


def inference(reward: RewardDecoder, state: StateDecoder | None = None, **options: Any) -> Inference:
    """All terms of the bound, unless told otherwise."""
    settings: dict[str, Any] = {
        "num_terms": None,
        "num_decoded": None,
        "kl_coef": 0.1,
        "state_coef": 1.0,
        "kl_to": "previous",
    }
    return Inference(reward, state, **(settings | options))


def parts(**options: Any) -> tuple[Belief, RewardDecoder, Transition]:
    agent = Belief(SPEC, key=KEY, latent_size=3, hidden_size=8)
    agent = eqx.tree_at(lambda x: x.log_variance.bias, agent, jnp.full((3,), -20.0))  # so that samples are means
    return agent, RewardDecoder(SPEC, 3, key=KEY, kind="bernoulli", per_state=True, **options), a_trial(agent)


def test_the_bound_is_what_a_plain_loop_says() -> None:
    agent, reward, steps = parts()
    loss, told = inference(reward).loss(KEY, agent, steps)
    memory, num_steps = agent.init(KEY), steps.valid.shape[0]
    beliefs = [agent.belief(memory)]
    for t in range(num_steps):
        step = jax.tree.map(lambda x, t=t: x[t], steps)
        if bool(step.valid):
            memory = agent.observe(KEY, memory, step)
        beliefs.append(agent.belief(memory))
    errors, divergences = [], []
    for t, belief in enumerate(beliefs):
        heads = reward.head(reward.net(belief.mean))
        chosen = heads[steps.next_timestep.obs]
        log_probs = bernoulli_log_prob(chosen, (steps.next_timestep.reward > 0).astype(jnp.float32))
        errors.append(-float((log_probs * steps.valid.astype(jnp.float32)).sum()))
        before = beliefs[t - 1] if t else (jnp.zeros(3), jnp.zeros(3))
        divergences.append(float(gaussian_kl(*belief, *before)))
    np.testing.assert_allclose(told["reward_loss"], np.mean(errors), rtol=1e-3)
    np.testing.assert_allclose(told["belief_kl"], np.mean(divergences), rtol=1e-4)
    np.testing.assert_allclose(loss, np.mean(errors) + 0.1 * np.mean(divergences), rtol=1e-3)


def test_drawing_terms_and_steps_leaves_the_bound_unbiased() -> None:
    agent, reward, steps = parts()
    state = StateDecoder(SPEC, 3, key=KEY)
    steps = steps._replace(valid=jnp.ones_like(steps.valid))
    exact, _ = inference(reward, state).loss(KEY, agent, steps)
    some = inference(reward, state, num_terms=5, num_decoded=7)
    drawn = jax.jit(jax.vmap(lambda key: some.loss(key, agent, steps)[0]))(jax.random.split(KEY, 2000))
    assert float(jnp.std(drawn)) > 0
    np.testing.assert_allclose(drawn.mean(), exact, atol=4 * float(jnp.std(drawn)) / 2000**0.5)


def test_a_reward_decoder_per_state_needs_states() -> None:
    with pytest.raises(ValueError, match="needs discrete observations"):
        RewardDecoder(benchmark("gridnavi").env.spec, 3, key=KEY, per_state=True)


def inference_leaves(agent: Belief) -> list[Any]:
    return jax.tree.leaves((agent.history, agent.mean, agent.log_variance))


@pytest.mark.parametrize("rl_gradient", [False, True])
def test_the_policy_trains_inference_only_if_told(rl_gradient: bool) -> None:
    settings = VariBAD(BeliefSettings(hidden_size=8, rl_gradient=rl_gradient), SMALL)
    learner = settings.learner(ROW)
    policy = learner.policy
    collector = JaxCollector(ROW.env, ROW.train, 8, ROW.num_episodes)
    state = policy.init(KEY)
    experience, _ = collector.collect(KEY, policy.agent(state), collector.init(KEY, policy.agent(state)))
    after, _ = eqx.filter_jit(policy.update)(KEY, state, experience)
    before, moved = (inference_leaves(x.params.agent) for x in (state, after))
    assert any(not np.array_equal(a, b) for a, b in zip(before, moved, strict=True)) == rl_gradient


def test_the_bound_trains_inference_and_decoders_only() -> None:
    learner = VariBAD(BeliefSettings(hidden_size=8, state_coef=1.0), SMALL).learner(ROW)
    collector = JaxCollector(ROW.env, ROW.train, 8, ROW.num_episodes)
    state = learner.init(KEY)
    experience, _ = collector.collect(KEY, learner.agent(state), collector.init(KEY, learner.agent(state)))
    steps = as_sequences(experience).transitions._replace(extras=None)
    state = state._replace(replay=state.replay.insert(steps))
    after, _ = eqx.filter_jit(learner._infer)(KEY, state)
    moved = [
        not np.array_equal(a, b)
        for a, b in zip(inference_leaves(learner.agent(state)), inference_leaves(learner.agent(after)), strict=True)
    ]
    assert all(moved)
    for part in ("policy", "value"):
        for a, b in zip(*(jax.tree.leaves(getattr(learner.agent(x), part)) for x in (state, after)), strict=True):
            np.testing.assert_array_equal(a, b)
    decoders = zip(jax.tree.leaves(state.inference), jax.tree.leaves(after.inference), strict=True)
    assert all(not np.array_equal(a, b) for a, b in decoders)


def test_only_beliefs_learn_while_they_are_pretrained() -> None:
    belief = BeliefSettings(hidden_size=8, inference_batch=4, capacity=32, pretraining_share=0.5)
    learner = VariBAD(belief, SMALL).learner(ROW)
    collector = JaxCollector(ROW.env, ROW.train, 8, ROW.num_episodes)
    start = learner.init(KEY)
    experience, _ = collector.collect(KEY, learner.agent(start), collector.init(KEY, learner.agent(start)))
    states, update = [start], eqx.filter_jit(learner.update)
    for _ in range(3):
        states.append(update(KEY, states[-1], experience)[0])

    def moved(leaves: Any) -> list[bool]:
        all_leaves = [jax.tree.leaves(leaves(state)) for state in states]
        pairs = pairwise(all_leaves)
        return [any(not np.array_equal(a, b) for a, b in zip(x, y, strict=True)) for x, y in pairs]

    assert moved(lambda state: inference_leaves(learner.agent(state))) == [True, True, True]
    assert moved(lambda state: learner.agent(state).policy) == [False, False, True]
    assert moved(lambda state: (state.policy.opt_state, state.policy.moments)) == [False, False, True]
    assert int(states[-1].policy.num_updates) == 3


def test_the_entropy_bonus_begins_when_pretraining_ends() -> None:
    training = replace(SMALL, num_updates=100, entropy_coef=0.1, final_entropy_coef=0.0, entropy_anneal=1.0)
    learner = VariBAD(BeliefSettings(pretraining_share=0.6), training).learner(ROW)
    coefs = [float(scheduled(learner.policy.entropy_coef, jnp.asarray(count))) for count in (0, 60, 80, 100)]
    np.testing.assert_allclose(coefs, [0.1, 0.1, 0.05, 0.0], atol=1e-6)


def test_settings_that_make_no_sense_are_refused() -> None:
    with pytest.raises(ValueError, match="whole trials"):
        VariBAD(training=replace(SMALL, stream_steps=10)).learner(ROW)
    with pytest.raises(ValueError, match=r"scale=-1\.0"):
        RewardDecoder(SPEC, 3, key=KEY, scale=-1.0)
    with pytest.raises(ValueError, match="stored_share=0"):
        VariBAD(BeliefSettings(stored_share=0.0), SMALL).learner(ROW)
    with pytest.raises(ValueError, match="pretraining_share=1"):
        VariBAD(BeliefSettings(pretraining_share=1.0), SMALL).learner(ROW)
    with pytest.raises(ValueError, match="latent_size=0"):
        Belief(SPEC, key=KEY, latent_size=0)


def test_it_solves_a_probe_by_a_belief_that_tells_the_arms_apart() -> None:
    """The policy sees the belief alone: without one that is true it stays at chance, 2.5."""
    probe, row = PROBES["two-arms"], probe_row("two-arms")
    training = OnPolicy(num_updates=60, num_tasks=128, num_minibatches=2, learning_rate=1e-2)
    belief = BeliefSettings(latent_size=2, hidden_size=16, input_widths=(), policy_widths=(16,), kl_coef=1e-3)
    belief = replace(belief, num_inference_steps=10, inference_rate=1e-2, inference_batch=32)
    learner = VariBAD(belief, training).learner(row)
    state, _ = train(KEY, learner, JaxCollector(row.env, row.train, 128, row.num_episodes), 60)
    agent = learner.agent(state)
    held_out = JaxCollector(row.env, row.test, 512, row.num_episodes)
    assert float(evaluate(KEY, agent, held_out, greedy=True).per_episode().sum()) > probe.threshold
    trials, _ = held_out.collect(KEY, agent, held_out.init(KEY, agent))
    means = jax.vmap(agent.belief)(jax.tree.map(lambda x: x[:, -1], trials.memories)).mean
    first, second = (means[trials.tasks.target == arm] for arm in (0, 1))
    spread = float(jnp.linalg.norm(first.std(axis=0) + second.std(axis=0)))
    assert float(jnp.linalg.norm(first.mean(axis=0) - second.mean(axis=0))) > 3 * spread


def test_discrete_states_are_told_apart() -> None:
    spec = EnvSpec(Discrete(4), Discrete(2), max_steps=3)
    decoder = StateDecoder(spec, 2, key=KEY)
    steps = a_trial(Belief(SPEC, key=KEY, latent_size=2, hidden_size=4))
    small = jax.tree.map(lambda x: x[:3], steps)
    small = small._replace(
        timestep=small.timestep._replace(obs=jnp.asarray([0, 1, 2])),
        next_timestep=small.next_timestep._replace(obs=jnp.asarray([1, 2, 3])),
        action=jnp.asarray([0, 1, 0]),
    )
    log_probs = decoder.log_probs(jnp.zeros((1, 2)), small)
    assert log_probs.shape == (1, 3)
    assert bool(jnp.all(log_probs < 0))
