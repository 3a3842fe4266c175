"""Reference policies for the bus city: exact, since the shortest way by bus is as short as it can be for every goal."""

from typing import NamedTuple

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, Bool, Int

from innerloop._agent import Agent
from innerloop._types import Key, TimeStep, Transition
from innerloop.envs.bus import ENDS, GOALS, MAP, RIDE, STOPS, BusGrid
from innerloop.references.generic import NoExtras, NoMemory

USEFUL = len(STOPS)


def walk(position: Int[Array, "2"], target: Int[Array, "2"]) -> Int[Array, ""]:
    """The next action on a shortest walk, along x before y; stay at the target."""
    dx, dy = target - position
    along_x = jnp.where(dx > 0, 2, 0)
    along_y = jnp.where(dy > 0, 1, 3)
    return jnp.where(dx != 0, along_x, jnp.where(dy != 0, along_y, 4)).astype(jnp.int32)


def _steps(start: Int[Array, "... 2"], end: Int[Array, "... 2"]) -> Int[Array, "..."]:
    """The length of a shortest walk."""
    return jnp.sum(jnp.abs(end - start), axis=-1)


def shortest_way(position: Int[Array, "2"], goal: Int[Array, ""], end: Int[Array, "4"]) -> Int[Array, ""]:
    """The next action to the goal of who knows where the four useful buses go."""
    corner = jnp.array(GOALS)[goal]
    wanted = jnp.argmin(_steps(corner[None], jnp.array(ENDS)))
    stop = jnp.array(STOPS)[jnp.argmax(end == wanted)]
    by_bus = jnp.where(jnp.all(position == stop), RIDE, walk(position, stop))
    return jnp.where(_steps(position, corner) <= _steps(position, stop) + 2, walk(position, corner), by_bus)


class Walker(Agent):
    """Never rides: walks to the goal."""

    env: BusGrid
    episodes_per_adapt: int = eqx.field(static=True, default=1)

    def init(self, key: Key) -> NoMemory:
        return NoMemory()

    def act(self, key: Key, memory: NoMemory, timestep: TimeStep) -> tuple[Array, NoExtras]:
        corner = jnp.array(GOALS)[self.env.told_goal(timestep.obs)]
        return walk(self.env.locate(timestep.obs), corner), NoExtras()

    def observe(self, key: Key, memory: NoMemory, transition: Transition) -> NoMemory:
        return memory

    def adapt(self, key: Key, memory: NoMemory, episodes: Transition) -> NoMemory:
        return memory


class Oracle(Agent):
    """Knows where buses go: plays `RevealTask(env, task)` and takes the shortest way."""

    env: BusGrid
    episodes_per_adapt: int = eqx.field(static=True, default=1)

    def init(self, key: Key) -> NoMemory:
        return NoMemory()

    def act(self, key: Key, memory: NoMemory, timestep: TimeStep) -> tuple[Array, NoExtras]:
        start = self.env.spec.obs.num_features
        end = timestep.obs[start : start + USEFUL].astype(jnp.int32)
        return shortest_way(self.env.locate(timestep.obs), self.env.told_goal(timestep.obs), end), NoExtras()

    def observe(self, key: Key, memory: NoMemory, transition: Transition) -> NoMemory:
        return memory

    def adapt(self, key: Key, memory: NoMemory, episodes: Transition) -> NoMemory:
        return memory


class Timetable(NamedTuple):
    """Where the useful buses go, -1 where that is not known."""

    end: Int[Array, "4"]

    def complete(self) -> Bool[Array, ""]:
        return jnp.all(self.end >= 0)


class Explorer(Agent):
    """As long as it does not know where the useful buses go it finds out, then it takes the shortest way.

    Where there is a map it walks there; else it rides the nearest bus it does not know, and rides back. Three rides tell
    where the fourth bus goes.
    """

    env: BusGrid
    episodes_per_adapt: int = eqx.field(static=True, default=1)

    def init(self, key: Key) -> Timetable:
        return Timetable(jnp.full((USEFUL,), -1, jnp.int32))

    def act(self, key: Key, memory: Timetable, timestep: TimeStep) -> tuple[Array, NoExtras]:
        position = self.env.locate(timestep.obs)
        search = walk(position, jnp.array(MAP)) if self.env.show_map else self._try_bus(position, memory)
        known = shortest_way(position, self.env.told_goal(timestep.obs), memory.end)
        return jnp.where(memory.complete(), known, search), NoExtras()

    def _try_bus(self, position: Int[Array, "2"], memory: Timetable) -> Int[Array, ""]:
        stops = jnp.array(STOPS)
        away = jnp.where(memory.end < 0, _steps(position[None], stops), 100)
        at_end = jnp.any(jnp.all(self.env.ends == position[None], axis=1))
        return jnp.where((away.min() == 0) | at_end, RIDE, walk(position, stops[jnp.argmin(away)]))

    def observe(self, key: Key, memory: Timetable, transition: Transition) -> Timetable:
        before, after = (self.env.locate(x.obs) for x in (transition.timestep, transition.next_timestep))
        rode = jnp.all(jnp.array(STOPS) == before[None], axis=1) & (transition.action == RIDE)
        arrived_at = jnp.argmax(jnp.all(jnp.array(ENDS) == after[None], axis=1)).astype(jnp.int32)
        end = _deduce(jnp.where(rode, arrived_at, memory.end))
        return Timetable(self._read_map(end, transition.next_timestep.obs) if self.env.show_map else end)

    def _read_map(self, end: Int[Array, "4"], obs: Array) -> Int[Array, "4"]:
        num_stops = len(self.env.stops)
        shown = obs[-(num_stops**2) :].reshape(num_stops, num_stops)[:USEFUL]
        return jnp.where(shown.any(), jnp.argmax(shown, axis=1).astype(jnp.int32), end)

    def adapt(self, key: Key, memory: Timetable, episodes: Transition) -> Timetable:
        return memory


def _deduce(end: Int[Array, "4"]) -> Int[Array, "4"]:
    """If one bus is not known, it goes where no other goes."""
    unknown = end < 0
    missing = sum(range(USEFUL)) - jnp.sum(jnp.where(unknown, 0, end))
    return jnp.where(unknown & (unknown.sum() == 1), missing, end)
