"""Where time goes: figures that belong together, and parts that are found where they are."""

import json
from pathlib import Path

import pytest

from innerloop._profile import profile
from innerloop._run import configure
from innerloop.algorithms import Memoryless, OnPolicy
from innerloop.cli import main


def test_parts_add_up_and_heavy_learning_is_found(
    capsys: pytest.CaptureFixture, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("innerloop._profile.MIN_SECONDS", 0.0)
    options = [
        "--widths",
        "4",
        "--num-tasks",
        "8",
        "--num-minibatches",
        "2",
        "--num-updates",
        "40",
        "--num-epochs",
        "200",
    ]
    assert (
        main(["profile", "memoryless", "eleven-arm", *options, "--num-repeats", "5", "--trace", "trace", "--json"]) == 0
    )
    found = json.loads(capsys.readouterr().out)
    assert found["steps_per_update"] == 8 * 5
    assert (found["log_every"], found["num_updates"], found["num_repeats"]) == (1, 1, 5), (
        "a disk may stall once, or twice"
    )
    assert sum(found["parts"].values()) == pytest.approx(found["update_seconds"])
    assert max(found["parts"], key=found["parts"].get) == "update", "400 gradient steps on 40 steps of experience"
    assert min(found["compile_seconds"], found["trace_seconds"], found["flops"], found["peak_bytes"]) > 0
    assert list(Path("trace").rglob("perfetto_trace.json.gz"))
    assert [path.name for path in tmp_path.iterdir()] == ["trace"], "nothing of the run is kept"


@pytest.mark.slow
def test_several_seeds_and_the_table(capsys: pytest.CaptureFixture, monkeypatch: pytest.MonkeyPatch) -> None:
    from innerloop.cli._profile import _show

    monkeypatch.setattr("innerloop._profile.MIN_SECONDS", 0.0)
    settings = Memoryless((4,), OnPolicy(num_updates=400, num_tasks=8, loss="a2c"))
    config = configure("memoryless", "eleven-arm", settings=settings, num_seeds=2)
    found = profile(config, num_updates=3, num_repeats=1)
    assert (found.steps_per_update, found.num_updates, found.log_every) == (2 * 8 * 5, 2, 2)
    _show(found, "memoryless on eleven-arm")
    out = capsys.readouterr().out
    assert "80 environment steps an update" in out
    assert all(f"\n  {part} " in out for part in (*found.parts(), "compile", "whole"))
    with pytest.raises(ValueError, match="num_repeats=0"):
        profile(config, num_repeats=0)
