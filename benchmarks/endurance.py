"""Whether the memory of a long run stays as it is: two hours of training with every way to collect experience.

    python benchmarks/endurance.py [--seconds 7200]      # all, side by side; writes results/endurance.json
    python benchmarks/endurance.py trials [--seconds 60] # one, printed as JSON

Needs the extra `mujoco`, and Linux, whose count of a process's anonymous pages is asked for, child processes included (what
is mapped from files is shared with others). Each run keeps checkpoints and metrics, as a run from the command line does. The
first tenth of the time is left to caches and allocators; `value` is the largest growth from the second tenth to the last, in
shares of the second, medians of each. The bar was set before looking.
"""

import argparse
import contextlib
import dataclasses
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

RESULTS = Path(__file__).parent / "results"
BAR = 0.02
KINDS: dict[str, tuple[str, str, int, dict[str, Any]]] = {
    "trials": ("rl2", "gridnavi", 10, {"num_tasks": 64}),
    "streams": ("rl2", "maze-7", 10, {"num_tasks": 64, "stream_steps": 64}),
    "replay": ("pearl", "point-robot", 1, {}),
    "robots": ("rl2", "cheetah-vel", 1, {"num_tasks": 16}),
    "workers": ("rl2", "worker_kills:poles", 5, {"num_tasks": 16}),
}
"""Method, benchmark, updates from one row of metrics to the next, and changes to the settings of training."""
LOOKS = 400
"""How often memory is looked at."""


def pages_mib() -> float:
    """MiB of this process and all below it."""
    own, found = [os.getpid()], 0
    while own:
        process = own.pop()
        try:
            lines = Path(f"/proc/{process}/smaps_rollup").read_text().splitlines()
            for task in Path(f"/proc/{process}/task").iterdir():
                own += [int(child) for child in (task / "children").read_text().split()]
        except OSError:
            continue  # It ended while being looked at.
        found += next(int(line.split()[1]) for line in lines if line.startswith("Anonymous:"))
    return found / 1024


class Ended(Exception):
    """Time is up."""


class Watch:
    """Notes the memory, evenly over `seconds`, then ends the run."""

    def __init__(self, every: int, seconds: float):
        self.every, self.seconds, self.started = every, seconds, time.monotonic()
        self.seen: list[float] = []
        self.num_updates = self.env_steps = 0

    def open(self, num_updates: int) -> None:
        """Nothing is to be done."""

    def __call__(self, progress: Any) -> None:
        passed = time.monotonic() - self.started
        self.num_updates, self.env_steps = progress.update, progress.env_steps
        if passed >= len(self.seen) * self.seconds / LOOKS:
            self.seen.append(round(pages_mib(), 2))
        if passed >= self.seconds:
            raise Ended

    def close(self, error: BaseException | None) -> None:
        """Nothing is to be done."""


def measure(kind: str, seconds: float) -> dict[str, Any]:
    """One run, without an end of its own, as `innerloop train` makes it: the first thing that does is to limit the pools."""
    from innerloop._machine import limit_arenas

    limit_arenas()
    from innerloop._run import configure, run_experiment
    from innerloop.recipes import default_settings

    method, benchmark, log_every, changes = KINDS[kind]
    settings = default_settings(method, benchmark)
    training = dataclasses.replace(settings.training, num_updates=10**6, **changes)
    config = configure(
        method,
        benchmark,
        settings=dataclasses.replace(settings, training=training),
        log_every=log_every,
        checkpoint_every=10 * log_every,
        evaluate_every=50 * log_every,
        num_test_tasks=64,
    )
    watch = Watch(log_every, seconds)
    with tempfile.TemporaryDirectory() as folder, contextlib.suppress(Ended):
        run_experiment(config, Path(folder) / "run", show=False, measure=False, callbacks=[watch])
    if (tenth := len(watch.seen) // 10) == 0:
        sys.exit(f"--seconds {seconds:g}: too short, {kind} was looked at {len(watch.seen)} times.")
    early, late = statistics.median(watch.seen[tenth : 2 * tenth]), statistics.median(watch.seen[-tenth:])
    return {
        "kind": kind,
        "run": f"{method} {benchmark}",
        "growth": round(late / early - 1, 5),
        "mib": watch.seen[:: max(1, len(watch.seen) // 40)],
        "num_updates": watch.num_updates,
        "env_steps": watch.env_steps,
    }


def main() -> None:
    """All side by side, or the one that is named."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("kind", nargs="?", choices=KINDS)
    parser.add_argument("--seconds", type=float, default=7200.0)
    options = parser.parse_args()
    if options.kind:
        print(json.dumps(measure(options.kind, options.seconds)))
        return
    from innerloop._machine import provenance
    from innerloop.report._results import write_result

    clock = time.monotonic()
    call = [sys.executable, __file__, "--seconds", str(options.seconds)]
    runs = [subprocess.Popen([*call, kind], stdout=subprocess.PIPE, text=True) for kind in KINDS]
    printed = [run.communicate()[0] for run in runs]
    if failed := [kind for kind, run in zip(KINDS, runs, strict=True) if run.returncode]:
        sys.exit(f"{', '.join(failed)}: ended with an error, see above.")
    rows = [json.loads(text.splitlines()[-1]) for text in printed]
    for row in rows:
        print(f"{row['kind']:8} {row['growth']:+.2%} after {row['num_updates']:,} updates")
    result = {
        "id": "endurance",
        "metric": f"growth of memory over {options.seconds / 3600:g} hours, the largest of {len(KINDS)} kinds of run",
        "value": max(row["growth"] for row in rows),
        "better": "lower",
        "bar": BAR,
        "published": None,
        "source": "the bar is ours",
        "rows": rows,
        "env_steps": sum(row["env_steps"] for row in rows),
        "wall_seconds": round(time.monotonic() - clock, 1),
        **provenance(),
        "command": f"python benchmarks/endurance.py --seconds {options.seconds:g}",
    }
    write_result(RESULTS, result)


if __name__ == "__main__":
    main()
