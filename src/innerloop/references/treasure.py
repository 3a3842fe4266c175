"""Reference policies for the treasure hunt, and the exact optimum of who knows where the treasure is.

A move is bounded on each axis, so what counts is the larger of the two offsets. No step before the first at the
treasure costs less than the step cost, and none later pays more than the treasure: that is the bound of `best_returns`.
It is reached by passing the mountain on the treasure's side, since the offset along y is the larger one on the whole way.
"""

from typing import NamedTuple

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float

from innerloop._agent import Agent
from innerloop._types import Key, TimeStep, Transition
from innerloop.envs.treasure import MOUNTAIN, REACH, START, STEP, TreasureHunt
from innerloop.references.generic import NoExtras, NoMemory

SURELY = 0.9999
"""Aims at points within this part of `REACH`, so that rounding does not miss the treasure."""
CLEARANCE = 0.05
"""How far the oracle keeps from the mountain."""
AHEAD = 0.1
"""How many radians ahead of itself the circler aims."""
LANE = 0.95
"""The radius of the circler's way: between two steps, no point of the unit circle goes by at more than 0.1."""


def towards(offset: Float[Array, "2"]) -> Float[Array, "2"]:
    """The action of the longest straight step that does not pass the point at `offset`."""
    return offset / jnp.maximum(jnp.max(jnp.abs(offset)), STEP)


def within_reach(offset: Float[Array, "2"]) -> Float[Array, "2"]:
    """The offset to the point from which the treasure at `offset` is reached, that the fewest steps lead to."""
    far, near = jnp.max(jnp.abs(offset)), jnp.min(jnp.abs(offset))
    cut = jnp.where(far - near >= REACH, REACH, _equal_cut(far, near)) * SURELY
    shorter = jnp.minimum(jnp.abs(offset), jnp.maximum(far - cut, 0.0))
    return jnp.sign(offset) * shorter


def _equal_cut(far: Float[Array, ""], near: Float[Array, ""]) -> Float[Array, ""]:
    """c with c² + (c - (far - near))² = REACH²: what can be left of the larger offset if both end up equal."""
    gap = far - near
    return (gap + jnp.sqrt(jnp.maximum(2 * REACH**2 - gap**2, 0.0))) / 2


def best_returns(env: TreasureHunt, treasures: np.ndarray) -> np.ndarray:
    """The exact optimum for `treasures` [tasks 2] of who knows them: n - 1 steps cost, then the others pay."""
    offset = np.abs(treasures - np.array(START))
    far, gap = offset.max(axis=1), np.abs(offset[:, 0] - offset[:, 1])
    equal = (gap + np.sqrt(np.maximum(2 * REACH**2 - gap**2, 0.0))) / 2
    steps = np.maximum(np.ceil((far - np.where(gap >= REACH, REACH, equal)) / STEP - 1e-9), 1.0)
    return (env.spec.max_steps + 1 - steps) * env.treasure_reward - (steps - 1) * env.step_cost


class Oracle(Agent):
    """Knows the treasure: plays `RevealTask(env, task)`, walks past the mountain by a fastest way, and stays."""

    episodes_per_adapt: int = eqx.field(static=True, default=1)

    def init(self, key: Key) -> NoMemory:
        return NoMemory()

    def act(self, key: Key, memory: NoMemory, timestep: TimeStep) -> tuple[Array, NoExtras]:
        position, treasure = timestep.obs[:2], timestep.obs[-2:]
        goal = position + within_reach(treasure - position)
        side = jnp.where(treasure[0] < 0, -1.0, 1.0)
        detour = jnp.stack([side * 1.5 * MOUNTAIN, jnp.zeros(())])
        target = jnp.where(_crosses_mountain(position, goal), detour, goal)
        return jnp.where(timestep.reward > 0, 0.0, towards(target - position)), NoExtras()

    def observe(self, key: Key, memory: NoMemory, transition: Transition) -> NoMemory:
        return memory

    def adapt(self, key: Key, memory: NoMemory, episodes: Transition) -> NoMemory:
        return memory


def _crosses_mountain(start: Float[Array, "2"], end: Float[Array, "2"]) -> Bool[Array, ""]:
    """Whether the straight way comes within `CLEARANCE` of the mountain."""
    along = end - start
    part = jnp.clip(-jnp.dot(start, along) / jnp.maximum(jnp.dot(along, along), 1e-9), 0.0, 1.0)
    nearest = start + part * along
    return jnp.dot(nearest, nearest) < (MOUNTAIN + CLEARANCE) ** 2


class Sight(NamedTuple):
    """Whether the treasure has been seen, and where it is."""

    seen: Bool[Array, ""]
    treasure: Float[Array, "2"]


class Climber(Agent):
    """Climbs the mountain, looks, walks straight to the treasure, and stays."""

    episodes_per_adapt: int = eqx.field(static=True, default=1)

    def init(self, key: Key) -> Sight:
        return Sight(jnp.zeros((), bool), jnp.zeros((2,)))

    def act(self, key: Key, memory: Sight, timestep: TimeStep) -> tuple[Array, NoExtras]:
        position = timestep.obs[:2]
        offset = jnp.where(memory.seen, within_reach(memory.treasure - position), -position)
        return jnp.where(timestep.reward > 0, 0.0, towards(offset)), NoExtras()

    def observe(self, key: Key, memory: Sight, transition: Transition) -> Sight:
        shown = transition.next_timestep.obs[2:]
        seen = jnp.any(shown != 0)
        return Sight(memory.seen | seen, jnp.where(seen, shown, memory.treasure))

    def adapt(self, key: Key, memory: Sight, episodes: Transition) -> Sight:
        return memory


class Circler(Agent):
    """Walks round the mountain, just inside the circle of the treasures, until it is at the treasure, and stays."""

    episodes_per_adapt: int = eqx.field(static=True, default=1)

    def init(self, key: Key) -> NoMemory:
        return NoMemory()

    def act(self, key: Key, memory: NoMemory, timestep: TimeStep) -> tuple[Array, NoExtras]:
        position = timestep.obs[:2]
        angle = jnp.arctan2(position[1], position[0]) + AHEAD
        offset = LANE * jnp.stack([jnp.cos(angle), jnp.sin(angle)]) - position
        action = offset / jnp.max(jnp.abs(offset))
        return jnp.where(timestep.reward > 0, 0.0, action), NoExtras()

    def observe(self, key: Key, memory: NoMemory, transition: Transition) -> NoMemory:
        return memory

    def adapt(self, key: Key, memory: NoMemory, episodes: Transition) -> NoMemory:
        return memory
