"""How fast each memory core acts and is trained, all with about as many weights; and what the parallel scan brings.

    python benchmarks/core_speed.py           # all rows, each in a process of its own; writes results/core-speed.json
    python benchmarks/core_speed.py gru       # one row, printed as JSON
    python benchmarks/core_speed.py ssm-1000  # a core's forward and backward pass over sequences of 1000 steps

Agents act, and are trained by RL², on trials of 100 steps (`mdp-n10`), all of which a core that looks back sees. `value` is
how many times as fast as its loop the parallel scan of `ssm` is over sequences of 1000 steps, forward and backward.
"""

import json
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, get_args

from _speed import apart, per_second, steady

RESULTS = Path(__file__).parent / "results"
SECONDS = 10.0
"""How long each thing is timed, after compilation and one warm-up."""
NUM_TRIALS, NUM_STEPS = 256, 100
NUM_WEIGHTS = 64_000
"""Weights of a core, as nearly as its width allows."""
SCANS = tuple(f"{core}-{num_steps}" for core in ("ssm", "mamba") for num_steps in (100, 1000))


def options(parallel_scan: bool = True) -> Any:
    """What cores have beside their width."""
    from innerloop.nn import CoreOptions

    return CoreOptions(context=NUM_STEPS, parallel_scan=parallel_scan)


def num_weights(core: str, size: int, num_in: int = 17) -> int:
    """How many a core of this width has, fed as many features as in `mdp-n10`."""
    import equinox as eqx
    import jax

    from innerloop.nn import make_core

    shapes = eqx.filter_eval_shape(lambda key: make_core(core, key, num_in, size, options()), jax.random.key(0))
    return sum(leaf.size for leaf in jax.tree.leaves(shapes))


def width(core: str) -> int:
    """The width that brings a core nearest to `NUM_WEIGHTS`; heads want multiples of 8."""
    every = 8 if core == "transformer" else 2
    size = every
    while num_weights(core, size + every) < NUM_WEIGHTS:
        size += every
    return min((size, size + every), key=lambda x: abs(num_weights(core, x) - NUM_WEIGHTS))


def timed(function: Callable[..., Any], *inputs: Any) -> float:
    """Seconds a call, once it is compiled and warm."""
    import jax

    return 1 / per_second(lambda: jax.block_until_ready(function(*inputs)), SECONDS)


def agent_speed(core: str) -> dict[str, Any]:
    """Acting alone, and whole updates: collection, two passes of PPO in four parts each."""
    import equinox as eqx
    import jax

    from innerloop._collect import JaxCollector
    from innerloop.algorithms import RL2, OnPolicy
    from innerloop.benchmarks import benchmark

    row, size, key = benchmark("mdp-n10"), width(core), jax.random.key(0)
    training = OnPolicy(num_tasks=NUM_TRIALS, num_epochs=2, num_minibatches=4)
    learner = RL2(core=core, hidden_size=size, core_options=options(), training=training).learner(row)
    collector = JaxCollector(row.env, row.train, NUM_TRIALS, row.num_episodes)
    agent = learner.agent(learner.init(key))

    @eqx.filter_jit
    def act(agent: Any) -> Any:
        return collector.collect(key, agent, collector.init(key, agent))[0].returns()

    steps = collector.steps_per_collect
    acting = steps / timed(act, agent)
    updates, compile_seconds, _ = steady(learner, collector, 1, SECONDS)
    return {
        "size": size,
        "weights": num_weights(core, size),
        "acting_steps_per_second": round(acting),
        "training_steps_per_second": round(updates * steps),
        "compile_seconds": round(compile_seconds, 1),
    }


def scan_speed(core: str, num_steps: int) -> dict[str, Any]:
    """Forward and backward passes by the parallel scan and by the loop, over as many steps in all."""
    import equinox as eqx
    import jax
    import jax.numpy as jnp

    from innerloop.nn import make_core

    size, key = width(core), jax.random.key(0)
    xs = jax.random.normal(key, (NUM_TRIALS * NUM_STEPS // num_steps, num_steps, 17))
    none = jnp.zeros((num_steps,), bool)

    def loss(core: Any) -> Any:
        return jnp.square(jax.vmap(lambda x: core.sequence(core.initial(), x, none, ~none)[1])(xs)).mean()

    gradient = eqx.filter_jit(eqx.filter_grad(loss))
    parallel, loop = (
        xs.shape[0] * num_steps / timed(partial(gradient, make_core(core, key, 17, size, options(scan))))
        for scan in (True, False)
    )
    return {
        "steps": num_steps,
        "size": size,
        "parallel_steps_per_second": round(parallel),
        "loop_steps_per_second": round(loop),
        "ratio": round(parallel / loop, 3),
    }


def measure(name: str) -> dict[str, Any]:
    """One row."""
    core, _, num_steps = name.partition("-")
    return {"name": name, **(scan_speed(core, int(num_steps)) if num_steps else agent_speed(core))}


def main() -> None:
    """All rows, or the one that is named."""
    if len(sys.argv) > 1:
        print(json.dumps(measure(sys.argv[1])))
        return
    from innerloop._machine import provenance
    from innerloop.nn import CoreName
    from innerloop.report._results import write_result

    measured = {}
    for name in (*get_args(CoreName), *SCANS):
        measured[name] = apart(__file__, name)
        print(json.dumps(measured[name]), flush=True)
    result = {
        "id": "core-speed",
        "metric": "speed of the parallel scan over the loop's, `ssm`, 1000 steps",
        "value": measured["ssm-1000"]["ratio"],
        "better": "higher",
        "bar": None,
        "published": None,
        "source": None,
        "rows": list(measured.values()),
        **provenance(),
        "command": "python benchmarks/core_speed.py",
    }
    write_result(RESULTS, result)


if __name__ == "__main__":
    main()
