"""The tables of README and docs, rendered from the result files so that no figure is typed by hand.

A result file `benchmarks/results/<id>.json` has the fields of the design's section on results; any of them may be
missing or null. A result that misses its bar is shown as missed.
"""

import json
import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from innerloop._benchmark import Benchmark, OptionalRow, about
from innerloop.benchmarks import REGISTRY, listed
from innerloop.recipes import METHODS, RECIPES

Result = Mapping[str, Any]
BLOCK = re.compile(r"<!-- (?P<name>\w+)(?P<arguments>(?: [\w-]+)*):begin -->.*?<!-- (?P=name):end -->", re.DOTALL)
"""`<!-- NAME ARGUMENTS:begin -->` to `<!-- NAME:end -->`: what stands between is rendered."""
RAISED = str.maketrans("0123456789", "⁰¹²³⁴⁵⁶⁷⁸⁹")


def load_results(folder: Path) -> list[Result]:
    """All results: those with a recipe in its order, then the others by name."""
    results = [json.loads(path.read_text()) for path in sorted(folder.glob("*.json"))]
    order = {id: i for i, id in enumerate(RECIPES)}
    return sorted(results, key=lambda result: order.get(result["id"], len(order)))


def verdict(result: Result) -> str:
    """Whether the value reaches the bar."""
    value, bar = result.get("value"), result.get("bar")
    if value is None:
        return "not measured"
    if bar is None:
        return "no bar"
    return "reached" if (value <= bar if result.get("better") == "lower" else value >= bar) else "**missed**"


def results_table(results: Sequence[Result]) -> str:
    """One row for each result: what was measured, on how much, against which bar; notes of recipes below."""
    results = [result for result in results if "value" in result]
    if not results:
        return "*No result has been measured yet.*"
    notes = {result["id"]: list(RECIPES[result["id"]].notes.values()) for result in results if result["id"] in RECIPES}
    texts = dict.fromkeys(note for of_one in notes.values() for note in of_one)
    marks = {text: str(i).translate(RAISED) for i, text in enumerate(texts, 1)}
    rows = [
        [
            f"`{result['id']}`{' '.join(marks[note] for note in notes.get(result['id'], []))}",
            f"{result.get('metric') or 'return'} {'↓' if result.get('better') == 'lower' else '↑'}",
            _value(result),
            _number(result.get("bar")),
            _number(result.get("published")),
            verdict(result),
            f"{_number(result.get('num_seeds'))} × {_number(result.get('num_test_tasks'))}",
            _cost(result),
        ]
        for result in results
    ]
    head = [
        "result",
        "measure",
        "measured [95 %]",
        "bar",
        "published",
        "verdict",
        "seeds × tasks",
        "steps of training a seed",
    ]
    return "\n\n".join([_table(head, rows), *(f"{mark} {note}" for note, mark in marks.items())])


def seeds_table(results: Sequence[Result]) -> str:
    """Every seed of every result, what references scored on the same tasks, and how to measure it again."""
    rows = [
        [
            f"`{result['id']}`",
            ", ".join(_number(value) for value in result.get("per_seed") or []) or "–",
            _number((result.get("greedy") or {}).get("value")),
            ", ".join(f"{name} {_number(value)}" for name, value in (result.get("references") or {}).items()) or "–",
            _text(result.get("source")),
            _machine(result.get("machine")),
            str(result.get("commit") or "–")[:10],
            f"`{result['command']}`" if result.get("command") else "–",
        ]
        for result in results
    ]
    head = [
        "result",
        "each seed",
        "mean with greedy actions",
        "references",
        "source of bar",
        "machine",
        "commit",
        "command",
    ]
    return _table(head, rows)


def contrasts_table(results: Sequence[Result]) -> str:
    """What adaptation brings: mean returns of an episode by number of adaptations, of one seed, and of its contrasts."""
    rows = []
    for result in results:
        found = result.get("contrasts")
        if found is None:
            continue
        means = {name: x for name, x in found.items() if isinstance(x, list)}
        for name in means:
            steps = means[name] if len(set(means[name])) > 1 else means[name][:1]
            shown = " → ".join("diverged" if x is None else _number(x) for x in steps)
            rows.append([f"`{result['id']}`" if name == "adapted" else "", name, shown])
    if not rows:
        return "*Not measured yet.*"
    return _table(["result", "agent", "mean return of an episode after 0, 1, ... adaptations"], rows)


def peers_table(peers: Mapping[str, Any], results: Sequence[Result]) -> str:
    """Speed of today's libraries, and ours where `rl2-speed` measured the same work with the same or larger batches."""
    ours = {row["name"]: row for row in _speed_rows(results, "rl2-speed")}
    rows = []
    for row in peers["rows"]:
        same, large = (ours.get(row.get(kind), {}) for kind in ("same", "large"))
        theirs = [_number(row.get(name)) for name in ("steps_per_second", "compile_seconds")]
        here = [
            _number(x)
            for x in (same.get("steps_per_second"), large.get("steps_per_second"), same.get("compile_seconds"))
        ]
        rows.append([row["what"], row["library"], *theirs, *here])
    head = ["work", "library", "its env steps/s", "its compile s"]
    head += ["innerloop env steps/s, same batch", "large batch", "innerloop compile s"]
    return f"{_table(head, rows)}\n\nFigures of other libraries were measured {peers['measured']}."


def speed_table(results: Sequence[Result]) -> str:
    """Every row of `rl2-speed`."""
    rows = _speed_rows(results, "rl2-speed")
    if not rows:
        return "*Not measured yet.*"
    head = ["workload", "benchmark", "env steps/s", "compile s", "peak memory MiB", "share of the matrix-product rate"]
    names = ("steps_per_second", "compile_seconds", "peak_memory_mib")
    cells = [[f"`{row['name']}`", f"`{row['benchmark']}`", *(_number(row.get(name)) for name in names)] for row in rows]
    return _table(head, [[*cell, f"{row['share_of_matrix_rate']:.1%}"] for cell, row in zip(cells, rows, strict=True)])


def meta_speed_table(results: Sequence[Result]) -> str:
    """Every row of `maml-speed`: an update's cost, and how many times as fast as the peer whose work it does."""
    rows = _speed_rows(results, "maml-speed")
    if not rows:
        return "*Not measured yet.*"
    names = ("steps_per_update", "seconds_per_update", "seconds_of_play", "seconds_of_adapting", "compile_seconds")
    cells = []
    for row in rows:
        peer = row.get("peer") or row.get("beside") or {}
        theirs = [_text(peer.get("name")), _number(peer.get("seconds")), _number(row.get("ratio"))]
        cells.append([f"`{row['name']}`", f"`{row['benchmark']}`", *(_number(row.get(x)) for x in names), *theirs])
    head = ["workload", "benchmark", "env steps an update", "seconds an update", "of that play", "of that adapting"]
    head += ["compile s", "peer", "its seconds an update", "times as fast"]
    return _table(head, cells)


def core_speed_table(results: Sequence[Result]) -> str:
    """Every row of `core-speed`: cores as agents use them, and the parallel scan against the loop."""
    rows = _speed_rows(results, "core-speed")
    if not rows:
        return "*Not measured yet.*"

    def table(names: Mapping[str, str]) -> str:
        cells = [[f"`{row['name']}`", *(_number(row[x]) for x in names)] for row in rows if names.keys() <= row.keys()]
        return _table(["core", *names.values()], cells)

    agents = {
        "size": "width",
        "weights": "weights",
        "acting_steps_per_second": "acting, env steps/s",
        "training_steps_per_second": "training, env steps/s",
        "compile_seconds": "compile s",
    }
    scans = {
        "steps": "steps",
        "parallel_steps_per_second": "parallel scan, steps/s",
        "loop_steps_per_second": "loop, steps/s",
        "ratio": "ratio",
    }
    return f"{table(agents)}\n\n{table(scans)}"


def _speed_rows(results: Sequence[Result], id: str) -> list[dict[str, Any]]:
    return next((result["rows"] for result in results if result["id"] == id), [])


def methods_table() -> str:
    """Every method with the first line of what it says about itself."""
    rows = [[f"`{name}`", (method.__doc__ or "").strip().splitlines()[0]] for name, method in METHODS.items()]
    return _table(["method", "what it is"], rows)


def benchmarks_table(*prefixes: str) -> str:
    """Benchmarks whose name starts with one of `prefixes`, with references; without prefixes all, with sources."""
    rows = []
    for row in (listed(name) for name in REGISTRY if name.startswith(prefixes or "")):
        trial = f"{row.num_episodes} × {row.max_steps}"
        more = [", ".join(row.references) or "–", _known(row)] if prefixes else [row.source]
        rows.append([f"`{row.name}`", about(row), trial, *more])
    more_head = ["references", "known values"] if prefixes else ["source"]
    return _table(["benchmark", "what it is", "episodes × steps", *more_head], rows)


def _known(row: Benchmark | OptionalRow) -> str:
    return (
        "; ".join(
            f"{metric}: " + ", ".join(f"{policy} {_number(value)}" for policy, value in values.items())
            for metric, values in row.known.items()
        )
        or "–"
    )


def render(root: Path) -> dict[str, Callable[..., str]]:
    """What renders each block, by name, given the root of the repository."""
    results = load_results(root / "benchmarks" / "results")
    return {
        "results": lambda: results_table(results),
        "seeds": lambda: seeds_table(results),
        "contrasts": lambda: contrasts_table(results),
        "peers": lambda: peers_table(json.loads((root / "benchmarks" / "peers.json").read_text()), results),
        "meta_speed": lambda: meta_speed_table(results),
        "speed": lambda: speed_table(results),
        "core_speed": lambda: core_speed_table(results),
        "methods": methods_table,
        "benchmarks": benchmarks_table,
    }


def fill(text: str, blocks: Mapping[str, Callable[..., str]]) -> str:
    """`text` with every marked block rendered anew. Raises ValueError for a block without an end or a renderer."""

    def renew(match: re.Match[str]) -> str:
        name, arguments = match["name"], match["arguments"]
        if name not in blocks:
            raise ValueError(f"<!-- {name}:begin -->: nothing renders this; choose one of {', '.join(blocks)}.")
        return f"<!-- {name}{arguments}:begin -->\n{blocks[name](*arguments.split())}\n<!-- {name}:end -->"

    if text.count(":begin -->") != len(BLOCK.findall(text)):
        raise ValueError("a marker NAME:begin has no NAME:end after it; put it back.")
    return BLOCK.sub(renew, text)


def update_pages(root: Path, *, write: bool) -> list[Path]:
    """Render the tables of all pages; the pages whose tables were out of date, now written if `write`."""
    blocks = render(root)
    stale = []
    for path in [root / "README.md", *sorted((root / "docs").rglob("*.md"))]:
        text = path.read_text()
        new = fill(text, blocks)
        if new != text:
            stale.append(path)
            if write:
                path.write_text(new)
    return stale


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |" for line in lines)


def _value(result: Result) -> str:
    value, low, high = (_number(result.get(name)) for name in ("value", "low", "high"))
    return value if result.get("low") is None or result.get("high") is None else f"{value} [{low}, {high}]"


def _number(value: float | int | None) -> str:
    if value is None:
        return "–"
    if abs(value) >= 1e6:
        return f"{value / 1e6:.3g} M"
    return f"{value:,.0f}" if abs(value) >= 1e3 or float(value).is_integer() else f"{value:.4g}"


def _cost(result: Result) -> str:
    steps, seconds = result.get("env_steps"), result.get("wall_seconds")
    return "–" if steps is None and seconds is None else f"{_number(steps)} in {_duration(seconds)}"


def _duration(seconds: float | int | None) -> str:
    if seconds is None:
        return "–"
    return f"{seconds:.0f} s" if seconds < 120 else f"{seconds / 60:.0f} min"


def _machine(machine: Any) -> str:
    if not isinstance(machine, Mapping):
        return _text(machine)
    parts = [
        _text(machine.get("cpu")),
        f"{_number(machine.get('cores'))} cores",
        f"{_number(machine.get('memory_gib'))} GiB",
    ]
    return ", ".join([*parts, *(str(device) for device in machine.get("devices", ()) if device != "cpu")])


def _text(value: Any) -> str:
    return str(value) if value else "–"
