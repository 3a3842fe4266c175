"""Cores by name."""

from dataclasses import dataclass
from typing import Literal, get_args

import jax

from innerloop._types import Key
from innerloop.nn._attention import AttentionBlock, snail_blocks
from innerloop.nn._cells import GRU, LSTM, RNN, Hebbian
from innerloop.nn._core import Block, Cell, Core, Stack
from innerloop.nn._external import NTM, Episodic
from innerloop.nn._layers import Linear
from innerloop.nn._state_space import DiagonalBlock, SelectiveBlock
from innerloop.nn._store import Search

CoreName = Literal["gru", "lstm", "rnn", "hebbian", "ssm", "mamba", "transformer", "snail", "episodic", "ntm"]
CELLS: dict[str, type[GRU] | type[LSTM] | type[RNN] | type[Hebbian]] = {
    "gru": GRU,
    "lstm": LSTM,
    "rnn": RNN,
    "hebbian": Hebbian,
}


@dataclass(frozen=True)
class CoreOptions:
    """What a memory core has beside its width."""

    num_layers: int | None = None
    """Cells or blocks on top of each other; none: one cell, or two blocks."""
    num_heads: int = 4
    """Heads of attention (`transformer`)."""
    context: int = 64
    """Steps that `transformer` and `snail` look back; what is older is forgotten."""
    state_size: int = 16
    """States of each channel of `mamba`."""
    parallel_scan: bool = True
    """Compute sequences of `ssm` and `mamba` by a parallel scan, not by a loop."""
    memory_slots: int = 32
    """Slots of the external memory of `episodic` and `ntm`."""
    num_neighbors: int = 4
    """Slots that `episodic` reads: those with the nearest keys."""
    key_size: int = 32
    """Length of a key of `episodic`, and of a slot of `ntm`."""
    search: Search = "exact"
    """How `episodic` finds the nearest keys; `approximate` is for TPUs and many slots."""


def make_core(name: CoreName, key: Key, num_in: int, size: int, options: CoreOptions | None = None) -> Core:
    """A core by name."""
    options = options or CoreOptions()
    if name not in get_args(CoreName):
        raise ValueError(f"core={name!r}: choose one of {', '.join(get_args(CoreName))}.")
    if size < 1:
        raise ValueError(f"hidden_size={size}: must be at least 1.")
    is_cell = name in (*CELLS, "episodic", "ntm")
    num_layers = options.num_layers if options.num_layers is not None else 1 if is_cell else 2
    if num_layers < 1:
        raise ValueError(f"num_layers={num_layers}: must be at least 1.")
    if is_cell:

        def cell(key: Key, num_in: int, size: int) -> Cell:
            if name == "episodic":
                kept = options.memory_slots, options.num_neighbors, options.key_size, options.search
                return Episodic(key, num_in, size, *kept)
            if name == "ntm":
                return NTM(key, num_in, size, options.memory_slots, options.key_size)
            return CELLS[name](key, num_in, size)

        if num_layers == 1:
            return cell(key, num_in, size)
        sizes = (num_in, *(size,) * (num_layers - 1))
        keys = jax.random.split(key, num_layers)
        return Stack(tuple(cell(key, width, size) for key, width in zip(keys, sizes, strict=True)), size)
    enter_key, blocks_key, leave_key = jax.random.split(key, 3)
    enter = Linear(enter_key, num_in, size)
    if name == "snail":
        blocks, num_out = snail_blocks(blocks_key, size, options.context, num_layers)
        return Stack(blocks, size, enter, Linear(leave_key, num_out, size))

    def block(key: Key) -> Block:
        if name == "transformer":
            return AttentionBlock(key, size, options.num_heads, options.context)
        if name == "ssm":
            return DiagonalBlock(key, size, size, options.parallel_scan)
        return SelectiveBlock(key, size, options.state_size, options.parallel_scan)

    return Stack(tuple(block(key) for key in jax.random.split(blocks_key, num_layers)), size, enter)
