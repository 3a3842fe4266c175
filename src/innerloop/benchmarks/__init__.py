"""The table of benchmarks: one file for each family, in which each row is a function that builds its benchmark when asked.

To add a family, write a file with a function `rows()` and name it in `REGISTRY`. Where an env needs a package that is an
extra, the row is an `OptionalRow`. Sources of all published numbers are on the benchmark's page.
"""

import difflib
import functools

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
    **_packages.rows(),
}
"""Benchmarks by name, not built yet."""


@functools.cache
def benchmark(name: str) -> Benchmark:
    """The benchmark called `name`, built on the first call. Raises ValueError for a name that is not in `REGISTRY`."""
    if name not in REGISTRY:
        near = difflib.get_close_matches(name, REGISTRY, n=3, cutoff=0.4)
        hint = f"did you mean {', '.join(near)}?" if near else f"known names: {', '.join(sorted(REGISTRY))}."
        raise ValueError(f"benchmark(name={name!r}): there is no such benchmark; {hint}")
    return REGISTRY[name]()


def listed(name: str) -> Benchmark | OptionalRow:
    """What tables say of the benchmark called `name`; one that needs an extra is not built for that."""
    row = REGISTRY.get(name)
    return row if isinstance(row, OptionalRow) else benchmark(name)
