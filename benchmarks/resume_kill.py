"""Kill training at random moments and see whether it ends where an uninterrupted run ends, leaf by leaf.

    python benchmarks/resume_kill.py [--kills 20] [--out benchmarks/results]

Each of the runs is a process of its own that gets SIGKILL once, a random moment after it has reported an update drawn
uniformly from all of the run; then another process resumes it to its budget. Its last checkpoint must equal the
uninterrupted run's in every array, bit for bit, and its metrics in every row. The result is `resume-kill.json`;
`value` counts the equal runs.
"""

import argparse
import dataclasses
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
from safetensors.numpy import load_file

from innerloop._callbacks import read_metrics
from innerloop._machine import provenance
from innerloop._run import configure, resume, run_experiment
from innerloop._sealed import checkpoints, newest
from innerloop.algorithms._on_policy import OnPolicy
from innerloop.algorithms.rl2 import RL2
from innerloop.report._results import write_result

TIMED = ("seconds", "compile_seconds", "steps_per_second")
NUM_UPDATES, NUM_TASKS = 800, 128
SETTINGS = RL2(hidden_size=16, training=OnPolicy(num_updates=NUM_UPDATES, num_tasks=NUM_TASKS))
EVERY = {"log_every": 2, "checkpoint_every": 4, "evaluate_every": 40, "num_test_tasks": 100}


def take_to_its_budget(folder: Path) -> None:
    """Start or resume a run, in this process."""
    if (folder / "config.json").exists():
        resume(folder, show=False, measure=False)
    else:
        config = configure("rl2", "bandit-n10-k5", settings=SETTINGS, **EVERY)
        run_experiment(config, folder, show=False, measure=False)


def started(folder: Path) -> subprocess.Popen[bytes]:
    """The same in a process of its own."""
    return subprocess.Popen([sys.executable, __file__, "--run", str(folder)], stdout=subprocess.DEVNULL)


def finish(folder: Path) -> None:
    """The same, waiting for its end."""
    if started(folder).wait() != 0:
        raise SystemExit(f"resume-kill: training in {folder} failed")


def last_state(folder: Path) -> dict[str, np.ndarray]:
    """All arrays of the newest checkpoint."""
    return load_file(newest(folder)[0] / "state.safetensors")


def rows(folder: Path) -> list[dict[str, Any]]:
    """Metrics without what depends on time."""
    found = read_metrics(folder / "metrics.jsonl")
    return [{name: x for name, x in row.items() if name not in TIMED} for row in found]


def differences(folder: Path, whole: Path) -> list[str]:
    """Leaves in which two runs end differently, and "metrics" if their rows differ."""
    a, b = last_state(folder), last_state(whole)
    if a.keys() != b.keys():
        return sorted(a.keys() ^ b.keys())
    found = [name for name in a if a[name].tobytes() != b[name].tobytes()]
    return found + (["metrics"] if rows(folder) != rows(whole) else [])


def kill_once(folder: Path, update: int, wait: float) -> str:
    """Start a run, kill it `wait` seconds after `update` was reported, resume it; says what was there when it died."""
    process = started(folder)
    while process.poll() is None and reported(folder) < update:
        time.sleep(0.005)
    time.sleep(wait)
    process.send_signal(signal.SIGKILL)
    was_killed = process.wait() == -signal.SIGKILL
    saved, seen = checkpoints(folder), reported(folder)
    finish(folder)
    if not was_killed:
        return "not killed"
    return f"at update {seen} or later, newest checkpoint {int(saved[0].name) if saved else 'none'}"


def reported(folder: Path) -> int:
    """The last update in the run's metrics; -1 if there is none yet."""
    path = folder / "metrics.jsonl"
    lines = path.read_text().split("\n")[:-1] if path.exists() else []
    return json.loads(lines[-1])["update"] if lines else -1


def main() -> None:
    """Train once without interruption, then kill, resume and compare."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results")
    parser.add_argument("--run", type=Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.run is not None:
        take_to_its_budget(arguments.run)
        return
    moments = random.Random(arguments.seed)
    clock = time.monotonic()
    with tempfile.TemporaryDirectory() as temporary:
        os.environ["JAX_COMPILATION_CACHE_DIR"] = f"{temporary}/programs"
        whole = Path(temporary) / "whole"
        finish(whole)
        trials = []
        for i in range(arguments.kills):
            update, wait = moments.randrange(NUM_UPDATES), moments.uniform(0.0, 0.05)
            folder = Path(temporary) / f"killed-{i}"
            state = kill_once(folder, update, wait)
            different = differences(folder, whole)
            trials.append({"after_update": update, "killed": state, "different_leaves": different})
            print(f"kill {i + 1} ({state}): {'DIFFERENT' if different else 'equal'}", flush=True)
        num_leaves = len(last_state(whole))
    write_result(arguments.out, result(trials, num_leaves, time.monotonic() - clock))


def result(trials: list[dict[str, Any]], num_leaves: int, seconds: float) -> dict[str, Any]:
    """The result file."""
    equal = [float(not trial["different_leaves"]) for trial in trials]
    return {
        "id": "resume-kill",
        "metric": "runs that end bit for bit where an uninterrupted one does",
        "value": sum(equal),
        "low": None,
        "high": None,
        "per_seed": equal,
        "better": "higher",
        "bar": float(len(trials)),
        "published": None,
        "source": "every leaf of the last checkpoint and every row of metrics, compared bit for bit",
        "tolerance": 0.0,
        "num_seeds": len(trials),
        "num_test_tasks": None,
        "env_steps": NUM_UPDATES * NUM_TASKS * 10,
        "wall_seconds": round(seconds, 1),
        "compile_seconds": None,
        "details": {"kills": trials, "num_leaves": num_leaves, "training": {**dataclasses.asdict(SETTINGS), **EVERY}},
        **provenance(),
        "command": f"python benchmarks/resume_kill.py --kills {len(trials)}",
    }


if __name__ == "__main__":
    main()
