"""The contract of a memory core, and how cores that look back find what they look back at."""

import abc
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from innerloop._rollout import where
from innerloop.nn._layers import Linear

NEVER = -(2**30)
"""A rank before all others."""


class Block(eqx.Module):
    """A part of a core: from features, to as many or to others, remembering what it was given before."""

    @abc.abstractmethod
    def initial(self) -> Any:
        """The state at the start of a trial."""

    @abc.abstractmethod
    def sequence(
        self, state: Any, xs: Float[Array, "time num_in"], first: Bool[Array, " time"], valid: Bool[Array, " time"]
    ) -> tuple[Any, Float[Array, "time num_out"]]:
        """The state after a sequence, and the output of every step.

        `first` puts the initial state in the place of the one before a step. A step that is not `valid` has an output,
        but leaves the state as it is.
        """


class Core(Block):
    """A memory: `initial()` state, `step(state, x) -> (state, output)` on one vector, and `sequence` on many at once.

    Outputs have `size` features.
    """

    size: eqx.AbstractVar[int]

    def step(self, state: Any, x: Float[Array, " num_in"]) -> tuple[Any, Float[Array, " size"]]:
        """One step."""
        state, outputs = self.sequence(state, x[None], jnp.zeros((1,), bool), jnp.ones((1,), bool))
        return state, outputs[0]


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


class Stack(Core):
    """Blocks on top of each other: each is fed with the output of the one below.

    `enter` maps the input to what the first one is fed, `leave` what the last one gives to `size` features.
    """

    enter: Linear | None
    blocks: tuple[Block, ...]
    leave: Linear | None
    size: int = eqx.field(static=True)

    def __init__(self, blocks: tuple[Block, ...], size: int, enter: Linear | None = None, leave: Linear | None = None):
        self.enter = enter
        self.blocks = blocks
        self.leave = leave
        self.size = size

    def initial(self) -> tuple[Any, ...]:
        return tuple(block.initial() for block in self.blocks)

    def sequence(
        self, state: Any, xs: Float[Array, "time num_in"], first: Bool[Array, " time"], valid: Bool[Array, " time"]
    ) -> tuple[Any, Float[Array, "time size"]]:
        states = []
        if self.enter is not None:
            xs = jax.vmap(self.enter)(xs)
        for block, one in zip(self.blocks, state, strict=True):
            after, xs = block.sequence(one, xs, first, valid)
            states.append(after)
        return tuple(states), xs if self.leave is None else jax.vmap(self.leave)(xs)


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


class Kept(NamedTuple):
    """The newest rows that a block looks back at, the newest last, and how many of them count."""

    rows: Float[Array, "slots width"]
    num_rows: Int[Array, ""]

    @classmethod
    def nothing(cls, slots: int, width: int) -> "Kept":
        """Room for some rows."""
        return cls(jnp.zeros((slots, width)), jnp.zeros((), jnp.int32))

    def extended(
        self, new: Float[Array, "time width"], first: Bool[Array, " time"], valid: Bool[Array, " time"]
    ) -> "Window":
        """These rows, and those of a sequence behind them."""
        past = Past.of(self.num_rows, first, valid)
        return Window(past, jnp.concatenate([self.rows, new[past.order]]))


class Window(NamedTuple):
    """The rows that the steps of a sequence look back at: `slots` that were kept, then one for each valid step."""

    past: Past
    table: Float[Array, "rows width"]

    @property
    def slots(self) -> int:
        """How many rows before it a step can see."""
        return self.table.shape[0] - self.past.rank.shape[0]

    @property
    def rank(self) -> Int[Array, " rows"]:
        """The number of each row, as in `Past`."""
        return jnp.arange(-self.slots, self.past.rank.shape[0], dtype=jnp.int32)

    def lagged(self, lag: int) -> Float[Array, "time width"]:
        """The row of the `lag`-th last step before each step; zeros where there is none."""
        rank = self.past.rank - lag
        rows = self.table[jnp.maximum(self.slots + rank, 0)]
        return jnp.where((rank >= self.past.floor)[:, None], rows, 0.0)

    def seen(self) -> Bool[Array, "time rows"]:
        """Whether a step sees a row: it is one of the last `slots` before it, in its trial."""
        rows, rank = self.rank[None], self.past.rank[:, None]
        return (rows < rank) & (rows >= rank - self.slots) & (rows >= self.past.floor[:, None])

    def kept(self) -> Kept:
        """What the step that follows the sequence looks back at."""
        past = self.past
        rows = jax.lax.dynamic_slice_in_dim(self.table, past.end_rank, self.slots)
        return Kept(rows, jnp.minimum(past.end_rank - past.end_floor, self.slots))
