"""How fast RL², MAML, PEARL and VariBAD train on an accelerator, by how many trials they play side by side.

    python benchmarks/accelerator.py                                  # all methods, 2^8 to 2^16 trials
    python benchmarks/accelerator.py --methods rl2 --powers 8 12 --products default bfloat16
    python benchmarks/accelerator.py --methods rl2 --powers 4 --anywhere   # prints, stores nothing

Each row is measured in a process of its own; what is not enough memory for is said in its row. Writes
results/accelerator.json after every row, from the first one of RL² on, so that what a lent machine had time for is kept.
`value` is the best rate of RL². For RL² the share of the device's own rate of square float32 matrix products is told, too.
"""

import argparse
import itertools
import json
import os
import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any, cast, get_args

from _speed import apart, matrix_rate, steady
from innerloop._precision import Products, multiplying
from rl2_speed import useful_flops

RESULTS = Path(__file__).parent / "results"
METHODS = ("rl2", "maml", "pearl", "varibad")
POWERS = (8, 10, 12, 14, 16)
SECONDS = 5.0
EPISODES = 16
"""Of a round of MAML: a trial here is an episode that is played beside others."""


def workload(method: str, num_trials: int) -> tuple[str, Any]:
    """A benchmark, and settings that play so many trials side by side."""
    from innerloop.algorithms import MAML, PEARL, RL2, InnerLoop, MetaTraining, Net, OffPolicy, OnPolicy
    from innerloop.recipes import recipe

    if method == "rl2":
        return "bandit-n100-k10", RL2(hidden_size=256, training=OnPolicy(num_tasks=num_trials, num_epochs=2))
    if method == "maml":
        inner = InnerLoop(episodes_per_round=EPISODES)
        outer = MetaTraining(num_tasks=max(1, num_trials // EPISODES))
        return "nav2d", MAML(net=Net((100, 100)), inner=inner, training=outer)
    if method == "pearl":
        replayed = OffPolicy(num_tasks=num_trials, num_gradient_steps=100, batch_size=16 * 256, capacity=2000)
        return "point-robot", PEARL(training=replayed)
    settings = recipe("gridnavi-varibad").settings
    return "gridnavi-cells", replace(settings, training=replace(settings.training, num_tasks=num_trials))


def measure(method: str, power: int, products: Products) -> dict[str, Any]:
    """One row, timed in this process."""
    from innerloop._run import configure, training_of

    benchmark, settings = workload(method, 2**power)
    learner, collector = training_of(configure(method, benchmark, settings=settings), settings)
    with multiplying(products):
        updates, compile_seconds, state = steady(learner, collector, 1, SECONDS)
    rate = updates * collector.steps_per_collect
    row = {"steps_per_second": round(rate), "compile_seconds": round(compile_seconds, 1)}
    if method == "rl2":
        flops = useful_flops(learner.agent(state.state), settings.training.num_epochs) * rate
        row |= {"gflops_per_second": round(flops / 1e9, 1), "share_of_matrix_rate": round(flops / matrix_rate(), 4)}
    return row


def row_apart(method: str, power: int, products: str) -> dict[str, Any]:
    """A row from a process of its own, or why there is none."""
    row = {"method": method, "trials": 2**power, "products": products}
    try:
        return row | apart(__file__, f"row={method},{power},{products}")
    except subprocess.CalledProcessError as error:
        lines = error.stderr.splitlines()
        why = next((line for line in reversed(lines) if re.match(r"[\w.]+(Error|Exception)\b", line)), "no word")
        return row | {"failed": why[:200]}


def main() -> None:
    """The rows that are asked for."""
    if len(sys.argv) == 2 and sys.argv[1].startswith("row="):
        method, power, products = sys.argv[1].removeprefix("row=").split(",")
        print(json.dumps(measure(method, int(power), cast(Products, products))))
        return
    import jax

    from innerloop._machine import provenance
    from innerloop.report._results import write_result

    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--methods", nargs="+", choices=METHODS, default=METHODS, help="which methods")
    parser.add_argument("--powers", nargs="+", type=int, default=POWERS, help="trials side by side, as powers of two")
    parser.add_argument("--products", nargs="+", choices=get_args(Products), default=("default",), help="see train")
    parser.add_argument("--anywhere", action="store_true", help="go on without an accelerator, and store nothing")
    options = parser.parse_args()
    # Memory is for the processes that measure.
    os.environ["XLA_PYTHON_CLIENT_PREALLOCATE"] = "false"
    platform = jax.devices()[0].platform
    del os.environ["XLA_PYTHON_CLIENT_PREALLOCATE"]
    if platform == "cpu" and not options.anywhere:
        sys.exit("there is no accelerator here; with --anywhere the rows are measured on the CPU, and not stored.")
    rows: list[dict[str, Any]] = []
    for method, power, products in itertools.product(options.methods, options.powers, options.products):
        rows.append(row_apart(method, power, products))
        print(json.dumps(rows[-1]), flush=True)
        rates = [row["steps_per_second"] for row in rows if row["method"] == "rl2" and "failed" not in row]
        if options.anywhere or not rates:
            continue
        result = {
            "id": "accelerator",
            "metric": "steps/s of RL² with a GRU of 256 on bandits, the best number of trials",
            "value": max(rates),
            "better": "higher",
            "bar": None,
            "published": None,
            "source": "no bar",
            "rows": rows,
            **provenance(),
            "command": "python benchmarks/accelerator.py",
        }
        write_result(RESULTS, result)


if __name__ == "__main__":
    main()
