"""RL² on XLand-MiniGrid at the package's own configuration for CPUs: steps a second, and seconds of compilation.

256 streams, windows of 16 steps, a GRU of 32 and heads of 16, as in `configs/debug/meta.yaml` there; nothing is evaluated.
Needs `pip install 'innerloop[xland]'`. Prints one line of JSON.
"""

import json
import sys
from typing import Any

from _speed import steady

SECONDS = 20.0
PEER = {"name": "XLand-MiniGrid 0.9.3, train_meta_task.py", "steps_per_second": 6_700, "compile_seconds": 32}
"""Measured on another machine of the same size, evaluation included."""


def measure(seconds: float) -> dict[str, Any]:
    """Timed in this process, without a compilation cache."""
    from innerloop._collect import StreamCollector
    from innerloop.benchmarks import benchmark
    from innerloop.recipes import recipe

    row = recipe("xland-r1-9x9")
    found, training = benchmark(row.benchmark), row.settings.training
    learner = row.settings.learner(found)
    collector = StreamCollector(found.env, found.train, training.num_tasks, training.stream_steps, found.num_episodes)
    updates, compile_seconds, _ = steady(learner, collector, 8, seconds)
    return {
        "benchmark": row.benchmark,
        "steps_per_update": collector.steps_per_collect,
        "steps_per_second": round(updates * collector.steps_per_collect),
        "compile_seconds": round(compile_seconds, 1),
        "peer": PEER,
    }


if __name__ == "__main__":
    print(json.dumps(measure(float(sys.argv[1]) if len(sys.argv) > 1 else SECONDS)))
