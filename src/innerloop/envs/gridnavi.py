"""GridNavi, the grid world of variBAD (Zintgraf et al. 2020, section 5.1): find a hidden goal, then go there directly.

Constants as in the authors' code: 5 x 5 cells, start (0, 0), 15 steps, no end at the goal, +1 on the goal else -0.1,
and 21 possible goals, all cells but the four around the start.
"""

from typing import Literal, NamedTuple

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, Int

from innerloop._env import Box, Discrete, Env, EnvSpec, advance, restart
from innerloop._task import Finite
from innerloop._types import Key, TimeStep

MOVES = ((0, 0), (0, 1), (1, 0), (0, -1), (-1, 0))
"""(dx, dy) of the actions stay, up, right, down, left."""


class GridTask(NamedTuple):
    """The goal's (x, y)."""

    goal: Int[Array, "2"]


class GridState(NamedTuple):
    """The position (x, y) and the number of steps done."""

    position: Int[Array, "2"]
    time: Int[Array, ""]


class GridNavi(Env):
    """Every step that ends on the goal pays 1, every other -0.1; the episode is cut after `max_steps`.

    `obs="xy"`: the position as a `Box` of shape (2,), each coordinate divided by size - 1 (the original does not
    divide). `obs="cell"`: the cell x + size * y as a `Discrete`.

    Two variants (Beck et al. 2023, section 5). With `shows_goal` the start cell looks like the goal; the original does
    so after steps that end there, not after a reset. With `dense_reward` a step that does not end on the goal pays
    -1 / size for each step that it is away.
    """

    spec: EnvSpec
    size: int = eqx.field(static=True)
    obs: Literal["xy", "cell"] = eqx.field(static=True)
    shows_goal: bool = eqx.field(static=True)
    dense_reward: bool = eqx.field(static=True)

    def __init__(
        self,
        size: int = 5,
        max_steps: int = 15,
        obs: Literal["xy", "cell"] = "xy",
        *,
        shows_goal: bool = False,
        dense_reward: bool = False,
    ):
        if size < 3:
            raise ValueError(f"GridNavi(size={size}): there is no goal outside the start corner below size 3.")
        if obs not in ("xy", "cell"):
            raise ValueError(f"GridNavi(obs={obs!r}): choose 'xy' or 'cell'.")
        space = Box((2,), 0.0, 1.0) if obs == "xy" else Discrete(size * size)
        self.spec = EnvSpec(space, Discrete(len(MOVES)), max_steps)
        self.size = size
        self.obs = obs
        self.shows_goal = shows_goal
        self.dense_reward = dense_reward

    def observe(self, position: Int[Array, "2"]) -> Array:
        """What a position looks like."""
        if self.obs == "cell":
            return position[0] + self.size * position[1]
        return position.astype(jnp.float32) / (self.size - 1)

    def locate(self, obs: Array) -> Int[Array, "2"]:
        """The position that looks like `obs`."""
        if self.obs == "cell":
            return jnp.stack([obs % self.size, obs // self.size])
        return jnp.round(obs * (self.size - 1)).astype(jnp.int32)

    def _see(self, task: GridTask, position: Int[Array, "2"]) -> Array:
        """What the agent sees at a position."""
        if self.shows_goal:
            position = jnp.where(jnp.all(position == 0), task.goal, position)
        return self.observe(position)

    def reset(self, key: Key, task: GridTask) -> tuple[GridState, TimeStep]:
        position = jnp.zeros((2,), jnp.int32)
        return GridState(position, jnp.zeros((), jnp.int32)), restart(self.spec, self._see(task, position))

    def step(self, key: Key, task: GridTask, state: GridState, action: Array) -> tuple[GridState, TimeStep]:
        position = jnp.clip(state.position + jnp.array(MOVES)[action], 0, self.size - 1)
        distance = jnp.abs(position - task.goal).sum()
        away = -distance / self.size if self.dense_reward else -0.1
        reward = jnp.where(distance == 0, 1.0, away)
        next_state = GridState(position, state.time + 1)
        truncated = next_state.time >= self.spec.max_steps
        return next_state, advance(self._see(task, position), action, reward, truncated=truncated)


def gridnavi_goals(size: int = 5) -> Finite:
    """All cells but the 2 x 2 corner of the start: 21 goals if `size` is 5, in the order of x, then y."""
    cells = [(x, y) for x in range(size) for y in range(size) if max(x, y) > 1]
    return Finite(GridTask(jnp.array(cells, jnp.int32)))
