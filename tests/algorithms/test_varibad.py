"""VariBAD: the evidence lower bound against a plain loop, who trains what, and beliefs that come true."""

from dataclasses import replace
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from innerloop import JaxCollector, train
from innerloop._env import Discrete, EnvSpec
from innerloop._types import Transition
from innerloop.agents import Belief
from innerloop.algorithms import OnPolicy, VariBAD
from innerloop.algorithms._sequences import as_sequences
from innerloop.algorithms.varibad import Inference, RewardDecoder, StateDecoder, VariBADLearner
from innerloop.benchmarks import benchmark
from innerloop.envs.gridnavi import GridTask
from innerloop.losses import bernoulli_log_prob, gaussian_kl

KEY = jax.random.key(0)
ROW = benchmark("gridnavi-cells")
SPEC = ROW.env.spec
NEAR = GridTask(jnp.asarray([0, 2]))
"""The goal two steps up: cell 10."""
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
    settings = VariBAD(hidden_size=8, rl_gradient=rl_gradient, training=SMALL)
    learner = settings.learner(ROW)
    policy = learner.policy
    collector = JaxCollector(ROW.env, ROW.train, 8, ROW.num_episodes)
    state = policy.init(KEY)
    experience, _ = collector.collect(KEY, policy.agent(state), collector.init(KEY, policy.agent(state)))
    after, _ = policy.update(KEY, state, experience)
    before, moved = (inference_leaves(x.params.agent) for x in (state, after))
    assert any(not np.array_equal(a, b) for a, b in zip(before, moved, strict=True)) == rl_gradient


def test_the_bound_trains_inference_and_decoders_only() -> None:
    learner = VariBAD(hidden_size=8, state_coef=1.0, training=SMALL).learner(ROW)
    collector = JaxCollector(ROW.env, ROW.train, 8, ROW.num_episodes)
    state = learner.init(KEY)
    experience, _ = collector.collect(KEY, learner.agent(state), collector.init(KEY, learner.agent(state)))
    steps = as_sequences(experience).transitions._replace(extras=None)
    state = state._replace(replay=state.replay.insert(steps))
    after, _ = learner._infer(KEY, state)
    moved = [
        not np.array_equal(a, b)
        for a, b in zip(inference_leaves(learner.agent(state)), inference_leaves(learner.agent(after)), strict=True)
    ]
    assert all(moved)
    for part in ("policy_net", "policy", "value_net", "value"):
        for a, b in zip(*(jax.tree.leaves(getattr(learner.agent(x), part)) for x in (state, after)), strict=True):
            np.testing.assert_array_equal(a, b)
    decoders = zip(jax.tree.leaves(state.inference), jax.tree.leaves(after.inference), strict=True)
    assert all(not np.array_equal(a, b) for a, b in decoders)


def test_settings_that_make_no_sense_are_refused() -> None:
    with pytest.raises(ValueError, match="whole trials"):
        VariBAD(training=replace(SMALL, stream_steps=10)).learner(ROW)
    with pytest.raises(ValueError, match="latent_size=0"):
        Belief(SPEC, key=KEY, latent_size=0)


def test_beliefs_predict_rewards_that_are_still_to_come() -> None:
    """After training on trials of random moves, whoever has been on the goal is sure of it, and of nothing before."""
    settings = VariBAD(
        reward_decoder="bernoulli",
        per_state=True,
        num_inference_steps=10,
        inference_rate=5e-3,
        training=OnPolicy(num_updates=60, num_tasks=64, learning_rate=0.0, num_epochs=1, num_minibatches=1),
    )
    learner = settings.learner(ROW)
    assert isinstance(learner, VariBADLearner)
    state, _ = train(KEY, learner, JaxCollector(ROW.env, ROW.train, 64, ROW.num_episodes), 60)
    agent, decoder = learner.agent(state), state.inference.reward
    told = jax.nn.sigmoid(decoder.head(decoder.net(agent.belief(agent.init(KEY)).mean)))
    assert float(told.max()) < 0.3
    memory, (state_then, timestep) = agent.init(KEY), ROW.env.reset(KEY, NEAR)
    for action in jnp.asarray([1, 1, 0, 0]):
        state_then, following = ROW.env.step(KEY, NEAR, state_then, action)
        step = Transition(timestep, action, following, jnp.ones((), bool), None)
        memory, timestep = agent.observe(KEY, memory, step), following
    told = jax.nn.sigmoid(decoder.head(decoder.net(agent.belief(memory).mean)))
    assert int(told.argmax()) == 10
    assert float(told[10]) > 0.8


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
