"""Measured results: one JSON file for each recipe, with all that is needed to judge and to repeat it."""

import dataclasses
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from innerloop._evaluate import AdaptationCurve, stack_seeds
from innerloop._files import write_whole
from innerloop._machine import provenance
from innerloop.recipes import Recipe


@dataclass(frozen=True)
class SeedResult:
    """One trained seed: its curves, and what training it took.

    `seconds` are wall time of the whole training, compilation and evaluation while training included.
    """

    seed: int
    sampled: AdaptationCurve
    greedy: AdaptationCurve
    env_steps: int
    seconds: float
    compile_seconds: float


def result_of(
    recipe: Recipe,
    seeds: list[SeedResult],
    references: dict[str, AdaptationCurve],
    contrasts: dict[str, Any] | None = None,
) -> dict[str, Any]:
    """The result file of a recipe. `value` is the mean over seeds with sampled actions, its interval is a bootstrap
    over seeds and tasks; costs are means over seeds; `contrasts` are those of one seed (`contrast_run`)."""
    curve = stack_seeds([seed.sampled for seed in seeds])
    score = curve.score(recipe.metric)
    greedy = stack_seeds([seed.greedy for seed in seeds])
    return {
        "id": recipe.id,
        "method": recipe.method,
        "benchmark": recipe.benchmark,
        "metric": recipe.metric,
        "value": score["mean"],
        "low": score["low"],
        "high": score["high"],
        "per_seed": score["per_seed"],
        "seeds": [seed.seed for seed in seeds],
        "iqm": score["iqm"],
        "better": recipe.better,
        "bar": recipe.bar,
        "published": recipe.published,
        "source": recipe.source,
        "tolerance": recipe.tolerance,
        "num_seeds": len(seeds),
        "num_test_tasks": curve.num_tasks,
        "env_steps": int(np.mean([seed.env_steps for seed in seeds])),
        "wall_seconds": round(float(np.mean([seed.seconds for seed in seeds])), 1),
        "compile_seconds": round(float(np.mean([seed.compile_seconds for seed in seeds])), 1),
        "curve": _rounded(curve.per_episode()),
        "curve_per_seed": [_rounded(returns) for returns in curve.returns.mean(axis=1)],
        "greedy": {"value": greedy.score(recipe.metric)["mean"], "per_seed": greedy.score(recipe.metric)["per_seed"]},
        "other_measures": {name: curve.score(name)["per_seed"] for name in curve.scores() if name != recipe.metric},
        "references": {name: float(x.scores()[recipe.metric].mean()) for name, x in references.items()},
        **({} if contrasts is None else {"contrasts": contrasts}),
        "settings": dataclasses.asdict(recipe.settings),
        **provenance(),
        "command": f"innerloop reproduce {recipe.id}",
    }


def _rounded(x: np.ndarray) -> list[float]:
    return [float(f"{value:.5g}") for value in x]


def read_result(folder: str | Path, id: str) -> dict[str, Any] | None:
    """A stored result, or None."""
    path = Path(folder) / f"{id}.json"
    return json.loads(path.read_text()) if path.is_file() else None


def write_result(folder: str | Path, result: dict[str, Any]) -> Path:
    """Store a result, whole or not at all."""
    path = Path(folder) / f"{result['id']}.json"
    write_whole(path, json.dumps(result, indent=1) + "\n")
    return path


def agrees(value: float, stored: dict[str, Any]) -> bool:
    """Whether a value lies within the stored one's tolerance, a share of it."""
    return abs(value - stored["value"]) <= stored["tolerance"] * max(abs(stored["value"]), 1e-9)


def reaches_bar(value: float, recipe: Recipe) -> bool | None:
    """Whether a value is as good as it must be; None if nothing is asked."""
    if recipe.bar is None:
        return None
    return value >= recipe.bar if recipe.better == "higher" else value <= recipe.bar
