"""What it brings to train two seeds side by side on one machine, and to give each a share of the cores of its own.

    python benchmarks/side_by_side.py [--seconds 20]

For each row: steps a second of one seed that has all cores, and of two at a time, together, once with all cores for both and
once with half of them for each, as `innerloop sweep --workers 2` and `innerloop reproduce --workers 2` have it. Each seed is
a process as a sweep starts it; rates are between rows of metrics, without compilation and the first updates.
Writes results/side-by-side.json; `value` is two with half of the cores each over one with all, the geometric mean over rows.
Needs the extra `mujoco`.
"""

import argparse
import dataclasses
import math
import tempfile
import time
from pathlib import Path
from typing import Any

from innerloop._callbacks import read_metrics
from innerloop._machine import provenance, share_of_cores
from innerloop._run import configure
from innerloop.recipes import default_settings, recipe
from innerloop.report._results import write_result
from innerloop.sweeps._executors import start
from innerloop.sweeps._piece import Job

RESULTS = Path(__file__).parent / "results"
ROWS: dict[str, Any] = {
    "rl2 gridnavi": default_settings("rl2", "gridnavi"),
    "maml nav2d": recipe("nav2d-maml").settings,
    "pearl point-robot": default_settings("pearl", "point-robot"),
    "pearl cheetah-vel": recipe("cheetah-vel-pearl").settings,
}
"""Method and benchmark, and the settings."""
ENDLESS = 10**6
"""Updates that nobody will see the end of."""
FIRST_UPDATES = 4
"""That do not count."""


def rates(name: str, shares: list[list[int]], seconds: float) -> list[float]:
    """Steps a second of as many seeds as there are shares of the cores, all at a time."""
    method, benchmark = name.split()
    training = dataclasses.replace(ROWS[name].training, num_updates=ENDLESS)
    settings = dataclasses.replace(ROWS[name], training=training)
    with tempfile.TemporaryDirectory() as scratch:
        folders = [Path(scratch) / f"seed-{seed}" for seed in range(len(shares))]
        processes = []
        for seed, cores in enumerate(shares):
            config = configure(method, benchmark, settings=settings, seed=seed, evaluate_every=0, log_every=1)
            processes.append(start(Job(config, folders[seed], ENDLESS), cores))
        try:
            while not all(_settled(folder) for folder in folders):
                if any(process.poll() is not None for process in processes):
                    raise ChildProcessError(f"{name}: a seed ended before its time.")
                time.sleep(0.5)
            time.sleep(seconds)
            return [_rate(_settled(folder), seconds) for folder in folders]
        finally:
            for process in processes:
                process.kill()
                process.wait()


def _settled(folder: Path) -> list[dict[str, Any]]:
    """Rows of metrics without the first updates, when replay has yet to fill."""
    return [row for row in read_metrics(folder / "metrics.jsonl") if row["update"] > FIRST_UPDATES]


def _rate(rows: list[dict[str, Any]], seconds: float) -> float:
    """Over the last so many seconds."""
    rows = [row for row in rows if row["seconds"] >= rows[-1]["seconds"] - seconds]
    first, last = rows[0], rows[-1]
    return (last["env_steps"] - first["env_steps"]) / (last["seconds"] - first["seconds"])


def main() -> None:
    """All rows, one after another."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=float, default=20.0, help="that each rate is measured over")
    seconds = parser.parse_args().seconds
    everything = share_of_cores(0, 1)
    rows = []
    for name in ROWS:
        alone = rates(name, [everything], seconds)[0]
        together = sum(rates(name, [everything] * 2, seconds))
        apart = sum(rates(name, [share_of_cores(0, 2), share_of_cores(1, 2)], seconds))
        found = {"one": alone, "two, all cores for both": together, "two, half of them each": apart}
        rows.append({"row": name, **{kind: round(rate) for kind, rate in found.items()}})
        print(rows[-1], flush=True)
    gains = [row["two, half of them each"] / row["one"] for row in rows]
    result = {
        "id": "side-by-side",
        "metric": "speed of two seeds at a time, each with half of the cores, over that of one seed with all; 4 kinds of run",
        "value": round(math.exp(sum(map(math.log, gains)) / len(gains)), 3),
        "better": "higher",
        "bar": None,
        "published": None,
        "rows": rows,
        **provenance(),
        "command": "python benchmarks/side_by_side.py",
    }
    print(write_result(RESULTS, result))


if __name__ == "__main__":
    main()
