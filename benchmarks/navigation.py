"""2-D navigation: how much of the gap adaptation closes, and how MAML, Meta-SGD and ANIL compare.

    python benchmarks/navigation.py [--runs RUNS]

Reads the seeds that `innerloop reproduce ID` has trained, for the IDs nav2d-maml, nav2d-metasgd and nav2d-anil, all
measured on the same held-out tasks, and writes results/nav2d-gap.json. The gap is that from the return without
adaptation to the oracle's; `value` is the share of it that MAML has closed after 3 adaptations. Intervals are
bootstraps over seeds and tasks; in differences between methods, tasks are drawn alike for both.
"""

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from innerloop._evaluate import AdaptationCurve, stack_seeds
from innerloop._machine import provenance
from innerloop.report._results import write_result

RESULTS = Path(__file__).parent / "results"
METHODS = ("nav2d-maml", "nav2d-metasgd", "nav2d-anil")
NUM_RESAMPLES = 2000
ASKED = 0.95

Means = dict[str, np.ndarray]
"""Of each method, mean returns after 0 to 3 adaptations."""


def load(runs: Path, id: str) -> tuple[np.ndarray, list[str]]:
    """Returns `[seed task adaptations]` of a recipe's seeds, and their names."""
    folders = sorted((runs / id).glob("seed-*"))
    folders = [folder for folder in folders if (folder / "evaluation.npz").exists()]
    if not folders:
        raise SystemExit(f"navigation: train the seeds first: innerloop reproduce {id}")
    curve = stack_seeds([AdaptationCurve.load(folder, "evaluation") for folder in folders])
    return np.stack([np.float64(curve.metrics[f"adapt_{k}"]) for k in range(4)], axis=-1), [
        folder.name for folder in folders
    ]


def resampled(returns: dict[str, np.ndarray], oracle: np.ndarray, statistic: Callable[[Means, float], float]) -> Any:
    """The statistic of the means, and its 95 % interval: seeds of each method are drawn apart, tasks together."""
    rng = np.random.default_rng(0)
    estimates = []
    for _ in range(NUM_RESAMPLES):
        tasks = rng.integers(oracle.size, size=oracle.size)
        means = {}
        for id, x in returns.items():
            seeds = rng.integers(x.shape[0], size=x.shape[0])
            means[id] = x[seeds].mean(axis=0)[tasks].mean(axis=0)
        estimates.append(statistic(means, float(oracle[tasks].mean())))
    all_means = {id: x.mean(axis=(0, 1)) for id, x in returns.items()}
    low, high = np.quantile(estimates, [0.025, 0.975])
    value = statistic(all_means, float(oracle.mean()))
    return {"value": round(value, 4), "low": round(float(low), 4), "high": round(float(high), 4)}


def main() -> None:
    """Shares and differences."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--runs", type=Path, default=Path("runs"), help="where run directories are")
    runs = parser.parse_args().runs
    loaded = {id: load(runs, id) for id in METHODS}
    returns = {id: x for id, (x, _) in loaded.items()}
    oracle = AdaptationCurve.load(runs / METHODS[0] / "seed-0" / "references", "oracle").returns.mean(axis=(0, 2))

    def share(id: str, steps: int) -> Any:
        return resampled(returns, oracle, lambda m, best: float((m[id][steps] - m[id][0]) / (best - m[id][0])))

    def ahead(id: str, steps: int) -> Any:
        return resampled(returns, oracle, lambda m, _: float(m[id][steps] - m["nav2d-maml"][steps]))

    details = {
        "mean returns after 0 to 3 adaptations": {
            id: x.mean(axis=(0, 1)).round(3).tolist() for id, x in returns.items()
        },
        "per seed": {id: x.mean(axis=1).round(3).tolist() for id, x in returns.items()},
        "oracle": round(float(oracle.mean()), 4),
        "share of the gap closed": {id: {f"after {k}": share(id, k) for k in (1, 2, 3)} for id in METHODS},
        "ahead of MAML": {id: {f"after {k}": ahead(id, k) for k in (1, 2, 3)} for id in METHODS[1:]},
    }
    closed = details["share of the gap closed"]["nav2d-maml"]["after 3"]
    result = {
        "id": "nav2d-gap",
        "metric": "share of the gap to the oracle that MAML closes with 3 adaptations",
        **closed,
        "better": "higher",
        "bar": ASKED,
        "published": None,
        "num_seeds": min(len(x) for x in returns.values()),
        "num_test_tasks": oracle.size,
        "details": details,
        **provenance(),
        "command": "python benchmarks/navigation.py",
    }
    write_result(RESULTS, result)
    for name, found in details.items():
        print(f"{name}: {found}")


if __name__ == "__main__":
    main()
