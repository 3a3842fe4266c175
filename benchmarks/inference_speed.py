"""How fast VariBAD and PEARL train here, at their authors' settings and at our own.

    python benchmarks/inference_speed.py                # all rows, each in a process of its own
    python benchmarks/inference_speed.py varibad-recipe # one row, printed as JSON

Writes results/inference-speed.json. Peers' figures were measured with their own code on a machine of this kind.
`value` is the least share of the speeds asked for: VariBAD 20 x with all terms of the bound and 100 x with some of them
(the settings of the recipe gridnavi-varibad, whose return stands in its own row), PEARL's gradient step in half a
second, and its collection 100 x.
"""

import json
import sys
import time
from pathlib import Path
from typing import Any

from _speed import apart, matrix_rate, per_second, steady

RESULTS = Path(__file__).parent / "results"
SECONDS = 20.0
VARIBAD, OYSTER = 468.0, 1985.0
"""Environment steps a second: VariBAD's repository in training, PEARL's (oyster) while collecting."""
STEP_SECONDS, STEP_ASKED = 1.09, 0.5
"""Of a gradient step of PEARL's: the peer's, and what is asked for."""


def varibad(settings: Any, asked: float) -> dict[str, Any]:
    """Training as a whole."""
    from innerloop._collect import JaxCollector
    from innerloop.benchmarks import benchmark

    row = benchmark("gridnavi-cells")
    collector = JaxCollector(row.env, row.train, settings.training.num_tasks, row.num_episodes)
    per_call = max(1, 20_000 // collector.steps_per_collect)
    updates, compile_seconds, _ = steady(settings.learner(row), collector, per_call, SECONDS)
    rate = updates * collector.steps_per_collect
    return {
        "steps_per_second": round(rate),
        "compile_seconds": round(compile_seconds, 1),
        "peer": {"name": "VariBAD repository", "steps_per_second": VARIBAD},
        "ratio": round(rate / VARIBAD, 1),
        "asked": asked,
        "share": round(rate / VARIBAD / asked, 3),
    }


def as_authors() -> Any:
    """VariBAD's shipped settings: 16 trials, 3 steps on 25 trials with all terms of the bound."""
    from innerloop.algorithms import BeliefSettings, OnPolicy, VariBAD

    belief = BeliefSettings(
        policy_widths=(32,),
        reward_decoder="bernoulli",
        per_state=True,
        num_elbo_terms=None,
        num_inference_steps=3,
        inference_batch=25,
    )
    return VariBAD(belief, OnPolicy(num_tasks=16, num_epochs=2, num_minibatches=4))


def pearl() -> Any:
    """PEARL's shipped nets and batches: 16 tasks of 256 steps, contexts of one trial (60 steps; theirs have 64)."""
    from innerloop.algorithms import PEARL, OffPolicy

    training = OffPolicy(
        num_tasks=16, num_gradient_steps=10, batch_size=16 * 256, num_warmup=0, capacity=2000, widths=(300, 300, 300)
    )
    return PEARL(encoder_widths=(200, 200, 200), training=training)


def pearl_step() -> dict[str, Any]:
    """A gradient step: an update on trials that are there already, divided by its steps."""
    import equinox as eqx
    import jax

    from innerloop._collect import JaxCollector
    from innerloop.benchmarks import benchmark

    row, settings, key = benchmark("point-robot"), pearl(), jax.random.key(0)
    learner = settings.learner(row)
    collector = JaxCollector(row.env, row.train, 16, row.num_episodes)
    state = learner.init(key)
    agent = learner.agent(state)
    trials, _ = eqx.filter_jit(collector.collect)(key, agent, collector.init(key, agent))
    clock = time.perf_counter()
    update = jax.jit(lambda *inputs: learner.update(*inputs)).lower(key, state, trials).compile()
    compile_seconds = time.perf_counter() - clock
    state, _ = jax.block_until_ready(update(key, state, trials))
    clock, calls = time.perf_counter(), 0
    while (passed := time.perf_counter() - clock) < SECONDS:
        state, _ = jax.block_until_ready(update(key, state, trials))
        calls += 1
    seconds = passed / calls / settings.training.num_gradient_steps
    flops = useful_flops(state.params, settings) / seconds
    return {
        "seconds": round(seconds, 4),
        "compile_seconds": round(compile_seconds, 1),
        "gflops_per_second": round(flops / 1e9, 1),
        "share_of_matrix_rate": round(flops / matrix_rate(), 3),
        "peer": {"name": "oyster (PEARL)", "seconds": STEP_SECONDS},
        "ratio": round(STEP_SECONDS / seconds, 1),
        "asked": STEP_ASKED,
        "share": round(STEP_ASKED / seconds, 3),
    }


def useful_flops(params: Any, settings: Any) -> float:
    """Multiply-adds (two operations each) of all weight matrices in a gradient step: critics forward and backward, and
    forward for targets and for the policy's loss, backward to the action; the policy forward twice and backward."""
    import jax

    def size(part: Any) -> float:
        return sum(2.0 * x.size for x in jax.tree.leaves(part) if getattr(x, "ndim", 0) == 2)

    batch, contexts = settings.training.batch_size, settings.tasks_per_step * 60
    nets = params.nets
    return batch * (size(nets.critics) * (3 + 1 + 2) + size(nets.policy) * (3 + 1)) + contexts * 3 * size(
        params.encoder
    )


def pearl_collection() -> dict[str, Any]:
    """Trials alone, on as many tasks at a time as the machine likes."""
    import equinox as eqx
    import jax

    from innerloop._collect import JaxCollector
    from innerloop.benchmarks import benchmark

    row, key = benchmark("point-robot"), jax.random.key(0)
    learner = pearl().learner(row)
    collector = JaxCollector(row.env, row.train, 512, row.num_episodes)
    agent = learner.agent(learner.init(key))
    stream, collect = collector.init(key, agent), eqx.filter_jit(collector.collect)
    calls = per_second(lambda: jax.block_until_ready(collect(key, agent, stream)), SECONDS)
    rate = calls * collector.steps_per_collect
    return {
        "steps_per_second": round(rate),
        "peer": {"name": "oyster (PEARL)", "steps_per_second": OYSTER},
        "ratio": round(rate / OYSTER, 1),
        "asked": 100.0,
        "share": round(rate / OYSTER / 100.0, 3),
    }


def measure(name: str) -> dict[str, Any]:
    """One row."""
    from innerloop.recipes import recipe

    rows = {
        "varibad-as-authors": lambda: varibad(as_authors(), 20.0),
        "varibad-recipe": lambda: varibad(recipe("gridnavi-varibad").settings, 100.0),
        "pearl-gradient-step": pearl_step,
        "pearl-collection": pearl_collection,
    }
    return {"name": name, **rows[name]()}


ROWS = ("varibad-as-authors", "varibad-recipe", "pearl-gradient-step", "pearl-collection")


def main() -> None:
    """All rows, or the one that is named."""
    if len(sys.argv) > 1:
        print(json.dumps(measure(sys.argv[1])))
        return
    from innerloop._machine import provenance
    from innerloop.report._results import write_result

    measured = []
    for name in ROWS:
        measured.append(apart(__file__, name))
        print(json.dumps(measured[-1]), flush=True)
    result = {
        "id": "inference-speed",
        "metric": "share of the speed asked for, the least of the rows'",
        "value": min(row["share"] for row in measured),
        "better": "higher",
        "bar": 1.0,
        "published": None,
        "source": "20 x and 100 x VariBAD's repository, half a second a gradient step and 100 x PEARL's",
        "rows": measured,
        **provenance(),
        "command": "python benchmarks/inference_speed.py",
    }
    write_result(RESULTS, result)


if __name__ == "__main__":
    main()
