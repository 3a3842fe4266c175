"""2-D navigation: how much of the gap adaptation closes, and how MAML, Meta-SGD and ANIL compare.

    python benchmarks/navigation.py [--runs RUNS]

Reads the seeds that `innerloop reproduce ID` has trained, for the IDs nav2d-maml, nav2d-metasgd and nav2d-anil, all
measured on the same held-out tasks, and writes results/nav2d-gap.json. The gap is that from the return without
adaptation to the oracle's; `value` is the share of it that MAML has closed after 3 adaptations. Intervals are
bootstraps over seeds and tasks; in differences between methods, tasks are drawn alike for both.
"""

import argparse
from pathlib import Path
from typing import Any

from _seeds import load, resampled
from innerloop._evaluate import AdaptationCurve
from innerloop._machine import provenance
from innerloop.report._results import write_result

RESULTS = Path(__file__).parent / "results"
METHODS = ("nav2d-maml", "nav2d-metasgd", "nav2d-anil")
MEASURES = tuple(f"adapt_{k}" for k in range(4))
ASKED = 0.95


def main() -> None:
    """Shares and differences."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--runs", type=Path, default=Path("runs"), help="where run directories are")
    runs = parser.parse_args().runs
    returns = {id: load(runs, id, MEASURES) for id in METHODS}
    oracle = AdaptationCurve.load(runs / METHODS[0] / "seed-0" / "references", "oracle").returns.mean(axis=(0, 2))
    known = {"oracle": oracle[None, :, None]}

    def share(id: str, steps: int) -> Any:
        return resampled(returns | known, lambda m: float((m[id][steps] - m[id][0]) / (m["oracle"][0] - m[id][0])))

    def ahead(id: str, steps: int) -> Any:
        return resampled(returns, lambda m: float(m[id][steps] - m["nav2d-maml"][steps]))

    details = {
        "mean returns after 0 to 3 adaptations": {
            id: x.mean(axis=(0, 1)).round(3).tolist() for id, x in returns.items()
        },
        "per seed": {id: x.mean(axis=1).round(3).tolist() for id, x in returns.items()},
        "oracle": round(float(oracle.mean()), 4),
        "share of the gap closed": {id: {f"after {k}": share(id, k) for k in (1, 2, 3)} for id in METHODS},
        "ahead of MAML": {id: {f"after {k}": ahead(id, k) for k in (1, 2, 3)} for id in METHODS[1:]},
    }
    closed = details["share of the gap closed"]["nav2d-maml"]["after 3"]
    result = {
        "id": "nav2d-gap",
        "metric": "share of the gap to the oracle that MAML closes with 3 adaptations",
        **closed,
        "better": "higher",
        "bar": ASKED,
        "published": None,
        "num_seeds": min(len(x) for x in returns.values()),
        "num_test_tasks": oracle.size,
        "details": details,
        **provenance(),
        "command": "python benchmarks/navigation.py",
    }
    write_result(RESULTS, result)
    for name, found in details.items():
        print(f"{name}: {found}")


if __name__ == "__main__":
    main()
