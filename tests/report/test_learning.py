"""Learning curves show the metrics of run directories."""

import json
from pathlib import Path

import numpy as np
import pytest
from matplotlib.figure import Figure

from innerloop.report import _learning, plot_learning


def make_run(folder: Path, method: str = "rl2", num_seeds: int | None = 2) -> Path:
    folder.mkdir()
    (folder / "config.json").write_text(json.dumps({"method": method, "num_seeds": num_seeds}))
    per_seed = [1.0, 2.0] if num_seeds else 1.5
    rows = [{"update": i, "env_steps": 200 * i, "trial_return": per_seed} for i in range(1, 5)]
    rows[-1]["test/trial_return"] = [3.0, 5.0] if num_seeds else 4.0
    (folder / "metrics.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return folder


@pytest.fixture
def drawn(monkeypatch: pytest.MonkeyPatch) -> list[Figure]:
    """The figures that were written."""
    figures: list[Figure] = []
    monkeypatch.setattr(_learning, "save", lambda figure, path: figures.append(figure))
    return figures


@pytest.mark.parametrize(("num_seeds", "steps"), [(2, [100, 200, 300, 400]), (None, [200, 400, 600, 800])])
def test_metrics_against_steps_of_one_agent(drawn, tmp_path, num_seeds, steps):
    plot_learning([make_run(tmp_path / "a", num_seeds=num_seeds)], tmp_path / "x.png")
    train, test = drawn[0].axes[0].get_lines()
    np.testing.assert_allclose(train.get_xydata(), [[step, 1.5] for step in steps])
    np.testing.assert_allclose(test.get_xydata(), [[steps[-1], 4.0]])
    assert len(drawn[0].axes[0].collections) == (1 if num_seeds else 0)


def test_names_tell_runs_apart(tmp_path):
    folders = [make_run(tmp_path / "a"), make_run(tmp_path / "b"), make_run(tmp_path / "c", method="memoryless")]
    assert [run.label for run in _learning.read_runs(folders)] == ["a", "b", "memoryless"]


def test_a_picture_is_written(tmp_path):
    plot_learning([make_run(tmp_path / "a")], tmp_path / "new" / "x.png", "title")
    assert (tmp_path / "new" / "x.png").read_bytes().startswith(b"\x89PNG")


def test_errors_name_what_is_missing(tmp_path):
    with pytest.raises(ValueError, match="at least one run"):
        plot_learning([], tmp_path / "x.png")
    with pytest.raises(ValueError, match=r"no config\.json"):
        plot_learning([tmp_path], tmp_path / "x.png")
