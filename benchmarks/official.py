"""Meta-World's own evaluation of agents that were trained here, and how fast its ML10 is played.

    python benchmarks/official.py [--runs RUNS]

Reads the seeds that `innerloop reproduce ml1-reach-pearl` has trained and writes results/ml1-reach.json: success on 40
held-out goals, ten episodes to adapt and three that count, as `bridges.official_evaluation` has it. Steps a second of ML10's
training tasks are those of 20 trials of one episode with random actions, over as many processes as there are cores. Needs
the extra `metaworld`.
"""

import argparse
import time
from pathlib import Path
from typing import Any

import numpy as np

import innerloop as il
from _seeds import finished_seeds
from _speed import random_play
from innerloop._machine import provenance, usable_cores
from innerloop.report._results import write_result

RESULTS = Path(__file__).parent / "results"
ID, SKILL = "ml1-reach-pearl", "ML1 reach-v3"
BAR = 0.9
SECONDS = 20.0


def judged(folder: Path) -> dict[str, Any]:
    """What the official evaluation says of one seed."""
    clock = time.perf_counter()
    verdict = il.bridges.official_evaluation(il.load(folder).agent, SKILL)
    seconds = round(time.perf_counter() - clock)
    print(f"{folder.name}: success {verdict.success:.3f} after {seconds} s", flush=True)
    return {"seed": folder.name, "success": verdict.success, "mean return": verdict.mean_return, "seconds": seconds}


def main() -> None:
    """All seeds that are trained."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--runs", type=Path, default=Path("runs"), help="where run directories are")
    runs = parser.parse_args().runs
    rows = [judged(folder) for folder in finished_seeds(runs, ID)]
    ml10 = il.bridges.metaworld("ML10")
    rate = random_play(ml10.env, ml10.train, 20, SECONDS)
    result = {
        "id": "ml1-reach",
        "metric": "success on 40 held-out goals by the official evaluation, mean over seeds",
        "value": round(float(np.mean([row["success"] for row in rows])), 4),
        "better": "higher",
        "bar": BAR,
        "published": None,
        "source": "Meta-World 3.1.1, metaworld.evaluation; the bar is ours",
        "num_seeds": len(rows),
        "num_test_tasks": 40,
        "rows": rows,
        "details": {"steps a second of ML10": rate, "processes": usable_cores()},
        **provenance(),
        "command": "python benchmarks/official.py",
    }
    write_result(RESULTS, result)


if __name__ == "__main__":
    main()
