"""Meta-World's own evaluation of agents that were trained here, and how fast its ML10 is played.

    python benchmarks/official.py [--runs RUNS]   # all rows, as many at a time as there are cores
    python benchmarks/official.py RUNS/ID/seed-0  # one row, printed as JSON

Reads the seeds that `innerloop reproduce ml1-reach-pearl` has trained and writes results/ml1-reach.json: success on 40
held-out goals, ten episodes to adapt and three that count, as `bridges.official_evaluation` has it. `value` counts three
episodes of every goal; `first`, which Meta-World's code would print, those that end first. Random actions are judged in the
same way. Steps a second of ML10's training tasks are those of 20 trials of one episode with random actions, over as many
processes as there are cores. Needs the extra `metaworld`.
"""

import argparse
import json
import time
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

import innerloop as il
from _seeds import finished_seeds
from _speed import apart, random_play
from innerloop._machine import provenance, usable_cores
from innerloop.bridges._metaworld import meta_spec
from innerloop.report._results import write_result

RESULTS = Path(__file__).parent / "results"
ID, SKILL = "ml1-reach-pearl", "ML1 reach-v3"
BAR = 0.9
RANDOM = "random"
SECONDS = 20.0


def judged(name: str) -> dict[str, Any]:
    """What the official evaluation says of one seed, or of random actions."""
    clock = time.perf_counter()
    agent = il.references.generic.Random(meta_spec()) if name == RANDOM else il.load(name).agent
    verdict = il.bridges.official_evaluation(agent, SKILL)
    about = {"success": verdict.success, "first": verdict.first, "mean return": verdict.mean_return}
    return {"row": Path(name).name, **about, "seconds": round(time.perf_counter() - clock)}


def main() -> None:
    """All seeds that are trained, or the one that is named."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("name", nargs="?", help="the folder of a seed, or 'random'")
    parser.add_argument("--runs", type=Path, default=Path("runs"), help="where run directories are")
    options = parser.parse_args()
    if options.name:
        print(json.dumps(judged(options.name)))
        return
    folders = [str(folder) for folder in finished_seeds(options.runs, ID)]
    with ThreadPoolExecutor(usable_cores()) as pool:
        *rows, random = pool.map(partial(apart, __file__), [*folders, RANDOM])
    print(*rows, random, sep="\n", flush=True)
    ml10 = il.bridges.metaworld("ML10")
    rate = random_play(ml10.env, ml10.train, 20, SECONDS)
    result = {
        "id": "ml1-reach",
        "metric": "success on 40 held-out goals, three episodes of each, by the official evaluation; mean over seeds",
        "value": round(float(np.mean([row["success"] for row in rows])), 4),
        "better": "higher",
        "bar": BAR,
        "published": None,
        "source": "Meta-World 3.1.1, metaworld.evaluation; the bar is ours",
        "num_seeds": len(rows),
        "num_test_tasks": 40,
        "rows": [*rows, random],
        "details": {"steps a second of ML10": rate, "processes": usable_cores()},
        **provenance(),
        "command": "python benchmarks/official.py",
    }
    write_result(RESULTS, result)


if __name__ == "__main__":
    main()
