"""The two-step task's analysis: is the choice to repeat an action driven by what it leads to, or by reward alone?

    python benchmarks/two_step.py [--runs RUNS]

Reads the seeds that `innerloop reproduce two-step-return` has trained and measured, and writes
results/two-step.json: the reward x transition interaction of the stay probabilities, one value for each seed, and the
p-value of a one-sided t-test that its mean is above 0.
"""

import argparse
from pathlib import Path

import numpy as np

from innerloop._evaluate import AdaptationCurve
from innerloop._machine import provenance
from innerloop.envs.two_step import gather_counts, interaction_test, reward_transition_interaction, stay_probabilities
from innerloop.report._results import write_result

RESULTS = Path(__file__).parent / "results"


def main() -> None:
    """Gather the counts of each seed, test, and store."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--runs", type=Path, default=Path("runs"), help="where run directories are")
    folders = sorted((parser.parse_args().runs / "two-step-return").glob("seed-*"))
    curves = [AdaptationCurve.load(folder, "evaluation") for folder in folders]
    if len(curves) < 2:
        raise SystemExit("two-step: train the seeds first: innerloop reproduce two-step-return")
    counts = [gather_counts({name: x[0] for name, x in curve.metrics.items()}) for curve in curves]
    interactions = np.array([float(reward_transition_interaction(x)) for x in counts])
    test = interaction_test(interactions)
    spread = 1.96 * interactions.std(ddof=1) / np.sqrt(len(interactions))
    result = {
        "id": "two-step",
        "benchmark": "two-step",
        "method": "rl2",
        "metric": "p-value of a positive reward x transition interaction",
        "value": test.p,
        "better": "lower",
        "bar": 0.01,
        "source": "Wang et al. 2018, simulation 4, show the pattern in a figure",
        "interaction": {
            "mean": float(interactions.mean()),
            "low": float(interactions.mean() - spread),
            "high": float(interactions.mean() + spread),
            "per_seed": interactions.tolist(),
        },
        "stay_probabilities": [np.asarray(stay_probabilities(x)).tolist() for x in counts],
        "per_seed": interactions.tolist(),
        "num_seeds": len(curves),
        "num_test_tasks": curves[0].num_tasks,
        **provenance(),
        "command": "python benchmarks/two_step.py",
    }
    write_result(RESULTS, result)
    print(f"interaction {interactions.mean():.3f} over {len(curves)} seeds, p = {test.p:.2g}")


if __name__ == "__main__":
    main()
