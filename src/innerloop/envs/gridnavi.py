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
    """

    spec: EnvSpec
    size: int = eqx.field(static=True)
    obs: Literal["xy", "cell"] = eqx.field(static=True)

    def __init__(self, size: int = 5, max_steps: int = 15, obs: Literal["xy", "cell"] = "xy"):
        if size < 3:
            raise ValueError(f"GridNavi(size={size}): there is no goal outside the start corner below size 3.")
        if obs not in ("xy", "cell"):
            raise ValueError(f"GridNavi(obs={obs!r}): choose 'xy' or 'cell'.")
        space = Box((2,), 0.0, 1.0) if obs == "xy" else Discrete(size * size)
        self.spec = EnvSpec(space, Discrete(len(MOVES)), max_steps)
        self.size = size
        self.obs = obs

    def observe(self, position: Int[Array, "2"]) -> Array:
        """What the agent sees at `position`."""
        if self.obs == "cell":
            return position[0] + self.size * position[1]
        return position.astype(jnp.float32) / (self.size - 1)

    def locate(self, obs: Array) -> Int[Array, "2"]:
        """The position that looks like `obs`."""
        if self.obs == "cell":
            return jnp.stack([obs % self.size, obs // self.size])
        return jnp.round(obs * (self.size - 1)).astype(jnp.int32)

    def reset(self, key: Key, task: GridTask) -> tuple[GridState, TimeStep]:
        position = jnp.zeros((2,), jnp.int32)
        return GridState(position, jnp.zeros((), jnp.int32)), restart(self.spec, self.observe(position))

    def step(self, key: Key, task: GridTask, state: GridState, action: Array) -> tuple[GridState, TimeStep]:
        position = jnp.clip(state.position + jnp.array(MOVES)[action], 0, self.size - 1)
        reward = jnp.where(jnp.all(position == task.goal), 1.0, -0.1)
        next_state = GridState(position, state.time + 1)
        truncated = next_state.time >= self.spec.max_steps
        return next_state, advance(self.observe(position), action, reward, truncated=truncated)


def gridnavi_goals(size: int = 5) -> Finite:
    """All cells but the 2 x 2 corner of the start: 21 goals if `size` is 5, in the order of x, then y."""
    cells = [(x, y) for x in range(size) for y in range(size) if max(x, y) > 1]
    return Finite(GridTask(jnp.array(cells, jnp.int32)))
