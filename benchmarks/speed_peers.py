"""Other libraries and this one at the same work, on one machine, in one go.

    python benchmarks/speed_peers.py speed-classic gridnavi-rl2="COMMAND" particles-maml="COMMAND" ...
    python benchmarks/speed_peers.py xland     # our row alone, printed as JSON

A COMMAND runs the other library's own code at its own configuration and prints, as its last line, JSON with `peer`, what it
is, and the `steps` of the environment and `seconds` of wall-clock of training, start-up and compilation left out; `return`,
if it has learned something by then. Rows do that work here: same task, trial, net, batch, epochs and gradient steps.

speed-classic: `gridnavi-rl2`, `gridnavi-varibad`: the VariBAD repository's configurations for the grid (16 trials of 60 steps
an update, 2 epochs of 4 minibatches, GRU of 64; VariBAD: 3 steps on 25 trajectories with all terms of the bound, rewards
decoded by a Bernoulli output for each cell, as `--multihead_for_reward` has it there).
`particles-maml`: learn2learn's example of MAML-TRPO (20 tasks, 20 episodes of 100 steps before and after, net 100-100).

speed-jax: `xland`: XLand-MiniGrid's script for meta-learning at its configuration for CPUs, on rulesets of its generator;
ours is the recipe `xland-r1-9x9`, seed 0, with eleven looks at 64 held-out tasks, progress and checkpoints (needs the extra
`xland`). `cartpole-ppo` and `cartpole-ppo-rnn`: PureJaxRL's scripts (4 environments x 128 steps, 4 epochs of 4 minibatches;
a net of 64-64, or a GRU of 128 between layers of 128).

Each command runs alone, then our row. Needs a quiet machine; writes results/NAME.json. `value` is the share of what is asked
for, the least of the rows: ratio of speeds over the one asked for, or ratio of returns where a row has them.
"""

import json
import shlex
import subprocess
import sys
import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

from _speed import apart

RESULTS = Path(__file__).parent / "results"


def as_rl2_speed(name: str) -> dict[str, Any]:
    """A row of `rl2_speed.py`."""
    import rl2_speed

    return {"steps_per_second": rl2_speed.measure(name)["steps_per_second"]}


def particles_maml() -> dict[str, Any]:
    """A row of `maml_speed.py`."""
    import maml_speed

    row = maml_speed.measure("particles-learn2learn")
    return {"steps_per_second": round(row["steps_per_update"] / row["seconds_per_update"])}


def gridnavi_varibad() -> dict[str, Any]:
    """A row of `inference_speed.py`."""
    import inference_speed

    return {"steps_per_second": inference_speed.measure("varibad-as-authors")["steps_per_second"]}


def xland() -> dict[str, Any]:
    """A whole run, as a user would start it."""
    from innerloop._callbacks import read_metrics
    from innerloop._run import configure, evaluate_run, run_experiment
    from innerloop.recipes import recipe

    row = recipe("xland-r1-9x9")
    looks = row.settings.training.num_updates // 11
    config = configure(row.method, row.benchmark, settings=row.settings, evaluate_every=looks, num_test_tasks=64)
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch) / "run"
        run_experiment(config, folder, measure=False)
        rows = read_metrics(folder / "metrics.jsonl")
        curve = evaluate_run(folder, num_tasks=row.num_test_tasks, references=False, plot=False)[0]
    seconds, steps = rows[-1]["seconds"], rows[-1]["env_steps"]
    return {
        "steps_per_second": round(steps / seconds),
        "steps": steps,
        "seconds": seconds,
        "compile_seconds": rows[-1]["compile_seconds"],
        "return": round(float(curve.scores()[row.metric].mean()), 4),
    }


class Row(NamedTuple):
    """What measures our side, and how many times as fast as the other library it is asked to be."""

    measure: Callable[[], dict[str, Any]]
    asked: float


ROWS = {
    "speed-classic": {
        "gridnavi-rl2": Row(partial(as_rl2_speed, "gridnavi-as-varibad-rl2"), 100.0),
        "gridnavi-varibad": Row(gridnavi_varibad, 100.0),
        "particles-maml": Row(particles_maml, 100.0),
    },
    "speed-jax": {
        "xland": Row(xland, 2.0),
        "cartpole-ppo": Row(partial(as_rl2_speed, "cartpole-ppo-as-purejaxrl"), 1.2),
        "cartpole-ppo-rnn": Row(partial(as_rl2_speed, "cartpole-rnn-as-purejaxrl"), 2.0),
    },
}


def beside(name: str, row: Row, command: str) -> dict[str, Any]:
    """The other library's command, then ours; `share` of what is asked for."""
    done = subprocess.run(shlex.split(command), stdout=subprocess.PIPE, text=True, check=True)
    theirs = json.loads(done.stdout.splitlines()[-1])
    ours = apart(__file__, name)
    ratio = ours["steps_per_second"] * theirs["seconds"] / theirs["steps"]
    share = ratio / row.asked
    if "return" in ours:
        share = min(share, ours["return"] / theirs["return"])
    return {"ours": ours, "theirs": theirs, "ratio": round(ratio, 2), "asked": row.asked, "share": round(share, 3)}


def main() -> None:
    """The rows whose commands are given, or one of ours."""
    alone = {name: row for rows in ROWS.values() for name, row in rows.items()}
    if len(sys.argv) == 2 and sys.argv[1] in alone:
        print(json.dumps(alone[sys.argv[1]].measure()))
        return
    from innerloop._machine import provenance
    from innerloop.report._results import write_result

    commands = dict(argument.partition("=")[::2] for argument in sys.argv[2:])
    if not commands or sys.argv[1] not in ROWS or not commands.keys() <= ROWS[sys.argv[1]].keys():
        known = "; ".join(f"{name}: {', '.join(rows)}" for name, rows in ROWS.items())
        sys.exit(f"usage: python benchmarks/speed_peers.py NAME ROW=COMMAND ..., of {known}.")
    rows = {}
    for name, command in commands.items():
        rows[name] = beside(name, ROWS[sys.argv[1]][name], command)
        print(name, rows[name], flush=True)
    result = {
        "id": sys.argv[1],
        "metric": f"share of what is asked for beside other libraries at their configurations, the least of {len(rows)}",
        "value": min(row["share"] for row in rows.values()),
        "better": "higher",
        "bar": 1.0,
        "published": None,
        "source": "their own code, on the same machine and in the same run",
        "rows": rows,
        **provenance(),
        "command": f"python benchmarks/speed_peers.py {sys.argv[1]} " + " ".join(f"{name}=COMMAND" for name in rows),
    }
    write_result(RESULTS, result)


if __name__ == "__main__":
    main()
