"""Pictures of beliefs and ways."""

import base64
import json
from pathlib import Path

import jax
import numpy as np
import pytest

from innerloop import _run, report
from innerloop._evaluate import AdaptationCurve
from innerloop._run import configure
from innerloop.agents import Belief
from innerloop.algorithms import PEARL, OffPolicy
from innerloop.benchmarks import benchmark
from innerloop.cli import main
from innerloop.report import plot_beliefs, plot_rollouts
from innerloop.report._beliefs import _first_components

KEY = jax.random.key(0)
POINT, GRID = benchmark("sparse-point"), benchmark("gridnavi")


def test_components_keep_distances_in_as_many_dimensions() -> None:
    x = np.asarray(jax.random.normal(KEY, (30, 2))) @ np.asarray([[1.0, 2.0, 0.0], [0.0, 1.0, -1.0]])
    drawn = _first_components(x, 2)
    for i, j in ((0, 1), (5, 17)):
        assert np.linalg.norm(drawn[i] - drawn[j]) == pytest.approx(np.linalg.norm(x[i] - x[j]), rel=1e-4)
    assert _first_components(np.ones((4, 1)), 2).shape == (4, 2)


def test_beliefs_and_ways_are_drawn(tmp_path: Path) -> None:
    settings = PEARL(latent_size=3, encoder_widths=(8,), training=OffPolicy(widths=(8,)))
    learner = settings.learner(POINT)
    agent = learner.agent(learner.init(KEY))
    plot_beliefs(agent, POINT.env, POINT.test, 3, tmp_path / "point.png", "a title", num_tasks=10)
    plot_beliefs(
        Belief(GRID.env.spec, key=KEY, latent_size=1), GRID.env, GRID.test, 2, tmp_path / "grid.png", num_tasks=5
    )
    plot_rollouts(agent, POINT.env, POINT.test, 3, tmp_path / "ways.png", num_tasks=2)
    for name in ("point", "grid", "ways"):
        assert (tmp_path / f"{name}.png").stat().st_size > 5000


def test_the_page_of_a_report_holds_what_is_drawn(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The agent is fresh, and what is drawn is a few bytes: training and drawing have tests of their own."""
    settings = PEARL(latent_size=2, encoder_widths=(4,), training=OffPolicy(widths=(4,), capacity=40))
    configure("pearl", "point-robot", settings=settings, num_test_tasks=20).write(tmp_path)
    (tmp_path / "metrics.jsonl").write_text(json.dumps({"update": 1, "env_steps": 60, "trial_return": 1.0}) + "\n")
    AdaptationCurve(np.zeros((1, 20, 3))).save(tmp_path, "evaluation")
    monkeypatch.setattr(_run, "agent_of", lambda folder: None)
    monkeypatch.setattr(report, "plot_beliefs", lambda *arguments: arguments[4].write_bytes(b"beliefs"))
    monkeypatch.setattr(report, "plot_rollouts", lambda *arguments: arguments[4].write_bytes(b"ways"))
    assert main(["report", str(tmp_path)]) == 0
    page = (tmp_path / "curve.html").read_text()
    for data in (b"beliefs", b"ways", (tmp_path / "learning.png").read_bytes()):
        assert f'base64,{base64.b64encode(data).decode()}"' in page


def test_what_cannot_be_drawn_is_refused(tmp_path: Path) -> None:
    agent = Belief(GRID.env.spec, key=KEY)
    with pytest.raises(ValueError, match="num_rounds=1"):
        plot_beliefs(agent, GRID.env, GRID.test, 1, tmp_path / "x.png")
    row = benchmark("cartpole")
    with pytest.raises(ValueError, match="env=CartPole"):
        plot_rollouts(Belief(row.env.spec, key=KEY), row.env, row.test, 1, tmp_path / "x.png")
