"""Adaptation curves as pictures: the return of each episode of a trial, as an image and as a self-contained page."""

import base64
import textwrap
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import plotly.graph_objects as go
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from innerloop._evaluate import AdaptationCurve

COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#8C564B")
"""Colours that stay apart for colour-blind readers (Okabe and Ito 2008), then one more."""
GREYS = ("#222222", "#666666", "#999999")
DASHES = ("--", ":", "-.")
PLOTLY_DASHES = {"-": "solid", "--": "dash", ":": "dot", "-.": "dashdot"}
MOST_SEED_LINES = 10
MOST_MARKERS = 12


class Style(NamedTuple):
    """How a curve is drawn: agents solid and coloured, references dashed and grey."""

    curve: AdaptationCurve
    colour: str
    dash: str
    is_reference: bool


def plot_curve(
    curves: Sequence[AdaptationCurve], path: str | Path, title: str = "", references: Sequence[AdaptationCurve] = ()
) -> None:
    """Draw adaptation curves into an image file; its suffix (.png, .svg, .pdf) names the format.

    One line for each curve: mean return by episode of the trial, with its 95 % bootstrap interval as a band and single
    seeds as thin lines. `references` are grey and dashed. Trials of one episode become one point for each curve. The
    caption says what was measured: tasks, seeds, kind of actions.
    """
    styles = _styles(curves, references)
    figure = Figure(figsize=(7.2, 4.6), dpi=140, layout="constrained")
    axes = figure.add_subplot()
    if max(style.curve.num_episodes for style in styles) == 1:
        _draw_points(axes, styles)
    else:
        for style in styles:
            _draw_line(axes, style)
        _finish_lines(axes)
    axes.set_ylabel("return")
    decorate(figure, axes, title, caption([*curves, *references]))
    save(figure, path)


def html_curve(
    curves: Sequence[AdaptationCurve],
    path: str | Path,
    title: str = "",
    references: Sequence[AdaptationCurve] = (),
    pictures: Sequence[str | Path] = (),
) -> None:
    """The same as an interactive page. It holds all it needs (about 5 MB), so it opens without a network.

    `pictures` are PNG files that stand below the curves, copied into the page.
    """
    styles = _styles(curves, references)
    longest = max(style.curve.num_episodes for style in styles)
    figure = go.Figure()
    for style in styles:
        figure.add_traces(_traces(style) if longest > 1 else [_point(style)])
    text = wrapped(caption([*curves, *references]), 150).replace("\n", "<br>")
    heading = textwrap.fill(title, 80).replace("\n", "<br>")
    figure.update_layout(
        title={
            "text": f"<b>{heading}</b>",
            "subtitle": {"text": text, "font": {"size": 12}},
            "yref": "paper",
            "y": 1.0,
            "yanchor": "bottom",
            "pad": {"b": 44 + 16 * text.count("<br>") + 20 * heading.count("<br>")},
        },
        template="plotly_white",
        font={"family": "system-ui, sans-serif", "size": 15},
        hovermode="x unified" if longest > 1 else "closest",
        xaxis={
            "title": "episode of the trial" if longest > 1 else None,
            "dtick": 1 if longest <= MOST_MARKERS else None,
        },
        yaxis={"title": "return"},
        margin={"t": 110 + 18 * text.count("<br>") + 46 * heading.count("<br>")},
    )
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    page = figure.to_html(include_plotlyjs=True, config={"displaylogo": False}, default_height="95vh")
    head, end, tail = page.rpartition("</body>")
    below = "".join(_embedded(Path(picture)) for picture in pictures)
    Path(path).write_text(f"{head}{below}{end}{tail}", encoding="utf-8")


def _embedded(picture: Path) -> str:
    """A PNG file as a part of a page."""
    data = base64.b64encode(picture.read_bytes()).decode()
    style = "max-width: 100%; display: block; margin: 2em auto"
    return f'<img id="{picture.stem}" alt="{picture.stem}" style="{style}" src="data:image/png;base64,{data}">\n'


def caption(curves: Sequence[AdaptationCurve]) -> str:
    """What was measured on what: curves with the same protocol share a line."""
    groups: dict[str, list[str]] = {}
    for curve in curves:
        protocol = (
            f"{curve.num_tasks:,} {curve.tasks} tasks × {count(curve.num_episodes, 'episode')}, "
            f"{count(curve.num_seeds, 'seed')}, {'greedy' if curve.greedy else 'sampled'} actions"
        )
        groups.setdefault(protocol, []).append(curve.label)
    mark = "band" if any(curve.num_episodes > 1 for curve in curves) else "bar"
    what = f"Mean return over tasks and seeds; {mark}: 95 % bootstrap interval"
    what += "; thin lines: single seeds." if any(_shows_seeds(curve) for curve in curves) else "."
    return "\n".join([what, *(f"{', '.join(labels)}: {protocol}" for protocol, labels in groups.items())])


def count(number: int, noun: str) -> str:
    """`3 seeds`, `1 seed`."""
    return f"{number} {noun}{'s' * (number != 1)}"


def decorate(figure: Figure, axes: Axes, title: str, below: str) -> None:
    """The look that all pictures share: title above, names at the ends of lines, what was measured below."""
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(axis="y", color="0.9", linewidth=0.8)
    axes.set_axisbelow(True)
    figure.suptitle(textwrap.fill(title, 78), x=0.02, ha="left", fontsize=11, fontweight="bold")
    figure.supxlabel(wrapped(below, 118), x=0.02, ha="left", fontsize=7.5, color="0.35")


def wrapped(text: str, width: int) -> str:
    """Lines of at most `width` letters."""
    return "\n".join(textwrap.fill(line, width, subsequent_indent="    ") for line in text.splitlines())


def save(figure: Figure, path: str | Path) -> None:
    """Write a figure, making the folder if need be."""
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path)


def name_lines(axes: Axes) -> None:
    """Write the names of lines beside their ends, as far apart as they must be to be read."""
    axes.margins(x=0.02)
    lines = [line for line in axes.get_lines() if not str(line.get_label()).startswith("_")]
    ends = [(float(np.asarray(line.get_xdata())[-1]), float(np.asarray(line.get_ydata())[-1])) for line in lines]
    low, high = axes.get_ylim()
    heights = spread([(y - low) / (high - low) for _, y in ends], gap=0.052)
    for line, end, height in zip(lines, ends, heights, strict=True):
        colour = line.get_color()
        axes.annotate(
            str(line.get_label()),
            end,
            (1.05, height),
            textcoords="axes fraction",
            va="center",
            color=colour,
            fontsize=9,
            arrowprops={"arrowstyle": "-", "color": colour, "linewidth": 0.6, "shrinkA": 1, "shrinkB": 3},
            annotation_clip=False,
        )


def spread(heights: Sequence[float], gap: float) -> list[float]:
    """The heights, moved as little as need be to lie at least `gap` apart and not above 1."""
    order = sorted(range(len(heights)), key=lambda i: heights[i])
    moved = [heights[i] for i in order]
    for i in range(1, len(moved)):
        moved[i] = max(moved[i], moved[i - 1] + gap)
    limit = 1.0
    for i in reversed(range(len(moved))):
        moved[i] = min(moved[i], limit)
        limit = moved[i] - gap
    return [height for _, height in sorted(zip(order, moved, strict=True))]


def _styles(curves: Sequence[AdaptationCurve], references: Sequence[AdaptationCurve]) -> list[Style]:
    if not curves and not references:
        raise ValueError("curves=[]: there is nothing to draw; pass at least one AdaptationCurve.")
    return [Style(curve, COLOURS[i % len(COLOURS)], "-", False) for i, curve in enumerate(curves)] + [
        Style(curve, GREYS[i % 3], DASHES[(i + i // 3) % 3], True) for i, curve in enumerate(references)
    ]


def _shows_seeds(curve: AdaptationCurve) -> bool:
    return 1 < curve.num_seeds <= MOST_SEED_LINES and curve.num_episodes > 1


def _draw_line(axes: Axes, style: Style) -> None:
    curve, colour, dash, is_reference = style
    episodes = np.arange(1, curve.num_episodes + 1)
    low, high = curve.interval().T
    marker = "" if is_reference or curve.num_episodes > MOST_MARKERS else "o"
    axes.fill_between(episodes, low, high, color=colour, alpha=0.06 if is_reference else 0.2, linewidth=0)
    if _shows_seeds(curve):
        axes.plot(episodes, curve.returns.mean(axis=1).T, color=colour, linewidth=0.6, alpha=0.5)
    axes.plot(
        episodes,
        curve.per_episode(),
        color=colour,
        linestyle=dash,
        marker=marker,
        markersize=4,
        linewidth=1.4 if is_reference else 2.0,
        zorder=3 - is_reference,
        label=curve.label,
    )


def _finish_lines(axes: Axes) -> None:
    low, high = axes.dataLim.intervalx
    inner = [tick for tick in MaxNLocator(9, integer=True).tick_values(low, high) if low < tick <= high]
    axes.set_xticks([low, *(tick for tick in inner if tick - low > (high - low) / 30)])
    axes.set_xlabel("episode of the trial")
    name_lines(axes)


def _draw_points(axes: Axes, styles: Sequence[Style]) -> None:
    for i, (curve, colour, _, _) in enumerate(styles):
        (mean,), ((low, high),) = curve.per_episode(), curve.interval()
        axes.errorbar([i], [mean], [[max(0.0, mean - low)], [max(0.0, high - mean)]], color=colour, fmt="o", capsize=5)
        if curve.num_seeds > 1:
            axes.plot([i + 0.12] * curve.num_seeds, curve.returns.mean(axis=(1, 2)), ".", color=colour, alpha=0.6)
    axes.set_xticks(range(len(styles)), [style.curve.label for style in styles], rotation=20 if len(styles) > 5 else 0)
    axes.set_xlim(-0.6, len(styles) - 0.4)


def _traces(style: Style) -> list[go.Scatter]:
    curve, colour, dash, is_reference = style
    episodes = list(range(1, curve.num_episodes + 1))
    mean, (low, high) = curve.per_episode(), curve.interval().T
    silent: dict[str, Any] = {"showlegend": False, "hoverinfo": "skip", "legendgroup": curve.label}
    band = go.Scatter(
        x=episodes + episodes[::-1],
        y=[*high, *low[::-1]],
        fill="toself",
        fillcolor=colour,
        opacity=0.06 if is_reference else 0.15,
        line={"width": 0},
        mode="lines",
        **silent,
    )
    seeds = [
        go.Scatter(x=episodes, y=list(row), mode="lines", line={"color": colour, "width": 0.8}, opacity=0.5, **silent)
        for row in (curve.returns.mean(axis=1) if _shows_seeds(curve) else [])
    ]
    line = go.Scatter(
        x=episodes,
        y=list(mean),
        mode="lines" if is_reference or curve.num_episodes > MOST_MARKERS else "lines+markers",
        name=curve.label,
        legendgroup=curve.label,
        hovertemplate="%{y:.3f}",
        line={"color": colour, "dash": PLOTLY_DASHES[dash], "width": 1.8 if is_reference else 2.5},
    )
    return [band, *seeds, line]


def _point(style: Style) -> go.Scatter:
    """The mean return of trials of one episode, over the name of the curve."""
    (mean,), ((low, high),) = style.curve.per_episode(), style.curve.interval()
    return go.Scatter(
        x=[style.curve.label],
        y=[mean],
        mode="markers",
        marker={"color": style.colour, "size": 9},
        showlegend=False,
        name=style.curve.label,
        error_y={"array": [high - mean], "arrayminus": [mean - low]},
        hovertemplate="%{y:.3f}",
    )
