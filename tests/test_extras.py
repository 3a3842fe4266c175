"""Benchmarks whose env needs a package that may be missing."""

import pytest

from innerloop import _extras, benchmarks
from innerloop._benchmark import OptionalRow
from innerloop._task import Finite
from innerloop.cli import main
from innerloop.envs.cartpole import CartPole, standard_cartpole
from innerloop.report import _tables


def parts():
    _extras.package("absent")
    tasks: Finite = standard_cartpole()
    return {"env": CartPole(500), "train": tasks, "test": tasks}


ROW = OptionalRow(
    "absent", "far-away", "An env of a package.", "this test", 3, 500, parts, known={"return": {"a": 1.0}}
)


@pytest.fixture
def row(monkeypatch):
    monkeypatch.setitem(_extras.EXTRAS, "absent", "no_such_package")
    monkeypatch.setattr(benchmarks, "REGISTRY", {"far-away": ROW})
    monkeypatch.setattr(_tables, "REGISTRY", {"far-away": ROW})
    return ROW


def test_what_is_missing_is_listed_all_the_same(row, capsys):
    cells = "| `far-away` | An env of a package. (extra `absent`) | 3 × 500 |"
    assert f"{cells} this test |" in _tables.benchmarks_table()
    assert f"{cells} – | return: a 1 |" in _tables.benchmarks_table("far-")
    assert main(["list", "benchmarks"]) == 0
    assert "An env of a package. (extra `absent`)" in capsys.readouterr().out
    with pytest.raises(ValueError, match=r"no_such_package, which is not installed: pip install 'innerloop\[absent\]'"):
        row()


def test_what_is_there_is_built_and_must_be_as_listed(row, monkeypatch):
    monkeypatch.setitem(_extras.EXTRAS, "absent", "json")
    built = row()
    assert (built.name, built.num_episodes, built.max_steps, built.known) == ("far-away", 3, 500, row.known)
    other = OptionalRow("absent", "far-away", "An env.", "this test", 3, 499, parts)
    with pytest.raises(ValueError, match=r"max_steps=499\): its parts have 500"):
        other()
    other = OptionalRow("absent", "far-away", "An env.", "this test", 3, 500, parts, references=("random",))
    with pytest.raises(ValueError, match=r"references=\('random',\)\): its parts have \(\)"):
        other()
