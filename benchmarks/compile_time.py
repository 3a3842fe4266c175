"""How long every recipe takes from its settings to a program that is ready to train.

    python benchmarks/compile_time.py            # all, each in a process of its own; writes results/compile-time.json
    python benchmarks/compile_time.py mdp-n10    # one, printed as JSON

Nothing is kept in a cache. Settings, benchmark and the first state are built, and a segment of training is traced and
compiled, on a quiet machine. Recipes whose simulators are not installed are left out, and named. `value` is the longest.
"""

import json
import sys
import time
from pathlib import Path
from typing import Any

from _speed import apart

RESULTS = Path(__file__).parent / "results"


def measure(name: str) -> dict[str, Any]:
    """Seconds for one recipe: building and the first state, tracing, compiling."""
    import jax

    from innerloop._run import configure, training_of
    from innerloop._train import Segment, init
    from innerloop.recipes import recipe

    row = recipe(name)
    clock = time.perf_counter()
    config = configure(row.method, row.benchmark, settings=row.settings)
    learner, collector = training_of(config, config.settings)
    key = jax.random.key(0)
    state = jax.block_until_ready(init(key, learner, collector))
    built = time.perf_counter() - clock
    segment = Segment(learner, collector, key, state, config.log_every, None)
    seconds = {"build": built, "trace": segment.trace_seconds, "compile": segment.compile_seconds}
    return {"name": name, "all": round(sum(seconds.values()), 2)} | {part: round(x, 2) for part, x in seconds.items()}


def main() -> None:
    """All recipes, or the one that is named."""
    if len(sys.argv) > 1:
        print(json.dumps(measure(sys.argv[1])))
        return
    from innerloop._benchmark import OptionalRow
    from innerloop._extras import installed
    from innerloop._machine import provenance
    from innerloop.benchmarks import REGISTRY
    from innerloop.recipes import RECIPES
    from innerloop.report._results import write_result

    needs = {name: REGISTRY[recipe.benchmark] for name, recipe in RECIPES.items()}
    left_out = [name for name, row in needs.items() if isinstance(row, OptionalRow) and not installed(row.extra)]
    rows = []
    for name in RECIPES:
        if name in left_out:
            continue
        rows.append(apart(__file__, name))
        print(rows[-1], flush=True)
    result = {
        "id": "compile-time",
        "metric": f"seconds from settings to a program that trains, the longest of {len(rows)} recipes",
        "value": max(row["all"] for row in rows),
        "better": "lower",
        "bar": 30.0,
        "published": None,
        "source": "the bar is ours",
        "rows": sorted(rows, key=lambda row: -row["all"]),
        "left_out": left_out,
        **provenance(),
        "command": "python benchmarks/compile_time.py",
    }
    write_result(RESULTS, result)


if __name__ == "__main__":
    main()
