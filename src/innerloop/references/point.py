"""The best a point can do that knows its goal."""

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from innerloop._agent import Agent
from innerloop._types import Key, TimeStep, Transition
from innerloop.envs.navigation import STEP
from innerloop.envs.point import MAX_STEP, PointGoal
from innerloop.references.generic import NoExtras, NoMemory


def best_returns(env: PointGoal, goals: np.ndarray) -> np.ndarray:
    """What an episode pays at most for each of `goals` [tasks 2], where the reward never grows with the distance."""
    left = np.abs(goals)[:, None] - MAX_STEP * np.arange(1, env.spec.max_steps + 1)[:, None]
    distance = np.linalg.norm(np.maximum(left, 0.0), axis=2)
    reward = -distance if env.radius is None else np.where(distance <= env.radius, env.peak - distance, 0.0)
    return reward.sum(axis=1)


class GoToGoal(Agent):
    """On each axis, the largest step that does not pass the revealed goal; optimal because the axes are independent."""

    episodes_per_adapt: int = eqx.field(static=True, default=1)

    def init(self, key: Key) -> NoMemory:
        return NoMemory()

    def act(self, key: Key, memory: NoMemory, timestep: TimeStep) -> tuple[Array, NoExtras]:
        position, goal = timestep.obs[:2], timestep.obs[-2:]
        return jnp.clip(goal - position, -MAX_STEP, MAX_STEP), NoExtras()

    def observe(self, key: Key, memory: NoMemory, transition: Transition) -> NoMemory:
        return memory

    def adapt(self, key: Key, memory: NoMemory, episodes: Transition) -> NoMemory:
        return memory


class Navigate(Agent):
    """The same for `Navigation`, whose revealed task is start, goal and gain."""

    episodes_per_adapt: int = eqx.field(static=True, default=1)

    def init(self, key: Key) -> NoMemory:
        return NoMemory()

    def act(self, key: Key, memory: NoMemory, timestep: TimeStep) -> tuple[Array, NoExtras]:
        position, goal, gain = timestep.obs[:2], timestep.obs[4:6], timestep.obs[6]
        return jnp.clip((goal - position) / (STEP * gain), -1.0, 1.0), NoExtras()

    def observe(self, key: Key, memory: NoMemory, transition: Transition) -> NoMemory:
        return memory

    def adapt(self, key: Key, memory: NoMemory, episodes: Transition) -> NoMemory:
        return memory
