"""Reference policies for S to G grids: a systematic searcher that maps what it sees, and the shortest path."""

from typing import NamedTuple

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, Bool, Int

from innerloop._agent import Agent
from innerloop._types import Key, TimeStep, Transition
from innerloop.envs.start_goal import StartGoalGrid, distance_map, neighbours
from innerloop.references.generic import NoExtras, NoMemory, random_argmax
from innerloop.references.gridnavi import decode


class Map(NamedTuple):
    """Cells known to be walls, cells visited, and the goal: its cell, or -1 as long as it is unknown."""

    walls: Bool[Array, " cells"]
    visited: Bool[Array, " cells"]
    goal: Int[Array, ""]


class Explorer(Agent):
    """Searches by going to the nearest cell not yet visited; once it knows the goal it goes there, by the shortest path
    through cells not known to be walls.

    Needs `obs="cell"`; walls are what it sees or bumps into. Not Bayes-optimal: it does not plan its search ahead.
    """

    env: StartGoalGrid
    episodes_per_adapt: int = eqx.field(static=True, default=1)

    def __check_init__(self) -> None:
        if self.env.obs != "cell":
            raise ValueError(f"Explorer(env.obs={self.env.obs!r}): build the env with obs='cell'.")

    def init(self, key: Key) -> Map:
        nothing = jnp.zeros((self.env.size**2,), bool)
        return Map(nothing, nothing, jnp.full((), -1, jnp.int32))

    def _walls(self, memory: Map, obs: Array) -> Bool[Array, " cells"]:
        """The walls in memory and those in view."""
        if not self.env.show_walls:
            return memory.walls
        cell = self.env.locate(obs)
        nearby = jnp.asarray(neighbours(self.env.size))[cell]
        blocked = (obs[-4:] > 0.5) & (nearby != cell)
        return memory.walls.at[nearby].max(blocked)

    def act(self, key: Key, memory: Map, timestep: TimeStep) -> tuple[Array, NoExtras]:
        cell = self.env.locate(timestep.obs)
        cells = jnp.arange(self.env.size**2, dtype=jnp.int32)
        known = memory.goal >= 0
        sources = jnp.where(known, cells == memory.goal, ~memory.visited & (cells != cell))
        distance = distance_map(sources, self._walls(memory, timestep.obs), self.env.size)
        ahead = distance[jnp.asarray(neighbours(self.env.size))[cell]]
        return random_argmax(key, -ahead.astype(jnp.float32)), NoExtras()

    def observe(self, key: Key, memory: Map, transition: Transition) -> Map:
        start = self.env.locate(transition.timestep.obs)
        end = self.env.locate(transition.next_timestep.obs)
        goal = jnp.where(transition.next_timestep.discount == 0, end, memory.goal)
        visited = memory.visited.at[start].set(True).at[end].set(True)
        ahead = jnp.asarray(neighbours(self.env.size))[start, transition.action]
        walls = self._walls(memory, transition.timestep.obs).at[ahead].max(ahead != end)
        return Map(walls, visited, goal)

    def adapt(self, key: Key, memory: Map, episodes: Transition) -> Map:
        return memory


class ShortestPath(Agent):
    """Knows the task: plays `RevealTask(env, task)` and goes to the goal by a shortest path."""

    env: StartGoalGrid
    episodes_per_adapt: int = eqx.field(static=True, default=1)

    def init(self, key: Key) -> NoMemory:
        return NoMemory()

    def act(self, key: Key, memory: NoMemory, timestep: TimeStep) -> tuple[Array, NoExtras]:
        space = self.env.spec.obs
        cell = self.env.locate(decode(space, timestep.obs[: space.num_features]))
        distance = timestep.obs[-(self.env.size**2) :]  # the last field of a flattened StartGoalTask
        ahead = distance[jnp.asarray(neighbours(self.env.size))[cell]]
        return random_argmax(key, -ahead), NoExtras()

    def observe(self, key: Key, memory: NoMemory, transition: Transition) -> NoMemory:
        return memory

    def adapt(self, key: Key, memory: NoMemory, episodes: Transition) -> NoMemory:
        return memory
