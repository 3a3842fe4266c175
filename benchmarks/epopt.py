"""Robustness over models of a cart and pole: return by the pole's length and by its mass, for four ways to train.

    python benchmarks/epopt.py [--runs RUNS]

Reads the seeds that `innerloop reproduce ID` has trained, for the IDs of `AGENTS`, all measured on the same poles, and
writes results/epopt-range.json and docs/images/epopt.png. The range of lengths is cut into bins; `value` is the mean
return of EPOpt in its worst bin as a share of the best possible one, and `details` has the same of the other agents:
training on an ensemble is flat where it is near 1, and training on a single model collapses where it is low.
Intervals are bootstraps over seeds and tasks.
"""

import argparse
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from _seeds import load
from innerloop._evaluate import bootstrap_interval
from innerloop._machine import provenance
from innerloop.benchmarks import benchmark
from innerloop.envs.cartpole import POLE_LENGTHS, POLE_MASSES
from innerloop.report._curves import COLOURS, decorate, save
from innerloop.report._results import write_result

HERE = Path(__file__).parent
AGENTS = {
    "epopt": "EPOpt, trained on the worst tenth of the ensemble",
    "epopt-randomised": "domain randomisation, trained on all of the ensemble",
    "epopt-rl2": "RL², trained on the ensemble, adapts",
    "epopt-single": "trained on the model in the middle",
}
NUM_BINS = 10
ASKED = 0.95

Bins = dict[str, np.ndarray]
"""Of each agent `[seed task bin]`; all bins have as many tasks."""


def poles(num_tasks: int) -> dict[str, np.ndarray]:
    """Length and mass of every pole, in the order of evaluation: task by task, in turn."""
    tests: Any = benchmark("cartpole-ensemble").test
    played = tests.take(np.arange(num_tasks) % tests.num_tasks)
    return {"length": 2 * np.asarray(played.half_length), "mass": np.asarray(played.pole_mass)}


def binned(returns: np.ndarray, values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Mean parameter of each of `NUM_BINS` bins of equal counts, and returns `[seed task bin]`."""
    parts = np.array_split(np.argsort(values, kind="stable"), NUM_BINS)
    return np.array([values[part].mean() for part in parts]), np.stack([returns[:, part] for part in parts], axis=-1)


def worst_bin(x: np.ndarray, best: float) -> dict[str, Any]:
    """The least of the bins' means as a share of the best return; its interval is that of this bin."""
    i = int(x.mean(axis=(0, 1)).argmin())
    low, high = bootstrap_interval(x[..., i])
    return {
        "value": round(float(x[..., i].mean()) / best, 4),
        "low": round(low / best, 4),
        "high": round(high / best, 4),
        "per_seed": (x.mean(axis=1).min(axis=-1) / best).round(4).tolist(),
    }


def draw(bins: dict[str, tuple[np.ndarray, Bins]], best: float) -> None:
    """Return by length and by mass, one panel each."""
    middle = {"length": 2 * POLE_LENGTHS[0], "mass": POLE_MASSES[0]}
    figure = Figure(figsize=(9.0, 4.2), dpi=140, layout="constrained")
    panels = figure.subplots(1, len(bins), sharey=True)
    for axes, (name, (centres, by_agent)) in zip(panels, bins.items(), strict=True):
        for colour, (id, x) in zip(COLOURS, by_agent.items(), strict=False):
            low, high = np.array([bootstrap_interval(x[..., i]) for i in range(len(centres))]).T
            axes.plot(centres, x.mean(axis=(0, 1)), color=colour, marker="o", markersize=3, label=AGENTS[id])
            axes.fill_between(centres, low, high, color=colour, alpha=0.2, linewidth=0)
        unit = "m" if name == "length" else "kg"
        axes.set_xlabel(f"{name} of the pole ({unit})")
        axes.axhline(best, color="0.6", linestyle=":", linewidth=1)
        axes.axvline(middle[name], color="0.6", linewidth=1)
        below = (
            "Mean return over held-out poles and seeds; band: 95 % bootstrap interval; dotted: the best possible return; "
            "upright line: the model in the middle."
        )
        decorate(figure, axes, "Return by model, of policies trained on an ensemble and on one model", below)
    panels[0].set(ylabel="return", ylim=(0, 1.05 * best))
    panels[-1].legend(fontsize=7, frameon=False, loc="lower left")
    save(figure, HERE.parent / "docs" / "images" / "epopt.png")


def main() -> None:
    """Bins, shares and the picture."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--runs", type=Path, default=Path("runs"), help="where run directories are")
    runs = parser.parse_args().runs
    returns = {id: load(runs, id, ("return",))[..., 0] for id in AGENTS}
    best = benchmark("cartpole-ensemble").known["return"]["optimal"]
    bins: dict[str, tuple[np.ndarray, Bins]] = {}
    for name in ("length", "mass"):
        found = {id: binned(x, poles(x.shape[1])[name]) for id, x in returns.items()}
        bins[name] = (found["epopt"][0], {id: x for id, (_, x) in found.items()})
    worst = {id: worst_bin(x, best) for id, x in bins["length"][1].items()}
    details = {
        "share of the best return in the worst bin of lengths": worst,
        **{
            f"mean return by {name}": {
                "centres": np.float64(centres).round(3).tolist(),
                **{id: x.mean(axis=(0, 1)).round(2).tolist() for id, x in by_agent.items()},
            }
            for name, (centres, by_agent) in bins.items()
        },
    }
    result = {
        "id": "epopt-range",
        "metric": "share of the best return that EPOpt earns in the worst of 10 bins of lengths",
        **worst["epopt"],
        "better": "higher",
        "bar": ASKED,
        "published": None,
        "source": "Rajeswaran et al. 2017 draw it: flat over models where training on one collapses",
        "num_seeds": min(len(x) for x in returns.values()),
        "num_test_tasks": min(x.shape[1] for x in returns.values()),
        "details": details,
        **provenance(),
        "command": "python benchmarks/epopt.py",
    }
    write_result(HERE / "results", result)
    draw(bins, best)
    for label, found in details.items():
        print(f"{label}: {found}")


if __name__ == "__main__":
    main()
