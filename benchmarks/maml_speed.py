"""How fast MAML and ProMP train here, at the configurations of older libraries' own examples.

    python benchmarks/maml_speed.py                       # all rows, each in a process of its own
    python benchmarks/maml_speed.py particles-learn2learn # one row, printed as JSON

Writes results/maml-speed.json. A row does the peer's work for one update: tasks, episodes, steps, net, inner and outer
steps; the seconds it is held against were measured with the peer's own code on a machine of this kind. `value` is the
least ratio of all peers. TRPO's Fisher matrix comes from a tenth of the episodes, the step's divergence and loss from
all of them; rows called exact-... take all episodes for both, and stand beside. The other rows compare second-order
with first-order updates, and ANIL with MAML at the settings of their recipes on nav2d.
"""

import json
import sys
import time
from pathlib import Path
from typing import Any

from _speed import apart

RESULTS = Path(__file__).parent / "results"
SECONDS = 20.0
"""How long each row is timed, after compilation and one warm-up."""
ASKED = 50.0


def rows() -> dict[str, dict[str, Any]]:
    """Workloads by name: benchmark, settings, and the peer's seconds for one update."""
    from innerloop.algorithms._inner_loop import InnerLoop, MetaTraining, Net
    from innerloop.algorithms.fomaml import FOMAML
    from innerloop.algorithms.maml import MAML
    from innerloop.algorithms.promp import ProMP
    from innerloop.recipes import recipe

    wide, small = Net(widths=(100, 100), activation="relu"), Net(widths=(64, 64))
    adam = {"learning_rate": 1e-3, "outer": "ppo", "num_outer_steps": 5, "clip_ratio": 0.3}

    def particles(share: float) -> MAML:
        inner = InnerLoop(episodes_per_round=20, inner_rate=0.1, gamma=0.95)
        return MAML(net=wide, inner=inner, training=MetaTraining(num_tasks=20, outer="trpo", fisher_share=share))

    def point(share: float) -> MAML:
        inner = InnerLoop(episodes_per_round=40, inner_rate=0.1)
        return MAML(net=small, inner=inner, training=MetaTraining(num_tasks=20, outer="trpo", fisher_share=share))

    pendulum = InnerLoop(episodes_per_round=10, inner_rate=0.03, baseline="value")
    corner = InnerLoop(episodes_per_round=20, inner_rate=0.1)
    plain = InnerLoop(episodes_per_round=20, inner_rate=0.1)
    learn2learn = {"name": "learn2learn 0.2.0 MAML-TRPO", "seconds": 80.0}
    garage = {"name": "garage 2021.3.0 MAML-TRPO", "seconds": 83.0}
    return {
        "particles-learn2learn": {"benchmark": "nav2d", "settings": particles(0.1), "peer": learn2learn},
        "exact-particles-learn2learn": {"benchmark": "nav2d", "settings": particles(1.0), "beside": learn2learn},
        "point-env-garage": {"benchmark": "point-env", "settings": point(0.1), "peer": garage},
        "exact-point-env-garage": {"benchmark": "point-env", "settings": point(1.0), "beside": garage},
        "pendulum-mass-rllib": {
            "benchmark": "pendulum-mass",
            "settings": MAML(net=small, inner=pendulum, training=MetaTraining(num_tasks=16, **adam)),
            "peer": {"name": "RLlib MAML, ray 2.5.1", "seconds": 30.5},
        },
        "corners-promp": {
            "benchmark": "corners",
            "settings": ProMP(net=small, inner=corner, training=MetaTraining(num_tasks=40, **adam)),
            "peer": {"name": "ProMP 93ae339", "seconds": 66.8},
        },
        "second-order": {
            "benchmark": "nav2d",
            "settings": MAML(net=wide, inner=plain, training=MetaTraining(num_tasks=20)),
        },
        "first-order": {
            "benchmark": "nav2d",
            "settings": FOMAML(net=wide, inner=plain, training=MetaTraining(num_tasks=20)),
        },
        "maml": {"benchmark": "nav2d", "settings": recipe("nav2d-maml").settings},
        "anil": {"benchmark": "nav2d", "settings": recipe("nav2d-anil").settings},
    }


def measure(name: str) -> dict[str, Any]:
    """One row, timed in this process without a compilation cache."""
    import jax

    from innerloop._collect import JaxCollector
    from innerloop._train import Segment, init
    from innerloop.benchmarks import benchmark

    row = rows()[name]
    found, settings = benchmark(row["benchmark"]), row["settings"]
    learner, training = settings.learner(found), settings.training
    per_round = settings.inner.episodes_per_round or found.episodes_per_round
    collector = JaxCollector(found.env, found.train, training.num_tasks, training.train_rounds(found), per_round)
    key = jax.random.key(0)
    clock = time.perf_counter()
    state = init(key, learner, collector)
    segment = Segment(learner, collector, key, state, 1, None)
    compile_seconds = time.perf_counter() - clock
    state, _ = segment(state, 1)
    clock, updates = time.perf_counter(), 0
    while (seconds := time.perf_counter() - clock) < SECONDS:
        state, _ = segment(state, 1)
        updates += 1
    update, played = seconds / updates, state.state.params
    experience = jax.jit(lambda: collector.collect(key, played, collector.init(key, played))[0])
    jax.block_until_ready(experience())
    clock = time.perf_counter()
    jax.block_until_ready([experience() for _ in range(5)])
    collect = (time.perf_counter() - clock) / 5
    trials = experience()
    start, first = jax.tree.map(lambda x: x[:, 0], (trials.memories, trials.transitions))
    adapt = jax.jit(jax.vmap(lambda memory, episodes: played.adapt(key, memory, episodes)))
    jax.block_until_ready(adapt(start, first))
    clock = time.perf_counter()
    jax.block_until_ready([adapt(start, first) for _ in range(20)])
    adapting = (time.perf_counter() - clock) / 20
    result = {
        "name": name,
        "benchmark": row["benchmark"],
        "steps_per_update": collector.steps_per_collect,
        "seconds_per_update": round(update, 4),
        "seconds_of_play": round(collect, 4),
        "seconds_of_adapting": round(adapting, 5),
        "compile_seconds": round(compile_seconds, 1),
    }
    for kind in ("peer", "beside"):
        if kind in row:
            result |= {kind: row[kind], "ratio": round(row[kind]["seconds"] / update, 1)}
    return result


def main() -> None:
    """All rows, or the one that is named."""
    if len(sys.argv) > 1:
        print(json.dumps(measure(sys.argv[1])))
        return
    from innerloop._machine import provenance
    from innerloop.report._results import write_result

    measured: dict[str, dict[str, Any]] = {}
    for name in rows():
        measured[name] = apart(__file__, name)
        print(json.dumps(measured[name]), flush=True)
    ratios = {row["peer"]["name"]: row["ratio"] for row in measured.values() if "peer" in row}
    learning = {name: row["seconds_per_update"] - row["seconds_of_play"] for name, row in measured.items()}
    details = {
        "ratios": ratios,
        "second_order_over_first_order": round(learning["second-order"] / learning["first-order"], 2),
        "maml_over_anil": {
            "training": round(learning["maml"] / learning["anil"], 2),
            "adapting": round(measured["maml"]["seconds_of_adapting"] / measured["anil"]["seconds_of_adapting"], 2),
        },
    }
    result = {
        "id": "maml-speed",
        "metric": "times as fast as the peer, the least of all peers",
        "value": min(ratios.values()),
        "better": "higher",
        "bar": ASKED,
        "published": None,
        "source": "the peers' own code, measured on a machine of this kind",
        "details": details,
        "rows": list(measured.values()),
        **provenance(),
        "command": "python benchmarks/maml_speed.py",
    }
    write_result(RESULTS, result)
    print(json.dumps(result["details"]))


if __name__ == "__main__":
    main()
