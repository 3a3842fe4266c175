"""Krazy World (Stadie et al. 2018): a grid whose colours and controls mean something else in every world.

A world is fixed for a whole trial; what its colours and its actions mean has to be found out by stepping on things.
Rules and constants as in the authors' second version (`krazy_gridworld.py` in bstadie/krazyworld, with the values of
its README), a rewrite: the version behind the paper's scores was not released. Walls, locks and keys are rules of it
that its generator never uses; picking up a key, which it left out, is as in the first version.
"""

import functools
from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int

from innerloop._env import Box, Discrete, Env, EnvSpec, advance, restart
from innerloop._task import Finite
from innerloop._types import Key, TimeStep
from innerloop.envs.start_goal import neighbours

NUM_TILES = 10
WALL, NORMAL, GOAL, AGENT, TELEPORTER, LOCK, KEY, DEATH, ICE, ENERGY = range(NUM_TILES)
"""The authors' tile codes. `AGENT` is what the agent's own square looks like, whatever it stands on."""
NUM_MOVES = 4


class KrazyTask(NamedTuple):
    """One world. Cells are numbered x + size * y.

    `tiles`: what lies on each cell. `exits[c]`: where a teleporter at c leads; c itself everywhere else.
    `colors[t]`: the colour that tile type t is shown in. `moves[a]`: the direction of action a (0 up, 1 right, 2 down,
    3 left).
    """

    tiles: Int[Array, " cells"]
    start: Int[Array, ""]
    exits: Int[Array, " cells"]
    colors: Int[Array, "10"]
    moves: Int[Array, "4"]


class KrazyState(NamedTuple):
    """The agent's cell, the tiles that are left, whether it has the key, the steps it has energy for, steps done."""

    cell: Int[Array, ""]
    tiles: Int[Array, " cells"]
    has_key: Bool[Array, ""]
    energy: Int[Array, ""]
    time: Int[Array, ""]


class KrazyWorld(Env):
    """Every goal pays 1, once, and does not end the episode; all else pays 0.

    An action moves the agent by one cell unless the border, a wall, or a lock without the key is in the way. From ice
    it slides on in the same direction to the first cell that is not ice, or until something is in the way. Then
    the tile under it acts (also after a move that was blocked): a teleporter moves it to the other one of its pair;
    goals, energy tiles and keys are used up until the next episode; death ends the episode (discount 0). An action
    costs 1 energy, a slide nothing more (so say the README and version 1; the code of version 2 takes 1 per cell). An
    energy tile gives `refill`. With no energy left the episode ends (discount 0): by default after 50 to 90 steps.

    So `max_steps` (discount 1) cuts no episode in a default world. The paper does not give it: 100 makes five episodes
    of its batches of 500 steps, and the authors' gym adaptor of version 1 has 24.

    The observation is the 3 x 3 cells around the agent (the paper's local mode) as one-hot colours, rows from below,
    zeros outside the grid, and with `show_cell` the agent's cell as a one-hot vector: the authors' state vector is the
    whole grid with zeros beyond the 3 x 3 cells, which says the same. Like it, this shows neither energy nor the key.
    """

    spec: EnvSpec
    size: int = eqx.field(static=True)
    energy: int = eqx.field(static=True)
    refill: int = eqx.field(static=True)
    show_cell: bool = eqx.field(static=True)

    def __init__(self, size: int = 10, max_steps: int = 100, energy: int = 50, refill: int = 8, show_cell: bool = True):
        """`energy`: steps before energy is needed. (The authors' constructor says 11, their README and example 50.)"""
        if size < 2:
            raise ValueError(f"KrazyWorld(size={size}): needs at least 2 cells in a row.")
        if energy < 1 or refill < 0:
            raise ValueError(f"KrazyWorld(energy={energy}, refill={refill}): need energy >= 1 and refill >= 0.")
        num_features = 9 * NUM_TILES + (size * size if show_cell else 0)
        self.spec = EnvSpec(Box((num_features,), 0.0, 1.0), Discrete(NUM_MOVES), max_steps)
        self.size = size
        self.energy = energy
        self.refill = refill
        self.show_cell = show_cell

    def observe(self, task: KrazyTask, state: KrazyState) -> Float[Array, " features"]:
        """What the agent sees in `state`."""
        x, y = state.cell % self.size, state.cell // self.size
        colors = task.colors[state.tiles.at[state.cell].set(AGENT)].reshape(self.size, self.size)
        view = jax.lax.dynamic_slice(jnp.pad(colors, 1, constant_values=-1), (y, x), (3, 3))
        features = jax.nn.one_hot(view, NUM_TILES).reshape(-1)
        if not self.show_cell:
            return features
        return jnp.concatenate([features, jax.nn.one_hot(state.cell, self.size * self.size)])

    def reset(self, key: Key, task: KrazyTask) -> tuple[KrazyState, TimeStep]:
        energy, time = jnp.asarray(self.energy, jnp.int32), jnp.zeros((), jnp.int32)
        state = KrazyState(task.start, task.tiles, jnp.zeros((), bool), energy, time)
        return state, restart(self.spec, self.observe(task, state))

    def land(self, state: KrazyState, direction: Int[Array, ""]) -> Int[Array, ""]:
        """The cell where a move from `state` ends, before its tile acts."""
        beyond = jnp.asarray(neighbours(self.size))[:, direction]

        def ahead(cell: Int[Array, ""]) -> Int[Array, ""]:
            tile = state.tiles[beyond[cell]]
            blocked = (tile == WALL) | ((tile == LOCK) & ~state.has_key)
            return jnp.where(blocked, cell, beyond[cell])

        def slides(cell: Int[Array, ""]) -> Bool[Array, ""]:
            return (state.tiles[cell] == ICE) & (ahead(cell) != cell)

        return jax.lax.while_loop(slides, ahead, ahead(state.cell))

    def step(self, key: Key, task: KrazyTask, state: KrazyState, action: Array) -> tuple[KrazyState, TimeStep]:
        landing = self.land(state, task.moves[action])
        tile = state.tiles[landing]
        used_up = (tile == GOAL) | (tile == ENERGY) | (tile == KEY)
        next_state = KrazyState(
            cell=task.exits[landing],
            tiles=state.tiles.at[landing].set(jnp.where(used_up, NORMAL, tile)),
            has_key=state.has_key | (tile == KEY),
            energy=state.energy - 1 + jnp.where(tile == ENERGY, self.refill, 0),
            time=state.time + 1,
        )
        terminated = (tile == DEATH) | (next_state.energy < 1)
        return next_state, advance(
            self.observe(task, next_state),
            action,
            (tile == GOAL).astype(jnp.float32),
            terminated=terminated,
            truncated=next_state.time >= self.spec.max_steps,
        )


# --- task distributions ----------------------------------------------------------------------------------------------


class Plan(NamedTuple):
    """How many of each thing a world has; goals are more than `goal_distance` steps from the start."""

    death: int
    energy: int
    ice: int
    teleporter_pairs: int
    goals: int
    goal_distance: int


@functools.partial(jax.jit, static_argnames=("size", "plan"))
def _draw_world(key: Key, size: int, plan: Plan) -> KrazyTask:
    place_key, colors_key, moves_key = jax.random.split(key, 3)
    cells = np.arange(size * size, dtype=np.int32)
    squares = cells[(cells % size < size - 1) & (cells // size < size - 1)]
    counts = (plan.death, plan.energy, plan.ice, 2 * plan.teleporter_pairs)
    codes = np.repeat(np.array([DEATH, ENERGY, ICE, TELEPORTER], np.int32), counts)

    order = jax.random.permutation(place_key, squares)
    start, special, free = order[0], order[1 : 1 + len(codes)], order[1 + len(codes) :]
    distance = jnp.abs(free % size - start % size) + jnp.abs(free // size - start // size)
    goals = free[jnp.argsort(distance <= plan.goal_distance, stable=True)][: plan.goals]
    tiles = jnp.full(cells.shape, NORMAL, jnp.int32).at[special].set(codes).at[goals].set(GOAL)
    pairs = special[len(codes) - 2 * plan.teleporter_pairs :].reshape(plan.teleporter_pairs, 2)
    return KrazyTask(
        tiles=tiles,
        start=start,
        exits=jnp.asarray(cells).at[pairs].set(pairs[:, ::-1]),
        colors=jax.random.permutation(colors_key, jnp.arange(NUM_TILES, dtype=jnp.int32)),
        moves=jax.random.permutation(moves_key, jnp.arange(NUM_MOVES, dtype=jnp.int32)),
    )


def krazy_worlds(
    num_worlds: int,
    seed: int = 0,
    size: int = 10,
    num_goals: int = 3,
    min_goal_distance: int = 2,
    death: float = 0.08,
    energy: float = 0.05,
    ice: float = 0.05,
    num_teleporters: int = 1,
) -> Finite:
    """Random worlds, no two with the same board: `krazy_worlds(96).split(1 / 3)` gives the paper's 32 and 64.

    `death`, `energy` and `ice` are parts of all size² cells, rounded down; `num_teleporters` counts pairs. As in the
    authors' code nothing lies in the last row and column, where the agent does not start either, and colours and
    actions are permuted uniformly. As their README says, every goal is more than `min_goal_distance` steps (in x plus
    y) from the start; their version 2 measures from a corner. Tiles never fall on one another; there, tiles of one
    kind may. Nothing promises that a goal can be reached. Raises ValueError if the board is too small for all this.
    """
    num_death, num_energy, num_ice = (int(size * size * part) for part in (death, energy, ice))
    plan = Plan(num_death, num_energy, num_ice, num_teleporters, num_goals, min_goal_distance)
    if num_worlds < 1 or min(plan) < 0:
        raise ValueError(f"krazy_worlds(num_worlds={num_worlds}, ...): need at least 1, and nothing negative: {plan}.")
    near = 2 * min_goal_distance * (min_goal_distance + 1)
    needed = 1 + num_death + num_energy + num_ice + 2 * num_teleporters + near + num_goals
    if (size - 1) ** 2 < needed:
        raise ValueError(f"krazy_worlds(size={size}): {plan} may need {needed} of (size - 1)² cells; enlarge the grid.")
    keys = jax.random.split(jax.random.key(seed), num_worlds)
    worlds = jax.vmap(lambda key: _draw_world(key, size, plan))(keys)
    if len(np.unique(np.asarray(worlds.tiles), axis=0)) < num_worlds:
        raise ValueError(f"krazy_worlds(num_worlds={num_worlds}, size={size}): boards repeat; enlarge the grid.")
    return Finite(worlds)
