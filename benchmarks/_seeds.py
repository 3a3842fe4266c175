"""Seeds that `innerloop reproduce ID` has trained, and intervals of what is computed from several recipes' seeds."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from innerloop._evaluate import AdaptationCurve, stack_seeds
from innerloop._run import finished

NUM_RESAMPLES = 2000

Means = dict[str, np.ndarray]
"""Of each recipe, the means of its measures."""


def finished_seeds(runs: Path, id: str) -> list[Path]:
    """Run directories of a recipe's seeds whose training has come to its end; at least one."""
    folders = [path.parent for path in sorted((runs / id).glob("seed-*/config.json")) if finished(path.parent)]
    if not folders:
        raise SystemExit(f"train the seeds first: innerloop reproduce {id} --runs {runs}")
    return folders


def load(runs: Path, id: str, measures: tuple[str, ...]) -> np.ndarray:
    """What a recipe's seeds reached on held-out tasks, `[seed task measure]`."""
    folders = [path.parent for path in sorted((runs / id).glob("seed-*/evaluation.npz"))]
    if not folders:
        raise SystemExit(f"train the seeds first: innerloop reproduce {id} --runs {runs}")
    curve = stack_seeds([AdaptationCurve.load(folder, "evaluation") for folder in folders])
    return np.stack([np.float64(curve.scores()[name]) for name in measures], axis=-1)


def resampled(results: dict[str, np.ndarray], statistic: Callable[[Means], float]) -> dict[str, Any]:
    """The statistic of the means of `[seed task measure]`, and its 95 % bootstrap interval.

    Seeds of each recipe are drawn apart. Tasks are drawn together where recipes were measured on as many of them, so
    that row t is the same task in both; else apart, which makes intervals of differences wider.
    """
    rng = np.random.default_rng(0)
    lengths = sorted({x.shape[1] for x in results.values()})
    estimates = []
    for _ in range(NUM_RESAMPLES):
        tasks = {length: rng.integers(length, size=length) for length in lengths}
        means = {}
        for id, x in results.items():
            seeds = rng.integers(x.shape[0], size=x.shape[0])
            means[id] = x[seeds].mean(axis=0)[tasks[x.shape[1]]].mean(axis=0)
        estimates.append(statistic(means))
    low, high = np.quantile(estimates, [0.025, 0.975])
    value = statistic({id: x.mean(axis=(0, 1)) for id, x in results.items()})
    return {"value": round(value, 4), "low": round(float(low), 4), "high": round(float(high), 4)}
