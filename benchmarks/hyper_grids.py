"""Recurrent hypernetworks on grid worlds: how fast RL² learns with four ways to get from memory and observation to actions.

    python benchmarks/hyper_grids.py [--runs RUNS] [--only gridnavi-show-hyper ...]

Trains, where that has not been done, ten seeds of each of `AGENTS` on each of `GRIDS` with the same settings otherwise
(an interrupted run goes on), and writes results/hyper-grids.json and docs/images/hyper-grids.png. The area under the
curve is the mean return of a trial over `NUM_LOOKS` looks in training, the first before it; the tasks are all 21 goals.

Claimed (Beck et al. 2023, section 5): on each grid the hypernetwork is no worse than the net that also sees the
observation, which is no worse than the net on the memory alone, and a hypernetwork that begins as plain layers do is the
worst. `value` is the number of claims, of three a grid, whose difference has no interval on the wrong side of 0 (the last:
an interval above 0 to each of the others). Intervals are bootstraps over seeds.
"""

import argparse
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

from innerloop._callbacks import read_metrics
from innerloop._machine import provenance
from innerloop._run import configure, finished, resume, run_experiment
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
NUM_RESAMPLES = 2000
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


def train(runs: Path, grid: str, agent: str) -> None:
    """All seeds of one agent, unless that has been done."""
    folder = runs / "hyper-grids" / f"{grid}-{agent}"
    if (folder / "config.json").exists():
        if not finished(folder):
            resume(folder, show=False, measure=False)
        return
    every = NUM_UPDATES // (NUM_LOOKS - 1)
    config = configure(
        "rl2",
        grid,
        settings=AGENTS[agent],
        num_seeds=NUM_SEEDS,
        log_every=every,
        evaluate_every=every,
        num_test_tasks=210,
    )
    run_experiment(config, folder, show=False, measure=False)


def load(runs: Path, grid: str, agent: str) -> tuple[np.ndarray, np.ndarray]:
    """Steps of one seed at each look, and the return of a trial `[seed look]`."""
    rows = read_metrics(runs / "hyper-grids" / f"{grid}-{agent}" / "metrics.jsonl")
    rows = [row for row in rows if row.get("test/trial_return") is not None]
    if len(rows) != NUM_LOOKS:
        raise SystemExit(f"{grid}-{agent}: {len(rows)} looks, not {NUM_LOOKS}; remove its folder and train it again.")
    steps = np.array([row["env_steps"] for row in rows]) / NUM_SEEDS
    return steps, np.array([row["test/trial_return"] for row in rows]).T


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


def draw(curves: dict[str, dict[str, tuple[np.ndarray, np.ndarray]]]) -> None:
    """Return against steps, one picture for each grid."""
    figure = Figure(figsize=(10.0, 3.6), dpi=140, layout="constrained")
    panels = figure.subplots(1, len(GRIDS))
    for axes, (grid, agents) in zip(panels, curves.items(), strict=True):
        for colour, (agent, (steps, returns)) in zip(COLOURS, agents.items(), strict=False):
            low, high = np.quantile(returns, [0.1, 0.9], axis=0)
            axes.plot(steps / 1e6, returns.mean(axis=0), color=colour, label=NAMES[agent])
            axes.fill_between(steps / 1e6, low, high, color=colour, alpha=0.15, linewidth=0)
        axes.set_title(grid, fontsize=9)
        axes.set_xlabel("million steps")
        decorate(
            figure,
            axes,
            "RL² on grid worlds, by how memory and observation become actions",
            f"Return of a trial on all 21 goals; means of {NUM_SEEDS} seeds, bands from the 10th to the 90th percentile.",
        )
    panels[-1].legend(fontsize=7, frameon=False)
    save(figure, HERE.parent / "docs" / "images" / "hyper-grids.png")


def main() -> None:
    """Train what is missing, compare, store."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--runs", type=Path, default=Path("runs"), help="where run directories are")
    cells = {f"{grid}-{agent}": (grid, agent) for grid in GRIDS for agent in AGENTS}
    parser.add_argument("--only", nargs="+", default=[], choices=list(cells), help="train these, and write nothing")
    options = parser.parse_args()
    for name in options.only or cells:
        train(options.runs, *cells[name])
        print(f"{name}: {load(options.runs, *cells[name])[1].mean():.2f}", flush=True)
    if options.only:
        return
    curves = {grid: {agent: load(options.runs, grid, agent) for agent in AGENTS} for grid in GRIDS}
    areas = {grid: {agent: returns.mean(axis=1) for agent, (_, returns) in of.items()} for grid, of in curves.items()}
    judged = {grid: judge(of) for grid, of in areas.items()}
    draw(curves)
    result = {
        "id": "hyper-grids",
        "metric": "claims on the order of areas under the curve that hold, three on each of three grids",
        "value": int(sum(holds for holds, _ in judged.values())),
        "better": "higher",
        "bar": 3 * len(GRIDS),
        "published": None,
        "source": "Beck et al. 2023, section 5, draw curves",
        "num_seeds": NUM_SEEDS,
        "details": {
            "steps of a seed": int(next(iter(curves[GRIDS[0]].values()))[0][-1]),
            "area of each seed": {
                grid: {agent: x.round(3).tolist() for agent, x in of.items()} for grid, of in areas.items()
            },
            "mean area": {
                grid: {agent: round(float(x.mean()), 3) for agent, x in of.items()} for grid, of in areas.items()
            },
            "return at the end": {
                grid: {agent: round(float(returns[:, -1].mean()), 2) for agent, (_, returns) in of.items()}
                for grid, of in curves.items()
            },
            "differences": {grid: found for grid, (_, found) in judged.items()},
        },
        **provenance(),
        "command": "python benchmarks/hyper_grids.py",
    }
    write_result(HERE / "results", result)


if __name__ == "__main__":
    main()
