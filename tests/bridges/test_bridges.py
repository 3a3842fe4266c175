"""Without its package, a bridge says what to install, and nothing else needs it."""

import pytest

from innerloop import bridges
from innerloop._benchmark import OptionalRow
from innerloop._extras import EXTRAS, installed
from innerloop.benchmarks import REGISTRY, listed

CALLS = {
    "xland": bridges.xland,
    "gymnax": lambda: bridges.gymnax("CartPole-v1"),
    "brax": bridges.brax,
    "jumanji": lambda: bridges.jumanji("Maze-v0"),
}
ROWS = {name: row for name, row in REGISTRY.items() if isinstance(row, OptionalRow) and row.extra in CALLS}


@pytest.mark.parametrize("extra", CALLS)
def test_a_bridge_says_which_extra_it_needs(extra, monkeypatch):
    monkeypatch.setitem(EXTRAS, extra, "no_such_package")
    rows = [row for row in ROWS.values() if row.extra == extra]
    assert rows
    for build in (CALLS[extra], *rows):
        with pytest.raises(ValueError, match=rf"pip install 'innerloop\[{extra}\]'"):
            build()


@pytest.mark.parametrize("name", ROWS)
def test_rows_are_listed_without_being_built(name, monkeypatch):
    monkeypatch.setitem(EXTRAS, ROWS[name].extra, "no_such_package")
    assert listed(name) is ROWS[name]
    assert ROWS[name].name == name


@pytest.mark.parametrize("name", [name for name, row in ROWS.items() if installed(row.extra)])
def test_rows_are_as_listed(name):
    built = ROWS[name]()
    assert set(built.metrics) == {"last"}
    assert built.max_steps == ROWS[name].max_steps
