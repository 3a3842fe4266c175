"""E-RL²: what free episodes pay is fed to the agent, and earns nothing."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from innerloop._collect import JaxCollector, StreamCollector
from innerloop.algorithms._sequences import as_sequences, earned
from innerloop.algorithms.ppo import PPO
from innerloop.envs.bandits import BernoulliBandit, uniform_bandits
from table import recurrent

KEY = jax.random.key(0)
TASKS = uniform_bandits(3)


def test_rewards_of_free_episodes_do_not_count_but_are_seen() -> None:
    collector = JaxCollector(BernoulliBandit(3), TASKS, num_tasks=8, num_rounds=6)
    agent = recurrent()(key=KEY)
    trials, _ = eqx.filter_jit(collector.collect)(KEY, agent, collector.init(KEY, agent))
    reward = as_sequences(trials).transitions.next_timestep.reward
    counted = earned(trials, 2)
    np.testing.assert_array_equal(counted[:, :2], jnp.zeros((8, 2)))
    np.testing.assert_array_equal(counted[:, 2:], reward[:, 2:])
    np.testing.assert_array_equal(earned(trials, 0), reward)
    assert reward[:, :2].any(), "the agent is still fed them"
    learners = [PPO(recurrent(), optax.sgd(1.0), num_minibatches=1, num_epochs=1, num_free_episodes=n) for n in (0, 2)]
    moved = [eqx.filter_jit(x.update)(KEY, x.init(KEY), trials)[0].params.agent for x in learners]
    assert not np.allclose(*(agent.head.outs[0].linear.weight for agent in moved))


def test_bad_numbers_of_free_episodes_are_named() -> None:
    agent = recurrent()(key=KEY)
    collector = JaxCollector(BernoulliBandit(3), TASKS, num_tasks=2, num_rounds=3)
    trials, _ = collector.collect(KEY, agent, collector.init(KEY, agent))
    with pytest.raises(ValueError, match="num_free_episodes=3"):
        earned(trials, 3)
    streams = StreamCollector(BernoulliBandit(3), TASKS, num_streams=2, num_steps=4, num_episodes=3)
    chunk, _ = streams.collect(KEY, agent, streams.init(KEY, agent))
    with pytest.raises(ValueError, match="whole trials"):
        earned(chunk, 1)
