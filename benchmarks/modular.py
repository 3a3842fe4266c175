"""Many tasks, one policy that is told which: does it help if the task says which parts of the net are used?

    python benchmarks/modular.py [--runs RUNS] [--only ten-tasks-heads ...]

Trains, where that has not been done, five seeds of the `oracle` with each of `POLICIES` on ten and on a hundred tasks, with
the same outer loop and nearly the same number of parameters (an interrupted run goes on), and writes results/modular.json
and docs/images/routing.png. The area under the curve is the mean return over the looks in training, the first before it.

Step size and layers are the best for `mlp` of seven pairs tried with two seeds of 100 and more (two layers of 64, or three
of 48; 3e-3 to 4e-2). The other nets have as many layers, of a width that makes nearly as many parameters. On such seeds,
too, how the routing of `modular` begins was chosen (`nn/_structure.py`). `value` is the number of claims, of three, that
hold: on ten tasks `modular` and `heads` are above `mlp` in area (the 95 % interval of the difference is above 0), and the
routings that `modular` has for two different tasks differ more than those of a net that has not been trained.
"""

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from _looks import looks, resampled, train
from innerloop._evaluate import bootstrap_interval
from innerloop._machine import provenance
from innerloop._run import agent_of
from innerloop.algorithms._on_policy import OnPolicy
from innerloop.algorithms.memoryless import Oracle
from innerloop.benchmarks import benchmark
from innerloop.nn import PolicyName
from innerloop.report import plot_routing
from innerloop.report._results import write_result

HERE = Path(__file__).parent
NUM_SEEDS = 5
NUM_LOOKS = 6
NUM_UPDATES = 100
TRAINING = OnPolicy(
    num_updates=NUM_UPDATES,
    num_tasks=64,
    num_epochs=4,
    num_minibatches=2,
    learning_rate=2e-2,
    gamma=0.95,
    gae_lambda=0.9,
    entropy_coef=0.02,
)
POLICIES: dict[str, dict[PolicyName, int]] = {
    "ten-tasks": {"mlp": 48, "heads": 44, "modular": 21, "mixture": 24, "library": 34, "hyper": 14},
    "hundred-tasks": {"mlp": 56, "heads": 33, "modular": 29, "mixture": 36, "library": 50, "hyper": 6},
}
"""The width of all three hidden layers, or of those of each of the four modules."""
ROUTED = ("mixture", "modular", "library")


def settings(tasks: str, policy: str) -> Oracle:
    """The method with one of `POLICIES`."""
    return Oracle(widths=(POLICIES[tasks][policy],) * 3, policy=policy, training=TRAINING)


def maker(tasks: str, policy: str) -> Callable[[jax.Array], Any]:
    """What makes an untrained agent."""
    learner = settings(tasks, policy).learner(benchmark(tasks))
    return lambda key: learner.agent(learner.init(key))


def num_parameters(tasks: str, policy: str) -> int:
    """Of policy and value."""
    agent = jax.eval_shape(maker(tasks, policy), jax.random.key(0))
    return sum(x.size for x in jax.tree.leaves(agent))


def trained(runs: Path, tasks: str, policy: str) -> Path:
    """The run directory of all seeds of one policy, which are trained unless that has been done."""
    folder = runs / "modular" / f"{tasks}-{policy}"
    train(folder, "oracle", tasks, settings(tasks, policy), NUM_SEEDS, NUM_LOOKS, num_test_tasks=200)
    return folder


def returns(folder: Path) -> np.ndarray:
    """Return of an episode on all tasks at each look, `[seed look]`."""
    return looks(folder, NUM_SEEDS, NUM_LOOKS)[1]


def apart(agents: Any, tasks: str) -> np.ndarray:
    """How far the routings of two different tasks are apart, `[seed]`: total variation, from 0 to 1, averaged over pairs of
    tasks, cells and all that is fed with a mixture of modules."""
    row = benchmark(tasks)
    cells = jnp.stack(jnp.meshgrid(*[jnp.arange(row.env.size)] * 2), axis=-1).reshape(-1, 2)
    z, x = row.test.tasks.code, row.env.observe(cells)
    num_tasks = z.shape[0]

    def one(agent: Any) -> jax.Array:
        routing = jax.vmap(lambda z: jax.vmap(lambda x: agent.policy.routing(z, x))(x))(z)
        distances = jax.lax.map(lambda a: 0.5 * jnp.abs(a[None] - routing).sum(axis=-1).mean(), routing)
        return distances.mean() * num_tasks / (num_tasks - 1)

    return np.asarray(jax.jit(jax.vmap(one))(agents), np.float64)


def summary(x: np.ndarray) -> dict[str, Any]:
    """Mean over seeds, its interval, and every seed."""
    low, high = bootstrap_interval(x[:, None])
    found = {"mean": round(float(x.mean()), 3), "low": round(low, 3), "high": round(high, 3)}
    return {**found, "per_seed": x.round(3).tolist()}


def judge(curves: dict[str, np.ndarray], routings: dict[str, dict[str, np.ndarray]]) -> dict[str, dict[str, float]]:
    """The differences that are claimed to be above 0."""
    areas = {policy: x.mean(axis=1) for policy, x in curves.items()}
    return {
        "modular ahead of mlp": resampled(areas["modular"], areas["mlp"]),
        "heads ahead of mlp": resampled(areas["heads"], areas["mlp"]),
        "modular routes tasks apart": resampled(routings["modular"]["trained"], routings["modular"]["untrained"]),
    }


def main() -> None:
    """Train what is missing, compare, store."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--runs", type=Path, default=Path("runs"), help="where run directories are")
    cells = {f"{tasks}-{policy}": (tasks, policy) for tasks, policies in POLICIES.items() for policy in policies}
    parser.add_argument("--only", nargs="+", default=[], choices=list(cells), help="train these, and write nothing")
    options = parser.parse_args()
    folders = {name: trained(options.runs, *cells[name]) for name in options.only or cells}
    for name, folder in folders.items():
        found = returns(folder)
        print(
            f"{name}: {num_parameters(*cells[name])} parameters, area {found.mean():.2f}, end {found[:, -1].mean():.2f}"
        )
    if options.only:
        return
    curves = {
        tasks: {policy: returns(folders[f"{tasks}-{policy}"]) for policy in POLICIES[tasks]} for tasks in POLICIES
    }
    keys = jax.random.split(jax.random.key(0), NUM_SEEDS)
    routings = {
        tasks: {
            policy: {
                "trained": apart(agent_of(folders[f"{tasks}-{policy}"]), tasks),
                "untrained": apart(jax.vmap(maker(tasks, policy))(keys), tasks),
            }
            for policy in ROUTED
        }
        for tasks in POLICIES
    }
    claims = judge(curves["ten-tasks"], routings["ten-tasks"])
    row = benchmark("ten-tasks")
    first = jax.tree.map(lambda x: x[0], agent_of(folders["ten-tasks-modular"]))
    env = settings("ten-tasks", "modular").env(row)
    title = "Soft modularisation on ten tasks: the share of each module in what feeds each module of the next layer"
    plot_routing(first, env, row.test, 1, HERE.parent / "docs" / "images" / "routing.png", title)
    result = {
        "id": "modular",
        "metric": "claims that hold, of three: modules and heads above one net on ten tasks, routing differs between tasks",
        "value": sum(claim["low"] > 0 for claim in claims.values()),
        "better": "higher",
        "bar": len(claims),
        "published": None,
        "source": "on MT10 soft modularisation .73 and multi-head .61 are above one net, .49 (Liu et al. 2021, CAGrad)",
        "num_seeds": NUM_SEEDS,
        "details": {
            "steps of a seed": NUM_UPDATES * TRAINING.num_tasks * benchmark("ten-tasks").env.spec.max_steps,
            "parameters": {
                tasks: {policy: num_parameters(tasks, policy) for policy in of} for tasks, of in curves.items()
            },
            "claims": claims,
            "area": {
                tasks: {policy: summary(x.mean(axis=1)) for policy, x in of.items()} for tasks, of in curves.items()
            },
            "return at the end": {
                tasks: {policy: summary(x[:, -1]) for policy, x in of.items()} for tasks, of in curves.items()
            },
            "total variation between routings of two tasks": {
                tasks: {policy: {name: summary(x) for name, x in both.items()} for policy, both in of.items()}
                for tasks, of in routings.items()
            },
        },
        **provenance(),
        "command": "python benchmarks/modular.py",
    }
    write_result(HERE / "results", result)


if __name__ == "__main__":
    main()
