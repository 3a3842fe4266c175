"""The contract of a memory core, and how cores that look back find what they look back at."""

import abc
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from innerloop._rollout import Ring, where
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
    """Which valid steps of its trial each step of a sequence looks back at, behind `num_kept` of it before the sequence.

    Valid steps are numbered: 0 is the first one of the sequence, -1 the last one before it.
    """

    rank: Int[Array, " time"]
    """The number of the next valid step: those before it are past."""
    floor: Int[Array, " time"]
    """The number of the first step of the trial."""
    order: Int[Array, " time"]
    """The indices of the valid steps, in order; what follows them means nothing."""
    valid: Bool[Array, " time"]
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
        time = jnp.arange(rank.shape[0], dtype=jnp.int32)
        order = jnp.zeros_like(rank).at[jnp.where(valid, rank, rank.shape[0])].set(time, mode="drop")
        return cls(rank, floor, order, valid, count[-1], floor[-1])

    @property
    def age(self) -> Int[Array, " time"]:
        """How many valid steps of its trial are before each step."""
        return self.rank - self.floor

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


class Window(NamedTuple):
    """The rows that the steps of a sequence look at, and the ring that is kept of them."""

    past: Past
    table: Float[Array, "rows width"]
    """Those of the ring before the sequence, then one for each step. Of a single step: those of the ring after it."""
    before: Int[Array, ""]
    """How many rows of its first trial the ring had been given before."""
    ring: Ring

    @classmethod
    def of(cls, past: Past, ring: Ring, new: Float[Array, "time width"]) -> "Window":
        """Behind the rows of a ring, of which `past` has counted all, those of a sequence."""
        slots, is_step = ring.rows.shape[0], new.shape[0] == 1
        stays = past.valid & (past.floor == past.end_floor) & (past.rank >= past.end_rank - slots)
        # In an array that is written in place: a step that is not valid may leave a row, but is not counted.
        to = past.age % slots if is_step else jnp.where(stays, past.age % slots, slots)
        after = Ring(ring.rows.at[to].set(new, mode="drop"), past.end_rank - past.end_floor)
        table = after.rows if is_step else jnp.concatenate([ring.rows, new])
        return cls(past, table, ring.num_rows, after)

    def lagged(self, lag: int) -> Float[Array, "time width"]:
        """The row of the `lag`-th last step before each step; zeros where there is none."""
        slots, rank = self.ring.rows.shape[0], self.past.rank - lag
        own = slots + self.past.order[jnp.maximum(rank, 0)]
        rows = self.table[jnp.where(rank < 0, (self.before + rank) % slots, own)]
        return jnp.where((rank >= self.past.floor)[:, None], rows, 0.0)

    def seen(self) -> Bool[Array, "time rows"]:
        """Whether a step sees a row: it is its own, or one of as many before it, in its trial, as make a ring with it."""
        slots, past = self.ring.rows.shape[0], self.past
        slot = jnp.arange(slots, dtype=jnp.int32)
        if past.rank.shape[0] == 1:
            return ((past.age[0] - slot) % slots <= past.age[0])[None]
        kept = -1 - (self.before - 1 - slot) % slots
        number = jnp.concatenate([kept, jnp.where(past.valid, past.rank, NEVER)])[None]
        rank, floor = past.rank[:, None], past.floor[:, None]
        own = jnp.eye(past.rank.shape[0], slots + past.rank.shape[0], slots, dtype=bool)
        return own | (number < rank) & (number >= floor) & (number > rank - slots)
