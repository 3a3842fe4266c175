"""Deployment equals the compiled rollout, and says clearly what it cannot use."""

from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jaxtyping import Array

from innerloop._agent import Agent
from innerloop._env import Box, Discrete, Env, EnvSpec, advance, restart
from innerloop._export import export
from innerloop._rollout import trial
from innerloop._session import Deployed, Session, load
from innerloop._types import TimeStep, Transition, Trials
from innerloop.agents import Greedy, Recurrent

SEED = 5


class Walk(Env):
    """Noisy observations and rewards; every second episode or so terminates early, the others are truncated."""

    spec: EnvSpec

    def __init__(self, action: Discrete | Box):
        self.spec = EnvSpec(Box((2,)), action, max_steps=4)

    def reset(self, key: Array, task: Array) -> tuple[Array, TimeStep]:
        return jnp.zeros((), jnp.int32), restart(self.spec, jax.random.normal(key, (2,)))

    def step(self, key: Array, task: Array, state: Array, action: Array) -> tuple[Array, TimeStep]:
        obs_key, end_key = jax.random.split(key)
        obs = jax.random.normal(obs_key, (2,)) + task
        terminated = jax.random.bernoulli(end_key, 0.35)
        truncated = (state + 1 >= self.spec.max_steps) & ~terminated
        reward = obs.sum() + jnp.sum(action).astype(jnp.float32)
        return state + 1, advance(obs, action, reward, terminated=terminated, truncated=truncated)


class Tally(NamedTuple):
    """Everything that `observe` and `adapt` were shown, and keys they were given."""

    observed: Array
    adapted: Array


class Tallying(Agent):
    """Acts by what it was shown; adapts every second episode, to the valid steps alone."""

    episodes_per_adapt: int = eqx.field(static=True, default=2)

    def init(self, key: Array) -> Tally:
        return Tally(jax.random.uniform(key), jnp.zeros(()))

    def act(self, key: Array, memory: Tally, timestep: TimeStep) -> tuple[Array, Array]:
        extra = jax.random.uniform(key)
        score = jnp.sin(9.0 * (memory.observed + memory.adapted + timestep.obs.sum() + extra))
        return (score > 0).astype(jnp.int32), extra

    def observe(self, key: Array, memory: Tally, transition: Transition) -> Tally:
        seen = transition.next_timestep.reward + transition.next_timestep.discount + transition.extras
        return memory._replace(observed=0.5 * memory.observed + seen + jax.random.uniform(key))

    def adapt(self, key: Array, memory: Tally, episodes: Transition) -> Tally:
        reward = jnp.where(episodes.valid, episodes.next_timestep.reward, 0.0).sum()
        return memory._replace(adapted=memory.adapted + reward + jax.random.uniform(key))


def recurrent(action: Discrete | Box) -> Recurrent:
    return Recurrent(Walk(action).spec, key=jax.random.key(1), hidden_size=4)


AGENTS: dict[str, Any] = {
    "recurrent": (lambda: recurrent(Discrete(3)), Discrete(3)),
    "greedy": (lambda: Greedy(recurrent(Discrete(3))), Discrete(3)),
    "continuous": (lambda: recurrent(Box((2,), -0.5, 0.5)), Box((2,), -0.5, 0.5)),
    "adapting": (Tallying, Discrete(2)),
}


@pytest.mark.parametrize("name", AGENTS)
def test_a_session_equals_the_compiled_rollout_step_for_step(name: str) -> None:
    agent, action = AGENTS[name][0](), AGENTS[name][1]
    env = Walk(action)
    play = eqx.filter_jit(partial(trial, num_rounds=4))
    session = Session(agent, env.spec, SEED)
    for number in range(2):
        key = jax.random.fold_in(jax.random.key(SEED), number)
        trials = jax.device_get(play(key, env, agent, jnp.asarray(0.3)))
        assert 0 < trials.transitions.valid.mean() < 1
        replay(session, trials, env.spec)
        session.end_trial()


def replay(session: Session, trials: Trials, spec: EnvSpec) -> None:
    """Show the session what the rollout saw; it must do what the rollout did."""
    for index in np.ndindex(trials.transitions.valid.shape):
        step: Transition = jax.tree.map(lambda x, index=index: x[index], trials.transitions)
        if index[1:] == (0, 0):
            for held, expected in zip(jax.tree.leaves(session._memory), jax.tree.leaves(trials.memories), strict=True):
                np.testing.assert_allclose(held, expected[index[0]], rtol=1e-5, atol=1e-6)
        if not step.valid:
            continue
        action = session.act(step.timestep.obs)
        if isinstance(spec.action, Box):
            np.testing.assert_allclose(action, np.clip(step.action, -0.5, 0.5), rtol=1e-5, atol=1e-6)
        else:
            assert action == step.action
        seen = step.next_timestep
        session.observe(float(seen.reward), seen.obs, bool(seen.discount == 0), bool(seen.last and seen.discount == 1))


def session() -> Session:
    return Session(recurrent(Discrete(3)), Walk(Discrete(3)).spec)


OBS = np.zeros(2)


def test_gymnasium_types_are_taken_as_they_are() -> None:
    played = session()
    assert isinstance(played.act(np.zeros(2, np.float64)), int)
    played.observe(np.float64(1.0), [0, 1], np.bool_(False), False)
    assert isinstance(played.act(np.array([0, 1])), int)
    played.observe(1, OBS, terminated=True)
    played.act(OBS + 7)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda s: s.observe(0.0, OBS), "call act"),
        (lambda s: (s.act(OBS), s.act(OBS)), "call observe"),
        (lambda s: s.act(np.zeros(3)), r"must have shape \(2,\), got \(3,\)"),
        (lambda s: s.act(np.array(["a", "b"])), "must be numbers"),
        (lambda s: s.act(np.array([0.0, np.nan])), "NaN"),
        (lambda s: (s.act(OBS), s.observe(np.inf, OBS)), "reward=inf"),
        (lambda s: (s.act(OBS), s.observe(np.zeros(2), OBS)), "must be a finite number"),
        (lambda s: (s.act(OBS), s.observe(0.0, OBS, terminated=0.5)), "terminated=0.5"),
        (lambda s: (s.act(OBS), s.observe(0.0, OBS[:1])), r"observe\(next_obs=...\): must have shape"),
        (lambda s: (s.act(OBS), s.observe(0.0, OBS + 1), s.act(OBS)), "not the next_obs"),
    ],
)
def test_misuse_names_itself(call: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        call(session())


def test_an_episode_longer_than_the_spec_is_refused_and_can_be_put_right() -> None:
    played = session()
    for _ in range(3):
        played.act(OBS)
        played.observe(0.0, OBS)
    played.act(OBS)
    with pytest.raises(ValueError, match="at most 4 steps; report this one with truncated=True"):
        played.observe(0.0, OBS)
    played.observe(0.0, OBS, truncated=True)
    played.act(OBS)


def test_discrete_observations_are_checked() -> None:
    spec = EnvSpec(Discrete(3), Discrete(2), max_steps=2)
    for value, message in (
        (3, r"must be in 0 \.\. 2"),
        (0.0, "must be an integer"),
        (np.zeros(1, int), "must have shape"),
    ):
        with pytest.raises(ValueError, match=message):
            Session(Tallying(), spec).act(value)


def test_memory_lives_until_the_trial_ends() -> None:
    deployed = Deployed(recurrent(Discrete(3)), Walk(Discrete(3)).spec)
    played = deployed.start(seed=1, greedy=True)
    empty = played._memory
    played.act(OBS)
    played.observe(1.0, OBS, terminated=True)
    assert bool(played._memory.has_prev)
    played.act(OBS)
    played.end_trial()
    assert not bool(played._memory.has_prev)
    assert jax.tree.structure(played._memory) == jax.tree.structure(empty)
    played.act(OBS)


def test_members_of_a_run_with_several_seeds(tmp_path: Path) -> None:
    agents = [recurrent(Discrete(3)), jax.tree.map(lambda x: x + 1, recurrent(Discrete(3)))]
    stacked = jax.tree.map(lambda *x: jnp.stack(x), *agents)
    export(stacked, Walk(Discrete(3)).spec, tmp_path, num_seeds=2)
    for member, agent in enumerate(agents):
        loaded = load(tmp_path, member=member)
        assert loaded.spec == Walk(Discrete(3)).spec
        for a, b in zip(jax.tree.leaves(loaded.agent), jax.tree.leaves(agent), strict=True):
            np.testing.assert_array_equal(a, b)
    with pytest.raises(ValueError, match=r"load\(member=2\): .* holds 2, numbered from 0"):
        load(tmp_path, member=2)
