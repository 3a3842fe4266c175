"""Every learner solves every probe, and what cripples it shows."""

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from innerloop._collect import JaxCollector
from innerloop._evaluate import evaluate
from innerloop._train import train
from innerloop.agents import FeedForward, Recurrent, Reinstating
from innerloop.algorithms.a2c import a2c
from innerloop.algorithms.ppo import PPO
from innerloop.envs.probes import PROBES, Probe, ending_value
from marks import rarely

KEY = jax.random.key(3)
ADAM = optax.chain(optax.clip_by_global_norm(1.0), optax.adam(1e-2))


def solve(probe: Probe, learner: Any, num_updates: int, greedy: bool = True) -> float:
    """Mean return of a trial on 512 fresh tasks after training."""
    collector = JaxCollector(probe.env, probe.tasks, num_tasks=256, num_rounds=probe.num_episodes)
    state, _ = train(KEY, learner, collector, num_updates)
    held_out = JaxCollector(probe.env, probe.tasks, num_tasks=512, num_rounds=probe.num_episodes)
    return float(evaluate(KEY, learner.agent(state), held_out, greedy=greedy).per_episode().sum())


def rl2(probe: Probe, **options: Any) -> PPO:
    """A small RL² learner for a probe."""
    return PPO(partial(Recurrent, probe.env.spec, hidden_size=16, **options), ADAM, num_minibatches=2, gae_lambda=0.9)


NEED_MEMORY = ("two-arms", "late-cue", "flipping-goal", "late-reward", "hidden-point")


@pytest.mark.parametrize("name", rarely(NEED_MEMORY, "late-cue"))
def test_rl2_solves_what_needs_memory_across_episodes(name: str) -> None:
    probe = PROBES[name]
    assert solve(probe, rl2(probe), 80) > probe.threshold


def test_episodic_rl2_remembers_both_of_what_comes_back() -> None:
    """Although its net is cleared in between."""
    probe = PROBES["coming-back"]
    learner = PPO(
        partial(Reinstating, probe.env.spec, hidden_size=16, memory_slots=3), ADAM, num_minibatches=2, gae_lambda=0.9
    )
    assert solve(probe, learner, 80) > probe.threshold


CORES = [
    ("episodic", "mlp"),
    ("ntm", "mlp"),
    ("lstm", "hyper"),
    ("rnn", "mlp"),
    ("gru", "film"),
    ("gru", "heads"),
    ("gru", "mixture"),
    ("gru", "modular"),
]


@pytest.mark.parametrize(("core", "policy"), rarely(CORES, ("lstm", "hyper")))
def test_every_core_and_every_policy_solves_a_probe(core: str, policy: str) -> None:
    probe = PROBES["late-reward"]
    assert solve(probe, rl2(probe, core=core, policy=policy), 80) > probe.threshold


@pytest.mark.slow
def test_a2c_solves_a_probe() -> None:
    probe = PROBES["two-arms"]
    learner = a2c(partial(Recurrent, probe.env.spec, hidden_size=16), ADAM, gae_lambda=0.9)
    assert solve(probe, learner, 300) > probe.threshold


def test_memoryless_solves_what_it_sees_and_nothing_else() -> None:
    for name, solved in (("shown-target", True), ("two-arms", False)):
        probe = PROBES[name]
        learner = PPO(partial(FeedForward, probe.env.spec, widths=(16,)), ADAM, num_minibatches=2)
        assert (solve(probe, learner, 40) > probe.threshold) == solved


CRIPPLED: tuple[dict[str, bool], ...] = ({"reset_at_episodes": True}, {"feed_reward": False})


@pytest.mark.parametrize("crippled", rarely(CRIPPLED, CRIPPLED[0]))
def test_without_reward_or_memory_bandits_stay_at_chance(crippled: dict[str, bool]) -> None:
    probe = PROBES["two-arms"]
    chance = probe.num_episodes / 2
    assert abs(solve(probe, rl2(probe, **crippled), 60, greedy=False) - chance) < 0.15


def test_a_termination_ends_the_return_and_a_truncation_does_not() -> None:
    probe = PROBES["end-kinds"]
    make_agent = partial(FeedForward, probe.env.spec, widths=(16,))
    learner = PPO(make_agent, ADAM, gamma=0.5, num_minibatches=2, across_episodes=False, normalize_advantage=False)
    collector = JaxCollector(probe.env, probe.tasks, num_tasks=64, num_rounds=1)
    state, _ = train(KEY, learner, collector, 150)
    agent = learner.agent(state)
    normalized = jax.vmap(lambda obs: agent.value(agent.value_net(obs))[0])(jnp.arange(2))
    values = state.moments.restore(normalized)
    np.testing.assert_allclose(values, [ending_value(0, 0.5), ending_value(1, 0.5)], atol=0.1)
