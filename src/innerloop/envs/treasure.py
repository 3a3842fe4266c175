"""The treasure hunt of HyperX (Zintgraf et al. 2021): climbing a mountain costs more than walking round it, and shows the
way.

Constants as in the experiments of the authors' code: the treasure is on the unit circle, the mountain has radius 0.5 and
lies in the middle, and only from its top, less than 0.1 from the origin, is the treasure seen.
"""

import math
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from innerloop._env import Box, Env, EnvSpec, advance, restart
from innerloop._task import Sampled
from innerloop._types import Key, TimeStep, Trials

START = (0.0, -1.0)
STEP = 0.1
ARENA = 1.5
MOUNTAIN = 0.5
TOP = 0.1 - 1e-6
"""Nine full steps up from the start end at 0.1, which is not the top: in single precision it must not be by rounding."""
REACH = 0.1


class TreasureTask(NamedTuple):
    """Where the treasure is."""

    treasure: Float[Array, "2"]


class TreasureState(NamedTuple):
    """Where the agent is, and steps done so far."""

    position: Float[Array, "2"]
    time: Int[Array, ""]


class TreasureHunt(Env):
    """A point walks from (0, -1). An action, clipped to 1 on each axis, moves it by a tenth of it, within 1.5 of the origin
    on each axis.

    With d the distance to the origin after the step, a step pays -`step_cost` - (0.5 - d) on the mountain (d at most 0.5),
    else `treasure_reward` within 0.1 of the treasure, else -`step_cost` * max(1, d). The observation is the position,
    followed by the treasure's where d is less than 0.1 and by zeros elsewhere. Only time ends an episode.
    """

    spec: EnvSpec
    treasure_reward: float = eqx.field(static=True)
    step_cost: float = eqx.field(static=True)

    def __init__(self, max_steps: int = 100, treasure_reward: float = 10.0, step_cost: float = 5.0):
        if treasure_reward <= 0:
            raise ValueError(f"TreasureHunt(treasure_reward={treasure_reward}): must be positive.")
        if step_cost < 0:
            raise ValueError(f"TreasureHunt(step_cost={step_cost}): must not be negative.")
        self.spec = EnvSpec(Box((4,), -ARENA, ARENA), Box((2,), -1.0, 1.0), max_steps)
        self.treasure_reward = treasure_reward
        self.step_cost = step_cost

    def observe(self, task: TreasureTask, position: Float[Array, "2"]) -> Float[Array, "4"]:
        """What the agent sees at `position`."""
        seen = jnp.where(_length(position) < TOP, task.treasure, 0.0)
        return jnp.concatenate([position, seen])

    def reset(self, key: Key, task: TreasureTask) -> tuple[TreasureState, TimeStep]:
        position = jnp.array(START)
        return TreasureState(position, jnp.zeros((), jnp.int32)), restart(self.spec, self.observe(task, position))

    def step(self, key: Key, task: TreasureTask, state: TreasureState, action: Array) -> tuple[TreasureState, TimeStep]:
        position = jnp.clip(state.position + STEP * jnp.clip(action, -1.0, 1.0), -ARENA, ARENA)
        height = MOUNTAIN - _length(position)
        found = _length(position - task.treasure) <= REACH
        off = jnp.where(found, self.treasure_reward, -self.step_cost * jnp.maximum(1.0, _length(position)))
        reward = jnp.where(height >= 0, -self.step_cost - height, off)
        state = TreasureState(position, state.time + 1)
        truncated = state.time >= self.spec.max_steps
        return state, advance(self.observe(task, position), action, reward, truncated=truncated)


def _length(vector: Float[Array, "*axes 2"]) -> Float[Array, "*axes"]:
    return jnp.sqrt(jnp.sum(vector**2, axis=-1))


def treasures() -> Sampled:
    """Treasures uniform on the unit circle."""

    def draw(key: Key) -> TreasureTask:
        angle = jax.random.uniform(key, (), maxval=2 * math.pi)
        return TreasureTask(jnp.stack([jnp.cos(angle), jnp.sin(angle)]))

    return Sampled(draw)


# --- metrics of the trial of one task --------------------------------------------------------------------------------


class Visits(NamedTuple):
    """Step by step through the trial: is it on the top, is it at the treasure?"""

    top: Bool[Array, " steps"]
    treasure: Bool[Array, " steps"]


def _visits(trials: Trials) -> Visits:
    task: Any = trials.tasks
    position = trials.transitions.next_timestep.obs[..., :2].reshape(-1, 2)
    return Visits(_length(position) < TOP, _length(position - task.treasure[None]) <= REACH)


def reached_top(trials: Trials) -> Float[Array, ""]:
    """1 if the trial came to the top of the mountain, else 0."""
    return _visits(trials).top.any().astype(jnp.float32)


def found_treasure(trials: Trials) -> Float[Array, ""]:
    """1 if the trial came to the treasure, else 0."""
    return _visits(trials).treasure.any().astype(jnp.float32)


def read_treasure(trials: Trials) -> Float[Array, ""]:
    """1 if the trial came to the top, and from there to the treasure for the first time, else 0: it climbed and read."""
    return saw_first(trials) * found_treasure(trials)


def saw_first(trials: Trials) -> Float[Array, ""]:
    """1 if the trial came to the top, and not to the treasure before, else 0."""
    visits = _visits(trials)
    unfound = ~jax.lax.cummax(visits.treasure.astype(jnp.int32)).astype(bool)
    return (visits.top & unfound).any().astype(jnp.float32)
