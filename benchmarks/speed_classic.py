"""Older libraries and this one at the same work, on one machine, in one go.

    python benchmarks/speed_classic.py gridnavi-rl2="COMMAND" particles-maml="COMMAND" ...
    python benchmarks/speed_classic.py gridnavi-rl2     # our row alone, printed as JSON

A COMMAND runs the older library's own code at its own configuration and prints, as its last line, JSON with `peer`, what it
is, and the `steps` of the environment and `seconds` of wall-clock of training, start-up left out. Rows do that work here:
same task, trial, net, batch, epochs and gradient steps.

`gridnavi-rl2`, `gridnavi-varibad`: the VariBAD repository's configurations for the grid (16 trials of 60 steps an update, 2
epochs of 4 minibatches, GRU of 64; VariBAD: 3 steps on 25 trajectories with all terms of the bound). `particles-maml`:
learn2learn's example of MAML-TRPO (20 tasks, 20 episodes of 100 steps before and after, net 100-100). Each command runs
alone, then our row. Needs a quiet machine; writes results/speed-classic.json. `value` is the least ratio.
"""

import json
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

from _speed import apart, steady

RESULTS = Path(__file__).parent / "results"
SECONDS = 20.0
BAR = 100.0


def measure(name: str) -> dict[str, Any]:
    """Our steps a second."""
    if name in ("gridnavi-rl2", "particles-maml"):
        import maml_speed
        import rl2_speed

        if name == "gridnavi-rl2":
            return {"steps_per_second": rl2_speed.measure("gridnavi-as-varibad-rl2")["steps_per_second"]}
        row = maml_speed.measure("particles-learn2learn")
        return {"steps_per_second": round(row["steps_per_update"] / row["seconds_per_update"])}
    if name != "gridnavi-varibad":
        sys.exit(f"{name}: no such row; choose gridnavi-rl2, gridnavi-varibad or particles-maml.")
    from innerloop._collect import JaxCollector
    from innerloop.algorithms import OnPolicy, VariBAD
    from innerloop.algorithms.varibad import BeliefSettings
    from innerloop.benchmarks import benchmark

    grid = benchmark("gridnavi")
    belief = BeliefSettings(policy_widths=(32,), num_elbo_terms=None, inference_batch=25)
    settings = VariBAD(belief=belief, training=OnPolicy(num_tasks=16, num_epochs=2, num_minibatches=4))
    collector = JaxCollector(grid.env, grid.train, 16, grid.num_episodes)
    updates, _, _ = steady(settings.learner(grid), collector, 50, SECONDS)
    return {"steps_per_second": round(updates * collector.steps_per_collect)}


def main() -> None:
    """The rows whose commands are given, or one of ours."""
    if len(sys.argv) == 2 and "=" not in sys.argv[1]:
        print(json.dumps(measure(sys.argv[1])))
        return
    from innerloop._machine import provenance
    from innerloop.report._results import write_result

    rows = {}
    for argument in sys.argv[1:]:
        name, _, command = argument.partition("=")
        done = subprocess.run(shlex.split(command), stdout=subprocess.PIPE, text=True, check=True)
        theirs = json.loads(done.stdout.splitlines()[-1])
        ours = apart(__file__, name)["steps_per_second"]
        ratio = ours * theirs["seconds"] / theirs["steps"]
        rows[name] = {"steps_per_second": ours, "theirs": theirs, "ratio": round(ratio, 1)}
        print(name, rows[name], flush=True)
    if not rows:
        sys.exit("usage: python benchmarks/speed_classic.py ROW=COMMAND ...")
    result = {
        "id": "speed-classic",
        "metric": f"training speed over that of older libraries at their configurations, the least of {len(rows)}",
        "value": min(row["ratio"] for row in rows.values()),
        "better": "higher",
        "bar": BAR,
        "published": None,
        "source": "their own code, on the same machine and in the same run",
        "rows": rows,
        **provenance(),
        "command": "python benchmarks/speed_classic.py " + " ".join(f"{name}=COMMAND" for name in rows),
    }
    write_result(RESULTS, result)


if __name__ == "__main__":
    main()
