"""Run directories: complete, append-safe, and resumed bit for bit whatever stopped the run."""

import dataclasses
import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from acting import When, halt
from innerloop._callbacks import Evaluate, Interrupted, MetricsWriter, ProgressBar, StopOnSignal, headline, read_metrics
from innerloop._checkpoint import Checkpoint
from innerloop._evaluate import AdaptationCurve
from innerloop._machine import compilation_cache, machine
from innerloop._run import (
    RunConfig,
    agent_of,
    configure,
    evaluate_run,
    finished,
    learner_of,
    measured,
    resume,
    run_experiment,
)
from innerloop._sealed import CheckpointError, checkpoints, newest
from innerloop._session import load
from innerloop._train import Progress, TrainState
from innerloop.algorithms import PEARL, Memoryless, OffPolicy, OnPolicy, SoftActorCritic
from innerloop.benchmarks import benchmark
from innerloop.cli._train import new_folder
from marks import rarely
from table import bandit_trials

TINY = OnPolicy(num_updates=30, num_tasks=8, loss="a2c")
SOFT = OffPolicy(num_updates=4, num_tasks=4, num_gradient_steps=2, batch_size=16, capacity=300, widths=(4,))
OPTIONS = [
    *("memoryless", "eleven-arm", "--widths", "4", "--loss", "a2c", "--num-updates", "30", "--num-tasks", "8"),
    *("--log-every", "1", "--checkpoint-every", "1", "--evaluate-every", "15", "--num-test-tasks", "20"),
]


def config(**options: Any) -> RunConfig:
    """What `OPTIONS` say."""
    periods = {"log_every": 1, "checkpoint_every": 1, "evaluate_every": 15, "num_test_tasks": 20}
    return configure("memoryless", "eleven-arm", settings=Memoryless((4,), TINY), **{**periods, **options})


def arrays(folder: Path) -> dict[str, np.ndarray]:
    """All arrays of the newest checkpoint."""
    from safetensors.numpy import load_file

    return load_file(newest(folder)[0] / "state.safetensors")


def rows(folder: Path) -> list[dict[str, Any]]:
    """Rows of metrics without what depends on time."""
    timed = ("seconds", "compile_seconds", "steps_per_second")
    return [{name: x for name, x in row.items() if name not in timed} for row in read_metrics(folder / "metrics.jsonl")]


def assert_same_end(folder: Path, other: Path) -> None:
    a, b = arrays(folder), arrays(other)
    assert a.keys() == b.keys()
    for name in a:
        np.testing.assert_array_equal(a[name], b[name], err_msg=name)
    assert rows(folder) == rows(other)


@pytest.fixture(scope="module")
def whole(program_cache: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An uninterrupted run."""
    folder = tmp_path_factory.mktemp("runs") / "whole"
    run_experiment(config(), folder, show=False)
    return folder


def test_a_run_directory_is_complete(whole: Path) -> None:
    found = {str(path.relative_to(whole)) for path in whole.rglob("*")}
    expected = {"config.json", "metrics.jsonl", "evaluation.json", "evaluation.npz", "curve.png"}
    assert expected | {"references/random.npz", "checkpoints/000000030/agent.json"} <= found
    assert finished(whole)
    saved = json.loads((whole / "config.json").read_text())
    assert saved["settings"]["training"]["num_updates"] == 30
    assert {"method", "benchmark", "seed", "num_seeds", "versions", "commit", "machine"} <= saved.keys()
    assert RunConfig.read(whole) == config()
    text = (whole / "config.json").read_text()
    assert os.path.expanduser("~") not in text
    assert str(whole) not in text
    assert set(saved["machine"]) == {"cpu", "cores", "memory_gib", "platform", "devices"}


def test_metrics_have_a_row_for_every_update_and_the_held_out_curve(whole: Path) -> None:
    found = rows(whole)
    assert [row["update"] for row in found] == list(range(31))
    assert found[30]["env_steps"] == 30 * 8 * 5
    assert len(found[1]["episode_return"]) == 5
    assert {"loss", "entropy", "kl", "value_loss", "explained_variance", "gradient_norm"} <= found[1].keys()
    measured = [row["update"] for row in found if "test/trial_return" in row]
    assert measured == [0, 15, 30]
    assert len(found[15]["test/episode_return"]) == 5


def test_tensorboard_has_the_same(whole: Path) -> None:
    events = list(read_events(whole))
    tags = {value.tag for event in events for value in event.summary.value}
    episodes = {f"{kind}/episode_return/episode_00{i}" for kind in ("train", "test") for i in range(1, 6)}
    assert episodes | {"train/loss", "train/kl", "speed/steps_per_second", "speed/compile_seconds"} <= tags
    losses = [event.step for event in events for value in event.summary.value if value.tag == "train/loss"]
    assert losses == list(range(1, 31))


def read_events(folder: Path) -> Any:
    import struct

    from tensorboardX.proto.event_pb2 import Event

    for path in sorted((folder / "tensorboard").iterdir()):
        content, at = path.read_bytes(), 0
        while at < len(content):
            (length,) = struct.unpack("<Q", content[at : at + 8])
            yield Event.FromString(content[at + 12 : at + 12 + length])
            at += 16 + length


def test_evaluation_is_on_test_tasks_unless_it_says_otherwise(whole: Path) -> None:
    curves = evaluate_run(whole, num_tasks=20, references=False, plot=False)
    stored = json.loads((whole / "evaluation.json").read_text())
    assert (stored["tasks"], stored["num_tasks"], stored["actions"]) == ("test", 20, "sampled")
    np.testing.assert_array_equal(curves[0].returns, np.load(whole / "evaluation.npz")["returns"])
    train = evaluate_run(whole, tasks="train", num_tasks=20, greedy=True, references=False, plot=False)
    assert train[0].tasks == "train"
    assert json.loads((whole / "evaluation-train-greedy.json").read_text())["tasks"] == "train"
    with pytest.raises(ValueError, match="has no such tasks"):
        evaluate_run(whole, tasks="ood", num_tasks=20)


def test_a_run_is_deployed_from_its_folder(whole: Path) -> None:
    session = load(whole).start(seed=0)
    assert session.act(0) in range(11)


def test_sigkill_at_any_moment_changes_nothing(whole: Path, program_cache: Path, tmp_path: Path) -> None:
    folder = tmp_path / "killed"
    command = [sys.executable, "-m", "innerloop", "train", *OPTIONS, "--folder", str(folder), "--quiet"]
    source = str(Path(__file__).parents[1] / "src")
    environment = {**os.environ, "JAX_COMPILATION_CACHE_DIR": str(program_cache), "PYTHONPATH": source}
    process = subprocess.Popen(command, env=environment)
    try:
        wait_for(lambda: len(checkpoints(folder)) == 3 or process.poll() is not None, seconds=900)
    finally:
        process.send_signal(signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL, "it ended before it could be killed"
    with (folder / "metrics.jsonl").open("a") as file:
        file.write('{"update": 31, "loss"')
    assert not finished(folder)
    resume(folder, show=False, measure=False)
    assert_same_end(folder, whole)


def wait_for(condition: Callable[[], bool], seconds: float) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.01)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_saves_and_says_how_to_resume(number: signal.Signals, whole: Path, tmp_path: Path) -> None:
    folder = tmp_path / "stopped"
    before = signal.getsignal(number)
    stop = When(7, lambda: (os.kill(os.getpid(), number), time.sleep(0.1)))
    with pytest.raises(Interrupted, match=rf"{number.name} at update \d+ of 30 and saved.*innerloop resume") as caught:
        run_experiment(config(checkpoint_every=10), folder, show=False, callbacks=[stop])
    assert caught.value.signal_number == number
    assert signal.getsignal(number) is before
    assert newest(folder)[1]["update"] in (7, 8, 9)
    resume(folder, show=False, measure=False)
    assert_same_end(folder, whole)
    assert len(list((folder / "tensorboard").iterdir())) == 2


def test_the_second_signal_stops_at_once(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture) -> None:
    ended = threading.Event()
    monkeypatch.setattr(os, "_exit", lambda status: (statuses.append(status), ended.set()))
    statuses: list[int] = []
    stop = StopOnSignal(1)
    stop.open(1)
    try:
        for _ in range(2):
            os.kill(os.getpid(), signal.SIGINT)
            time.sleep(0.1)
        assert ended.wait(10)
    finally:
        stop.close(None)
    assert statuses == [130]
    assert "once more stops at once" in capsys.readouterr().err


def test_a_damaged_newest_checkpoint_costs_only_its_own_updates(
    whole: Path, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    import shutil

    folder = Path(shutil.copytree(whole, tmp_path / "damaged"))
    (checkpoints(folder)[0] / "state.safetensors").write_bytes(b"garbage")
    assert not finished(folder)
    resume(folder, show=False, measure=False)
    assert "000000030 is damaged" in capsys.readouterr().err
    assert_same_end(folder, whole)


def test_a_disk_that_fills_up_stops_the_run_with_one_error(
    whole: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(path: Path, *arguments: Any, **options: Any) -> Any:
        raise OSError(28, "No space left on device")

    folder = tmp_path / "full"
    fill = When(5, lambda: monkeypatch.setattr("innerloop._checkpoint.write_arrays", full))
    with pytest.raises(CheckpointError, match=r"No space left on device.*Earlier checkpoints are untouched"):
        run_experiment(config(), folder, show=False, callbacks=[fill])
    monkeypatch.undo()
    assert newest(folder)[1]["update"] == 5
    resume(folder, show=False, measure=False)
    assert_same_end(folder, whole)


@pytest.mark.parametrize("method", rarely(("pearl", "sac"), "sac"))
def test_replay_is_resumed_bit_for_bit(method: str, tmp_path: Path) -> None:
    """And a run's learner comes back with the state that its agent is part of."""
    settings: dict[str, Any] = {
        "pearl": PEARL(encoder_widths=(4,), training=SOFT),
        "sac": SoftActorCritic(training=dataclasses.replace(SOFT, priority=0.5)),
    }
    periods = {"log_every": 1, "checkpoint_every": 1, "num_test_tasks": 4}
    made = configure(method, "gridnavi-cells", settings=settings[method], **periods)
    whole, halted = tmp_path / "whole", tmp_path / "halted"
    run_experiment(made, whole, show=False, measure=False)
    with pytest.raises(RuntimeError, match="halted"):
        run_experiment(made, halted, show=False, measure=False, callbacks=[When(2, halt)])
    assert newest(halted)[1]["update"] < 4
    resume(halted, show=False, measure=False)
    assert_same_end(halted, whole)
    learner, state = learner_of(whole)
    for x, y in zip(jax.tree.leaves(learner.agent(state)), jax.tree.leaves(agent_of(whole)), strict=True):
        np.testing.assert_array_equal(x, y)
    assert int(state.replay.num_items.max()) > 0


def test_metrics_that_cannot_be_written_are_one_error(
    whole: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(self: MetricsWriter, progress: Progress) -> None:
        raise OSError(30, "Read-only file system")

    monkeypatch.setattr(MetricsWriter, "__call__", full)
    with pytest.raises(CheckpointError, match=r"cannot write to .*: Read-only file system"):
        run_experiment(config(), tmp_path / "readonly", show=False)


def test_folders_are_not_mixed_up(whole: Path, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="holds a run already"):
        run_experiment(config(), whole)
    with pytest.raises(ValueError, match=r"no config\.json"):
        resume(tmp_path)
    impossible = dataclasses.replace(TINY, loss="ppo", num_minibatches=3)
    wrong = dataclasses.replace(config(), settings=Memoryless((4,), impossible))
    with pytest.raises(ValueError, match="num_minibatches=3"):
        run_experiment(wrong, tmp_path / "wrong", show=False)
    assert not (tmp_path / "wrong").exists()


def test_two_processes_cannot_train_one_run(whole: Path) -> None:
    import fcntl

    with (whole / ".lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        with pytest.raises(ValueError, match="another process is training"):
            resume(whole)


def test_a_folder_that_another_process_trains_in_is_left_alone(tmp_path: Path) -> None:
    import fcntl

    with (tmp_path / ".lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        with pytest.raises(ValueError, match="another process is training"):
            run_experiment(config(), tmp_path, show=False)
    assert [path.name for path in tmp_path.iterdir()] == [".lock"]


def test_no_two_runs_are_given_one_folder(tmp_path: Path) -> None:
    with new_folder(tmp_path / "runs", "a:b") as first, new_folder(tmp_path / "runs", "a:b") as second:
        assert (first.name, second.name) == ("a-b", "a-b-2")
    with pytest.raises(KeyError), new_folder(tmp_path / "runs", "c") as empty:
        raise KeyError
    assert first.exists()
    assert not empty.exists()
    with suppress(KeyError), new_folder(tmp_path / "others", "d") as removed:
        removed.rmdir()  # as a run does that is refused before its first update
        raise KeyError
    assert not (tmp_path / "others").exists()


def test_what_was_measured_is_measured_again_if_it_is_old_or_damaged(whole: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(whole, tmp_path / "run"))
    curve = measured(folder, "evaluation", 20)
    assert curve is not None
    assert (curve.update, curve.num_tasks) == (30, 20)
    assert measured(folder, "evaluation", 21) is None
    dataclasses.replace(curve, update=15).save(folder, "evaluation")
    assert measured(folder, "evaluation", 20) is None
    evaluate_run(folder, num_tasks=20, references=False, plot=False)
    assert measured(folder, "evaluation", 20) is not None
    for damaged in ("evaluation.json", "evaluation.npz"):
        kept = (folder / damaged).read_bytes()
        (folder / damaged).write_bytes(kept[:30])
        assert measured(folder, "evaluation", 20) is None
        (folder / damaged).write_bytes(kept)
    assert measured(folder, "evaluation", 20) is not None


def test_a_measurement_that_cannot_be_written_leaves_the_last_one(whole: Path, tmp_path: Path) -> None:
    curve = AdaptationCurve.load(whole, "evaluation")
    curve.save(tmp_path, "old")
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    with pytest.raises(TypeError):
        dataclasses.replace(curve, label=object()).save(tmp_path, "old")
    (tmp_path / f".old.npz.{os.getpid()}.part").mkdir()
    with pytest.raises(IsADirectoryError):
        curve.save(tmp_path, "old")
    assert before.items() <= {path.name: path.read_bytes() for path in tmp_path.iterdir() if path.is_file()}.items()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"log_every": -1}, "log_every=-1"),
        ({"num_seeds": 0}, "num_seeds=0"),
        ({"checkpoint_every": 0}, "checkpoint_every=0"),
        ({"evaluate_every": -1}, "evaluate_every=-1"),
        ({"num_test_tasks": 0}, "num_test_tasks=0"),
        ({"seed": -1}, "seed=-1"),
    ],
)
def test_impossible_numbers_name_themselves(options: dict[str, int], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        config(**options)


def test_unknown_names_suggest_the_nearest() -> None:
    with pytest.raises(ValueError, match="unknown method 'memoryles': did you mean memoryless"):
        configure("memoryles", "eleven-arm")
    with pytest.raises(ValueError, match="did you mean eleven-arm"):
        configure("memoryless", "eleven-arms")


def test_periods_are_multiples_of_the_rows() -> None:
    found = config(log_every=4, checkpoint_every=6, evaluate_every=9)
    assert (found.checkpoint_every, found.evaluate_every) == (8, 12)


def test_settings_of_another_version_are_refused(tmp_path: Path) -> None:
    config().write(tmp_path)
    saved = json.loads((tmp_path / "config.json").read_text())
    saved["settings"]["training"]["entropy"] = 1.0
    (tmp_path / "config.json").write_text(json.dumps(saved))
    with pytest.raises(ValueError, match="OnPolicy has no setting entropy"):
        RunConfig.read(tmp_path)


def test_progress_without_a_terminal_is_lines_on_stderr(capsys: pytest.CaptureFixture) -> None:
    learner, collector = Memoryless((4,), TINY).learner(benchmark("eleven-arm")), bandit_trials()
    state = TrainState(None, None, jnp.zeros((), jnp.int32))
    progress = Progress(state, learner, collector, jax.random.key(0), 0, 4, None, 0, 1.5, 0.0)
    bar = ProgressBar(every=2)
    bar.open(4)
    bar(progress)
    progress.update, progress.env_steps, progress.train_seconds = 4, 100, 0.1
    progress.metrics = {"trial_return": np.asarray(2.5)}
    bar(progress)
    bar.close(None)
    lines = capsys.readouterr().err.splitlines()
    assert lines[0] == "compiling, then 4 updates"
    assert lines[1].startswith("update 0/4  compiled in 1.5 s")
    assert lines[2] == "update 4/4  return 2.5  1,000 steps/s  0:00 left"


def test_progress_shows_returns_before_and_after_adaptation() -> None:
    metrics = {"trial_return": -5.0, "episode_reward_mean": -38.25, "episode_reward_mean_adapt_1": np.array([-12.5])}
    assert headline(metrics) == "episode_reward_mean -38.25  adapt_1 -12.5"
    assert headline({"trial_return": np.array([1.0, 3.0])}) == "return 2"
    assert headline({"reward": 0.5}) == "reward 0.5"


def test_the_program_cache_survives_a_home_that_cannot_be_written(monkeypatch: pytest.MonkeyPatch) -> None:
    before = jax.config.jax_compilation_cache_dir
    assert compilation_cache() == Path(before)
    jax.config.update("jax_compilation_cache_dir", None)
    try:
        monkeypatch.setenv("XDG_CACHE_HOME", "/sys/nowhere")
        assert compilation_cache() is None
    finally:
        jax.config.update("jax_compilation_cache_dir", before)


def test_callbacks_check_their_arguments(tmp_path: Path) -> None:
    for build in (lambda: Checkpoint(tmp_path, every=0), lambda: Evaluate(bandit_trials(), every=0)):
        with pytest.raises(ValueError, match="every=0"):
            build()
    assert machine()["cores"] == os.cpu_count()
