"""Callbacks that show, record, measure and stop a run."""

import json
import math
import os
import signal
import socket
import sys
import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import jax
import numpy as np

from innerloop._checkpoint import Checkpoint
from innerloop._collect import JaxCollector
from innerloop._evaluate import AdaptationCurve, evaluate
from innerloop._files import write_whole
from innerloop._processes import SIGNALS, agreed
from innerloop._train import Progress

EVALUATION = np.uint32(2**32 - 2)
"""What the root key is folded with for evaluation, during training and after it."""


class Interrupted(RuntimeError):
    """The run was stopped by a signal and can be resumed. `signal_number` says by which."""

    def __init__(self, message: str, signal_number: int):
        super().__init__(message)
        self.signal_number = signal_number


def headline(metrics: Mapping[str, Any]) -> str:
    """What sums up a row of metrics: mean returns of an episode before and after adaptations, where those are known;
    else the return of a trial, or the reward of a step where there are no trials."""
    rounds = [name for name in metrics if name.startswith("episode_reward_mean")]
    if rounds:
        return "  ".join(f"{name.removeprefix('episode_reward_mean_')} {np.mean(metrics[name]):.4g}" for name in rounds)
    name = "trial_return" if "trial_return" in metrics else "reward"
    return f"{'return' if name == 'trial_return' else name} {np.mean(metrics[name]):.4g}" if name in metrics else ""


class ProgressBar:
    """Shows updates, return, steps a second and time left on stderr: a bar on a terminal, else a line now and then."""

    def __init__(self, every: int = 10, seconds_between_lines: float = 10.0):
        self.every = every
        self._pause = seconds_between_lines
        self._started = self._last_line = 0.0
        self._first: int | None = None
        self._bar: Any = None
        self._task: Any = None

    def open(self, num_updates: int) -> None:
        """Show that something is going on before the first update."""
        from rich import progress
        from rich.console import Console

        console = Console(stderr=True)
        self._started = time.monotonic()
        if not console.is_terminal:
            print(f"compiling, then {num_updates} updates", file=sys.stderr, flush=True)
            return
        self._bar = progress.Progress(
            progress.TextColumn("{task.description}"),
            progress.BarColumn(bar_width=30),
            progress.MofNCompleteColumn(),
            progress.TextColumn("{task.fields[told]}"),
            progress.TimeElapsedColumn(),
            progress.TextColumn("{task.fields[left]}"),
            console=console,
        )
        self._task = self._bar.add_task("compiling", total=num_updates, told="", left="")
        self._bar.start()

    def __call__(self, progress: Progress) -> None:
        if self._first is None:
            self._first, self._started = progress.update, time.monotonic()
        left = self._time_left(progress)
        told = "  ".join(part for part in (headline(progress.metrics), _speed(progress)) if part)
        if self._bar is not None:
            self._bar.update(self._task, description="training", completed=progress.update, told=told, left=left)
            return
        ended = progress.update == progress.num_updates
        if ended or time.monotonic() - self._last_line > self._pause:
            self._last_line = time.monotonic()
            line = f"update {progress.update}/{progress.num_updates}  {told}  {left}".rstrip()
            print(line, file=sys.stderr, flush=True)

    def _time_left(self, progress: Progress) -> str:
        done = progress.update - (self._first or 0)
        if not done:
            return ""
        seconds = (time.monotonic() - self._started) / done * (progress.num_updates - progress.update)
        return f"{int(seconds) // 60}:{int(seconds) % 60:02d} left"

    def close(self, error: BaseException | None) -> None:
        """Leave the bar as it stands."""
        if self._bar is not None:
            self._bar.stop()


def _speed(progress: Progress) -> str:
    rate = progress.steps_per_second
    return f"{rate:,.0f} steps/s" if progress.env_steps else f"compiled in {progress.compile_seconds:.1f} s"


class MetricsWriter:
    """Writes every row of metrics to `metrics.jsonl` and to TensorBoard.

    When a run goes on from a checkpoint, rows after it are dropped first, so no update is in the file twice.
    """

    def __init__(self, folder: str | Path, every: int = 1):
        self.every = every
        self._path = Path(folder) / "metrics.jsonl"
        self._events = Path(folder) / "tensorboard"
        self._board: _TensorBoard | None = None
        self._started = 0.0
        self._seconds_before = 0.0

    def open(self, num_updates: int) -> None:
        """Start the clock."""
        self._started = time.perf_counter()

    def __call__(self, progress: Progress) -> None:
        if self._board is None:
            rows = [row for row in read_metrics(self._path) if 0 < progress.update >= row["update"]]
            self._seconds_before = rows[-1]["seconds"] if rows else 0.0
            write_whole(self._path, "".join(json.dumps(row) + "\n" for row in rows))
            self._board = _TensorBoard(self._events, purge_after=progress.update)
            self._board.write(progress.update, {"speed/compile_seconds": progress.compile_seconds})
        if not progress.metrics:
            return
        row = {"update": progress.update, **self._speed(progress), **_plain(progress.metrics)}
        with self._path.open("a") as file:
            file.write(json.dumps(row) + "\n")
        self._board.write(progress.update, _scalars(row))

    def _speed(self, progress: Progress) -> dict[str, Any]:
        steps_per_update = progress.collector.steps_per_collect * (progress.num_seeds or 1)
        return {
            "env_steps": progress.update * steps_per_update,
            "seconds": round(self._seconds_before + time.perf_counter() - self._started, 3),
            "compile_seconds": round(progress.compile_seconds, 3),
            "steps_per_second": round(progress.steps_per_second, 1),
        }

    def close(self, error: BaseException | None) -> None:
        """Close the event file."""
        if self._board is not None:
            self._board.close()
            self._board = None


def read_metrics(path: str | Path) -> list[dict[str, Any]]:
    """Rows of a `metrics.jsonl`. A last line that a crash cut short is left out."""
    rows = []
    for line in Path(path).read_text().splitlines() if Path(path).exists() else []:
        try:
            rows.append(json.loads(line))
        except json.JSONDecodeError:
            break
    return rows


def _plain(metrics: Mapping[str, Any]) -> dict[str, Any]:
    """As JSON: NaN, which it does not have, becomes null."""

    def clean(x: Any) -> Any:
        return [clean(y) for y in x] if isinstance(x, list) else (x if math.isfinite(x) else None)

    return {name: clean(np.asarray(x, np.float64).tolist()) for name, x in metrics.items()}


def _scalars(row: Mapping[str, Any]) -> dict[str, float]:
    """TensorBoard tags of a row; seeds are averaged, and of many episodes ten are shown."""
    scalars = {"speed/steps_per_second": row["steps_per_second"]}
    for name, value in row.items():
        if name in ("update", "env_steps", "seconds", "compile_seconds", "steps_per_second"):
            continue
        tag, x = name if "/" in name else f"train/{name}", np.asarray(value, np.float64)
        if not name.endswith("episode_return"):
            scalars[tag] = float(x.mean())
            continue
        means = x.reshape(-1, x.shape[-1]).mean(axis=0)
        for i in sorted({*np.linspace(0, means.size - 1, min(10, means.size)).astype(int).tolist()}):
            scalars[f"{tag}/episode_{i + 1:03d}"] = float(means[i])
    return scalars


class _TensorBoard:
    """An event file, written at once: an error shows where it happens, not in a thread."""

    def __init__(self, folder: Path, purge_after: int):
        from tensorboardX.proto import event_pb2
        from tensorboardX.record_writer import RecordWriter

        folder.mkdir(parents=True, exist_ok=True)
        self._records = RecordWriter(str(folder / f"events.out.tfevents.{time.time_ns()}.innerloop"))
        self._event = event_pb2.Event
        self._put(file_version="brain.Event:2")
        # A session that starts at a step makes TensorBoard forget what earlier ones wrote from that step on.
        log = event_pb2.SessionLog(status=event_pb2.SessionLog.START)
        self._put(session_log=log, step=purge_after + 1 if purge_after else 0)

    def _put(self, **fields: Any) -> None:
        self._records.write(self._event(wall_time=time.time(), **fields).SerializeToString())
        self._records.flush()

    def write(self, step: int, scalars: Mapping[str, float]) -> None:
        from tensorboardX.proto.summary_pb2 import Summary

        values = [Summary.Value(tag=tag, simple_value=x) for tag, x in scalars.items() if math.isfinite(x)]
        self._put(summary=Summary(value=values), step=step)

    def close(self) -> None:
        self._records.close()


class Evaluate:
    """Callback that plays held-out tasks every `every` updates, always the same ones.

    Adds `test/episode_return`, `test/trial_return` and the benchmark's own metrics to the rows of the run (with another
    first part if `tasks` names other tasks), and keeps the curves with their update in `curves`.
    """

    def __init__(
        self,
        collector: JaxCollector,
        every: int,
        *,
        metrics: Mapping[str, Callable[..., Any]] | None = None,
        num_batches: int = 1,
        tasks: str = "test",
        greedy: bool = False,
    ):
        if every < 1:
            raise ValueError(f"Evaluate(every={every}): must be at least 1.")
        self.collector = collector
        self.every = every
        self.curves: list[tuple[int, AdaptationCurve]] = []
        self._options: dict[str, Any] = {
            "metrics": metrics,
            "num_batches": num_batches,
            "tasks": tasks,
            "greedy": greedy,
        }

    def open(self, num_updates: int) -> None:
        """Nothing to prepare."""

    def __call__(self, progress: Progress) -> None:
        if progress.update and not progress.metrics:
            return  # resumed: measured before the checkpoint was written
        key = jax.random.fold_in(progress.key, EVALUATION)
        curve = evaluate(key, progress.agent(), self.collector, num_seeds=progress.num_seeds, **self._options)
        self.curves.append((progress.update, curve))
        measured = {"episode_return": curve.returns.mean(axis=1)}
        measured |= {"trial_return" if name == "return" else name: x.mean(axis=1) for name, x in curve.scores().items()}
        for name, x in measured.items():
            progress.metrics[f"{curve.tasks}/{name}"] = np.asarray(x[0] if progress.num_seeds is None else x)

    def close(self, error: BaseException | None) -> None:
        """Nothing to clean up."""


class StopOnSignal:
    """Callback that makes Ctrl-C and SIGTERM stop a run between two updates, after a checkpoint.

    The first signal stops the run at its next look at it (every `every` updates), the second one at once. Outside of
    the main thread, where Python delivers no signals, it does nothing. Of several processes that train together, the
    leader's stops all.
    """

    def __init__(self, every: int, checkpoint: Checkpoint | None = None, resume: str = "restore and train(start=...)"):
        self.every = every
        self._checkpoint = checkpoint
        self._resume = resume
        self._received: int | None = None
        self._before: dict[int, Any] = {}
        self._wake: socket.socket | None = None
        self._wake_before = -1

    def open(self, num_updates: int) -> None:
        """Listen. A thread does, since Python's own handlers wait while compiled code runs."""
        if threading.current_thread() is not threading.main_thread():
            return
        listener, self._wake = socket.socketpair()
        self._wake.setblocking(False)
        self._received = None
        self._before = {number: signal.signal(number, _ignore) for number in SIGNALS}
        self._wake_before = signal.set_wakeup_fd(self._wake.fileno(), warn_on_full_buffer=False)
        threading.Thread(target=self._listen, args=(listener,), daemon=True).start()

    def _listen(self, listener: socket.socket) -> None:
        """Runs until the other end is closed."""
        while received := listener.recv(1):
            number = received[0]
            if number not in SIGNALS:
                continue
            name = signal.Signals(number).name
            if self._received is not None:
                _say(f"\x1b[?25h{name} again: stopping at once." if sys.stderr.isatty() else f"{name} again: stopping.")
                os._exit(128 + number)
            self._received = number
            _say(f"{name}: saving after the updates in progress; once more stops at once.")
        listener.close()

    def __call__(self, progress: Progress) -> None:
        if not agreed(self._received is not None):
            return
        received = self._received or signal.SIGTERM
        saved = ""
        if self._checkpoint is not None:
            self._checkpoint.write(progress)
            saved = " and saved"
        where = f"at update {progress.update} of {progress.num_updates}{saved}"
        name = signal.Signals(received).name
        raise Interrupted(f"stopped by {name} {where}. Go on with: {self._resume}", received)

    def close(self, error: BaseException | None) -> None:
        """Give the signals back."""
        if self._wake is None:
            return
        signal.set_wakeup_fd(self._wake_before)
        for number, handler in self._before.items():
            signal.signal(number, handler)
        self._wake.close()
        self._wake = None


def _ignore(number: int, frame: Any) -> None:
    """The listener acts on it."""


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)
