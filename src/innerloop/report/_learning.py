"""Learning curves of runs: how the return of a trial grew with environment steps."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import EngFormatter

from innerloop._callbacks import read_metrics
from innerloop.report._curves import COLOURS, count, decorate, name_lines, save


class Run(NamedTuple):
    """Rows of a run's metrics, and its name in the picture."""

    label: str
    num_seeds: int
    rows: list[dict[str, Any]]


def plot_learning(folders: Sequence[str | Path], path: str | Path, title: str = "") -> None:
    """Draw return of a trial against environment steps of one agent, from the `metrics.jsonl` of run directories.

    A line is the mean over seeds on training tasks, its band reaches from the lowest to the highest seed; dots are
    held-out tasks. Runs are named after their method, or after their folder where several have the same method.

    Raises ValueError if there are no folders, or one is no run directory.
    """
    if not folders:
        raise ValueError("plot_learning(folders=[]): name at least one run directory.")
    runs = read_runs([Path(folder) for folder in folders])
    figure = Figure(figsize=(7.2, 4.2), dpi=140, layout="constrained")
    axes = figure.add_subplot()
    for i, run in enumerate(runs):
        colour = COLOURS[i % len(COLOURS)]
        name = "trial_return" if any("trial_return" in row for row in run.rows) else "reward"
        _draw(axes, run, name, colour, "-", run.label)
        _draw(axes, run, "test/trial_return", colour, "o", None)
        axes.set_ylabel("return of a trial" if name == "trial_return" else "reward of a step")
    axes.set_xlabel("environment steps of one agent")
    axes.xaxis.set_major_formatter(EngFormatter())
    name_lines(axes)
    seeds = "; ".join(f"{run.label}: {count(run.num_seeds, 'seed')}" for run in runs)
    text = "Lines: training tasks; dots: held-out tasks; sampled actions. Mean over seeds; band: all seeds."
    decorate(figure, axes, title, f"{text}\n{seeds}")
    save(figure, path)


def read_runs(folders: Sequence[Path]) -> list[Run]:
    """Run directories, named after their folders where their method is not theirs alone."""
    configs = [_read_config(folder) for folder in folders]
    methods = [config["method"] for config in configs]
    labels = [
        method if methods.count(method) == 1 else folder.resolve().name
        for method, folder in zip(methods, folders, strict=True)
    ]
    return [
        Run(label, config["num_seeds"] or 1, read_metrics(folder / "metrics.jsonl"))
        for label, config, folder in zip(labels, configs, folders, strict=True)
    ]


def _read_config(folder: Path) -> dict[str, Any]:
    if not (folder / "config.json").is_file():
        raise ValueError(f"{folder}: there is no config.json in it; give a directory that `innerloop train` has made.")
    return dict(json.loads((folder / "config.json").read_text()))


def _draw(axes: Axes, run: Run, name: str, colour: str, shape: str, label: str | None) -> None:
    rows = [row for row in run.rows if row.get(name) is not None]
    if not rows:
        return
    values = np.array([np.atleast_1d(np.array(row[name], np.float64)) for row in rows])
    steps = np.array([row["env_steps"] for row in rows]) / run.num_seeds
    axes.plot(steps, values.mean(axis=1), shape, color=colour, markersize=4, linewidth=1.8, label=label)
    if run.num_seeds > 1 and shape == "-":
        axes.fill_between(steps, values.min(axis=1), values.max(axis=1), color=colour, alpha=0.18, linewidth=0)
