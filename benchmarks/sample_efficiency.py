"""Steps in the environment that PEARL, RL² and MAML need on the dense point robot: one picture, one ratio.

    python benchmarks/sample_efficiency.py [--runs RUNS]

Reads how the return of an episode after adaptation (`adapted`) on held-out tasks grew while the seeds that `innerloop
reproduce ID` has trained were trained, for the IDs of `AGENTS`, and writes results/sample-efficiency.json and
docs/images/sample-efficiency.png.

The final return of RL² or MAML is its mean over the last fifth of the looks and over seeds. PEARL's steps are counted
up to the look from which on it stays at or above that. The other's own steps are counted only up to the look at which
a seed has `SHARE` of all that it ever gains, for the first time: its last bit comes slowly, and would make the ratio as
large as its budget is long. MAML comes twice: as it learns best here, and in the shape of its paper (TRPO, batches of 20
tasks and 20 episodes). `value` is the least of the ratios of mean steps. Intervals are bootstraps over seeds.
"""

import argparse
import math
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import EngFormatter

from _seeds import finished_seeds
from innerloop._callbacks import read_metrics
from innerloop._machine import provenance
from innerloop._run import RunConfig
from innerloop.benchmarks import benchmark
from innerloop.report._curves import COLOURS, decorate, name_lines, save
from innerloop.report._results import write_result

HERE = Path(__file__).parent
PEARL = "point-robot-pearl"
OTHERS = ("point-robot-rl2", "point-robot-maml", "point-robot-maml-trpo")
AGENTS = dict(zip((PEARL, *OTHERS), ("PEARL", "RL²", "MAML", "MAML, published shape"), strict=True))
SHARE = 0.95
LAST = 5
NUM_RESAMPLES = 2000
ASKED = 20.0


class Learning(NamedTuple):
    """How a recipe's seeds learned: steps at each look, and the return after adaptation `[seed look]`."""

    steps: np.ndarray
    returns: np.ndarray

    def draw(self, rng: np.random.Generator) -> "Learning":
        """As many seeds, drawn with replacement."""
        return self._replace(returns=self.returns[rng.integers(len(self.returns), size=len(self.returns))])

    def final(self) -> np.ndarray:
        """The return of each seed at the end."""
        return self.returns[:, -math.ceil(len(self.steps) / LAST) :].mean(axis=1)


def load(runs: Path, id: str) -> Learning:
    """Of the finished seeds of a recipe, which all have looked at the same updates."""
    folders = finished_seeds(runs, id)
    if any(RunConfig.read(folder).num_seeds is not None for folder in folders):
        raise SystemExit(f"{runs / id}: a run of several seeds; train them one by one: innerloop reproduce {id}")
    looks = [
        [row for row in read_metrics(folder / "metrics.jsonl") if row.get("test/adapted") is not None]
        for folder in folders
    ]
    steps = [[row["env_steps"] for row in rows] for rows in looks]
    return Learning(np.asarray(steps[0]), np.asarray([[row["test/adapted"] for row in rows] for rows in looks]))


def first_at(steps: np.ndarray, returns: np.ndarray, level: float) -> float:
    """Steps until a curve is at or above a level for the first time; infinite if it never is."""
    there = np.flatnonzero(returns >= level)
    return float(steps[there[0]]) if there.size else math.inf


def stays_at(steps: np.ndarray, returns: np.ndarray, level: float) -> float:
    """Steps from which on a curve stays at or above a level; infinite if it ends below."""
    below = np.flatnonzero(returns < level)
    first = below[-1] + 1 if below.size else 0
    return float(steps[first]) if first < len(steps) else math.inf


def steps_of_other(other: Learning) -> np.ndarray:
    """Steps of each seed of RL² or MAML until it has `SHARE` of its gain."""
    start, end = other.returns[:, 0], other.final()
    levels = start + SHARE * (end - start)
    return np.array([first_at(other.steps, *pair) for pair in zip(other.returns, levels, strict=True)])


def steps_of_pearl(pearl: Learning, level: float) -> np.ndarray:
    """Steps of each seed of PEARL until it stays at or above the other's final return."""
    return np.array([stays_at(pearl.steps, returns, level) for returns in pearl.returns])


def ratio(pearl: Learning, other: Learning) -> float:
    """Mean steps of the other over those of PEARL; 0 if a seed of PEARL does not get there."""
    return float(steps_of_other(other).mean() / steps_of_pearl(pearl, float(other.final().mean())).mean())


def ratios(learned: dict[str, Learning]) -> dict[str, float]:
    """Of each of the others, and the least of them."""
    found = {id: ratio(learned[PEARL], learned[id]) for id in OTHERS}
    return found | {"least": min(found.values())}


def intervals(learned: dict[str, Learning]) -> dict[str, dict[str, float]]:
    """The ratios with 95 % bootstrap intervals; seeds of each recipe are drawn apart."""
    rng = np.random.default_rng(0)
    drawn = [ratios({id: x.draw(rng) for id, x in learned.items()}) for _ in range(NUM_RESAMPLES)]
    found = {}
    for name, value in ratios(learned).items():
        low, high = np.quantile([row[name] for row in drawn], [0.025, 0.975])
        found[name] = {"value": round(value, 2), "low": round(float(low), 2), "high": round(float(high), 2)}
    return found


def details(learned: dict[str, Learning], found: dict[str, dict[str, float]]) -> dict[str, Any]:
    """What the ratio is made of, for each of the others."""
    told: dict[str, Any] = {"final return of PEARL, each seed": learned[PEARL].final().round(3).tolist()}
    for id in OTHERS:
        name, level = AGENTS[id], float(learned[id].final().mean())
        reached = steps_of_pearl(learned[PEARL], level)
        own = steps_of_other(learned[id])
        told[name] = {
            "final return": round(level, 3),
            "final return, each seed": learned[id].final().round(3).tolist(),
            "steps, each seed": own.astype(int).tolist(),
            "steps of PEARL, each seed": [int(x) if math.isfinite(x) else None for x in reached],
            "ratio": found[id],
            "ratio of each seed of PEARL": (own.mean() / reached).round(2).tolist(),
        }
    return told


def draw(learned: dict[str, Learning]) -> None:
    """Return after adaptation against steps, and the levels that PEARL must reach."""
    figure = Figure(figsize=(7.2, 4.4), dpi=140, layout="constrained")
    axes = figure.add_subplot()
    for colour, (id, x) in zip(COLOURS, learned.items(), strict=False):
        seen = x.steps > 0
        steps, returns = x.steps[seen], x.returns[:, seen]
        axes.plot(steps, returns.mean(axis=0), color=colour, linewidth=1.8, label=AGENTS[id])
        axes.fill_between(steps, returns.min(axis=0), returns.max(axis=0), color=colour, alpha=0.2, linewidth=0)
        if id in OTHERS:
            axes.axhline(float(x.final().mean()), color=colour, linestyle=":", linewidth=1)
    axes.set_xscale("log")
    axes.xaxis.set_major_formatter(EngFormatter())
    axes.set_xlabel("environment steps of training, logarithmic")
    axes.set_ylabel("return of an episode after adaptation")
    name_lines(axes)
    seeds = ", ".join(f"{AGENTS[id]} {len(x.returns)}" for id, x in learned.items())
    below = (
        "Held-out tasks, sampled actions. Mean over seeds; band: all seeds; dotted: the final returns of RL² and MAML.\n"
        f"Seeds: {seeds}."
    )
    decorate(figure, axes, "Dense point robot: what a step in the environment teaches", below)
    save(figure, HERE.parent / "docs" / "images" / "sample-efficiency.png")


def main() -> None:
    """Ratios, their intervals and the picture."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--runs", type=Path, default=Path("runs"), help="where run directories are")
    runs = parser.parse_args().runs
    learned = {id: load(runs, id) for id in AGENTS}
    found = intervals(learned)
    told = details(learned, found)
    result = {
        "id": "sample-efficiency",
        "metric": "environment steps of RL² and of MAML over those of PEARL to their final return, the least ratio",
        **found["least"],
        "better": "higher",
        "bar": ASKED,
        "published": None,
        "source": "Rakelly et al. 2019 draw curves on other tasks and report 20 to 100 times",
        "num_seeds": min(len(x.returns) for x in learned.values()),
        "num_test_tasks": getattr(benchmark("point-robot").test, "num_tasks", None),
        "details": told,
        **provenance(),
        "command": "python benchmarks/sample_efficiency.py",
    }
    write_result(HERE / "results", result)
    draw(learned)
    for label, x in {"ratio": found["least"], **told}.items():
        print(f"{label}: {x}")


if __name__ == "__main__":
    main()
