"""innerloop list"""

from dataclasses import dataclass
from typing import Any, Literal

import tyro

from innerloop.cli import UsageError
from innerloop.cli._parse import HELP_FLAGS, parse

Kind = Literal["all", "methods", "benchmarks", "recipes"]
UNLIMITED = 10_000


@dataclass(frozen=True)
class ListOptions:
    """What there is: methods and benchmarks to train, and recipes, each a method on a benchmark with the settings of a
    measured result. Name one kind for its details."""

    kind: tyro.conf.Positional[Kind] = "all"
    """Which of them."""


def list_command(arguments: list[str]) -> int:
    """Names of everything, or one kind with its details."""
    kinds = ("all", "methods", "benchmarks", "recipes")
    if arguments and arguments[0] not in (*kinds, *HELP_FLAGS) and not arguments[0].startswith("-"):
        raise UsageError(f"list {arguments[0]!r}: choose one of {', '.join(kinds[1:])}.")
    kind = parse(ListOptions, arguments, "list").kind
    for name, show in (("methods", _methods), ("benchmarks", _benchmarks), ("recipes", _recipes)):
        if kind in ("all", name):
            show(details=kind == name)
    return 0


def _table(title: str, name: str, *columns: str) -> Any:
    """A table whose first column, names, is never cut; the others fold where there is too little space."""
    from rich import box
    from rich.table import Table

    table = Table(title=title, title_justify="left", box=box.SIMPLE_HEAD)
    table.add_column(name, no_wrap=True)
    for column in columns:
        table.add_column(column, overflow="fold")
    return table


def _show(table: Any) -> None:
    """Print a table: as wide as it is where no terminal limits it, so that programs can read it line by line."""
    from innerloop.cli._tables import console

    found = console()
    if not found.is_terminal:
        found.width = UNLIMITED
    found.print(table)


def _methods(details: bool) -> None:
    from innerloop.cli._train import first_line
    from innerloop.recipes import METHODS

    table = _table("methods", "name", "what it is")
    for name, method in METHODS.items():
        table.add_row(name, first_line(method()))
    _show(table)


def _benchmarks(details: bool) -> None:
    import textwrap

    from innerloop._benchmark import about
    from innerloop.benchmarks import REGISTRY, listed
    from innerloop.cli._tables import console

    if not details:
        table = _table("benchmarks", "`innerloop list benchmarks` says what each is")
        width = min(76, console().width - 4)
        table.add_row(textwrap.fill("  ".join(REGISTRY), width, break_on_hyphens=False, break_long_words=False))
        _show(table)
        return
    table = _table("benchmarks", "name", "what it is", "episodes", "references")
    for name in REGISTRY:
        row = listed(name)
        table.add_row(name, about(row), str(row.num_episodes), ", ".join(row.references))
    _show(table)


def _recipes(details: bool) -> None:
    from innerloop.cli._tables import console
    from innerloop.recipes import RECIPES

    columns = ["method", "benchmark", "measure", "bar", "published", "seeds", *(("source",) if details else ())]
    terminal = console()
    narrow = terminal.is_terminal and terminal.width < (170 if details else 135)  # Columns would be cut into pieces.
    table = _table("recipes", "id", *(("what it is",) if narrow else columns))
    for row in RECIPES.values():
        bar = "" if row.bar is None else f"{'>=' if row.better == 'higher' else '<='} {row.bar:g}"
        published = "" if row.published is None else f"{row.published:g}"
        cells = [row.method, row.benchmark, row.metric, bar, published, str(row.num_seeds), row.source]
        told = "; ".join(f"{column} {cell}" for column, cell in zip(columns, cells, strict=False) if cell)
        table.add_row(row.id, *((told,) if narrow else cells[: len(columns)]))
    _show(table)
