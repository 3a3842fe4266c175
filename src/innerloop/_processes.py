"""Several processes that train one agent together, on one machine or on many.

All run the same program on the same arguments, and meet in every update: each plays its part of the tasks. The first one, the
leader, alone writes to disk and says what is going on.

`launch` starts processes on this machine; `join` makes a process, started by whoever runs the cluster, one of many.
"""

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Sequence
from typing import Any

import jax
import numpy as np

from innerloop._machine import keep_to, share_of_cores

SIGNALS = (signal.SIGINT, signal.SIGTERM)
NUMBERS = ("SLURM_PROCID", "OMPI_COMM_WORLD_RANK", "JOB_COMPLETION_INDEX")
"""Variables in which those who start many processes tell each its number: SLURM, Open MPI, Kubernetes' indexed jobs."""


def join(coordinator: str, num_processes: int, process_id: int | None = None) -> None:
    """Become one of several processes that train together; to be called before anything is computed.

    Waits until all have come. From then on all must do the same: devices are those of all processes.

    Args:
        coordinator: HOST:PORT of process 0, the leader.
        process_id: which one this is; by default what SLURM, Open MPI or Kubernetes says.

    Raises:
        ValueError: the arguments make no sense, or the processes did not meet.
    """
    host, _, port = coordinator.rpartition(":")
    if not host or not port.isdigit():
        raise ValueError(f"coordinator={coordinator!r}: must be HOST:PORT, of the machine of process 0.")
    if process_id is None:
        numbers = [os.environ[name] for name in NUMBERS if name in os.environ]
        if not numbers:
            raise ValueError(f"process_id=None: give this process's number; none of {', '.join(NUMBERS)} tells it.")
        process_id = int(numbers[0])
    if num_processes < 1 or not 0 <= process_id < num_processes:
        raise ValueError(f"process_id={process_id}, num_processes={num_processes}: processes are numbered from 0.")
    try:
        jax.distributed.initialize(coordinator, num_processes, process_id)
    except RuntimeError as error:
        raise ValueError(
            f"coordinator={coordinator!r}: process {process_id} of {num_processes} could not join: {error}"
        ) from error


def leave() -> None:
    """What follows, the leader does alone. Waits for the others."""
    if jax.process_count() > 1:
        jax.distributed.shutdown()


def leading() -> bool:
    """Whether this process writes and tells; one alone does."""
    return jax.process_index() == 0


def agreed(flag: bool) -> bool:
    """What the leader says, in all processes."""
    if jax.process_count() == 1:
        return flag
    from jax.experimental.multihost_utils import broadcast_one_to_all

    return bool(broadcast_one_to_all(np.asarray(flag, np.int32)))


class Follower:
    """What stands for a callback of the leader in the other processes: they must pause when it does."""

    def __init__(self, callback: Any):
        self.every = callback.every

    def open(self, num_updates: int) -> None:
        """Nothing to prepare."""

    def __call__(self, progress: Any) -> None:
        """The leader looks."""

    def close(self, error: BaseException | None) -> None:
        """Nothing to clean up."""


def free_address() -> str:
    """Where processes of this machine can meet."""
    with socket.socket() as free:
        free.bind(("localhost", 0))
        return f"localhost:{free.getsockname()[1]}"


def launch(arguments: Sequence[str], num_processes: int) -> int:
    """`innerloop ARGUMENTS` in so many processes of this machine, which share its cores; returns the exit status.

    SIGINT and SIGTERM go to the leader, which saves and stops all. When one process fails the others are killed, and all end
    with this one, however it ends.

    Raises:
        ChildProcessError: one that is not the leader failed.
    """
    coordinator = free_address()
    members = []
    with contextlib.ExitStack() as stack:
        for i in range(num_processes):
            call = [*arguments, f"--coordinator={coordinator}", f"--process-id={i}"]
            log = None if i == 0 else stack.enter_context(tempfile.TemporaryFile("w+"))
            members.append((_start(call, share_of_cores(i, num_processes), log), log))
        leader = members[0][0]
        before = {number: signal.signal(number, lambda got, _: leader.send_signal(got)) for number in SIGNALS}
        try:
            while leader.poll() is None and all(process.poll() in (None, 0) for process, _ in members):
                time.sleep(0.1)
            failed = next((i for i, (process, _) in enumerate(members) if process.poll()), 0)
            if failed == 0:
                return leader.wait()
            process, log = members[failed]
            if log is not None:
                log.seek(0)
                sys.stderr.write(log.read())
            raise ChildProcessError(
                f"process {failed} of {num_processes} ended with status {process.poll()}, and the others were stopped. What "
                "was saved is good: `innerloop resume` goes on."
            )
        finally:
            for process, _ in members:
                process.kill()
                process.wait()
            for number, handler in before.items():
                signal.signal(number, handler)


def _start(arguments: Sequence[str], cores: Sequence[int], log: Any) -> "subprocess.Popen[str]":
    """A process in a session of its own: Ctrl-C does not reach it."""
    return subprocess.Popen(
        [sys.executable, "-m", "innerloop._processes", json.dumps(list(cores)), *arguments],
        stdin=subprocess.PIPE,
        stdout=log,
        stderr=log,
        text=True,
        start_new_session=True,
    )


def _main() -> int:
    """One of the processes: on the cores of the first argument, the command line of the rest, no longer than stdin lasts."""
    from innerloop.cli import main

    def follow() -> None:
        os.read(0, 1)
        os._exit(1)

    keep_to(json.loads(sys.argv[1]))
    threading.Thread(target=follow, daemon=True).start()
    return main(sys.argv[2:])


if __name__ == "__main__":
    sys.exit(_main())
