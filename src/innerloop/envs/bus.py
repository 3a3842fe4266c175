"""The city of DREAM (Liu et al. 2021): where its buses go is another thing in every task, and the goal is told.

Constants as in the authors' code: 9 x 9 cells, start in the middle, four bus stops beside it, each of which has its other
end next to one corner; the goal is a corner; 20 steps. In the distracting city four more buses lead nowhere near a corner.
"""

import itertools
from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Int

from innerloop._env import Box, Discrete, Env, EnvSpec, advance, restart
from innerloop._task import Finite
from innerloop._types import Key, TimeStep

SIZE = 9
START = (4, 4)
STOPS = ((4, 5), (5, 4), (3, 4), (4, 3))
ENDS = ((0, 1), (0, 7), (8, 1), (8, 7))
DISTRACTING_STOPS = ((5, 5), (3, 3), (3, 5), (5, 3))
DISTRACTING_ENDS = ((0, 4), (4, 0), (8, 4), (4, 8))
GOALS = ((0, 0), (8, 8), (0, 8), (8, 0))
MAP = (7, 3)
MOVES = ((-1, 0), (0, 1), (1, 0), (0, -1), (0, 0), (0, 0), (0, 0))
"""(dx, dy) of the actions left, up, right, down, stay, ride, give up."""
RIDE = 5
GIVE_UP = 6


class BusTask(NamedTuple):
    """The number of the end that each stop's bus goes to: a permutation."""

    end: Int[Array, " stops"]


class BusState(NamedTuple):
    """The position (x, y), the number of the goal, and the steps done."""

    position: Int[Array, "2"]
    goal: Int[Array, ""]
    time: Int[Array, ""]


class BusGrid(Env):
    """Walk to a corner, or ride: from a stop to its end or back. The goal is drawn for each episode and is shown.

    A step costs 0.1; the step into the goal pays 1 instead and ends the episode. To give up ends it, too, and costs what
    the steps that are left would have cost. The observation is x and y, each as a one-hot code of 9, then 1 on a cell
    with a bus, then the goal as a one-hot code of 4. With `show_map` it ends with a matrix [stop end], flattened, that is 1
    where a bus goes; it is shown in the cell of the map only, and is zero elsewhere.
    """

    spec: EnvSpec
    distractions: bool = eqx.field(static=True)
    show_map: bool = eqx.field(static=True)

    def __init__(self, distractions: bool = False, show_map: bool = False, max_steps: int = 20):
        num_stops = len(STOPS) * (2 if distractions else 1)
        num_features = 2 * SIZE + 1 + len(GOALS) + (num_stops**2 if show_map else 0)
        self.spec = EnvSpec(Box((num_features,), 0.0, 1.0), Discrete(len(MOVES)), max_steps)
        self.distractions = distractions
        self.show_map = show_map

    @property
    def stops(self) -> Int[Array, "stops 2"]:
        """Where buses start."""
        return jnp.array(STOPS + DISTRACTING_STOPS if self.distractions else STOPS)

    @property
    def ends(self) -> Int[Array, "ends 2"]:
        """Where buses go."""
        return jnp.array(ENDS + DISTRACTING_ENDS if self.distractions else ENDS)

    def observe(self, task: BusTask, position: Int[Array, "2"], goal: Int[Array, ""]) -> Array:
        """What the agent sees at `position`."""
        on_stop = jnp.any(jnp.all(jnp.concatenate([self.stops, self.ends]) == position[None], axis=1))
        parts = [jax.nn.one_hot(position, SIZE).reshape(-1), on_stop.astype(jnp.float32)[None]]
        parts.append(jax.nn.one_hot(goal, len(GOALS)))
        if self.show_map:
            map = jax.nn.one_hot(task.end, len(self.ends)).reshape(-1)
            parts.append(jnp.where(jnp.all(position == jnp.array(MAP)), map, 0.0))
        return jnp.concatenate(parts)

    def locate(self, obs: Array) -> Int[Array, "2"]:
        """The position that looks like `obs`."""
        return jnp.argmax(obs[: 2 * SIZE].reshape(2, SIZE), axis=1).astype(jnp.int32)

    def told_goal(self, obs: Array) -> Int[Array, ""]:
        """The number of the goal that `obs` tells."""
        return jnp.argmax(obs[2 * SIZE + 1 : 2 * SIZE + 1 + len(GOALS)]).astype(jnp.int32)

    def ride(self, task: BusTask, position: Int[Array, "2"]) -> Int[Array, "2"]:
        """Where the bus at `position` goes; `position` if there is none."""
        here = jnp.concatenate([self.stops, self.ends])
        back = jnp.argmax(task.end[None] == jnp.arange(len(self.ends))[:, None], axis=1)
        there = jnp.concatenate([self.ends[task.end], self.stops[back]])
        waiting = jnp.all(here == position[None], axis=1)
        return jnp.where(waiting.any(), there[jnp.argmax(waiting)], position)

    def reset(self, key: Key, task: BusTask) -> tuple[BusState, TimeStep]:
        position, goal = jnp.array(START), jax.random.randint(key, (), 0, len(GOALS))
        timestep = restart(self.spec, self.observe(task, position, goal))
        return BusState(position, goal, jnp.zeros((), jnp.int32)), timestep

    def step(self, key: Key, task: BusTask, state: BusState, action: Array) -> tuple[BusState, TimeStep]:
        walked = jnp.clip(state.position + jnp.array(MOVES)[action], 0, SIZE - 1)
        position = jnp.where(action == RIDE, self.ride(task, state.position), walked)
        next_state = BusState(position, state.goal, state.time + 1)
        arrived = jnp.all(position == jnp.array(GOALS)[state.goal])
        left = (self.spec.max_steps - next_state.time).astype(jnp.float32)
        gave_up = action == GIVE_UP
        reward = jnp.where(arrived, 1.0, -0.1 - jnp.where(gave_up, 0.1 * left, 0.0))
        truncated = next_state.time >= self.spec.max_steps
        obs = self.observe(task, position, state.goal)
        return next_state, advance(obs, action, reward, terminated=arrived | gave_up, truncated=truncated)


def bus_permutations() -> Finite:
    """All 24 ways to lead four buses to four ends, four rotations of each other after four.

    In such a group of four every bus goes to every end once, so each part of a split into groups shows all 16 pairs.
    """
    starts = [(0, *rest) for rest in itertools.permutations(range(1, 4))]
    ends = [start[shift:] + start[:shift] for start in starts for shift in range(4)]
    return Finite(BusTask(jnp.array(ends, jnp.int32)))


def distracting_permutations() -> Finite:
    """All 576 tasks of the distracting city: the useful buses' permutation changes faster than the others'."""
    useful = np.asarray(bus_permutations().tasks.end)
    other = useful + len(useful[0])
    ends = np.concatenate([np.tile(useful, (len(other), 1)), np.repeat(other, len(useful), axis=0)], axis=1)
    return Finite(BusTask(jnp.asarray(ends, jnp.int32)))
