"""Which method is ahead of which: differences on the same held-out tasks, with intervals over seeds and tasks.

    python benchmarks/order.py corners krazy-world [--runs RUNS]

Reads the seeds that `innerloop reproduce ID` has trained, for the IDs of a row of `ORDERS`, and writes
results/order-NAME.json. The row says, from best to worst, what is claimed; `value` is the number of pairs in it (neighbours,
or the first and each other) whose difference has an interval above 0 (for "no worse than": an interval that is not below 0).
"""

import argparse
import itertools
from dataclasses import dataclass
from pathlib import Path

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
        "Rothfuss et al. 2019: E-MAML nearly solves it, MAML does not",
        {"corners-e-maml": "adapt_3", "corners-maml": "adapt_3"},
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
    "cheetah-vel": Order(
        "Rakelly et al. 2019: PEARL ahead with fewer steps; who adapts to the speed is ahead of who does not",
        {"cheetah-vel-pearl": "adapt_2", "cheetah-vel-rl2": "adapt_2", "cheetah-vel-memoryless": "adapt_2"},
    ),
}


def measure(name: str, runs: Path) -> None:
    """One row of `ORDERS`."""
    order = ORDERS[name]
    results = {id: load(runs, id, (metric,)) for id, metric in order.measures.items()}
    ahead, holds = {}, 0
    for better, worse in order.pairs():
        found = resampled(results, lambda m, a=better, b=worse: float(m[a][0] - m[b][0]))
        holds += found["high"] >= 0 if better in order.ties else found["low"] > 0
        ahead[f"{better} ahead of {worse}"] = found
    details = {
        "claimed": order.source,
        "measure": order.measures,
        "mean": {id: resampled({id: x}, lambda m, id=id: float(m[id][0])) for id, x in results.items()},
        "per seed": {id: x.mean(axis=(1, 2)).round(4).tolist() for id, x in results.items()},
        "differences": ahead,
    }
    for label, found in details.items():
        print(f"{label}: {found}")
    result = {
        "id": f"order-{name}",
        "metric": f"pairs in the claimed order of {len(results)} methods whose difference is as claimed",
        "value": int(holds),
        "better": "higher",
        "bar": len(order.pairs()),
        "published": None,
        "num_seeds": min(len(x) for x in results.values()),
        "num_test_tasks": min(x.shape[1] for x in results.values()),
        "details": details,
        **provenance(),
        "command": f"python benchmarks/order.py {name}",
    }
    write_result(RESULTS, result)


def main() -> None:
    """The named rows."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("names", nargs="+", choices=list(ORDERS), help="what to compare")
    parser.add_argument("--runs", type=Path, default=Path("runs"), help="where run directories are")
    options = parser.parse_args()
    for name in options.names:
        measure(name, options.runs)


if __name__ == "__main__":
    main()
