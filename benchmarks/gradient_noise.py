"""How noisy meta-gradients are: DiCE against the low-variance curvature surrogate.

    python benchmarks/gradient_noise.py

Writes results/gradient-noise.json. One policy, many batches: the standard deviation of the meta-gradient over batches,
relative to the length of its mean, for either surrogate on the same batches (Rothfuss et al. 2019, who
find about twice the noise for DiCE). nav2d, 1 inner step, 20 tasks of 20 episodes of 100 steps; the policy has been
trained for some updates of MAML with TRPO, so that its gradient is not that of a fresh net.
"""

import json
from pathlib import Path
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax.flatten_util import ravel_pytree

from innerloop._collect import JaxCollector
from innerloop._machine import provenance
from innerloop._train import train
from innerloop.algorithms import MAML, InnerLoop, MetaTraining, Net
from innerloop.benchmarks import benchmark
from innerloop.report._results import write_result

RESULTS = Path(__file__).parent / "results"
NUM_BATCHES = 40
NUM_SEEDS = 5
NUM_UPDATES = 10
PUBLISHED = 2.0


def settings(surrogate: Any) -> MAML:
    """MAML on nav2d with one of the surrogates."""
    inner = InnerLoop(inner_rate=0.1, surrogate=surrogate)
    training = MetaTraining(num_updates=NUM_UPDATES, num_tasks=20, outer="trpo", fisher_share=0.1)
    return MAML(net=Net(widths=(64, 64)), inner=inner, training=training)


def noise(seed: int) -> dict[str, float]:
    """Relative standard deviation of the meta-gradient by surrogate."""
    row, key = benchmark("nav2d"), jax.random.key(seed)
    learners = {name: settings(name).learner(row) for name in ("lvc", "dice")}
    collector = JaxCollector(row.env, row.train, 20, 2, row.episodes_per_round)
    state, _ = train(key, learners["lvc"], collector, NUM_UPDATES)
    found = {}
    for name, learner in learners.items():
        played = learner.init(key).params
        played = eqx.tree_at(lambda agent: agent.base, played, state.params.base)

        @eqx.filter_jit
        def gradient(key: Any, played: Any = played, learner: Any = learner) -> Any:
            trials = collector.collect(key, played, collector.init(key, played))[0]
            slope = eqx.filter_grad(lambda agent: learner.loss(agent, key, played, trials)[0])(played)
            return ravel_pytree(eqx.filter(slope, eqx.is_inexact_array))[0]

        gradients = jnp.stack([gradient(k) for k in jax.random.split(jax.random.fold_in(key, 1), NUM_BATCHES)])
        mean = gradients.mean(axis=0)
        found[name] = float(jnp.sqrt(gradients.var(axis=0).sum()) / jnp.linalg.norm(mean))
    return found


def main() -> None:
    """Measure and store."""
    seeds = [noise(seed) for seed in range(NUM_SEEDS)]
    ratios = [seed["dice"] / seed["lvc"] for seed in seeds]
    spread = 1.96 * np.std(ratios, ddof=1) / np.sqrt(NUM_SEEDS)
    result = {
        "id": "gradient-noise",
        "metric": "relative noise of DiCE's meta-gradient over that of LVC's",
        "value": float(np.mean(ratios)),
        "low": float(np.mean(ratios) - spread),
        "high": float(np.mean(ratios) + spread),
        "per_seed": ratios,
        "better": "higher",
        "bar": None,
        "published": PUBLISHED,
        "source": "Rothfuss et al. 2019, on MuJoCo tasks",
        "num_seeds": NUM_SEEDS,
        "details": {"relative_noise": seeds, "num_batches": NUM_BATCHES},
        **provenance(),
        "command": "python benchmarks/gradient_noise.py",
    }
    write_result(RESULTS, result)
    print(json.dumps(result["details"]), result["value"])


if __name__ == "__main__":
    main()
