"""T-mazes: the longest corridor over which RL² with each memory core still remembers the cue.

    python benchmarks/t_maze.py [--runs RUNS] [--cores gru ssm ...] [--longest LENGTH]

Trains `NUM_SEEDS` seeds of each core on corridors of growing length, with the same hidden size and outer loop, and the same
batch and budget at a length, and writes results/t-maze.json. On each length but the first, training goes on from what was
learned on the one before: walking and turning are known then, and what is left to learn is to remember for longer. (Who is
behind pays the same whatever it does. So the longer the corridor, the rarer are steps that tell what is right, and an agent
that begins on a long one learns to walk late or never, whatever its memory.)

Every `LOOK` updates all seeds play held-out trials, actions drawn. A seed has solved a length once it earned `SOLVED` at a
look, and a core once `ENOUGH` of its seeds have. Training stops when all have, or when the budget is used up; a core that has
not solved a length by then is not tried on longer ones.

Each core and length that is done is kept in RUNS/t-maze, figures in cells.json and nets beside it: an interrupted measurement
goes on, and `--cores` and `--longest` measure a part of it. `value` is the longest corridor that the transformer or the
state-space core solves, whichever is longer, over the GRU's; without all of these, nothing is written.
"""

import argparse
import json
import time
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

import equinox as eqx
import jax
import numpy as np

from innerloop._callbacks import Evaluate
from innerloop._collect import JaxCollector
from innerloop._machine import compilation_cache, provenance
from innerloop._train import Progress, init, train
from innerloop.algorithms._on_policy import OnPolicy
from innerloop.algorithms.rl2 import RL2
from innerloop.benchmarks import benchmark
from innerloop.nn import CoreOptions
from innerloop.report._results import write_result

HERE = Path(__file__).parent
CORES = ("gru", "lstm", "rnn", "hebbian", "ssm", "mamba", "transformer", "snail")
JUDGED, CONTRAST = ("transformer", "ssm"), "gru"
HIDDEN_SIZE = 32
NUM_SEEDS, ENOUGH, SOLVED = 5, 3, 0.95
NUM_TRIALS, LOOK = 32, 10


class Size(NamedTuple):
    """Trials of a batch, gradient steps in a pass over it, and updates at most."""

    num_tasks: int
    num_minibatches: int
    num_updates: int


SIZES = {
    10: Size(512, 8, 100),
    30: Size(512, 8, 100),
    100: Size(64, 4, 100),
    300: Size(64, 4, 60),
    1000: Size(16, 4, 60),
}
"""By length of the corridor."""


def training(length: int) -> OnPolicy:
    """The outer loop. Rates are constant, so that they do not depend on when training stops.

    A step costs in proportion to 1 / `length`, and so does entropy earn. Advantages are left as they are: once a maze is
    solved nothing but noise is left in them, and to give that unit variance undoes what was learned.
    """
    size = SIZES[length]
    return OnPolicy(
        num_updates=size.num_updates,
        num_tasks=size.num_tasks,
        num_minibatches=size.num_minibatches,
        learning_rate=1e-3,
        final_learning_rate=1e-3,
        gamma=0.999,
        gae_lambda=0.95,
        value_coef=0.1,
        entropy_coef=0.3 / length,
        final_entropy_coef=0.3 / length,
        normalize_advantage=False,
    )


class Solved(Exception):
    """All seeds have solved the maze."""


class Judge:
    """Callback that keeps what each seed earned at each look, and stops when all have solved the maze."""

    def __init__(self) -> None:
        self.every = LOOK
        self.looks: list[list[float]] = []
        self.progress: Progress

    def open(self, num_updates: int) -> None:
        """Nothing to prepare."""

    def __call__(self, progress: Progress) -> None:
        self.progress = progress
        self.looks.append(np.asarray(progress.metrics["test/trial_return"], np.float64).round(4).tolist())
        if all(self.solved()):
            raise Solved

    def solved(self) -> list[bool]:
        """By seed."""
        return (np.max(self.looks, axis=0) >= SOLVED).tolist()

    def close(self, error: BaseException | None) -> None:
        """Nothing to clean up."""


def measure(core: str, length: int, folder: Path, seed: int = 0) -> dict[str, Any]:
    """Train all seeds of one core on one length, from what they learned on the one before."""
    row, size = benchmark(f"t-maze-{length}"), SIZES[length]
    # SNAIL's net grows with its context, so one that goes on needs its longest from the first.
    options = CoreOptions(context=max(SIZES) + 1 if core == "snail" else length + 1)
    settings = RL2(
        core=core, hidden_size=HIDDEN_SIZE, head_widths=(HIDDEN_SIZE,), core_options=options, training=training(length)
    )
    key, learner = jax.random.key(seed), settings.learner(row)
    collector = JaxCollector(row.env, row.train, size.num_tasks, row.num_episodes)
    held_out = JaxCollector(row.env, row.test, NUM_TRIALS, row.num_episodes)
    start = init(key, learner, collector, NUM_SEEDS)
    shorter = [other for other in SIZES if other < length]
    if shorter:
        learned = eqx.tree_deserialise_leaves(folder / f"{core}-{shorter[-1]}.eqx", start.state)
        start = start._replace(state=learned)
    judge, started = Judge(), time.perf_counter()
    with suppress(Solved):
        train(
            key,
            learner,
            collector,
            size.num_updates,
            callbacks=[Evaluate(held_out, LOOK), judge],
            start=start,
            num_seeds=NUM_SEEDS,
            log_every=LOOK,
        )
    eqx.tree_serialise_leaves(folder / f"{core}-{length}.eqx", judge.progress.train_state.state)
    progress, solved = judge.progress, judge.solved()
    return {
        "solved": sum(solved) >= ENOUGH,
        "seeds that solve it": sum(solved) / NUM_SEEDS,
        "best return of each seed": np.max(judge.looks, axis=0).tolist(),
        "last return of each seed": judge.looks[-1],
        "updates": progress.update,
        "steps of a seed": progress.env_steps // NUM_SEEDS,
        "seconds": round(time.perf_counter() - started, 1),
        "compile_seconds": round(progress.compile_seconds, 1),
        "seconds of an update": round(progress.train_seconds / max(1, progress.update), 3),
    }


def longest(cells: dict[str, Any], core: str) -> int | None:
    """The longest corridor that a core solves; 0 for none, None if it has not been tried on all that it should be."""
    best = 0
    for length in SIZES:
        cell = cells.get(f"{core}-{length}")
        if cell is None:
            return None
        if not cell["solved"]:
            return best
        best = length
    return best


def main() -> None:
    """Measure what is missing, compare, store."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--runs", type=Path, default=Path("runs"), help="where cells are kept")
    parser.add_argument("--cores", nargs="+", default=list(CORES), choices=CORES)
    parser.add_argument("--longest", type=int, default=max(SIZES), help="leave longer corridors out")
    options = parser.parse_args()
    compilation_cache()
    path = options.runs / "t-maze" / "cells.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    cells = json.loads(path.read_text()) if path.exists() else {}
    for core in options.cores:
        for length in [length for length in SIZES if length <= options.longest]:
            name = f"{core}-{length}"
            if name not in cells:
                cells[name] = measure(core, length, path.parent)
                part = path.with_suffix(".part")
                part.write_text(json.dumps(cells, indent=1) + "\n")
                part.replace(path)
            print(f"{name}: {json.dumps(cells[name])}", flush=True)
            if not cells[name]["solved"]:
                break
    found = {core: longest(cells, core) for core in CORES}
    if any(found[core] is None for core in (*JUDGED, CONTRAST)):
        return
    result = {
        "id": "t-maze",
        "metric": "longest T-maze solved by the transformer or the state-space core, over the GRU's",
        "value": round(max(found[core] for core in JUDGED) / max(1, found[CONTRAST]), 3),
        "better": "higher",
        "bar": 10,
        "published": None,
        "source": "Ni et al. 2023, section 4.1",
        "num_seeds": NUM_SEEDS,
        "details": {
            "longest corridor solved": {core: length for core, length in found.items() if length is not None},
            "seeds that solve it": {
                core: {
                    str(length): cells[f"{core}-{length}"]["seeds that solve it"]
                    for length in SIZES
                    if f"{core}-{length}" in cells
                }
                for core in CORES
            },
            "trials of a batch, minibatches, updates at most": {str(length): list(x) for length, x in SIZES.items()},
            "cells": cells,
        },
        **provenance(),
        "command": "python benchmarks/t_maze.py",
    }
    write_result(HERE / "results", result)


if __name__ == "__main__":
    main()
