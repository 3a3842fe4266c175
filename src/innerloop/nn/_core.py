"""The contract of a memory core, and how cores that look back find what they look back at."""

import abc
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from innerloop._rollout import where
from innerloop._types import Key
from innerloop.nn._layers import Linear

NEVER = -(2**30)
"""A rank before all others."""


class Core(eqx.Module):
    """A memory: `initial()` state, `step(state, x) -> (state, output)` on one vector, and `sequence` on many at once."""

    size: eqx.AbstractVar[int]

    @abc.abstractmethod
    def initial(self) -> Any:
        """The state at the start of a trial."""

    def step(self, state: Any, x: Float[Array, " num_in"]) -> tuple[Any, Float[Array, " size"]]:
        """One step."""
        state, outputs = self.sequence(state, x[None], jnp.zeros((1,), bool), jnp.ones((1,), bool))
        return state, outputs[0]

    @abc.abstractmethod
    def sequence(
        self, state: Any, xs: Float[Array, "time num_in"], first: Bool[Array, " time"], valid: Bool[Array, " time"]
    ) -> tuple[Any, Float[Array, "time size"]]:
        """The state after a sequence, and the output of every step.

        `first` puts the initial state in the place of the one before a step. A step that is not `valid` has an output,
        but leaves the state as it is.
        """


class Cell(Core):
    """A core that is defined by one step, of which a part, `project`, does not depend on the state."""

    def project(self, x: Float[Array, " num_in"]) -> Float[Array, " projected"]:
        """What can be computed for all steps of a sequence at once."""
        return x

    @abc.abstractmethod
    def advance(self, state: Any, projected: Float[Array, " projected"]) -> tuple[Any, Float[Array, " size"]]:
        """The rest of a step."""

    def step(self, state: Any, x: Float[Array, " num_in"]) -> tuple[Any, Float[Array, " size"]]:
        return self.advance(state, self.project(x))

    def sequence(
        self, state: Any, xs: Float[Array, "time num_in"], first: Bool[Array, " time"], valid: Bool[Array, " time"]
    ) -> tuple[Any, Float[Array, "time size"]]:
        start = self.initial()

        @jax.checkpoint
        def step(state: Any, inputs: tuple[Array, Array, Array]) -> tuple[Any, Array]:
            projected, is_first, is_valid = inputs
            state = where(is_first, start, state)
            after, output = self.advance(state, projected)
            return where(is_valid, after, state), output

        return jax.lax.scan(step, state, (jax.vmap(self.project)(xs), first, valid))


class Block(eqx.Module):
    """A part of a core, from features to as many or more."""

    @abc.abstractmethod
    def initial(self) -> Any:
        """The state at the start of a trial."""

    @abc.abstractmethod
    def sequence(
        self, state: Any, xs: Float[Array, "time size"], first: Bool[Array, " time"], valid: Bool[Array, " time"]
    ) -> tuple[Any, Float[Array, "time size_out"]]:
        """The state after a sequence, and the output of every step, as of a core."""


class Blocks(Core):
    """A linear map into the first of several blocks, and one of what the last one gives, if it is not of `size`."""

    enter: Linear
    blocks: tuple[Block | Core, ...]
    leave: Linear | None
    size: int = eqx.field(static=True)

    def __init__(self, key: Key, num_in: int, blocks: tuple[Block | Core, ...], size: int, num_out: int | None = None):
        enter_key, leave_key = jax.random.split(key)
        self.enter = Linear(enter_key, num_in, size)
        self.blocks = blocks
        self.leave = None if num_out is None else Linear(leave_key, num_out, size)
        self.size = size

    def initial(self) -> tuple[Any, ...]:
        return tuple(block.initial() for block in self.blocks)

    def sequence(
        self, state: Any, xs: Float[Array, "time num_in"], first: Bool[Array, " time"], valid: Bool[Array, " time"]
    ) -> tuple[Any, Float[Array, "time size"]]:
        xs, states = jax.vmap(self.enter)(xs), []
        for block, one in zip(self.blocks, state, strict=True):
            after, xs = block.sequence(one, xs, first, valid)
            states.append(after)
        return tuple(states), xs if self.leave is None else jax.vmap(self.leave)(xs)


class Stack(Core):
    """Cores on top of each other: each is fed with the output of the one below."""

    cores: tuple[Core, ...]
    size: int = eqx.field(static=True)

    def __init__(self, cores: tuple[Core, ...]):
        self.cores = cores
        self.size = cores[-1].size

    def initial(self) -> tuple[Any, ...]:
        return tuple(core.initial() for core in self.cores)

    def sequence(
        self, state: Any, xs: Float[Array, "time num_in"], first: Bool[Array, " time"], valid: Bool[Array, " time"]
    ) -> tuple[Any, Float[Array, "time size"]]:
        states = []
        for core, one in zip(self.cores, state, strict=True):
            after, xs = core.sequence(one, xs, first, valid)
            states.append(after)
        return tuple(states), xs


class Past(NamedTuple):
    """Which valid steps of its trial each step of a sequence looks back at, behind `num_kept` that were kept before it.

    Valid steps are numbered: 0 is the first one of the sequence, -1 the last one that was kept.
    """

    rank: Int[Array, " time"]
    """The number of the next valid step: those before it are past."""
    floor: Int[Array, " time"]
    """The number of the first step that counts: where the trial began, or the oldest one kept."""
    order: Int[Array, " time"]
    """The indices of the valid steps, in order, and then of the others."""
    end_rank: Int[Array, ""]
    """The number of valid steps."""
    end_floor: Int[Array, ""]
    """The floor of the step that follows the sequence."""

    @classmethod
    def of(cls, num_kept: Int[Array, ""], first: Bool[Array, " time"], valid: Bool[Array, " time"]) -> "Past":
        """The past of each step."""
        count = jnp.cumsum(valid.astype(jnp.int32))
        rank = count - valid.astype(jnp.int32)
        began = jax.lax.cummax(jnp.where(first, rank, NEVER))
        floor = jnp.where(began == NEVER, -num_kept, began)
        order = jnp.argsort(~valid, stable=True).astype(jnp.int32)
        return cls(rank, floor, order, count[-1], floor[-1])

    def previous(self, kept: Any, new: Any, nothing: Any) -> Any:
        """What the step before each step left, in its trial: `new[time]`, or `kept` if that was before the sequence (one is
        kept), or `nothing`. All are pytrees of one structure."""
        return self._rows(kept, new, nothing, self.rank - 1, self.floor)

    def last(self, kept: Any, new: Any, nothing: Any) -> Any:
        """The same for the step that follows the sequence."""
        rows = self._rows(kept, new, nothing, self.end_rank[None] - 1, self.end_floor[None])
        return jax.tree.map(lambda x: x[0], rows)

    def _rows(self, kept: Any, new: Any, nothing: Any, rank: Array, floor: Array) -> Any:
        index = self.order[jnp.maximum(rank, 0)]

        def one(i: Array, has: Array, is_kept: Array) -> Any:
            there = where(is_kept, kept, jax.tree.map(lambda x: x[i], new))
            return where(has, there, nothing)

        return jax.vmap(one)(index, rank >= floor, rank < 0)

    def table(self, kept: Float[Array, "slots width"], new: Float[Array, "time width"]) -> Float[Array, "rows width"]:
        """What was kept (the newest last), then what the valid steps add: the row of step i is `slots` + i."""
        return jnp.concatenate([kept, new[self.order]])

    def lagged(self, table: Float[Array, "rows width"], lag: int) -> Float[Array, "time width"]:
        """The row of the `lag`-th last step before each step; zeros where there is none."""
        slots = table.shape[0] - self.rank.shape[0]
        rank = self.rank - lag
        rows = table[jnp.maximum(slots + rank, 0)]
        return jnp.where((rank >= self.floor)[:, None], rows, 0.0)

    def sees(self, slots: int, window: int) -> Bool[Array, "time rows"]:
        """Whether a step sees a row: it is one of the last `window` before it, in its trial."""
        rows = jnp.arange(-slots, self.rank.shape[0], dtype=jnp.int32)[None]
        rank = self.rank[:, None]
        return (rows < rank) & (rows >= rank - window) & (rows >= self.floor[:, None])

    def keep(self, table: Float[Array, "rows width"]) -> Float[Array, "slots width"]:
        """The last rows of a table, to be kept."""
        slots = table.shape[0] - self.rank.shape[0]
        return jax.lax.dynamic_slice_in_dim(table, self.end_rank, slots)

    def num_kept(self, slots: int) -> Int[Array, ""]:
        """How many of the rows kept count."""
        return jnp.minimum(self.end_rank - self.end_floor, slots)
