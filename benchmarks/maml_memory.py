"""How much memory a meta-gradient takes as inner steps grow, with and without rematerialisation.

    python benchmarks/maml_memory.py

Writes results/maml-memory.json: the scratch memory that the compiled meta-gradient of MAML on nav2d (20 tasks, 20
episodes of 100 steps, net 100-100) asks for, at 1, 5 and 20 gradient steps on the same episodes. `value` is how much
the part that grows with steps has grown from 1 to 20 steps, as a share of the 20-fold growth of activations.
"""

import json
from pathlib import Path
from typing import Any

RESULTS = Path(__file__).parent / "results"
STEPS = (1, 5, 20)


def scratch_mib(num_steps: int, remat: bool) -> float:
    """Mebibytes of temporaries of one compiled meta-gradient."""
    import equinox as eqx
    import jax

    from innerloop._collect import JaxCollector
    from innerloop.algorithms._inner_loop import InnerLoop, MetaTraining, Net
    from innerloop.algorithms.maml import MAML
    from innerloop.benchmarks import benchmark

    found = benchmark("nav2d")
    inner = InnerLoop(inner_rate=0.1, steps_per_round=num_steps, remat=remat)
    settings = MAML(net=Net(widths=(100, 100), activation="relu"), inner=inner, training=MetaTraining(num_tasks=20))
    learner = settings.learner(found)
    collector = JaxCollector(found.env, found.train, 20, 2, 20)
    key = jax.random.key(0)
    agent = jax.eval_shape(lambda: learner.init(key).params)
    params, static = eqx.partition(agent, lambda x: isinstance(x, jax.ShapeDtypeStruct))

    def experience(params: Any) -> Any:
        played = eqx.combine(params, static)
        return collector.collect(key, played, collector.init(key, played))[0]

    def gradient(params: Any, trials: Any) -> Any:
        played = eqx.combine(params, static)
        return eqx.filter_grad(lambda x: learner.loss(x, key, played, trials)[0])(played)

    trials = jax.eval_shape(experience, params)
    compiled = jax.jit(gradient).lower(params, trials).compile()
    return compiled.memory_analysis().temp_size_in_bytes / 2**20


def main() -> None:
    """Measure and store."""
    from innerloop._machine import provenance
    from innerloop.report._results import write_result

    measured = {remat: [round(scratch_mib(n, remat), 1) for n in STEPS] for remat in (False, True)}
    for remat, sizes in measured.items():
        print(f"{'with' if remat else 'without'} rematerialisation:", dict(zip(STEPS, sizes, strict=True)), "MiB")
    growth = (measured[True][-1] - measured[True][0]) / (measured[True][0] * (STEPS[-1] - STEPS[0]))
    result = {
        "id": "maml-memory",
        "metric": "growth of memory over growth of activations, 1 to 20 inner steps",
        "value": round(growth, 4),
        "better": "lower",
        "bar": 1.0,
        "published": None,
        "source": "1 is linear growth",
        "details": {
            "steps": STEPS,
            "with_remat_mib": measured[True],
            "without_remat_mib": measured[False],
        },
        **provenance(),
        "command": "python benchmarks/maml_memory.py",
    }
    write_result(RESULTS, result)
    print(json.dumps(result["details"]))


if __name__ == "__main__":
    main()
