"""Few-shot regression beyond the recipes: other numbers of shots, more steps, other degrees.

    python benchmarks/few_shot.py [--runs RUNS]

Reads the seeds that `innerloop reproduce ID` has trained, for the IDs sine-maml, sine-cavia, sine-frequency-maml,
sine-frequency-metasgd and polynomial-maml, and writes

    results/sine-steps.json            error of MAML and CAVIA after 0 to 10 gradient steps
    results/sine-frequency-shots.json  error after one step, trained with 5 shots, tested with 5, 10 and 20
    results/polynomial.json            error after 0 to 10 steps as a share of that before, and out of distribution

Every figure is a mean over 2000 tasks that nobody has trained on, with 100 questions each.
"""

import argparse
from pathlib import Path
from typing import Any

import jax
import numpy as np

from innerloop._evaluate import bootstrap_interval
from innerloop._export import read_exported
from innerloop._few_shot import few_shot_curve
from innerloop._machine import provenance
from innerloop._task import TaskDistribution
from innerloop.envs.regression import (
    Regression,
    polynomial,
    polynomials,
    sine,
    sinusoids,
    sinusoids_with_frequency,
)
from innerloop.report._results import write_result

RESULTS = Path(__file__).parent / "results"
NUM_TASKS, QUESTIONS, MAX_STEPS = 2000, 100, 10
KEY = jax.random.key(2**31)
SHOTS = {"sine-frequency-maml": (1.13, 0.85, 0.71), "sine-frequency-metasgd": (0.90, 0.63, 0.50)}
"""Published errors at 5, 10 and 20 shots (Li et al. 2017): the bars."""


def errors(
    runs: Path, id: str, function: Any, tasks: TaskDistribution, num_points: int, **options: float
) -> np.ndarray:
    """`[seed task steps]` of the seeds of a recipe."""
    folders = sorted((runs / id).glob("seed-*"))
    if not folders:
        raise SystemExit(f"few_shot: train the seeds first: innerloop reproduce {id}")
    support, query = (Regression(function, points, **options) for points in (num_points, QUESTIONS))
    agents: list[Any] = [read_exported(folder).agent for folder in folders]
    told = {"num_tasks": NUM_TASKS, "num_steps": MAX_STEPS}
    return -np.stack([few_shot_curve(KEY, agent, support, query, tasks, **told) for agent in agents])


def store(id: str, metric: str, value: float, bar: float | None, curves: np.ndarray, details: dict[str, Any]) -> None:
    """Write a result that is better when lower."""
    result = {
        "id": id,
        "metric": metric,
        "value": value,
        "better": "lower",
        "bar": bar,
        "published": None,
        "num_seeds": curves.shape[0],
        "num_test_tasks": NUM_TASKS,
        "details": details,
        **provenance(),
        "command": "python benchmarks/few_shot.py",
    }
    print(f"stored: {write_result(RESULTS, result)}: {value:.4g}")


def over_steps(curves: np.ndarray) -> dict[str, Any]:
    """By number of steps: mean with interval, and of each seed (null if some task's steps led nowhere finite), median,
    and the share of tasks that diverged, whose error is above 1000."""
    curves = curves.astype(np.float64)
    finite = np.isfinite(curves).all(axis=(0, 1))

    def rows(values: np.ndarray) -> list[Any]:
        return [x if ok else None for x, ok in zip(values.tolist(), finite, strict=True)]

    known = np.where(finite, curves, 0.0)
    return {
        "mean": rows(known.mean(axis=(0, 1)).round(4)),
        "interval": rows(np.array([bootstrap_interval(known[..., i]) for i in range(curves.shape[-1])]).round(4)),
        "per_seed": [rows(seed) for seed in known.mean(axis=1).round(4)],
        "median": np.median(np.nan_to_num(curves, nan=np.inf), axis=(0, 1)).round(4).tolist(),
        "diverged": (~(curves < 1000)).mean(axis=(0, 1)).round(5).tolist(),
    }


def main() -> None:
    """All three results."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--runs", type=Path, default=Path("runs"), help="where run directories are")
    runs = parser.parse_args().runs

    curves = {id: errors(runs, id, sine, sinusoids(), 10) for id in ("sine-maml", "sine-cavia")}
    final = float(curves["sine-maml"][..., 1].mean())
    store(
        "sine-steps",
        "mse of MAML after 1 step",
        final,
        None,
        curves["sine-maml"],
        {k: over_steps(v) for k, v in curves.items()},
    )

    shots: dict[str, Any] = {}
    for id, bars in SHOTS.items():
        for num_points, bar in zip((5, 10, 20), bars, strict=True):
            found = errors(runs, id, sine, sinusoids_with_frequency(), num_points)[..., 1]
            shots[f"{id} {num_points} shots"] = {
                "mse": float(found.mean()),
                "interval": bootstrap_interval(found),
                "per_seed": found.mean(axis=1).tolist(),
                "bar": bar,
            }
    worst = max(x["mse"] / x["bar"] for x in shots.values())
    store("sine-frequency-shots", "error over its bar, the worst of six cells", worst, 1.0, found, shots)

    inside = errors(runs, "polynomial-maml", polynomial, polynomials(), 10, low=-1.0, high=1.0)
    outside = errors(runs, "polynomial-maml", polynomial, polynomials(4, 5), 10, low=-1.0, high=1.0)
    share = float(inside[..., -1].mean() / inside[..., 0].mean())
    details = {"degree 0 to 3": over_steps(inside), "degree 4 to 5, out of distribution": over_steps(outside)}
    store("polynomial", "error after 10 steps over error before", share, 0.05, inside, details)


if __name__ == "__main__":
    main()
