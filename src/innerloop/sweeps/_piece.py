"""A piece of a run: from where it stands to some update, and at the end of its budget a measurement on training tasks.

A sweep plays its runs in such pieces, each in a process of its own: `python -m innerloop.sweeps._piece CORES`, with the cores
that it keeps to as a list in JSON, a job as a line of JSON on stdin, and an `Outcome` as the last line on stdout. A piece
stops, after a checkpoint, when its stdin is closed, so none outlives the process that started it.
"""

import contextlib
import json
import os
import sys
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, NamedTuple

from innerloop._callbacks import Interrupted
from innerloop._checkpoint import Checkpoint
from innerloop._machine import keep_to
from innerloop._run import RunConfig, evaluate_run, locked, measured, resume, run_experiment
from innerloop._train import NonFiniteError, Progress

PATIENCE = 60.0
"""Seconds to wait for another process that still holds the run: one that was told to stop, or is about to be killed."""
CURVE = "evaluation-train"


@dataclass(frozen=True)
class Job:
    """Take the run in `folder` to update `until`; at the end of its budget measure it on `num_tasks` training tasks.

    With no tasks it is not measured.
    """

    config: RunConfig
    folder: Path
    until: int
    num_tasks: int = 0

    def to_json(self) -> dict[str, Any]:
        """As plain values."""
        about = {"folder": str(self.folder), "until": self.until, "num_tasks": self.num_tasks}
        return {**about, "config": self.config.to_json()}

    @staticmethod
    def from_json(saved: Mapping[str, Any]) -> "Job":
        """From what `to_json` gave."""
        return Job(RunConfig.from_json(saved["config"]), Path(saved["folder"]), saved["until"], saved["num_tasks"])


class Outcome(NamedTuple):
    """How a piece ended: done, stopped on request, diverged, refused (the message says why), or crashed."""

    kind: Literal["done", "stopped", "diverged", "refused", "crashed"]
    message: str = ""


class _Pause(Exception):
    """The piece is over, the run is not."""


class _PauseAt:
    """Callback that stops the run at an update, or as soon as it may when `stop` is set; after a checkpoint."""

    def __init__(self, until: int, every: int, folder: Path, stop: threading.Event):
        self.every = every
        self._until = until
        self._folder = folder
        self._stop = stop

    def open(self, num_updates: int) -> None:
        """Nothing to prepare."""

    def __call__(self, progress: Progress) -> None:
        at_end = progress.update == progress.num_updates
        if at_end or not (progress.update >= self._until or self._stop.is_set()):
            return
        if progress.update and not (self._folder / f"{progress.update:09d}").exists():
            Checkpoint(self._folder).write(progress)
        raise _Pause

    def close(self, error: BaseException | None) -> None:
        """Nothing to clean up."""


def play(job: Job, stop: threading.Event | None = None) -> Outcome:
    """Play a piece. Whatever stopped an earlier attempt, it goes on from the newest checkpoint."""
    stop = threading.Event() if stop is None else stop
    _wait_for_lock(job.folder)
    callbacks = [_PauseAt(job.until, job.config.log_every, job.folder / "checkpoints", stop)]
    try:
        if not (job.folder / "config.json").exists():
            run_experiment(job.config, job.folder, show=False, measure=False, callbacks=callbacks)
        elif RunConfig.read(job.folder) != job.config:
            return Outcome(
                "refused", f"{job.folder} was made with other settings; remove it, or choose another folder."
            )
        else:
            resume(job.folder, show=False, measure=False, callbacks=callbacks)
        if job.num_tasks and measured(job.folder, CURVE, job.num_tasks) is None:
            evaluate_run(job.folder, tasks="train", num_tasks=job.num_tasks, references=False, plot=False)
    except _Pause:
        return Outcome("stopped" if stop.is_set() else "done")
    except Interrupted as error:
        return Outcome("stopped", str(error))
    except NonFiniteError as error:
        return Outcome("diverged", " ".join(str(error).split()))
    except ValueError as error:
        return Outcome("refused", " ".join(str(error).split()))
    return Outcome("done")


def _wait_for_lock(folder: Path) -> None:
    """Until no other process trains the run, or patience ends: then the run itself refuses."""
    deadline = time.monotonic() + PATIENCE
    while (folder / ".lock").exists() and time.monotonic() < deadline:
        with contextlib.suppress(ValueError), locked(folder):
            return
        time.sleep(0.5)


def _main() -> int:
    keep_to(json.loads(sys.argv[1]))
    job = Job.from_json(json.loads(sys.stdin.readline()))
    stop = threading.Event()

    def follow() -> None:
        os.read(0, 1)
        stop.set()

    threading.Thread(target=follow, daemon=True).start()
    print(json.dumps(play(job, stop)), flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(_main())
