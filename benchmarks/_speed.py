"""What speed measurements share: timing, rows in processes of their own, and how fast this machine multiplies matrices."""

import json
import subprocess
import sys
import time
from collections.abc import Callable
from typing import Any


def per_second(call: Callable[[], Any], seconds: float) -> float:
    """How often a second something is done, once it is compiled and warm."""
    call()
    clock, calls = time.perf_counter(), 0
    while (passed := time.perf_counter() - clock) < seconds:
        call()
        calls += 1
    return calls / passed


def random_play(env: Any, tasks: Any, num_tasks: int, seconds: float) -> int:
    """Steps a second of collecting trials of one episode with random actions."""
    import equinox as eqx
    import jax

    from innerloop._collect import JaxCollector
    from innerloop.references.generic import Random

    agent, key = Random(env.spec), jax.random.key(0)
    collector = JaxCollector(env, tasks, num_tasks, 1)
    collect = eqx.filter_jit(lambda key: collector.collect(key, agent, collector.init(key, agent))[0].returns())
    return round(collector.steps_per_collect * per_second(lambda: jax.block_until_ready(collect(key)), seconds))


def apart(script: str, name: str) -> dict[str, Any]:
    """What `python SCRIPT NAME` prints as its last line, as JSON: a row that is measured in a process of its own."""
    done = subprocess.run([sys.executable, script, name], capture_output=True, text=True, check=True)
    return json.loads(done.stdout.splitlines()[-1])


def steady(learner: Any, collector: Any, per_call: int, seconds: float) -> tuple[float, float, Any]:
    """Updates a second once everything is compiled and warm, seconds of compilation, and the state at the end."""
    import jax

    from innerloop._train import Segment, init

    key = jax.random.key(0)
    clock = time.perf_counter()
    state = init(key, learner, collector)
    segment = Segment(learner, collector, key, state, per_call, None)
    compile_seconds = time.perf_counter() - clock

    def go_on() -> None:
        nonlocal state
        state, _ = segment(state, per_call)

    rate = per_second(go_on, seconds)
    return rate * per_call, compile_seconds, state


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
