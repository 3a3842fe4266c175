"""How fast RL² trains here: steady env steps/s, compile seconds, peak memory, and the share of the machine's own rate.

    python benchmarks/rl2_speed.py            # all rows, each in a process of its own; writes results/rl2-speed.json
    python benchmarks/rl2_speed.py gru-64     # one row, printed as JSON

Rows named after a peer do that peer's work (env, trial, net, epochs), with its batch or with a larger one; the figure
they are held against was measured with the peer's own code on a machine of this kind. `value` is the least that a
peer's rows reach of the speed asked for, the better batch counting. Rows with our own epochs stand beside, and do not
count.
"""

import json
import resource
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

from _speed import apart, matrix_rate, steady

RESULTS = Path(__file__).parent / "results"
SECONDS = 15.0
"""How long each row is timed, after compilation and one warm-up."""


def rows() -> dict[str, dict[str, Any]]:
    """Workloads by name: benchmark, settings, and the peer's rate if there is one."""
    from innerloop.algorithms._on_policy import OnPolicy
    from innerloop.algorithms.memoryless import Memoryless
    from innerloop.algorithms.rl2 import RL2

    ours = OnPolicy(num_tasks=1024, num_epochs=2, num_minibatches=4)
    found: dict[str, dict[str, Any]] = {
        f"gru-{size}": {"benchmark": "bandit-n100-k10", "settings": RL2(hidden_size=size, training=ours)}
        for size in (32, 64, 128, 256)
    }
    garage = OnPolicy(num_tasks=10, num_epochs=10, num_minibatches=1)
    varibad = OnPolicy(num_tasks=16, num_epochs=2, num_minibatches=4)
    cartpole = OnPolicy(num_tasks=4, num_epochs=4, num_minibatches=4, stream_steps=128, across_episodes=False)
    found["point-env-as-garage"] = {
        "benchmark": "point-env",
        "settings": RL2(training=garage),
        "peer": {"name": "garage 2021.3.0 RL²-PPO", "steps_per_second": 815, "target": 100},
    }
    found["point-env-large-batch"] = found["point-env-as-garage"] | {
        "settings": RL2(training=replace(garage, num_tasks=640, num_minibatches=4)),
    }
    found["point-env-own-epochs"] = {"benchmark": "point-env", "settings": RL2(training=ours)}
    found["gridnavi-as-varibad-rl2"] = {
        "benchmark": "gridnavi",
        "settings": RL2(training=varibad),
        "peer": {"name": "VariBAD repository, RL² configuration", "steps_per_second": 386, "target": 100},
    }
    found["gridnavi-large-batch"] = found["gridnavi-as-varibad-rl2"] | {
        "settings": RL2(training=replace(varibad, num_tasks=1024)),
    }
    found["cartpole-ppo-as-purejaxrl"] = {
        "benchmark": "cartpole",
        "settings": Memoryless(training=cartpole),
        "peer": {"name": "PureJaxRL PPO", "steps_per_second": 111_000, "target": 1, "compile_seconds": 6.8},
    }
    found["cartpole-rnn-as-purejaxrl"] = {
        "benchmark": "cartpole",
        "settings": RL2(
            hidden_size=128,
            encoder_widths=(128,),
            head_widths=(128,),
            head_obs=False,
            reset_at_episodes=True,
            training=cartpole,
        ),
    }
    return found


def useful_flops(agent: Any, num_epochs: int) -> float:
    """Multiply-adds (two operations each) of all weight matrices for one env step: one forward pass to act, and one
    forward and two backward passes an epoch. What is computed again to save memory does not count."""
    import jax

    matrices = [leaf for leaf in jax.tree.leaves(agent) if getattr(leaf, "ndim", 0) == 2]
    return sum(2.0 * leaf.size for leaf in matrices) * (1 + 3 * num_epochs)


def measure(name: str) -> dict[str, Any]:
    """One row, timed in this process without a compilation cache."""
    from innerloop._collect import JaxCollector, StreamCollector
    from innerloop.benchmarks import benchmark

    row = rows()[name]
    found, settings = benchmark(row["benchmark"]), row["settings"]
    training, learner = settings.training, settings.learner(found)
    if training.stream_steps is None:
        collector: Any = JaxCollector(found.env, found.train, training.num_tasks, found.num_episodes)
    else:
        collector = StreamCollector(found.env, found.train, training.num_tasks, training.stream_steps)
    per_call = max(1, 50_000 // collector.steps_per_collect)
    updates, compile_seconds, state = steady(learner, collector, per_call, SECONDS)
    rate = updates * collector.steps_per_collect
    flops = useful_flops(learner.agent(state.state), training.num_epochs) * rate
    result = {
        "name": name,
        "benchmark": row["benchmark"],
        "steps_per_update": collector.steps_per_collect,
        "epochs": training.num_epochs,
        "minibatches": training.num_minibatches,
        "steps_per_second": round(rate),
        "compile_seconds": round(compile_seconds, 1),
        "peak_memory_mib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024,
        "gflops_per_second": round(flops / 1e9, 2),
        "share_of_matrix_rate": round(flops / matrix_rate(), 4),
    }
    if "peer" in row:
        result |= {"peer": row["peer"], "ratio": round(rate / row["peer"]["steps_per_second"], 1)}
    return result


def main() -> None:
    """All rows, or the one that is named."""
    if len(sys.argv) > 1:
        print(json.dumps(measure(sys.argv[1])))
        return
    from innerloop._machine import provenance
    from innerloop.report._results import write_result

    measured = []
    for name in rows():
        measured.append(apart(__file__, name))
        print(json.dumps(measured[-1]), flush=True)
    reached: dict[str, float] = {}
    for row in measured:
        if "peer" in row:
            name = row["peer"]["name"]
            reached[name] = max(reached.get(name, 0.0), round(row["ratio"] / row["peer"]["target"], 3))
    result = {
        "id": "rl2-speed",
        "metric": "share of the speed asked for, the least of the peers'",
        "value": min(reached.values()),
        "better": "higher",
        "bar": 1.0,
        "published": None,
        "source": "100 x the classic RL² rates, 1 x PureJaxRL's PPO",
        "details": {"reached": reached},
        "rows": measured,
        **provenance(),
        "command": "python benchmarks/rl2_speed.py",
    }
    write_result(RESULTS, result)
    print(f"of the speeds asked for: {reached}")


if __name__ == "__main__":
    main()
