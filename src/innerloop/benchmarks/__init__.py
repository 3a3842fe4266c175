"""The table of benchmarks: one file for each family, in which each row is a function that builds its benchmark when asked.

To add a family, write a file with a function `rows()` and name it in `REGISTRY`. Where an env needs a package that is an
extra, the row is an `OptionalRow`. Sources of all published numbers are on the benchmark's page.
"""

import difflib
import functools
import importlib
import os
import sys

from innerloop._benchmark import Benchmark, OptionalRow, Rows
from innerloop.benchmarks import (
    _bandits,
    _control,
    _glyphs,
    _grids,
    _hunts,
    _memory,
    _navigation,
    _packages,
    _regression,
    _reoccurring,
    _robots,
    _tabular,
)

REGISTRY: Rows = {
    **_bandits.rows(),
    **_tabular.rows(),
    **_grids.rows(),
    **_hunts.rows(),
    **_memory.rows(),
    **_reoccurring.rows(),
    **_control.rows(),
    **_navigation.rows(),
    **_regression.rows(),
    **_glyphs.rows(),
    **_robots.rows(),
    **_packages.rows(),
}
"""Benchmarks by name, not built yet."""


@functools.cache
def benchmark(name: str) -> Benchmark:
    """The benchmark called `name`, built on the first call.

    "MODULE:NAME" is one of the user's own: a `Benchmark` in a module that can be imported from where the program was
    started, or a function that says `-> Benchmark`. Raises ValueError for a name that leads nowhere.
    """
    if ":" in name:
        return _imported(name)
    if name not in REGISTRY:
        near = difflib.get_close_matches(name, REGISTRY, n=3, cutoff=0.4)
        hint = f"did you mean {', '.join(near)}?" if near else f"known names: {', '.join(sorted(REGISTRY))}."
        raise ValueError(f"benchmark(name={name!r}): there is no such benchmark; {hint}")
    return REGISTRY[name]()


def _imported(name: str) -> Benchmark:
    """One of the user's own. A function is called only if it says that it makes one: names come from run directories,
    too, and reading those must not call just anything."""
    module_name, _, attribute = name.partition(":")
    if (here := os.getcwd()) not in sys.path:
        sys.path.insert(0, here)
    try:
        found = getattr(importlib.import_module(module_name), attribute)
    except ModuleNotFoundError as error:
        raise ValueError(
            f"benchmark(name={name!r}): {error}. A benchmark of your own is MODULE:NAME, and {here} or the Python path has "
            "to hold the module."
        ) from error
    except AttributeError as error:
        raise ValueError(f"benchmark(name={name!r}): {module_name} has no {attribute!r}.") from error
    if not isinstance(found, Benchmark | OptionalRow):
        told = getattr(found, "__annotations__", {}).get("return", None)
        if str(getattr(told, "__name__", told)).split(".")[-1] != Benchmark.__name__:
            raise ValueError(
                f"benchmark(name={name!r}): is no Benchmark, nor a function with `-> innerloop.Benchmark`; write that down."
            )
    built = found if isinstance(found, Benchmark) else found()
    if not isinstance(built, Benchmark):
        raise ValueError(f"benchmark(name={name!r}): makes a {type(built).__name__}, not a Benchmark.")
    return built


def listed(name: str) -> Benchmark | OptionalRow:
    """What tables say of the benchmark called `name`; one that needs an extra is not built for that."""
    row = REGISTRY.get(name)
    return row if isinstance(row, OptionalRow) else benchmark(name)
