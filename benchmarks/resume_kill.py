"""Kill training at random moments and see whether it ends where an uninterrupted run ends, leaf by leaf.

    python benchmarks/resume_kill.py [--kills 20] [--out benchmarks/results]

Each of the runs is a process of its own that gets SIGKILL at a moment drawn uniformly from the time a whole run takes,
once; then `innerloop resume` takes it to its budget. Its last checkpoint must equal the uninterrupted run's in every
array, bit for bit, and its metrics in every row. The result is `resume-kill.json`; `value` counts the equal runs.
"""

import argparse
import os
import random
import shutil
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
from innerloop._machine import commit, machine, versions
from innerloop._sealed import checkpoints, newest
from innerloop.report._results import write_result

TIMED = ("seconds", "compile_seconds", "steps_per_second")
NUM_UPDATES, NUM_TASKS = 800, 128
TRAINING = [
    *("rl2", "bandit-n10-k5", "--hidden-size", "16", "--num-tasks", f"{NUM_TASKS}", "--num-updates", f"{NUM_UPDATES}"),
    *("--log-every", "2", "--checkpoint-every", "4", "--evaluate-every", "40", "--num-test-tasks", "100", "--quiet"),
]
"""Long enough for most of the moments to lie in training, not in the program's start."""


def command(*arguments: str) -> list[str]:
    """An `innerloop` process of this Python."""
    return [sys.executable, "-m", "innerloop", *arguments]


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


def kill_once(folder: Path, seconds: float) -> str:
    """Start a run, kill it after `seconds`, resume it; says what was there when it was killed."""
    process = subprocess.Popen(command("train", *TRAINING, "--folder", str(folder)), stdout=subprocess.DEVNULL)
    try:
        process.wait(seconds)
    except subprocess.TimeoutExpired:
        process.send_signal(signal.SIGKILL)
    was_killed = process.wait() == -signal.SIGKILL
    saved = checkpoints(folder)
    if (folder / "config.json").exists():
        subprocess.run(command("resume", str(folder), "--quiet"), check=True, stdout=subprocess.DEVNULL)
    else:
        shutil.rmtree(folder, ignore_errors=True)
        subprocess.run(command("train", *TRAINING, "--folder", str(folder)), check=True, stdout=subprocess.DEVNULL)
    if not was_killed:
        return "not killed"
    return f"at update {int(saved[0].name)} or later" if saved else "before the first checkpoint"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results")
    arguments = parser.parse_args()
    moments = random.Random(arguments.seed)
    started = time.monotonic()
    with tempfile.TemporaryDirectory() as temporary:
        os.environ["JAX_COMPILATION_CACHE_DIR"] = f"{temporary}/programs"
        whole = Path(temporary) / "whole"
        for _ in range(2):  # the second one finds its programs compiled, as the killed ones will
            shutil.rmtree(whole, ignore_errors=True)
            clock = time.monotonic()
            subprocess.run(command("train", *TRAINING, "--folder", str(whole)), check=True, stdout=subprocess.DEVNULL)
            duration = time.monotonic() - clock
        trials = []
        for i in range(arguments.kills):
            moment = moments.uniform(0.0, duration)
            folder = Path(temporary) / f"killed-{i}"
            state = kill_once(folder, moment)
            different = differences(folder, whole)
            trials.append({"seconds": round(moment, 2), "killed": state, "different_leaves": different})
            print(f"kill {i + 1} after {moment:.1f} s ({state}): {'DIFFERENT' if different else 'equal'}", flush=True)
        num_leaves = len(last_state(whole))
    write_result(arguments.out, result(trials, num_leaves, time.monotonic() - started))


def result(trials: list[dict[str, Any]], num_leaves: int, seconds: float) -> dict[str, Any]:
    """The result file."""
    equal = [float(not trial["different_leaves"]) for trial in trials]
    return {
        "id": "resume-kill",
        "metric": "runs that end bit for bit where an uninterrupted one does",
        "value": sum(equal),
        "low": sum(equal),
        "high": sum(equal),
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
        "details": {"kills": trials, "num_leaves": num_leaves, "training": " ".join(TRAINING)},
        "machine": machine(),
        "versions": versions(),
        "commit": commit(),
        "command": f"python benchmarks/resume_kill.py --kills {len(trials)}",
    }


if __name__ == "__main__":
    main()
