"""S to G: a grid in which each task has its own start and goal, and in mazes its own walls.

Every episode of a trial leads from the same start to the same goal, which the agent cannot see: the first episode is
a search, the later ones should take the shortest path. Distances come with the task, so that metrics need no search.
"""

import functools
from typing import Any, Literal, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int

from innerloop._env import Box, Discrete, Env, EnvSpec, advance, restart
from innerloop._task import Finite, TaskDistribution
from innerloop._types import Key, TimeStep, Trials


class StartGoalTask(NamedTuple):
    """Cells are numbered x + size * y. `distance[c]`: steps from cell c to the goal, `cells` where there is no way."""

    start: Int[Array, ""]
    goal: Int[Array, ""]
    walls: Bool[Array, " cells"]
    distance: Int[Array, " cells"]


class StartGoalState(NamedTuple):
    """The agent's cell and the number of steps done."""

    cell: Int[Array, ""]
    time: Int[Array, ""]


@functools.cache
def neighbours(size: int) -> np.ndarray:
    """[cells 4]: the cell above (y + 1), right, below and left of each; at the border, the cell itself."""
    x, y = np.arange(size * size) % size, np.arange(size * size) // size
    moved = [(x, y + 1), (x + 1, y), (x, y - 1), (x - 1, y)]
    return np.stack([np.clip(a, 0, size - 1) + size * np.clip(b, 0, size - 1) for a, b in moved], 1).astype(np.int32)


def distance_map(sources: Bool[Array, " cells"], walls: Bool[Array, " cells"], size: int) -> Int[Array, " cells"]:
    """Steps from each cell to the nearest source, by flooding; `size²` for walls and cells without a way."""
    far = size * size
    blocked = walls.reshape(size, size)

    def spread(distance: Int[Array, "size size"]) -> Int[Array, "size size"]:
        padded = jnp.pad(distance, 1, constant_values=far)
        nearest = jnp.minimum(
            jnp.minimum(padded[2:, 1:-1], padded[:-2, 1:-1]), jnp.minimum(padded[1:-1, 2:], padded[1:-1, :-2])
        )
        return jnp.where(blocked, far, jnp.minimum(distance, nearest + 1))

    def body(carry: tuple[Array, Array]) -> tuple[Array, Array]:
        return carry[1], spread(carry[1])

    first = jnp.where(sources & ~walls, 0, far).astype(jnp.int32).reshape(size, size)
    _, distance = jax.lax.while_loop(lambda carry: jnp.any(carry[0] != carry[1]), body, (first, spread(first)))
    return distance.reshape(-1)


class StartGoalGrid(Env):
    """Four moves: up, right, down, left. A step pays `-step_cost`; the step into the goal pays `goal_reward` and is the
    last one.

    `obs="cell"`: the agent's cell, as a `Discrete`; with `show_walls`, a `Box` of the one-hot cell and four numbers
    that are 1 where the way up, right, down, left is blocked. `obs="pixels"`: an image [size size channels] with the
    agent and, with `show_walls`, a second channel with the whole maze. The goal is never shown.
    """

    spec: EnvSpec
    size: int = eqx.field(static=True)
    show_walls: bool = eqx.field(static=True)
    obs: Literal["cell", "pixels"] = eqx.field(static=True)
    step_cost: float = eqx.field(static=True)
    goal_reward: float = eqx.field(static=True)

    def __init__(
        self,
        size: int,
        show_walls: bool = False,
        obs: Literal["cell", "pixels"] = "cell",
        max_steps: int | None = None,
        step_cost: float = 0.1,
        goal_reward: float = 1.0,
    ):
        """`max_steps` is twice the number of cells if not given."""
        if size < 2:
            raise ValueError(f"StartGoalGrid(size={size}): start and goal need at least size 2.")
        if obs not in ("cell", "pixels"):
            raise ValueError(f"StartGoalGrid(obs={obs!r}): choose 'cell' or 'pixels'.")
        spaces = {
            "cell": Box((size * size + 4,), 0.0, 1.0) if show_walls else Discrete(size * size),
            "pixels": Box((size, size, 2 if show_walls else 1), 0.0, 1.0),
        }
        self.spec = EnvSpec(spaces[obs], Discrete(4), max_steps or 2 * size * size)
        self.size = size
        self.show_walls = show_walls
        self.obs = obs
        self.step_cost = step_cost
        self.goal_reward = goal_reward

    def observe(self, task: StartGoalTask, cell: Int[Array, ""]) -> Array:
        """What the agent sees in `cell`."""
        if self.obs == "cell" and not self.show_walls:
            return cell
        agent = jax.nn.one_hot(cell, self.size * self.size)
        if self.obs == "cell":
            return jnp.concatenate([agent, self.blocked(task, cell).astype(jnp.float32)])
        channels = [agent, task.walls.astype(jnp.float32)] if self.show_walls else [agent]
        return jnp.stack(channels, axis=-1).reshape(self.spec.obs.shape)

    def blocked(self, task: StartGoalTask, cell: Int[Array, ""]) -> Bool[Array, "4"]:
        """Whether the border or a wall blocks the way up, right, down, left."""
        nearby = jnp.asarray(neighbours(self.size))[cell]
        return (nearby == cell) | task.walls[nearby]

    def locate(self, obs: Array) -> Int[Array, ""]:
        """The cell that looks like `obs`."""
        if self.obs == "cell" and not self.show_walls:
            return obs
        agent = obs[: self.size * self.size] if self.obs == "cell" else obs[:, :, 0].reshape(-1)
        return jnp.argmax(agent).astype(jnp.int32)

    def reset(self, key: Key, task: StartGoalTask) -> tuple[StartGoalState, TimeStep]:
        timestep = restart(self.spec, self.observe(task, task.start))
        return StartGoalState(task.start, jnp.zeros((), jnp.int32)), timestep

    def step(
        self, key: Key, task: StartGoalTask, state: StartGoalState, action: Array
    ) -> tuple[StartGoalState, TimeStep]:
        target = jnp.asarray(neighbours(self.size))[state.cell, action]
        cell = jnp.where(task.walls[target], state.cell, target)
        arrived = cell == task.goal
        reward = jnp.where(arrived, self.goal_reward, -self.step_cost)
        next_state = StartGoalState(cell, state.time + 1)
        truncated = next_state.time >= self.spec.max_steps
        return next_state, advance(
            self.observe(task, cell), action, reward, terminated=arrived, truncated=truncated & ~arrived
        )


# --- task distributions ----------------------------------------------------------------------------------------------


def placements(size: int) -> Finite:
    """All pairs of different cells of a grid without walls, as start and goal."""
    num_cells = size * size
    cells = np.arange(num_cells)
    start, goal = (pair[~np.eye(num_cells, dtype=bool)] for pair in np.meshgrid(cells, cells, indexing="ij"))
    x, y = cells % size, cells // size
    distance = np.abs(x[None] - x[goal][:, None]) + np.abs(y[None] - y[goal][:, None])
    walls = np.zeros(distance.shape, bool)
    integers = [jnp.asarray(array, jnp.int32) for array in (start, goal, distance)]
    return Finite(StartGoalTask(integers[0], integers[1], jnp.asarray(walls), integers[2]))


class Doors(NamedTuple):
    """The places where a maze may be open: each door is a cell between two rooms. [doors] each, but `rooms` [rooms]."""

    first: np.ndarray
    second: np.ndarray
    cell: np.ndarray
    rooms: np.ndarray


@functools.cache
def _doors(size: int) -> Doors:
    """Rooms are the cells with two even coordinates, numbered along x, then y."""
    side = (size + 1) // 2
    rooms = [2 * x + size * 2 * y for y in range(side) for x in range(side)]
    across = [(i, i + 1, rooms[i] + 1) for i in range(side * side) if i % side < side - 1]
    upward = [(i, i + side, rooms[i] + size) for i in range(side * (side - 1))]
    first, second, cell = np.array(across + upward, np.int32).T
    return Doors(first, second, cell, np.array(rooms, np.int32))


def _spanning_tree(weights: Float[Array, " doors"], doors: Doors) -> Bool[Array, " doors"]:
    """The doors of the lightest tree that joins all rooms (Prim 1957)."""

    def grow(_: Int[Array, ""], carry: tuple[Array, Array]) -> tuple[Array, Array]:
        inside, is_open = carry
        crossing = inside[doors.first] ^ inside[doors.second]
        door = jnp.argmin(jnp.where(crossing, weights, jnp.inf))
        inside = inside.at[jnp.asarray(doors.first)[door]].set(True).at[jnp.asarray(doors.second)[door]].set(True)
        return inside, is_open.at[door].set(True)

    num_rooms = len(doors.rooms)
    carry = (jnp.zeros((num_rooms,), bool).at[0].set(True), jnp.zeros(weights.shape, bool))
    return jax.lax.fori_loop(0, num_rooms - 1, grow, carry)[1]


class Mazes(TaskDistribution):
    """Random mazes with random start and goal, drawn afresh for every task.

    A layout is a random spanning tree over the rooms (cells with two even coordinates) plus `num_loops` more doors, so
    every free cell can be reached from every other. A hash of the layout puts one layout in five in the part "test",
    the others in "train": no layout occurs in both. "all" draws from either.
    """

    size: int = eqx.field(static=True)
    part: Literal["train", "test", "all"] = eqx.field(static=True, default="all")
    num_loops: int = eqx.field(static=True, default=0)

    def __check_init__(self) -> None:
        if self.size < 5 or self.size % 2 == 0:
            raise ValueError(f"Mazes(size={self.size}): choose an odd size of at least 5.")
        if self.part not in ("train", "test", "all"):
            raise ValueError(f"Mazes(part={self.part!r}): choose 'train', 'test' or 'all'.")
        side = (self.size + 1) // 2
        if not 0 <= self.num_loops <= (side - 1) ** 2:
            raise ValueError(f"Mazes(num_loops={self.num_loops}): choose 0 to {(side - 1) ** 2} loops.")

    def layout(self, key: Key) -> Bool[Array, " doors"]:
        """Which doors are open, whatever the part."""
        doors = _doors(self.size)
        weights = jax.random.uniform(key, doors.cell.shape)
        is_open = _spanning_tree(weights, doors)
        if self.num_loops:
            closed = jnp.where(is_open, jnp.inf, weights)
            is_open |= closed <= jnp.sort(closed)[self.num_loops - 1]
        return is_open

    def accepts(self, layout: Bool[Array, " doors"]) -> Bool[Array, ""]:
        """Whether the layout belongs to the part."""
        if self.part == "all":
            return jnp.ones((), bool)
        factors = (2654435761 * (2 * np.arange(len(layout), dtype=np.uint64) + 1) ** 3 | 1).astype(np.uint32)
        code = jnp.sum(jnp.where(layout, factors, 0).astype(jnp.uint32), dtype=jnp.uint32)
        in_test = (code >> 13) % 5 == 0
        return in_test if self.part == "test" else ~in_test

    def sample(self, key: Key) -> StartGoalTask:
        layout_key, place_key = jax.random.split(key)

        def again(carry: tuple[Key, Array]) -> tuple[Key, Array]:
            next_key, key = jax.random.split(carry[0])
            return next_key, self.layout(key)

        _, layout = jax.lax.while_loop(lambda carry: ~self.accepts(carry[1]), again, again((layout_key, layout_key)))
        doors = _doors(self.size)
        num_cells = self.size * self.size
        walls = jnp.ones((num_cells,), bool).at[doors.rooms].set(False).at[doors.cell].set(~layout)
        lottery = jnp.where(walls, -1.0, jax.random.uniform(place_key, (num_cells,)))
        start, goal = jax.lax.top_k(lottery, 2)[1]
        distance = distance_map(jnp.arange(num_cells) == goal, walls, self.size)
        return StartGoalTask(start, goal, walls, distance)


# --- metrics of the trials of one task -------------------------------------------------------------------------------


def steps_per_episode(trials: Trials) -> Float[Array, " episodes"]:
    """Steps of each episode of one task's trial; `max_steps` where the goal was not reached."""
    valid = trials.transitions.valid
    return valid.reshape(-1, valid.shape[-1]).sum(axis=-1).astype(jnp.float32)


def first_episode_steps(trials: Trials) -> Float[Array, ""]:
    """Steps of the first episode."""
    return steps_per_episode(trials)[0]


def second_episode_steps(trials: Trials) -> Float[Array, ""]:
    """Steps of the second episode, when the goal may be known."""
    return steps_per_episode(trials)[1]


def last_episode_steps(trials: Trials) -> Float[Array, ""]:
    """Steps of the last episode."""
    return steps_per_episode(trials)[-1]


def shortest_path(trials: Trials) -> Float[Array, ""]:
    """Fewest steps from start to goal."""
    task: Any = trials.tasks
    return task.distance[task.start].astype(jnp.float32)


def last_over_shortest(trials: Trials) -> Float[Array, ""]:
    """Steps of the last episode in units of the shortest path; 1 is perfect."""
    return last_episode_steps(trials) / shortest_path(trials)


def success_last(trials: Trials) -> Float[Array, ""]:
    """1 if the last episode ended at the goal, else 0."""
    transitions = trials.transitions
    arrived = transitions.valid & (transitions.next_timestep.discount == 0)
    return arrived[-1, -1].any().astype(jnp.float32)
