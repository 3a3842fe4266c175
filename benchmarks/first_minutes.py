"""A newcomer's first minutes: a fresh clone, `make setup`, `make demo`, each timed.

    python benchmarks/first_minutes.py [--out benchmarks/results]

Clones the last commit of this repository into an empty folder, installs with an empty package cache, and runs the demo
twice: once with nothing compiled before (what a newcomer sees) and once with its programs in the compilation cache.
The result is `first-minutes.json`; `value` is the first demo's seconds, installation apart.
"""

import argparse
import json
import os
import subprocess
import tempfile
import time
from pathlib import Path

from innerloop._callbacks import read_metrics
from innerloop._machine import provenance
from innerloop.report._results import write_result

ROOT = Path(__file__).parent.parent
TARGET = 180.0
"""Seconds that the demo may take after installation on two cores."""


def timed(*command: str, folder: Path, environment: dict[str, str]) -> float:
    """Seconds that a command takes in a folder; its failure is one of this measurement."""
    clock = time.monotonic()
    subprocess.run(command, cwd=folder, env=environment, check=True, stdin=subprocess.DEVNULL)
    return round(time.monotonic() - clock, 1)


def main() -> None:
    """Clone, install, run twice, store."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        ours = ("PYTHONPATH", "VIRTUAL_ENV", "JAX_COMPILATION_CACHE_DIR", "MAKEFLAGS")
        environment = {name: value for name, value in os.environ.items() if name not in ours}
        environment |= {"XDG_CACHE_HOME": f"{temporary}/cache", "PIP_NO_CACHE_DIR": "1"}
        clone = Path(temporary) / "innerloop"
        subprocess.run(["git", "clone", "--quiet", str(ROOT), str(clone)], check=True)
        install = timed("make", "setup", folder=clone, environment=environment)
        first, second = (timed("make", "demo", folder=clone, environment=environment) for _ in range(2))
        runs = {name: read_metrics(clone / "demo" / name / "metrics.jsonl")[-1] for name in ("rl2", "memoryless")}
        evaluation = json.loads((clone / "demo" / "rl2" / "evaluation.json").read_text())
    result = {
        "id": "first-minutes",
        "metric": "seconds of the first `make demo`, installation apart",
        "value": first,
        "low": None,
        "high": None,
        "per_seed": [first],
        "better": "lower",
        "bar": TARGET,
        "published": None,
        "source": "three minutes after installation on two cores",
        "num_seeds": 1,
        "num_test_tasks": evaluation["num_tasks"],
        "env_steps": sum(row["env_steps"] for row in runs.values()),
        "wall_seconds": round(install + first, 1),
        "compile_seconds": round(sum(row["compile_seconds"] for row in runs.values()), 1),
        "details": {"install_seconds": install, "first_demo_seconds": first, "second_demo_seconds": second},
        **provenance(),
        "command": "python benchmarks/first_minutes.py",
    }
    print(json.dumps(result["details"]), f"stored: {write_result(arguments.out, result)}", sep="\n")


if __name__ == "__main__":
    main()
