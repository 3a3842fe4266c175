"""Scripted agents reach each probe's optimum; agents broken in the way a probe is about stay below its threshold."""

from collections.abc import Callable
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jaxtyping import Array, Bool

from innerloop._agent import Agent
from innerloop._collect import JaxCollector
from innerloop._types import Key, TimeStep, Transition, Trials
from innerloop.envs.probes import PROBES, EndKinds, ProbeTask, ending_value


class Note(NamedTuple):
    """What is believed to be right, whether anything is believed at all, and the first action of this episode."""

    belief: jax.Array
    known: jax.Array
    first_action: jax.Array


class Scripted(Agent):
    """Plays `decide(key, note, obs)`; remembers the belief that `learn(note, transition)` returns, if it is not NaN."""

    decide: Callable[..., Any] = eqx.field(static=True)
    learn: Callable[..., Any] = eqx.field(static=True)
    sees_last: Bool[Array, ""]
    forgets: Bool[Array, ""]
    episodes_per_adapt: int = eqx.field(static=True, default=1)

    def init(self, key: Key) -> Note:
        return Note(jnp.zeros(()), jnp.zeros((), bool), jnp.zeros(()))

    def act(self, key: Key, memory: Note, timestep: TimeStep) -> tuple[jax.Array, None]:
        return self.decide(key, memory, timestep.obs), None

    def observe(self, key: Key, memory: Note, transition: Transition) -> Note:
        action = jnp.ravel(transition.action)[0].astype(jnp.float32)
        memory = memory._replace(first_action=jnp.where(transition.timestep.first, action, memory.first_action))
        learnt = self.learn(memory, transition)
        last = transition.next_timestep.last
        new = ~jnp.isnan(learnt) & (self.sees_last | ~last)
        known = (memory.known | new) & ~(self.forgets & last)
        return memory._replace(belief=jnp.where(new, learnt, memory.belief), known=known)

    def adapt(self, key: Key, memory: Note, episodes: Transition) -> Note:
        return memory


NAN = float("nan")


def follow(num_actions: int) -> Callable:
    def decide(key: Key, note: Note, obs: jax.Array) -> jax.Array:
        guess = jax.random.randint(key, (), 0, num_actions)
        return jnp.where(note.known, note.belief.astype(jnp.int32), guess)

    return decide


def recall(key: Key, note: Note, obs: jax.Array) -> jax.Array:
    """The belief has a digit for each observation: 0 if nothing is known, else 1 + target."""
    digit = note.belief.astype(jnp.int32) // 3**obs % 3
    return jnp.where(note.known & (digit > 0), digit - 1, jax.random.randint(key, (), 0, 2))


def by_kind(note: Note, transition: Transition) -> jax.Array:
    place = 3.0 ** transition.timestep.obs.astype(jnp.float32)
    digit = note.belief // place % 3
    return note.belief + (1.0 + by_reward(note, transition) - digit) * place


def follow_first(key: Key, note: Note, obs: jax.Array) -> jax.Array:
    """As in `follow(2)`; later steps of an episode repeat the first action."""
    return jnp.where(obs == 0, follow(2)(key, note, obs), note.first_action.astype(jnp.int32))


def walk(key: Key, note: Note, obs: jax.Array) -> jax.Array:
    return jnp.where(obs == 2, follow(2)(key, note, obs), note.first_action.astype(jnp.int32))


def by_reward(note: Note, transition: Transition) -> jax.Array:
    step = transition.next_timestep
    return jnp.where(step.last, jnp.where(step.reward > 0, note.first_action, 1.0 - note.first_action), NAN)


def by_elimination(note: Note, transition: Transition) -> jax.Array:
    step = transition.next_timestep
    return jnp.where(step.last, jnp.where(step.reward > 0, note.first_action, (note.first_action + 1) % 4), NAN)


def look(key: Key, note: Note, obs: jax.Array) -> jax.Array:
    return jnp.where(note.known, note.belief.astype(jnp.int32), 4)


def by_cue(note: Note, transition: Transition) -> jax.Array:
    obs = transition.timestep.obs.astype(jnp.float32)
    return jnp.where(obs > 0, obs - 1.0, NAN)


def near_target(key: Key, note: Note, obs: jax.Array) -> jax.Array:
    return jnp.where(note.known, note.belief, 1e-2)[None]


def by_distance(note: Note, transition: Transition) -> jax.Array:
    distance = jnp.sqrt(-transition.next_timestep.reward)
    above, below = (jnp.abs(distance - jnp.abs(note.first_action - target)) for target in (0.5, -0.5))
    return jnp.where(transition.timestep.first & ~note.known, jnp.where(above < below, 0.5, -0.5), NAN)


def nothing(note: Note, transition: Transition) -> jax.Array:
    return jnp.asarray(NAN)


def shown(key: Key, note: Note, obs: jax.Array) -> jax.Array:
    return obs


SOLUTIONS = {
    "shown-target": (shown, nothing),
    "two-arms": (follow(2), by_reward),
    "coming-back": (recall, by_kind),
    "late-cue": (follow(4), by_cue),
    "flipping-goal": (walk, by_reward),
    "late-reward": (follow_first, by_reward),
    "costly-look": (follow(4), by_elimination),
    "end-kinds": (shown, nothing),
    "hidden-point": (near_target, by_distance),
}


@eqx.filter_jit
def play(collector: JaxCollector, agent: Agent) -> Trials:
    return collector.collect(jax.random.key(0), agent, collector.init(jax.random.key(0), agent))[0]


def mean_return(name: str, decide: Callable, learn: Callable, sees_last: bool = True, forgets: bool = False) -> float:
    probe = PROBES[name]
    agent = Scripted(decide, learn, jnp.asarray(sees_last), jnp.asarray(forgets))
    transitions = play(JaxCollector(probe.env, probe.tasks, 2000, probe.num_episodes), agent).transitions
    rewards = np.where(transitions.valid, transitions.next_timestep.reward, 0.0)
    return float(rewards.sum(axis=(1, 2, 3)).mean())


def test_every_probe_has_a_solution():
    assert set(SOLUTIONS) == set(PROBES)


@pytest.mark.parametrize("name", PROBES)
def test_the_optimum_is_reached_and_is_above_the_threshold(name):
    assert mean_return(name, *SOLUTIONS[name]) == pytest.approx(PROBES[name].optimum, abs=0.05)
    assert PROBES[name].threshold <= PROBES[name].optimum


@pytest.mark.parametrize(
    "name", ["two-arms", "coming-back", "late-cue", "flipping-goal", "late-reward", "hidden-point"]
)
def test_a_memory_cleared_at_episode_ends_fails(name):
    assert mean_return(name, *SOLUTIONS[name], forgets=True) < PROBES[name].threshold - 0.1


@pytest.mark.parametrize("name", ["two-arms", "flipping-goal", "late-reward", "hidden-point"])
def test_losing_the_last_transition_fails(name):
    assert mean_return(name, *SOLUTIONS[name], sees_last=False) < PROBES[name].threshold - 0.1


def test_late_cue_needs_the_cue_and_shown_target_the_observation():
    assert mean_return("late-cue", follow(4), nothing) < 0.6
    assert mean_return("shown-target", follow(2), nothing) < 0.6
    assert mean_return("coming-back", follow(2), by_reward) < PROBES["coming-back"].threshold - 0.1


def test_a_look_costs_what_it_brings_in_the_next_episode():
    assert mean_return("costly-look", look, by_cue) == pytest.approx(0.0)
    assert mean_return("costly-look", look, by_cue, forgets=True) == pytest.approx(-2.0)


def test_ends_differ_only_in_discount():
    env = EndKinds()
    kinds = {}
    for target in (0, 1):
        task = ProbeTask(jnp.asarray(target))
        state, _ = env.reset(jax.random.key(0), task)
        _, timestep = env.step(jax.random.key(0), task, state, jnp.asarray(0))
        kinds[target] = (bool(timestep.last), float(timestep.discount), float(timestep.reward))
    assert kinds == {0: (True, 1.0, 1.0), 1: (True, 0.0, 1.0)}
    for target, (_, discount, reward) in kinds.items():
        value = 0.0
        for _ in range(400):
            value = reward + 0.9 * discount * value
        assert ending_value(target, 0.9) == pytest.approx(value)
