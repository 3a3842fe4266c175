"""Which method is ahead of which: differences on the same held-out tasks, with intervals over seeds and tasks.

    python benchmarks/order.py corners krazy-world [--runs RUNS]
    python benchmarks/order.py bus --stored

Reads the seeds that `innerloop reproduce ID` has trained, for the IDs of a row of `ORDERS`, and writes
results/order-NAME.json. The row says, from best to worst, what is claimed; `value` is the number of pairs in it (neighbours,
or the first and each other) whose difference has an interval above 0 (for "no worse than": an interval that is not below 0).
With `--stored` it needs no runs, but results/ID.json: what each seed earned on average over tasks, so that intervals are over
seeds alone.
"""

import argparse
import itertools
import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from _seeds import load, resampled
from innerloop._machine import provenance
from innerloop.report._results import write_result

RESULTS = Path(__file__).parent / "results"


@dataclass(frozen=True)
class Order:
    """Recipes from the best to the worst as claimed, with the measure of each; `ties` may be no worse than the next.

    `first_only`: the claim is that the first is ahead of each of the others, and nothing of these among themselves.
    """

    source: str
    measures: dict[str, str]
    ties: tuple[str, ...] = ()
    first_only: bool = False

    def pairs(self) -> list[tuple[str, str]]:
        """Who is claimed to be ahead of whom."""
        ids = list(self.measures)
        return [(ids[0], other) for other in ids[1:]] if self.first_only else list(itertools.pairwise(ids))


ORDERS = {
    "corners": Order(
        "Rothfuss et al. 2019: ProMP solves it, E-MAML nearly, MAML does not",
        {"corners-promp": "adapt_3", "corners-e-maml": "adapt_3", "corners-maml": "adapt_3"},
    ),
    "krazy-world": Order(
        "Stadie et al. 2018: E-RL² > E-MAML >= MAML > RL²",
        {
            "krazy-world-e-rl2": "last_two",
            "krazy-world-e-maml": "adapt_1",
            "krazy-world-maml": "adapt_1",
            "krazy-world-rl2": "last_two",
        },
        ties=("krazy-world-e-maml",),
    ),
    "half-circle": Order(
        "Gupta et al. 2018: MAESN solves it; MAML, and latents without meta-learned structure, do not",
        {"half-circle-maesn": "adapt_3", "half-circle-latents": "adapt_3", "half-circle-maml": "adapt_3"},
        first_only=True,
    ),
    "treasure": Order(
        "Zintgraf et al. 2021: HyperX climbs the mountain and reads, VariBAD and RL² walk round",
        {"treasure-hyperx": "read_treasure", "treasure-varibad": "read_treasure", "treasure-rl2": "read_treasure"},
        first_only=True,
    ),
    "bus": Order(
        "Liu et al. 2021: DREAM is nearly optimal, others are stuck",
        {"bus-grid-dream": "last", "bus-grid-pearl": "last", "bus-grid-rl2": "last"},
        first_only=True,
    ),
    "cheetah-vel": Order(
        "Rakelly et al. 2019: PEARL ahead with fewer steps; who adapts to the speed is ahead of who does not",
        {"cheetah-vel-pearl": "adapt_2", "cheetah-vel-rl2": "adapt_2", "cheetah-vel-memoryless": "adapt_2"},
    ),
}


def stored(id: str, metric: str) -> tuple[np.ndarray, int]:
    """What each seed of a stored result reached, `[seed task measure]` with their mean as one task; how many there were."""
    path = RESULTS / f"{id}.json"
    if not path.exists():
        raise SystemExit(f"{path.name} is not there: innerloop reproduce {id}")
    result = json.loads(path.read_text())
    per_seed = result["per_seed"] if result["metric"] == metric else result["other_measures"][metric]
    return np.float64(per_seed)[:, None, None], result["num_test_tasks"]


def measure(name: str, runs: Path | None) -> None:
    """One row of `ORDERS`, from runs or, without any, from stored results."""
    order = ORDERS[name]
    if runs is None:
        found = {id: stored(id, metric) for id, metric in order.measures.items()}
        results, num_tasks = {id: x for id, (x, _) in found.items()}, min(num for _, num in found.values())
    else:
        results = {id: load(runs, id, (metric,)) for id, metric in order.measures.items()}
        num_tasks = min(x.shape[1] for x in results.values())
    ahead, holds = {}, 0
    for better, worse in order.pairs():
        difference = resampled(results, lambda m, a=better, b=worse: float(m[a][0] - m[b][0]))
        holds += difference["high"] >= 0 if better in order.ties else difference["low"] > 0
        ahead[f"{better} ahead of {worse}"] = difference
    details = {
        "claimed": order.source,
        "measure": order.measures,
        "intervals": "over seeds" if runs is None else "over seeds and tasks",
        "mean": {id: resampled({id: x}, lambda m, id=id: float(m[id][0])) for id, x in results.items()},
        "per seed": {id: x.mean(axis=(1, 2)).round(4).tolist() for id, x in results.items()},
        "differences": ahead,
    }
    for label, said in details.items():
        print(f"{label}: {said}")
    result = {
        "id": f"order-{name}",
        "metric": f"pairs in the claimed order of {len(results)} methods whose difference is as claimed",
        "value": int(holds),
        "better": "higher",
        "bar": len(order.pairs()),
        "published": None,
        "num_seeds": min(len(x) for x in results.values()),
        "num_test_tasks": num_tasks,
        "details": details,
        **provenance(),
        "command": f"python benchmarks/order.py {name}{' --stored' * (runs is None)}",
    }
    write_result(RESULTS, result)


def main() -> None:
    """The named rows."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("names", nargs="+", choices=list(ORDERS), help="what to compare")
    parser.add_argument("--runs", type=Path, default=Path("runs"), help="where run directories are")
    parser.add_argument("--stored", action="store_true", help="compare stored results, not runs")
    options = parser.parse_args()
    for name in options.names:
        measure(name, None if options.stored else options.runs)


if __name__ == "__main__":
    main()
