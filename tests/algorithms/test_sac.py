"""Soft actor-critic: densities, what returns go on from, what is replayed, and probes that need a memory."""

from functools import partial
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import numpyro.distributions as dist
import optax
import pytest

from innerloop import JaxCollector, evaluate, train
from innerloop._env import Box, Discrete, EnvSpec, restart
from innerloop._task import Finite
from innerloop._types import TimeStep, Transition
from innerloop.agents import History, Present, SoftPolicy, Summary
from innerloop.algorithms import OffPolicy, SoftObjective
from innerloop.algorithms._soft import Critic, Played, SoftNets, Views
from innerloop.algorithms.sac import SAC, SoftActorCritic, continued
from innerloop.benchmarks import benchmark
from innerloop.envs.point import PointGoal, PointTask
from innerloop.envs.probes import PROBES, Probe
from innerloop.recipes import recipe
from innerloop.report._results import reaches_bar
from marks import rarely

KEY = jax.random.key(0)
BOX = Box((2,), -2.0, 4.0)


def test_squashed_densities_are_those_of_numpyro() -> None:
    policy = SoftPolicy(KEY, 3, BOX, (8,))
    x = jnp.asarray([0.3, -1.0, 2.0])
    mean, log_scale = policy._gaussian(x)
    raw = dist.Normal(mean, jnp.exp(log_scale)).to_event(1)
    for key in jax.random.split(KEY, 5):
        choice = policy.sample(key, x)
        u = jnp.arctanh(choice.features)
        expected = raw.log_prob(u) - jnp.log(1 - jnp.square(choice.features)).sum()
        np.testing.assert_allclose(choice.log_prob, expected, rtol=1e-3)
        np.testing.assert_allclose(choice.action, 1.0 + 3.0 * choice.features, rtol=1e-6)
        np.testing.assert_allclose(policy.features_of(choice.action), choice.features, atol=1e-6)
    np.testing.assert_allclose(policy.greedy(x), 1.0 + 3.0 * jnp.tanh(mean), rtol=1e-6)


def test_discrete_values_are_exact_expectations() -> None:
    space, x = Discrete(3), jnp.asarray([1.0, -0.5])
    keys = jax.random.split(KEY, 3)
    policy = SoftPolicy(keys[0], 2, space, (8,))
    critics = (Critic(keys[1], 2, space, (8,)), Critic(keys[2], 2, space, (8,)))
    nets = SoftNets(policy, critics, jnp.log(0.7))
    logits = policy.logits(x)
    lowest = np.minimum(critics[0].all(x), critics[1].all(x))
    expected = (np.exp(logits) * (lowest - 0.7 * np.asarray(logits))).sum()
    np.testing.assert_allclose(nets.soft_value(KEY, nets, x, x), expected, rtol=1e-5)
    loss, entropy = nets.policy_loss(KEY, x)
    np.testing.assert_allclose(loss, -expected, rtol=1e-5)
    np.testing.assert_allclose(entropy, -(np.exp(logits) * np.asarray(logits)).sum(), rtol=1e-5)


def test_temperature_rises_where_the_entropy_is_too_low() -> None:
    space = Discrete(2)
    policy, critic = SoftPolicy(KEY, 1, space, ()), Critic(KEY, 1, space, ())

    def loss(log_alpha: Any, entropy: float) -> Any:
        return SoftNets(policy, (critic, critic), log_alpha).temperature_loss(jnp.asarray(entropy), 0.5)

    slope = jax.grad(loss)
    assert float(slope(jnp.asarray(0.0), 0.1)) < 0 < float(slope(jnp.asarray(0.0), 0.9))


def test_weights_of_replay_do_not_count_as_missing_entropy() -> None:
    objective = SoftObjective(BOX, (4,))
    nets = objective.init(KEY, 3)
    views = Views(*(jax.random.normal(key, (6, 3)) for key in jax.random.split(KEY, 3)))

    def slope_and_told(scale: float) -> tuple[Any, Any]:
        weight = scale * jnp.asarray([0.1, 0.2, 0.1, 0.3, 0.2, 0.1])
        played = Played(jnp.zeros((6, *BOX.shape)), jnp.ones((6,)), jnp.ones((6,)), weight)
        gradients, (told, _) = eqx.filter_grad(lambda nets: objective(KEY, nets, nets, views, played), has_aux=True)(
            nets
        )
        return gradients.log_alpha, told

    (whole, told), (small, told_small) = slope_and_told(1.0), slope_and_told(0.01)
    np.testing.assert_allclose(small, whole, rtol=1e-4)
    np.testing.assert_allclose(told_small["entropy"], told["entropy"], rtol=1e-4)
    np.testing.assert_allclose(told_small["critic_loss"], 0.01 * told["critic_loss"], rtol=1e-4)


def test_a_scheduled_temperature_falls_by_the_same_factor_in_every_update() -> None:
    objective = SoftObjective(BOX, (4,), initial_alpha=0.1, learn_alpha=False, final_alpha=0.001, num_updates=4)
    nets = objective.init(KEY, 3)
    found = [float(jnp.exp(objective.cooled(nets, jnp.asarray(count)).log_alpha)) for count in (0, 1, 2, 4, 9)]
    np.testing.assert_allclose(found, [0.1, 0.1**1.5, 0.01, 0.001, 0.001], rtol=1e-4)
    with pytest.raises(ValueError, match=r"final_alpha=0.1: a learned temperature"):
        SoftObjective(BOX, final_alpha=0.1)


@pytest.mark.parametrize(("final", "expected"), [(None, [0.1, 0.1, 0.1]), (0.02, [0.1, 0.06, 0.02])])
def test_the_step_size_falls_over_the_gradient_steps_of_the_run(final: float | None, expected: list[float]) -> None:
    training = OffPolicy(
        num_updates=7, num_warmup=2, num_gradient_steps=4, learning_rate=0.1, final_learning_rate=final
    )
    optimizer, weight, sizes = training.optimizer(), jnp.ones(()), []
    state = optimizer.init(weight)
    for _ in range(21):
        with jax.numpy_dtype_promotion("standard"):
            step, state = optimizer.update(jnp.ones(()), state)
        sizes.append(-float(step))
    np.testing.assert_allclose([sizes[0], sizes[10], sizes[20]], expected, rtol=1e-3)


SPEC = EnvSpec(Discrete(9), Discrete(2), max_steps=2)


def steps_of_two_episodes() -> Transition:
    """Observations 0, 1 | 3, 4: a truncation after 1 (to 2), a termination after 3 (to 5), then padding."""
    obs, following = jnp.asarray([0, 1, 3, 4]), jnp.asarray([1, 2, 5, 6])
    last, discount = jnp.asarray([False, True, True, False]), jnp.asarray([1.0, 1.0, 0.0, 1.0])
    now = jax.tree.map(lambda x: jnp.broadcast_to(x, (4, *x.shape)), restart(SPEC, jnp.zeros((), jnp.int32)))
    then = TimeStep(following, now.prev_action, jnp.ones(4), discount, jnp.zeros(4, bool), last)
    valid = jnp.asarray([True, True, True, False])
    return Transition(now._replace(obs=obs), now.prev_action, then, valid, None)


def test_returns_of_an_episode_stop_at_terminations_only() -> None:
    judged, goes_on = continued(steps_of_two_episodes(), across=False)
    assert judged.obs.tolist()[:3] == [1, 2, 5]
    assert goes_on.tolist()[:3] == [1.0, 1.0, 0.0]


def test_returns_of_a_trial_go_on_with_the_next_episode_and_stop_with_the_trial() -> None:
    judged, goes_on = continued(steps_of_two_episodes(), across=True)
    assert judged.obs.tolist()[:2] == [1, 3]
    assert goes_on.tolist()[:3] == [1.0, 1.0, 0.0]


def sac(probe: Probe, make_summary: Any, gamma: float = 0.99, **options: Any) -> SAC:
    """A small one for a probe."""
    objective = SoftObjective(probe.env.spec.action, widths=(32,), gamma=gamma, initial_alpha=0.05)
    settings: dict[str, Any] = {"capacity": 2000, "batch_size": 64, "num_gradient_steps": 20}
    return SAC(make_summary, objective, optax.adam(3e-3), probe.env.spec, **(settings | options))


def test_replay_holds_windows_of_one_trial_each_and_no_padding() -> None:
    probe = PROBES["flipping-goal"]
    learner = sac(probe, partial(History, probe.env.spec, hidden_size=4), window=3, across_episodes=True)
    collector = JaxCollector(probe.env, probe.tasks, 8, 2)
    state = learner.init(KEY)
    trials, _ = collector.collect(KEY, learner.agent(state), collector.init(KEY, learner.agent(state)))
    windows = learner._windows(KEY, learner.agent(state), trials)
    assert windows.transitions.valid.shape == (16, 3)
    for i in range(16):
        task, episode = divmod(i, 2)
        np.testing.assert_array_equal(
            windows.transitions.timestep.obs[i], trials.transitions.timestep.obs[task, episode, 0]
        )
    state, _ = learner.update(KEY, state, trials)
    kept = state.replay.items.transitions.valid[: int(state.replay.num_items)]
    assert bool(kept.any(axis=1).all())


def test_a_stored_memory_is_the_one_the_agent_had() -> None:
    probe = PROBES["late-cue"]
    learner = sac(probe, partial(History, probe.env.spec, hidden_size=4), window=2, across_episodes=True)
    agent = learner.agent(learner.init(KEY))
    collector = JaxCollector(probe.env, probe.tasks, 5, 2)
    trials, _ = collector.collect(KEY, agent, collector.init(KEY, agent))
    windows = learner._windows(KEY, agent, trials)
    stored = jax.tree.map(lambda x: x.reshape(5, 2, *x.shape[1:]), windows.memory)
    for x, y in zip(jax.tree.leaves(stored), jax.tree.leaves(trials.memories), strict=True):
        np.testing.assert_allclose(x, y, atol=1e-6)


def test_windows_are_replayed_more_often_where_the_critics_were_wrong() -> None:
    probe = PROBES["shown-target"]
    learner = sac(probe, partial(Present, probe.env.spec), priority=1.0, num_warmup=0, num_gradient_steps=1)
    collector = JaxCollector(probe.env, probe.tasks, 128, 1)
    state = learner.init(KEY)
    trials, _ = collector.collect(KEY, learner.agent(state), collector.init(KEY, learner.agent(state)))
    before = state.params
    state, _ = learner.update(KEY, state, trials)
    changed = np.flatnonzero(np.asarray(state.replay.priority) != 1.0)[:3]
    assert len(changed) == 3
    for i in changed:
        window = jax.tree.map(lambda x, i=i: x[i, 0], state.replay.items)
        x = before.summary.see(window.memory, window.transitions.timestep)
        action = before.nets.policy.features_of(window.transitions.action)
        # Episodes terminate after their only step, so the reward is what the critics aim at.
        error = before.nets.critic_error(x, action, window.transitions.next_timestep.reward)
        np.testing.assert_allclose(state.replay.priority[i], jnp.sqrt(error), rtol=1e-4)


def solve(probe: Probe, learner: SAC, num_updates: int) -> float:
    """Mean return of a trial of the greedy policy after training."""
    state, _ = train(KEY, learner, JaxCollector(probe.env, probe.tasks, 32, probe.num_episodes), num_updates)
    held_out = JaxCollector(probe.env, probe.tasks, 512, probe.num_episodes)
    return float(evaluate(KEY, learner.agent(state), held_out, greedy=True).per_episode().sum())


def test_without_memory_it_solves_what_it_sees() -> None:
    probe = PROBES["shown-target"]
    assert solve(probe, sac(probe, partial(Present, probe.env.spec)), 20) > probe.threshold


def test_continuous_actions_reach_a_goal_in_several_steps() -> None:
    """A point walks to the middle. The best way earns -.30, standing still -1.82, a random walk -1.99."""
    env, tasks = PointGoal(6, start=0.4), Finite(PointTask(jnp.zeros((1, 2))))
    probe = Probe(env, tasks, 1, -0.3, -0.7)
    assert solve(probe, sac(probe, partial(Present, env.spec), gamma=0.9), 20) > probe.threshold


@pytest.mark.slow
@pytest.mark.parametrize("id", ["cartpole-sac", "pendulum-sac"])
def test_recipes_reach_known_returns(id: str) -> None:
    row = recipe(id)
    task, training = benchmark(row.benchmark), row.settings.training
    collector = JaxCollector(task.env, task.train, training.num_tasks, task.num_episodes)
    learner = row.settings.learner(task)
    state, _ = train(jax.random.key(100), learner, collector, training.num_updates)
    held_out = JaxCollector(task.env, task.test, 128, task.num_episodes)
    assert reaches_bar(float(evaluate(KEY, learner.agent(state), held_out).per_episode()[0]), row)


WITH_MEMORY: tuple[Any, ...] = (("late-cue", {"burn_in": 1}), ("two-arms", {"priority": 0.6}))


@pytest.mark.parametrize(("name", "options"), rarely(WITH_MEMORY, WITH_MEMORY[0]))
def test_with_memory_it_solves_what_must_be_remembered(name: str, options: dict[str, Any]) -> None:
    probe = PROBES[name]
    make: partial[Summary] = partial(History, probe.env.spec, hidden_size=16)
    length = probe.num_episodes * probe.env.spec.max_steps
    learner = sac(probe, make, window=length, across_episodes=True, gamma=0.95, **options)
    assert solve(probe, learner, 60) > probe.threshold


def test_settings_that_make_no_sense_are_refused() -> None:
    row = benchmark("gridnavi")
    with pytest.raises(ValueError, match="burn_in=3"):
        SoftActorCritic(memory="gru", training=OffPolicy(window=3, burn_in=3)).learner(row)
    with pytest.raises(ValueError, match=r"memory='lstm'\), window=1: .* the 10 steps of a trial"):
        SoftActorCritic(memory="lstm").learner(benchmark("bandit-n10-k5"))
    with pytest.raises(ValueError, match="priority=2"):
        SoftActorCritic(training=OffPolicy(priority=2.0)).learner(row)
    with pytest.raises(ValueError, match="batch_size=0"):
        SoftActorCritic(training=OffPolicy(batch_size=0)).learner(row)
    with pytest.raises(ValueError, match="needs bounds"):
        SoftPolicy(KEY, 2, Box((2,)), ())
