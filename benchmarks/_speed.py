"""What speed measurements share: how long a training segment takes, and how fast this machine multiplies matrices."""

import time
from typing import Any


def steady(learner: Any, collector: Any, per_call: int, seconds: float) -> tuple[float, float, Any]:
    """Updates a second once everything is compiled and warm, seconds of compilation, and the state at the end."""
    import jax

    from innerloop._train import Segment, init

    key = jax.random.key(0)
    clock = time.perf_counter()
    state = init(key, learner, collector)
    segment = Segment(learner, collector, key, state, per_call, None)
    compile_seconds = time.perf_counter() - clock
    state, _ = segment(state, per_call)
    clock, calls = time.perf_counter(), 0
    while (passed := time.perf_counter() - clock) < seconds:
        state, _ = segment(state, per_call)
        calls += 1
    return calls * per_call / passed, compile_seconds, state


def matrix_rate(size: int = 2048) -> float:
    """Floating-point operations a second of a square float32 matrix product, the best of five."""
    import jax
    import jax.numpy as jnp

    a = jax.random.normal(jax.random.key(0), (size, size))
    product = jax.jit(jnp.matmul)
    product(a, a).block_until_ready()
    best = float("inf")
    for _ in range(5):
        clock = time.perf_counter()
        product(a, a).block_until_ready()
        best = min(best, time.perf_counter() - clock)
    return 2 * size**3 / best
