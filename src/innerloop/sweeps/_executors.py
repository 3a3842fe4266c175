"""Where the pieces of a sweep are played: in processes on this machine, or on the machines of a Ray cluster."""

import contextlib
import json
import queue
import subprocess
import sys
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import IO, Any, Protocol, runtime_checkable

from innerloop._extras import package
from innerloop._machine import share_of_cores
from innerloop.sweeps._piece import Job, Outcome, play


@runtime_checkable
class Executor(Protocol):
    """Plays jobs side by side; as a context manager it stops those that are left at its end, after a checkpoint."""

    def __enter__(self) -> "Executor": ...

    def __exit__(self, *error: object) -> None: ...

    def num_workers(self) -> int:
        """How many jobs it plays at a time."""

    def submit(self, job: Job) -> Future[Outcome]:
        """Play a job. A process that is killed is started again, and goes on from the newest checkpoint."""


class Local:
    """Processes on this machine, `workers` at a time, each with its share of the cores, and started anew at most `retries`
    times after it was killed."""

    def __init__(self, workers: int = 1, retries: int = 2):
        if workers < 1 or retries < 0:
            raise ValueError(f"Local(workers={workers}, retries={retries}): need at least 1 and at least 0.")
        self.workers = workers
        self.retries = retries
        self._processes: set[subprocess.Popen[str]] = set()
        self._is_closing = False

    def __enter__(self) -> "Local":
        self._pool = ThreadPoolExecutor(self.workers)
        self._shares: queue.SimpleQueue[list[int]] = queue.SimpleQueue()
        for number in range(self.workers):
            self._shares.put(share_of_cores(number, self.workers))
        return self

    def __exit__(self, *error: object) -> None:
        self._is_closing = True
        for process in list(self._processes):
            _close_stdin(process)
        self._pool.shutdown(cancel_futures=True)

    def num_workers(self) -> int:
        return self.workers

    def submit(self, job: Job) -> Future[Outcome]:
        return self._pool.submit(self._play, job)

    def _play(self, job: Job) -> Outcome:
        outcome = Outcome("stopped")
        cores = self._shares.get()
        try:
            for _ in range(self.retries + 1):
                if self._is_closing:
                    return outcome
                outcome, was_killed = self._attempt(job, cores)
                if not was_killed:
                    return outcome
            return outcome
        finally:
            self._shares.put(cores)

    def _attempt(self, job: Job, cores: list[int]) -> tuple[Outcome, bool]:
        """How one process ended, and whether somebody ended it."""
        log = job.folder.with_suffix(".log")
        log.parent.mkdir(parents=True, exist_ok=True)
        with log.open("a") as errors:
            process = start(job, cores, errors)
        self._processes.add(process)
        assert process.stdout is not None
        if self._is_closing:
            _close_stdin(process)
        said = process.stdout.read().splitlines()
        status = process.wait()
        self._processes.discard(process)
        _close_stdin(process)
        process.stdout.close()
        if status == 0 and said:
            kind, message = json.loads(said[-1])
            return Outcome(kind, message), kind == "stopped"
        how = f"killed by signal {-status}" if status < 0 else f"ended with status {status}"
        return Outcome("crashed", f"{how}: {_last_line(log)}".rstrip(": ")), status < 0


def start(job: Job, cores: list[int], errors: IO[str] | None = None) -> subprocess.Popen[str]:
    """A process that plays a job on these cores.

    In a session of its own Ctrl-C does not reach it: it stops when this process closes its stdin, or ends.
    """
    process = subprocess.Popen(
        [sys.executable, "-m", "innerloop.sweeps._piece", json.dumps(cores)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=errors,
        text=True,
        start_new_session=True,
    )
    assert process.stdin is not None
    with contextlib.suppress(BrokenPipeError):
        process.stdin.write(json.dumps(job.to_json()) + "\n")
        process.stdin.flush()
    return process


def _close_stdin(process: subprocess.Popen[str]) -> None:
    with contextlib.suppress(OSError):
        if process.stdin is not None:
            process.stdin.close()


def _last_line(path: Path) -> str:
    lines = path.read_text(errors="replace").split("\n")
    return next((line.strip() for line in reversed(lines) if line.strip()), "")


class _StoppedError(Exception):
    """A worker was told to end: the piece is to be played again."""


def _play_on_ray(job: dict[str, Any]) -> tuple[str, str]:
    """A Ray task. What may succeed elsewhere is raised, so that Ray plays it again."""
    outcome = play(Job.from_json(job))
    if outcome.kind == "stopped":
        raise _StoppedError(outcome.message)
    return outcome.kind, outcome.message


class OnRay:
    """Tasks on a Ray cluster, whose machines must share the folder of the sweep.

    Args:
        address: "auto" for the cluster that this machine belongs to, "ray://HOST:PORT", or None: this machine alone.
        workers: tasks at a time; by default as many as the cluster has processors for.
        cpus, gpus: what one task takes.
        retries: how often Ray starts a task again whose worker or machine was lost; -1 is for ever.
    """

    def __init__(
        self,
        address: str | None = None,
        workers: int | None = None,
        cpus: float = 1.0,
        gpus: float = 0.0,
        retries: int = 3,
    ):
        if (workers is not None and workers < 1) or retries < -1 or cpus <= 0 or gpus < 0:
            raise ValueError(
                f"OnRay(workers={workers}, cpus={cpus}, gpus={gpus}, retries={retries}): need at least 1, more than 0, "
                "at least 0 and at least -1."
            )
        self._ray: Any = package("ray")
        self.address = address
        self.workers = workers
        self.cpus = cpus
        self.gpus = gpus
        self.retries = retries

    def __enter__(self) -> "OnRay":
        self._is_ours = not self._ray.is_initialized()
        if self._is_ours:
            # Without "local" Ray would look for a cluster, one that is no longer there included.
            where = {"address": self.address} if self.address else {"address": "local", "include_dashboard": False}
            try:
                self._ray.init(**where, log_to_driver=False)
            except ConnectionError as error:
                raise ValueError(f"OnRay(address={self.address!r}): {' '.join(str(error).split())}") from error
        # One task a process: it frees its memory, that of the accelerator included.
        options = {"num_cpus": self.cpus, "num_gpus": self.gpus, "max_calls": 1, "max_retries": self.retries}
        self._task = self._ray.remote(**options, retry_exceptions=[_StoppedError])(_play_on_ray)
        return self

    def __exit__(self, *error: object) -> None:
        if self._is_ours:
            self._ray.shutdown()

    def num_workers(self) -> int:
        if self.workers is not None:
            return self.workers
        return max(1, int(self._ray.cluster_resources().get("CPU", 1) / self.cpus))

    def submit(self, job: Job) -> Future[Outcome]:
        outcome: Future[Outcome] = Future()

        def done(found: Future[tuple[Any, str]]) -> None:
            error = found.exception()
            failure = f"{type(error).__name__}: {(str(error).strip().splitlines() or [''])[-1]}"
            outcome.set_result(Outcome("crashed", failure) if error else Outcome(*found.result()))

        self._task.remote(job.to_json()).future().add_done_callback(done)
        return outcome
