"""Episodic RL²: what is reinstated and what is not, and exact resume."""

from pathlib import Path
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from acting import When, halt
from innerloop._callbacks import read_metrics
from innerloop._env import Box, Discrete, EnvSpec, advance, restart
from innerloop._run import configure, resume, run_experiment
from innerloop._sealed import newest
from innerloop._session import Session
from innerloop._types import Transition
from innerloop.agents import Reinstating
from innerloop.algorithms import EpisodicRL2, OnPolicy

KEY = jax.random.key(0)
SPEC = EnvSpec(Box((4,)), Discrete(3), max_steps=3)
A, B = jnp.asarray([1.0, 0.0, 0.0, 1.0]), jnp.asarray([0.0, 1.0, 0.0, 1.0])


@eqx.filter_jit
def observe(agent: Reinstating, memory: Any, transition: Transition) -> Any:
    return agent.observe(KEY, memory, transition)


def after(agent: Reinstating, contexts: tuple[Any, ...]) -> Any:
    """The memory after episodes of two steps, each of one context."""
    memory = agent.init(KEY)
    for context in contexts:
        timestep = restart(SPEC, context)
        for ends in (False, True):
            following = advance(context + 0.5, jnp.asarray(2), jnp.asarray(0.7), terminated=jnp.asarray(ends))
            memory = observe(agent, memory, Transition(timestep, jnp.asarray(2), following, jnp.ones((), bool), None))
            timestep = following
    return memory


def test_what_was_known_comes_back_with_its_context_until_it_is_evicted() -> None:
    agent = Reinstating(SPEC, key=KEY, hidden_size=8, memory_slots=2)

    @eqx.filter_jit
    def act(memory: Any, now: Any) -> Any:
        return agent.act(KEY, memory, restart(SPEC, now))[1].value

    def value(contexts: tuple[Any, ...], now: Any) -> float:
        return float(act(after(agent, contexts), now))

    fresh = value((), A)
    assert value((B,), A) == fresh, "nothing close was found, and the net was cleared"
    known = value((A,), A)
    assert abs(known - fresh) > 1e-3
    assert value((A,), A + 0.1) != fresh, "close is enough"
    assert value((A, B), A) == pytest.approx(known), "another task came between"
    assert value((A, B, -B), A) == fresh, "two others came between, and there are two slots"
    store = after(agent, (A, B, A, -B)).recalled.store
    assert (float(store.num_queries), float(store.num_hits), float(store.age)) == (4, 1, 1)
    assert (int(store.num_writes), int(store.num_used)) == (4, 2)


def test_a_session_is_one_lifetime_however_long() -> None:
    session = Session(Reinstating(SPEC, key=KEY, hidden_size=8, memory_slots=2), SPEC)
    for episode in range(7):
        obs = np.asarray([A, B][episode % 2])
        session.act(obs)
        session.observe(1.0, obs, terminated=True)
    store = session._memory.recalled.store
    assert (int(store.num_used), float(store.num_hits)) == (2, 5)
    session.end_trial()
    assert int(session._memory.recalled.store.num_used) == 0


def test_a_store_in_mid_trial_is_resumed_bit_for_bit(tmp_path: Path) -> None:
    training = OnPolicy(num_updates=4, num_tasks=4, loss="a2c", stream_steps=3)
    made = configure(
        "episodic-rl2",
        "bandit-n10-k5",
        settings=EpisodicRL2(hidden_size=4, memory_slots=2, training=training),
        log_every=1,
        checkpoint_every=1,
        evaluate_every=0,
        num_test_tasks=4,
    )
    whole, halted = tmp_path / "whole", tmp_path / "halted"
    run_experiment(made, whole, show=False, measure=False)
    with pytest.raises(RuntimeError, match="halted"):
        run_experiment(made, halted, show=False, measure=False, callbacks=[When(2, halt)])
    assert newest(halted)[1]["update"] < 4
    resume(halted, show=False, measure=False)
    saved, again = ((newest(folder)[0] / "state.safetensors").read_bytes() for folder in (whole, halted))
    assert saved == again
    assert read_metrics(whole / "metrics.jsonl")[-1]["memory/hit_rate"] > 0


def test_settings_that_make_no_sense_are_refused() -> None:
    for told in (
        {"context": (2, 5)},
        {"context": (2, 2)},
        {"hit_distance": -1.0},
        {"num_neighbors": 3, "memory_slots": 2},
    ):
        with pytest.raises(ValueError, match=next(iter(told))):
            Reinstating(SPEC, key=KEY, **told)
