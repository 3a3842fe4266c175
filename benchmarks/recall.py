"""Associative recall of twice as many pairs as were ever seen in training.

    python benchmarks/recall.py [--runs RUNS]

Reads the seeds that `innerloop reproduce ID` has trained on 1 to 8 pairs, for the IDs associative-recall-episodic,
associative-recall-ntm and associative-recall-lstm, lets each answer the out-of-distribution tasks, 16 pairs, and writes

    results/associative-recall.json    share of right answers on 16 pairs; the value is the episodic core's

Actions are sampled, as in training; greedy ones are in the details. Intervals are bootstraps over seeds and tasks.
"""

import argparse
from pathlib import Path
from typing import Any

from innerloop._evaluate import AdaptationCurve, stack_seeds
from innerloop._machine import provenance
from innerloop._run import evaluate_run
from innerloop.report._results import write_result

RESULTS = Path(__file__).parent / "results"
IDS = ("associative-recall-episodic", "associative-recall-ntm", "associative-recall-lstm")
NUM_TASKS, BAR = 1000, 0.95


def on_twice_as_many(runs: Path, id: str, greedy: bool) -> AdaptationCurve:
    """What all seeds of a recipe reach on 16 pairs."""
    folders = [path.parent for path in sorted((runs / id).glob("seed-*/evaluation.npz"))]
    if not folders:
        raise SystemExit(f"recall: train the seeds first: innerloop reproduce {id} --runs {runs}")
    told: dict[str, Any] = {"tasks": "ood", "num_tasks": NUM_TASKS, "greedy": greedy}
    return stack_seeds([evaluate_run(folder, **told, references=False, plot=False)[0] for folder in folders])


def main() -> None:
    """Evaluate, compare, store."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--runs", type=Path, default=Path("runs"), help="where run directories are")
    runs = parser.parse_args().runs
    scores = {id: on_twice_as_many(runs, id, greedy=False).score("return") for id in IDS}
    greedy = {id: on_twice_as_many(runs, id, greedy=True).score("return") for id in IDS}
    kept = ("mean", "low", "high", "per_seed")
    value = scores[IDS[0]]
    result = {
        "id": "associative-recall",
        "metric": "share of right answers on 16 pairs, trained on 1 to 8: episodic core",
        "value": value["mean"],
        "low": value["low"],
        "high": value["high"],
        "per_seed": value["per_seed"],
        "better": "higher",
        "bar": BAR,
        "published": None,
        "source": "the bar is ours: sequences twice as long as in training are solved",
        "num_seeds": len(value["per_seed"]),
        "num_test_tasks": NUM_TASKS,
        "details": {
            "16 pairs": {id: {name: score[name] for name in kept} for id, score in scores.items()},
            "16 pairs, greedy": {id: {name: score[name] for name in kept} for id, score in greedy.items()},
        },
        **provenance(),
        "command": "python benchmarks/recall.py",
    }
    print(f"stored: {write_result(RESULTS, result)}")
    for id, score in scores.items():
        print(f"{id}: {score['mean']:.4f} [{score['low']:.4f}, {score['high']:.4f}] {score['per_seed']}")


if __name__ == "__main__":
    main()
