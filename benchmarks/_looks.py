"""Seeds that are trained together and looked at now and then, and intervals of differences between them."""

from pathlib import Path
from typing import Any

import numpy as np

from innerloop._callbacks import read_metrics
from innerloop._run import configure, finished, resume, run_experiment

NUM_RESAMPLES = 2000


def train(
    folder: Path, method: str, benchmark: str, settings: Any, num_seeds: int, num_looks: int, num_test_tasks: int
) -> None:
    """Train all seeds, the first look before training, unless that has been done; go on if it was interrupted."""
    if (folder / "config.json").exists():
        if not finished(folder):
            resume(folder, show=False, measure=False)
        return
    every = settings.training.num_updates // (num_looks - 1)
    config = configure(
        method,
        benchmark,
        settings=settings,
        num_seeds=num_seeds,
        log_every=every,
        evaluate_every=every,
        num_test_tasks=num_test_tasks,
    )
    run_experiment(config, folder, show=False, measure=False)


def looks(folder: Path, num_seeds: int, num_looks: int) -> tuple[np.ndarray, np.ndarray]:
    """Steps of one seed at each look, and the return of a trial on held-out tasks `[seed look]`."""
    rows = [row for row in read_metrics(folder / "metrics.jsonl") if row.get("test/trial_return") is not None]
    returns = np.array([row["test/trial_return"] for row in rows]).T
    if returns.shape != (num_seeds, num_looks):
        raise SystemExit(f"{folder}: {returns.shape} looks of each seed; remove the folder and train it again.")
    return np.array([row["env_steps"] for row in rows]) / num_seeds, returns


def resampled(first: np.ndarray, second: np.ndarray) -> dict[str, float]:
    """The difference of two means over seeds, and its 95 % bootstrap interval; seeds are drawn apart."""
    rng = np.random.default_rng(0)
    drawn = [
        rng.choice(first, len(first)).mean() - rng.choice(second, len(second)).mean() for _ in range(NUM_RESAMPLES)
    ]
    low, high = np.quantile(drawn, [0.025, 0.975])
    return {
        "value": round(float(first.mean() - second.mean()), 3),
        "low": round(float(low), 3),
        "high": round(float(high), 3),
    }
