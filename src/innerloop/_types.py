"""The data that flows between environments, agents and learners.

Everything is a named tuple of arrays. Shapes below are those of one task and one step; `vmap` and `scan` put
`task`, `round`, `episode` and `time` axes in front, in that order.
"""

from typing import Any, NamedTuple

import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, PRNGKeyArray, PyTree

Key = PRNGKeyArray
Task = PyTree[Array]
"""One MDP drawn from p(T), as arrays that `Env.reset` and `Env.step` read."""
Memory = PyTree[Array]
"""What an agent remembers within a trial. Cleared when the trial ends, never when an episode ends."""
Metrics = dict[str, Array]


class TimeStep(NamedTuple):
    """What an agent sees before it acts.

    `reward` and `discount` belong to the step that led here: both are 0 and 1 after a reset. `discount` is 0 only
    if the MDP *terminated*; `last` with `discount` 1 is a *truncation* (time ran out, so a learner bootstraps).
    """

    obs: Array
    prev_action: Array
    reward: Float[Array, "..."]
    discount: Float[Array, "..."]
    first: Bool[Array, "..."]
    last: Bool[Array, "..."]


class Transition(NamedTuple):
    """One step. `next_timestep` is what the env returned *before* any reset; `valid` is False for padding."""

    timestep: TimeStep
    action: Array
    next_timestep: TimeStep
    valid: Bool[Array, "..."]
    extras: Any


class Trials(NamedTuple):
    """Whole trials. `transitions` has axes `[task round episode time]`, `memories` (at each round's start) `[task round]`."""

    tasks: Task
    memories: Memory
    transitions: Transition

    def returns(self) -> Float[Array, "*task round episode"]:
        """The sum of rewards of each episode."""
        rewards = self.transitions.next_timestep.reward * self.transitions.valid.astype(jnp.float32)
        return rewards.sum(axis=-1)


class Chunk(NamedTuple):
    """A window of never-ending streams, axes `[stream time]`, each stream a sequence of trials.

    `memory` is the agent's at the start of the window, `next_timestep` what it sees after it; `trial_first[t]` says
    that a new trial, hence a cleared memory, begins at step t, and `trial_last[t]` that one ends there.
    """

    memory: Memory
    transitions: Transition
    next_timestep: TimeStep
    trial_first: Bool[Array, "stream time"]
    trial_last: Bool[Array, "stream time"]
