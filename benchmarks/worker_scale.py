"""Gymnasium environments over one process and over two: how much faster two are.

    python benchmarks/worker_scale.py          # all rows, each in a process of its own; writes results/worker-scale.json
    python benchmarks/worker_scale.py Ant-v5-2  # one row, printed as JSON

Needs the extra `mujoco`, and a quiet machine of two cores. Trials of 64 copies are collected with random actions; a row's
last part is the number of workers, 0 for the program's own process. `value` is the least speed of two over that of one.
"""

import json
import sys
from pathlib import Path
from typing import Any

from _speed import apart, random_play

RESULTS = Path(__file__).parent / "results"
ENVS = ("HalfCheetah-v5", "Ant-v5")
NUM_WORKERS = (0, 1, 2)
NUM_COPIES, MAX_STEPS = 64, 100
SECONDS = 10.0


def measure(name: str) -> dict[str, Any]:
    """One row."""
    import jax

    import innerloop as il

    make, _, num_workers = name.rpartition("-")
    env = il.bridges.from_gymnasium(make, MAX_STEPS, tell=None, num_workers=int(num_workers))
    rate = random_play(env, il.Finite({"number": jax.numpy.zeros(1)}), NUM_COPIES, SECONDS)
    env.host.pool.close()
    return {"name": name, "steps_per_second": rate}


def main() -> None:
    """All rows, or the one that is named."""
    if len(sys.argv) > 1:
        print(json.dumps(measure(sys.argv[1])))
        return
    from innerloop._machine import provenance
    from innerloop.report._results import write_result

    measured = {}
    for name in (f"{env}-{num_workers}" for env in ENVS for num_workers in NUM_WORKERS):
        measured[name] = apart(__file__, name)["steps_per_second"]
        print(f"{name}: {measured[name]:,}", flush=True)
    ratios = {env: round(measured[f"{env}-2"] / measured[f"{env}-1"], 3) for env in ENVS}
    result = {
        "id": "worker-scale",
        "metric": "speed of two worker processes over that of one, the least of two environments",
        "value": min(ratios.values()),
        "better": "higher",
        "bar": 1.6,
        "published": None,
        "source": "the bar is ours; Gymnasium's half-cheetah and ant, 64 copies",
        "ratios": ratios,
        "steps_per_second": measured,
        **provenance(),
        "command": "python benchmarks/worker_scale.py",
    }
    write_result(RESULTS, result)


if __name__ == "__main__":
    main()
