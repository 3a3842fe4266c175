"""Calls from a compiled program to the host."""

from collections.abc import Callable, Sequence
from typing import Any

import jax
import numpy as np
from jaxtyping import Array

buffer_callback: Any
try:
    from jax.experimental.buffer_callback import buffer_callback
except ImportError:  # an experimental part of JAX, which may go
    buffer_callback = None


def call_host(function: Callable[..., tuple[Any, ...]], shapes: Sequence[Any], *arguments: Array) -> tuple[Array, ...]:
    """`function` of NumPy arrays, called once for a whole batch: under `vmap` all arrays have the batch's axes in front.

    On CPUs it reads and writes the program's own memory, which costs a small part of what `jax.pure_callback` does, which is
    used elsewhere (`benchmarks/host_calls.py`). `shapes` are those of one result each. What `function` raises stops the
    program, which tells it as text.
    """
    if buffer_callback is None or jax.default_backend() != "cpu":
        return jax.pure_callback(function, tuple(shapes), *arguments, vmap_method="broadcast_all")

    def write(context: Any, places: Any, *buffers: Any) -> None:
        # Copies: the memory is the program's again afterwards.
        results = function(*(np.asarray(buffer).copy() for buffer in buffers))
        for place, result in zip(places, results, strict=True):
            np.asarray(place)[...] = result

    return tuple(buffer_callback(write, tuple(shapes), vmap_method="broadcast_all")(*arguments))
