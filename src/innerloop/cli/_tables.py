"""Tables for people, on stdout."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from rich import box
from rich.console import Console
from rich.table import Table

from innerloop._evaluate import AdaptationCurve

SHOWN = 5


def console() -> Console:
    """As wide as the terminal; wide enough for tables where there is none."""
    found = Console()
    return found if found.is_terminal else Console(width=120)


def shown_episodes(num_episodes: int) -> list[int]:
    """Which episodes (or rounds) get a column: all, or the first, the last and some between, counted from 0."""
    return sorted({*np.linspace(0, num_episodes - 1, min(SHOWN, num_episodes)).round().astype(int).tolist()})


def curves_table(curves: Sequence[AdaptationCurve], title: str) -> Table:
    """One row a policy: mean return of episodes of the trial, and every measure of whole trials with its interval."""
    caption = protocol(curves[0])
    table = Table(title=title, title_justify="left", caption=caption, caption_justify="left", box=box.SIMPLE_HEAD)
    table.add_column("policy", no_wrap=True)
    episodes = shown_episodes(curves[0].num_episodes)
    for i in episodes:
        table.add_column(f"ep. {i + 1}", justify="right", no_wrap=True)
    measures = [name for name in curves[0].scores() if len(episodes) > 1 or name != "return"]
    for name in measures:
        table.add_column(name, justify="right", no_wrap=True)
    for curve in curves:
        means, num_episodes = curve.per_episode(), curve.num_episodes
        label = curve.label if num_episodes == curves[0].num_episodes else f"{curve.label} ({num_episodes} episodes)"
        shown = (f"{means[i]:.3g}" if i < num_episodes else "–" for i in episodes)
        table.add_row(label, *shown, *(_score(curve, name) for name in measures))
    return table


def contrast_table(found: Mapping[str, Any], title: str) -> Table:
    """One row an agent: mean return of an episode after 0, 1, ... adaptations."""
    caption = f"{found['num_tasks']} held-out tasks; from scratch with step size {found['step_size']:g}"
    table = Table(title=title, title_justify="left", caption=caption, caption_justify="left", box=box.SIMPLE_HEAD)
    table.add_column("mean return of an episode", no_wrap=True)
    shown = shown_episodes(len(found["adapted"]))
    for i in shown:
        table.add_column(f"adapt {i}" if i else "no adaptation", justify="right", no_wrap=True)
    for name, means in found.items():
        if isinstance(means, list):
            table.add_row(name, *("diverged" if means[i] is None else f"{means[i]:.4g}" for i in shown))
    return table


def known_values(known: Mapping[str, Mapping[str, float]]) -> str:
    """Exact and published values of a benchmark, a line for each measure; their sources are in the documentation."""
    lines = [f"{name}: {', '.join(f'{who} {x:g}' for who, x in values.items())}" for name, values in known.items()]
    return "\n".join(f"known {line}" for line in lines)


def _score(curve: AdaptationCurve, name: str) -> str:
    score = curve.score(name)
    return f"{score['mean']:.4g} [{score['low']:.4g}, {score['high']:.4g}]"


def protocol(curve: AdaptationCurve) -> str:
    """What was measured on what."""
    seeds = f"{curve.num_seeds} seed{'s' * (curve.num_seeds > 1)}"
    actions = "greedy" if curve.greedy else "sampled"
    warning = "" if curve.tasks == "test" else f" These are {curve.tasks} tasks, not the held-out test tasks."
    return (
        f"{curve.num_tasks:,} {curve.tasks} tasks x {curve.num_episodes} episodes, {seeds}, {actions} actions; means "
        f"with 95 % intervals.{warning}"
    )
