"""Contrasts: the same net without learning to adapt, on the same tasks; and who has none."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from innerloop import _contrast, contrast_run
from innerloop._contrast import FINE_TUNED, SCRATCH, read_contrasts
from innerloop._evaluate import AdaptationCurve
from innerloop._run import RunConfig, configure, run_experiment, with_values
from innerloop.cli import main
from innerloop.recipes import default_settings


def small(method: str, benchmark: str, per_round: int | None = None, **training: object) -> RunConfig:
    values: dict[str, Any] = {"training": {"num_updates": 2, "num_tasks": 4, **training}}
    if per_round is not None:
        values["inner"] = {"episodes_per_round": per_round}
    settings = with_values(default_settings(method, benchmark), values)
    return configure(method, benchmark, settings=settings, num_test_tasks=24)


@pytest.fixture(scope="module")
def sine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Trained on three rounds of a task, one more than the benchmark has."""
    folder = tmp_path_factory.mktemp("runs") / "sine"
    run_experiment(
        small("maml", "sinusoid", num_updates=50, inner_adaptation_steps=2), folder, show=False, measure=False
    )
    with pytest.MonkeyPatch.context() as patch:
        cheap(patch, 8)
        contrast_run(folder, show=False)
        yield folder


def cheap(patch: pytest.MonkeyPatch, num_tasks: int) -> None:
    """One step size on few tasks: training from scratch is then one program, that is compiled once."""
    patch.setattr(_contrast, "RATES", (1e-2,))
    for name in ("NUM_TASKS", "NUM_TRIAL_TASKS"):
        patch.setattr(_contrast, name, num_tasks)


def test_a_run_stands_beside_its_contrasts(sine: Path) -> None:
    found = read_contrasts(sine)
    assert found is not None
    assert found.keys() == {"adapted", FINE_TUNED, SCRATCH, "step_size", "num_tasks"}
    assert [len(found[name]) for name in ("adapted", FINE_TUNED, SCRATCH)] == [3, 3, 3]
    assert None not in found[FINE_TUNED]
    curve = AdaptationCurve.load(sine, "evaluation")
    assert curve.num_tasks == found["num_tasks"] == 24
    assert found["adapted"] == pytest.approx(curve.per_episode().tolist(), abs=1e-3)
    # A hundred points and 200 steps of Adam fit a sine; a net that nobody has trained does not.
    assert found[SCRATCH][1] > -8.0 > found[SCRATCH][0]


def test_fine_tuning_is_the_same_run_without_adaptation_on_the_same_tasks(sine: Path) -> None:
    mixture, run = RunConfig.read(sine / "contrasts" / "fine-tuned"), RunConfig.read(sine)
    assert (mixture.settings.training.inner_adaptation_steps, run.settings.training.inner_adaptation_steps) == (0, 2)
    assert mixture.settings.net == run.settings.net
    assert mixture.settings.inner == run.settings.inner
    found = read_contrasts(sine)
    assert found is not None
    assert found[FINE_TUNED][0] != found["adapted"][0]


def test_a_second_call_trains_nothing_again(sine: Path) -> None:
    before = read_contrasts(sine)
    written = (sine / "contrasts" / "fine-tuned" / "metrics.jsonl").stat().st_mtime_ns
    assert contrast_run(sine, show=False) == before
    assert (sine / "contrasts" / "fine-tuned" / "metrics.jsonl").stat().st_mtime_ns == written


def test_measuring_on_fewer_tasks_leaves_the_evaluation_alone(sine: Path) -> None:
    before = AdaptationCurve.load(sine, "evaluation").returns.tobytes()
    assert _contrast._measured(sine, 12).num_tasks == 12
    assert AdaptationCurve.load(sine, "evaluation").returns.tobytes() == before


def test_rounds_are_those_of_the_run_whatever_the_length_of_a_curve() -> None:
    returns = np.broadcast_to(np.arange(7.0), (1, 2, 7))
    assert _contrast._rounds(AdaptationCurve(returns), num_rounds=3, per_round=2) == [0.5, 2.5, 4.5]


@pytest.mark.slow
def test_policies_have_an_oracle_and_the_table_shows_it(
    tmp_path: Path, capsys: pytest.CaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    cheap(monkeypatch, 2)
    monkeypatch.setattr(_contrast, "MORE_DATA", 2)
    folder = tmp_path / "point"
    run_experiment(
        small("maml", "point-robot", per_round=1, outer="vpg", inner_adaptation_steps=3),
        folder,
        show=False,
        measure=False,
    )
    assert main(["contrast", str(folder), "--quiet", "--num-tasks", "8"]) == 0
    out = capsys.readouterr().out
    assert all(
        name in out
        for name in ("no adaptation", "adapt 1", "adapt 3", "oracle", FINE_TUNED, SCRATCH, "8 held-out tasks")
    )
    found = read_contrasts(folder)
    assert found is not None
    assert len(found["oracle"]) == len(found["adapted"]) == 4
    assert all(x > y for x, y in zip(found["oracle"], found["adapted"], strict=True))


@pytest.mark.parametrize(
    ("method", "benchmark"), [("rl2", "two-arm"), ("reptile", "sinusoid"), ("fine-tuning", "sinusoid")]
)
def test_those_that_do_not_learn_to_adapt_have_nothing_to_contrast(
    method: str, benchmark: str, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    folder = tmp_path / method
    folder.mkdir()
    small(method, benchmark).write(folder)
    assert main(["contrast", str(folder)]) == 2
    assert f"{method} does not learn to adapt" in capsys.readouterr().err
    assert not (folder / "contrasts").exists()


def test_mistakes_are_told(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    assert main(["contrast", str(tmp_path / "nowhere")]) == 2
    assert "no run directory" in capsys.readouterr().err
    assert main(["contrast", str(tmp_path), "--num-tasks", "0"]) == 2
    assert "--num-tasks 0" in capsys.readouterr().err
