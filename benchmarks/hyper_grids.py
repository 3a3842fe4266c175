"""Recurrent hypernetworks on grid worlds: how fast RL² learns with four ways to get from memory and observation to actions.

    python benchmarks/hyper_grids.py [--runs RUNS] [--grids gridnavi-show ...]

Trains, where that has not been done, ten seeds of each of `AGENTS` on each of the grids with the same settings otherwise
(an interrupted run goes on), and writes, for each grid, results/hyper-GRID.json and docs/images/hyper-GRID.png. The area
under the curve is the mean return of a trial over `NUM_LOOKS` looks in training, the first before it; the tasks are all 21
goals.

Claimed (Beck et al. 2023, section 5): on each grid the hypernetwork is no worse than the net that also sees the
observation, which is no worse than the net on the memory alone, and a hypernetwork that begins as plain layers do is the
worst. `value` is the number of claims, of three, whose difference has no interval on the wrong side of 0 (the last: an
interval above 0 to each of the others). Intervals are bootstraps over seeds.
"""

import argparse
import json
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

from _looks import looks, resampled, train
from innerloop._machine import provenance
from innerloop.algorithms._on_policy import OnPolicy
from innerloop.algorithms.rl2 import RL2
from innerloop.nn import PolicyOptions
from innerloop.report._curves import COLOURS, decorate, save
from innerloop.report._results import write_result

HERE = Path(__file__).parent
GRIDS = ("gridnavi", "gridnavi-show", "gridnavi-dense")
NUM_SEEDS = 10
NUM_UPDATES = 300
NUM_LOOKS = 21
TRAINING = OnPolicy(
    num_updates=NUM_UPDATES,
    num_tasks=128,
    num_minibatches=4,
    learning_rate=2e-3,
    gae_lambda=0.9,
    entropy_coef=0.04,
)
WIDTHS = (64,)
AGENTS = {
    "memory": RL2(head_widths=WIDTHS, head_obs=False, training=TRAINING),
    "joined": RL2(head_widths=WIDTHS, training=TRAINING),
    "hyper": RL2(head_widths=WIDTHS, policy="hyper", training=TRAINING),
    "kaiming": RL2(
        head_widths=WIDTHS, policy="hyper", policy_options=PolicyOptions(hyper_init="kaiming"), training=TRAINING
    ),
}
NAMES = {
    "memory": "layer on the memory",
    "joined": "layer on memory and observation",
    "hyper": "hypernetwork, begins as the plain layer",
    "kaiming": "hypernetwork, Kaiming",
}


def folder_of(runs: Path, grid: str, agent: str) -> Path:
    """Where all seeds of one agent are."""
    return runs / "hyper-grids" / f"{grid}-{agent}"


def judge(areas: dict[str, np.ndarray]) -> tuple[int, dict[str, dict[str, float]]]:
    """How many of a grid's three claims hold, and all differences."""
    pairs = [
        ("hyper", "joined"),
        ("joined", "memory"),
        *((agent, "kaiming") for agent in ("memory", "joined", "hyper")),
    ]
    found = {f"{a} ahead of {b}": resampled(areas[a], areas[b]) for a, b in pairs}
    values = list(found.values())
    return sum(x["high"] >= 0 for x in values[:2]) + all(x["low"] > 0 for x in values[2:]), found


def draw(grid: str, curves: dict[str, tuple[np.ndarray, np.ndarray]]) -> None:
    """Return against steps."""
    figure = Figure(figsize=(6.0, 3.8), dpi=140, layout="constrained")
    axes = figure.subplots()
    for colour, (agent, (steps, returns)) in zip(COLOURS, curves.items(), strict=False):
        low, high = np.quantile(returns, [0.1, 0.9], axis=0)
        axes.plot(steps / 1e6, returns.mean(axis=0), color=colour, label=NAMES[agent])
        axes.fill_between(steps / 1e6, low, high, color=colour, alpha=0.15, linewidth=0)
    axes.set_xlabel("million steps")
    decorate(
        figure,
        axes,
        f"RL² on {grid}, by how memory and observation become actions",
        f"Return of a trial on all 21 goals; means of {NUM_SEEDS} seeds, bands from the 10th to the 90th percentile.",
    )
    axes.legend(fontsize=7, frameon=False)
    save(figure, HERE.parent / "docs" / "images" / f"hyper-{grid}.png")


def compare(runs: Path, grid: str) -> None:
    """Draw and store what the agents reached on one grid."""
    curves = {agent: looks(folder_of(runs, grid, agent), NUM_SEEDS, NUM_LOOKS) for agent in AGENTS}
    areas = {agent: returns.mean(axis=1) for agent, (_, returns) in curves.items()}
    holds, found = judge(areas)
    draw(grid, curves)
    configs = [json.loads((folder_of(runs, grid, agent) / "config.json").read_text()) for agent in AGENTS]
    result = {
        "id": f"hyper-{grid}",
        "metric": "claims on the order of areas under the curve that hold",
        "value": int(holds),
        "better": "higher",
        "bar": 3,
        "published": None,
        "source": "Beck et al. 2023, section 5, draw curves",
        "num_seeds": NUM_SEEDS,
        "details": {
            "steps of a seed": int(curves["memory"][0][-1]),
            "area of each seed": {agent: x.round(3).tolist() for agent, x in areas.items()},
            "mean area": {agent: round(float(x.mean()), 3) for agent, x in areas.items()},
            "return at the end": {agent: round(float(x[:, -1].mean()), 2) for agent, (_, x) in curves.items()},
            "differences": found,
            "trained with": sorted({config["commit"] for config in configs}),
        },
        **provenance(),
        "command": f"python benchmarks/hyper_grids.py --grids {grid}",
    }
    write_result(HERE / "results", result)


def main() -> None:
    """Train what is missing, compare, store."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--runs", type=Path, default=Path("runs"), help="where run directories are")
    parser.add_argument("--grids", nargs="+", default=list(GRIDS), choices=GRIDS)
    options = parser.parse_args()
    for grid in options.grids:
        for agent in AGENTS:
            folder = folder_of(options.runs, grid, agent)
            train(folder, "rl2", grid, AGENTS[agent], NUM_SEEDS, NUM_LOOKS, num_test_tasks=210)
            print(f"{grid}-{agent}: {looks(folder, NUM_SEEDS, NUM_LOOKS)[1].mean():.2f}", flush=True)
        compare(options.runs, grid)


if __name__ == "__main__":
    main()
