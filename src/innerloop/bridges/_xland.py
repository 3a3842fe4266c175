"""XLand-MiniGrid (Nikulin et al. 2023): grid worlds whose goal, rules and objects, a ruleset, are the task.

The dynamics are the package's own. What is ours: the observation as numbers, rulesets made here, and tasks split by goal.
"""

import bz2
import os
import pickle
from pathlib import Path
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int, UInt8

from innerloop._env import Box, Discrete, Env, EnvSpec, advance, restart
from innerloop._extras import package
from innerloop._task import Finite
from innerloop._types import Key, TimeStep
from innerloop.bridges._bridge import Bridged, alike, as_arrays, lenient, scalar

EXTRA = "xland"
NUM_DIRECTIONS = 4


class XLandTask(NamedTuple):
    """A ruleset, in the package's codes: a goal, rules (code 0: none) and the objects that lie about (tile 0: none)."""

    goal: UInt8[Array, "*batch 5"]
    rules: UInt8[Array, "*batch rules 7"]
    init_tiles: UInt8[Array, "*batch tiles 2"]


class XLandState(NamedTuple):
    """Steps done, the grid `[row column (tile, colour)]`, the agent's place, direction, and what it holds."""

    steps: Int[Array, ""]
    grid: UInt8[Array, "height width 2"]
    position: Int[Array, "2"]
    direction: Int[Array, ""]
    pocket: UInt8[Array, "2"]


class XLand(Env):
    """Reach the ruleset's goal: reward 1 - 0.9 · steps / `max_steps`, and the episode has terminated; else 0.

    The agent sees the cells before it, `view_size` squared, each as one-hot codes of its tile and its colour, and a
    one-hot code of its own direction. It sees neither goal nor rules nor what it holds.
    """

    spec: EnvSpec
    package: Any = eqx.field(static=True)
    params: Any

    @lenient()
    def __init__(self, name: str = "XLand-MiniGrid-R1-9x9", max_steps: int | None = None):
        """`name`: as the package registers it. `max_steps`: its own if None, three times the number of cells."""
        known = [x for x in package(EXTRA).registered_environments() if x.startswith("XLand-")]
        if name not in known:
            raise ValueError(f"xland(name={name!r}): choose one of {', '.join(known)}.")
        self.package, params = package(EXTRA).make(name, **({} if max_steps is None else {"max_steps": max_steps}))
        self.params = params.replace(ruleset=None)
        num_entries = params.view_size**2 * sum(_num_codes()) + NUM_DIRECTIONS
        self.spec = EnvSpec(
            Box((num_entries,), 0.0, 1.0), Discrete(self.package.num_actions(params)), int(params.max_steps)
        )

    @lenient()
    def reset(self, key: Key, task: XLandTask) -> tuple[XLandState, TimeStep]:
        timestep = self.package.reset(self._params(task), key)
        state = as_arrays(_inner(timestep.state))
        return state, restart(self.spec, _see(timestep))

    @lenient()
    def step(self, key: Key, task: XLandTask, state: XLandState, action: Array) -> tuple[XLandState, TimeStep]:
        types = package(EXTRA, "types")
        agent = types.AgentState(position=state.position, direction=state.direction, pocket=state.pocket)
        outer = types.State(
            key=key,
            step_num=state.steps,
            grid=state.grid,
            agent=agent,
            goal_encoding=task.goal,
            rule_encoding=task.rules,
            carry=types.EnvCarry(),
        )
        before = types.TimeStep(state=outer, step_type=None, reward=None, discount=None, observation=None)
        after = self.package.step(self._params(task), before, action)
        terminated = after.discount == 0
        timestep = advance(
            _see(after), action, scalar(after.reward), terminated=terminated, truncated=after.last() & ~terminated
        )
        return alike(_inner(after.state), state), timestep

    def _params(self, task: XLandTask) -> Any:
        return self.params.replace(ruleset=package(EXTRA, "types").RuleSet(**task._asdict()))


def _num_codes() -> tuple[int, int]:
    constants = package(EXTRA, "core.constants")
    return constants.NUM_TILES, constants.NUM_COLORS


def _inner(state: Any) -> XLandState:
    return XLandState(state.step_num, state.grid, state.agent.position, state.agent.direction, state.agent.pocket)


def _see(timestep: Any) -> Float[Array, " entries"]:
    tiles, colors = (jax.nn.one_hot(timestep.observation[..., i], num).ravel() for i, num in enumerate(_num_codes()))
    return jnp.concatenate([tiles, colors, jax.nn.one_hot(timestep.state.agent.direction, NUM_DIRECTIONS)])


# Codes of goals.
HOLD, AGENT_NEAR, TILE_NEAR = 1, 3, 4
TILE_NEAR_UP, TILE_NEAR_RIGHT, TILE_NEAR_DOWN, TILE_NEAR_LEFT = 7, 8, 9, 10
AGENT_NEAR_SIDES = (11, 12, 13, 14)
NUM_DISTRACTORS = 3


def trivial_rulesets(num_rulesets: int = 1000, seed: int = 0) -> XLandTask:
    """Goals without rules, no two of them the same, each with its objects and 3 others: as the package's generator draws.

    Hold a thing; stand next to a thing, on any or on a given side; put two things next to each other, in any way or in a
    given one: these 11 kinds are equally likely, and so are all goals of a kind. Things have 6 shapes that can be carried
    (and a tile that can not) and 10 colours. There are 21,410 such goals; the more are drawn, the more of them are about
    two things, since the others run out.
    """
    constants = package(EXTRA, "core.constants")
    tiles, colors = constants.Tiles(), constants.Colors()
    shapes = [tiles.BALL, tiles.SQUARE, tiles.PYRAMID, tiles.KEY, tiles.STAR, tiles.HEX]
    shades = [x for x in range(constants.NUM_COLORS) if x not in (colors.EMPTY, colors.BLACK)]
    things = np.array([(shape, shade) for shape in (*shapes, tiles.GOAL) for shade in shades], np.uint8)
    num_things, num_movable = len(things), len(shapes) * len(shades)
    near = (AGENT_NEAR, *AGENT_NEAR_SIDES)
    pairs = (TILE_NEAR, TILE_NEAR_UP, TILE_NEAR_RIGHT, TILE_NEAR_DOWN, TILE_NEAR_LEFT)
    # Kind, first and second thing by number; a goal about one thing has no second, -1.
    goals = np.array(
        [(HOLD, a, -1) for a in range(num_movable)]
        + [(kind, a, -1) for kind in near for a in range(num_things)]
        + [(kind, a, b) for kind in pairs for a in range(num_things) for b in range(num_movable)]
    )
    if not 1 <= num_rulesets <= len(goals):
        raise ValueError(f"xland(num_rulesets={num_rulesets}): must lie between 1 and {len(goals)}.")
    generator = np.random.default_rng(seed)
    likely = 1.0 / np.bincount(goals[:, 0])[goals[:, 0]]
    goals = goals[generator.choice(len(goals), num_rulesets, replace=False, p=likely / likely.sum())]
    kind, first, second = goals.T
    blank = np.concatenate([things, np.zeros((1, 2), np.uint8)])  # number -1
    code = np.concatenate([kind[:, None].astype(np.uint8), blank[first], blank[second]], axis=1)
    # Distractors are drawn with replacement from what the goal does not name, as the generator draws them: number k of
    # the rest is k, moved on past the goal's own.
    named = np.sort(np.where(goals[:, 1:] < 0, num_things, goals[:, 1:]), axis=1)
    same = named[:, 0] == named[:, 1]
    named[same, 1] = num_things
    num_left = num_things - (named < num_things).sum(axis=1, keepdims=True)
    others = generator.integers(0, num_left, (len(goals), NUM_DISTRACTORS))
    for own in named.T:
        others += others >= own[:, None]
    objects = np.concatenate([code[:, 1:3, None], code[:, 3:5, None]], axis=2).swapaxes(1, 2)
    init_tiles = np.concatenate([objects, things[others]], axis=1)
    rules = np.zeros((len(goals), 1, package(EXTRA, "core.rules").MAX_RULE_ENCODING_LEN), np.uint8)
    return XLandTask(*(jnp.asarray(x) for x in (code, rules, init_tiles)))


class _Arrays(pickle.Unpickler):
    """Reads arrays and nothing else: unpickling can run any code."""

    def find_class(self, module: str, name: str) -> Any:
        harmless = (
            (module == "numpy" and name in ("ndarray", "dtype"))
            or (
                module.startswith(("numpy.core.", "numpy._core.")) and name in ("_reconstruct", "_frombuffer", "scalar")
            )
            or (module == "jax._src.array" and name == "_reconstruct_array")
        )
        if not harmless:
            raise ValueError(f"this file of rulesets holds {module}.{name}; only arrays are read.")
        return super().find_class(module, name)


def read_rulesets(path: Path) -> XLandTask:
    """A file that the package's generator wrote."""
    with bz2.open(path) as file:
        found = _Arrays(file).load()
    missing = {"goals", "rules", "init_tiles"} - set(found)
    if missing:
        raise ValueError(f"{path}: no rulesets here, {', '.join(sorted(missing))} missing.")
    return XLandTask(*(jnp.asarray(found[name], jnp.uint8) for name in ("goals", "rules", "init_tiles")))


def _find(rulesets: str) -> Path:
    """A path, or one of the package's benchmarks where the package looks for it; nothing is downloaded."""
    names = package(EXTRA, "benchmarks").NAME2HFFILENAME
    folder = Path(os.environ.get("XLAND_MINIGRID_DATA", Path.home() / ".xland_minigrid"))
    path = folder / names[rulesets] if rulesets in names else Path(rulesets)
    if not path.is_file():
        raise ValueError(
            f"xland(rulesets={rulesets!r}): there is no file {path}. Write 'trivial' for rulesets made here; or name a "
            "file that the package's scripts/ruleset_generator.py wrote, or one of "
            f"{', '.join(names)} that lies in the folder XLAND_MINIGRID_DATA."
        )
    return path


def same_goals(goals: UInt8[np.ndarray, "tasks 5"]) -> Int[np.ndarray, " tasks"]:
    """A number for each goal, equal where two codes mean the same: a near b and b near a, a above b and b below a."""
    kind, first, second = goals[:, 0], goals[:, 1:3].astype(int), goals[:, 3:5].astype(int)
    swapped = (kind == TILE_NEAR_DOWN) | (kind == TILE_NEAR_LEFT)
    a, b = (x[:, 0] * 256 + x[:, 1] for x in (first, second))
    kind = np.where(swapped, np.where(kind == TILE_NEAR_DOWN, TILE_NEAR_UP, TILE_NEAR_RIGHT), kind)
    swapped |= (kind == TILE_NEAR) & (a > b)
    a, b = np.where(swapped, b, a), np.where(swapped, a, b)
    return np.unique(np.stack([kind, a, b], axis=1), axis=0, return_inverse=True)[1].reshape(-1)


def split_by_goal(tasks: XLandTask, seed: int = 0, share: float = 0.2) -> tuple[Finite, Finite]:
    """Training and test tasks without a goal in common: `share` of the goals, and all rulesets with them, are for tests."""
    number = same_goals(np.asarray(tasks.goal))
    num_goals = int(number.max()) + 1
    held_out = np.random.default_rng(seed).permutation(num_goals) < round(share * num_goals)
    if not 0 < held_out.sum() < num_goals:
        raise ValueError(f"xland: {num_goals} different goals cannot be split into training and test goals.")
    test = held_out[number]
    train, held = (Finite(jax.tree.map(lambda leaf, rows=rows: leaf[rows], tasks)) for rows in (~test, test))
    return train, held


def xland(
    name: str = "XLand-MiniGrid-R1-9x9",
    rulesets: str = "trivial",
    *,
    num_rulesets: int | None = None,
    max_steps: int | None = None,
    seed: int = 0,
) -> Bridged:
    """XLand-MiniGrid's env `name` with `rulesets` as its tasks, a fifth of the goals held out for testing.

    `rulesets`: `trivial`, made here (`trivial_rulesets`), or a file. `num_rulesets`: 1000 if they are made here, all of a
    file, or its first so many. `seed` chooses rulesets that are made here, and the split.
    """
    env = XLand(name, max_steps)
    if rulesets == "trivial":
        tasks = trivial_rulesets(1000 if num_rulesets is None else num_rulesets, seed)
    else:
        tasks = jax.tree.map(lambda leaf: leaf[:num_rulesets], read_rulesets(_find(rulesets)))
    return Bridged(env, *split_by_goal(tasks, seed))
