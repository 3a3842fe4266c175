"""What a call from a compiled program to the host costs, by each of JAX's two ways; writes results/host-calls.json.

    python benchmarks/host_calls.py

A loop of 500 steps calls a function that does next to nothing, for a batch of 16 and arrays of the sizes of half-cheetahs, on
a quiet machine. `value` is how many times as much `jax.pure_callback` costs as what `call_host` uses on CPUs.
"""

from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from _speed import per_second
from innerloop._machine import provenance
from innerloop.bridges import _calls
from innerloop.report._results import write_result

SECONDS = 5.0
NUM_STEPS, BATCH = 500, 16
SHAPES = (
    jax.ShapeDtypeStruct((38,), jnp.uint32),
    jax.ShapeDtypeStruct((20,), jnp.float32),
    jax.ShapeDtypeStruct((), bool),
)


def nothing(state: Any, action: Any) -> tuple[Any, ...]:
    """As many numbers as a step of physics gives."""
    return state, np.zeros((BATCH, 20), np.float32), np.zeros(BATCH, bool)


def microseconds() -> float:
    """Of a step of the loop."""

    def loop(state: Any) -> Any:
        def step(carry: Any, _: Any) -> Any:
            state, seen = carry
            state, seen, flag = _calls.call_host(nothing, SHAPES, state, seen[:6])
            return (state, seen), flag

        return jax.lax.scan(step, (state, jnp.zeros(20)), None, NUM_STEPS)

    compiled, start = jax.jit(jax.vmap(loop)), jnp.zeros((BATCH, 38), jnp.uint32)
    return 1e6 / NUM_STEPS / per_second(lambda: jax.block_until_ready(compiled(start)), SECONDS)


def main() -> None:
    """Both ways."""
    fast = microseconds()
    _calls.buffer_callback = None
    slow = microseconds()
    result = {
        "id": "host-calls",
        "metric": "cost of `jax.pure_callback` over that of a call to the host as bridges make it",
        "value": round(slow / fast, 2),
        "better": "higher",
        "bar": None,
        "published": None,
        "source": None,
        "details": {"microseconds": round(fast, 2), "microseconds of pure_callback": round(slow, 2)},
        **provenance(),
        "command": "python benchmarks/host_calls.py",
    }
    print(result["details"])
    write_result(Path(__file__).parent / "results", result)


if __name__ == "__main__":
    main()
