"""On-policy learning: what returns go on from, and settings that make no sense."""

from dataclasses import replace
from typing import Any

import jax
import numpy as np
import pytest

from innerloop._collect import StreamCollector
from innerloop.agents import Recurrent
from innerloop.algorithms import MAML, RL2, InnerLoop, MetaTraining, OffPolicy, OnPolicy, SoftActorCritic
from innerloop.algorithms._sequences import as_sequences, values_after
from innerloop.benchmarks import benchmark
from table import probe_row

KEY = jax.random.key(0)


@pytest.mark.parametrize("reset_at_episodes", [False, True])
def test_what_follows_an_episode_is_judged_by_who_still_remembers_it(reset_at_episodes: bool) -> None:
    """The next step belongs to a new episode, in a stream of one-episode trials to a new trial, too, and the memory of the
    last one may no longer be there then. What a truncation cut off is not the start of an episode."""
    row = benchmark("point-env")
    agent = Recurrent(row.env.spec, hidden_size=8, reset_at_episodes=reset_at_episodes, key=KEY)
    length = row.env.spec.max_steps
    collector = StreamCollector(row.env, row.train, 1, length + 5, 1)
    chunk, _ = collector.collect(KEY, agent, collector.init(KEY, agent))
    sequence = jax.tree.map(lambda x: x[0], as_sequences(chunk))
    memory, step = agent.init(KEY), jax.tree.map(lambda x: x[length - 1], sequence.transitions)
    assert bool(sequence.trial_first[length])
    assert bool(step.next_timestep.last)
    for i in range(length):
        transition = jax.tree.map(lambda x, i=i: x[i], sequence.transitions)
        going_on = transition.next_timestep._replace(last=transition.next_timestep.last & False)
        memory = agent.observe(KEY, memory, transition._replace(next_timestep=going_on))
    expected = agent.act(KEY, memory, step.next_timestep)[1].value
    forgetful = agent.act(KEY, agent.init(KEY), step.next_timestep)[1].value
    found = values_after(KEY, agent, sequence)[length - 1]
    np.testing.assert_allclose(found, expected, rtol=1e-5)
    assert abs(float(forgetful - expected)) > 1e-4


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (RL2(training=OnPolicy(gamma=2.0)), r"gamma=2\.0: must be between 0 and 1"),
        (RL2(training=OnPolicy(gae_lambda=-0.1)), r"gae_lambda=-0\.1"),
        (RL2(training=OnPolicy(learning_rate=-1.0)), r"learning_rate=-1\.0: must be at least 0"),
        (RL2(training=OnPolicy(learning_rate=float("nan"))), "learning_rate=nan"),
        (RL2(training=OnPolicy(max_grad_norm=0.0)), r"max_grad_norm=0\.0: must be above 0"),
        (RL2(task_critic=True, training=OnPolicy(across_episodes=False)), "a task critic judges trials as a whole"),
        (RL2(head_obs=False, head_widths=(4,), policy="film"), "head_obs=False: only policy='mlp'"),
        (SoftActorCritic(training=OffPolicy(gamma=1.5)), r"gamma=1\.5"),
        (SoftActorCritic(training=OffPolicy(learning_rate=-1.0)), r"learning_rate=-1\.0"),
        (MAML(inner=replace(InnerLoop(), gamma=-1.0), training=MetaTraining()), r"gamma=-1\.0"),
    ],
)
def test_settings_that_make_no_sense_are_refused(settings: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        settings.learner(probe_row("two-arms"))
