"""Meta-training that starts from a trained policy."""

import shutil
from pathlib import Path
from typing import Any

import jax
import numpy as np
import pytest

from acting import When, halt
from innerloop._arrays import leaves
from innerloop._run import agent_of, configure, evaluate_run, resume, run_experiment
from innerloop.algorithms import MAML, InnerLoop, Memoryless, MetaTraining, Net, OnPolicy
from innerloop.benchmarks import benchmark

FIRST = Memoryless((4,), OnPolicy(num_updates=2, num_tasks=8, loss="a2c"))
INNER = InnerLoop(episodes_per_round=5)


@pytest.fixture
def first(tmp_path: Path) -> Path:
    """A finished run of a memoryless policy."""
    folder = tmp_path / "first"
    options: dict[str, Any] = {"num_test_tasks": 8}
    run_experiment(configure("memoryless", "eleven-arm", settings=FIRST, **options), folder, show=False, measure=False)
    return folder


def maml(folder: Path | str, num_updates: int = 2, **net: Any) -> MAML:
    """MAML that starts from it."""
    net = {"widths": (4,), "start_from": str(folder)} | net
    return MAML(net=Net(**net), inner=INNER, training=MetaTraining(num_updates=num_updates, num_tasks=4))


def test_the_policy_is_that_of_the_run(first: Path) -> None:
    learner = maml(first).learner(benchmark("eleven-arm"))
    started, old = leaves(learner.agent(learner.init(jax.random.key(1))).base), leaves(agent_of(first))
    shared = [path for path in started if path.startswith(".policy")]
    assert shared
    for path in shared:
        np.testing.assert_array_equal(started[path], old[path])


@pytest.mark.slow
def test_a_run_needs_the_one_it_started_from_no_more_once_it_has_begun(first: Path, tmp_path: Path) -> None:
    config = configure("maml", "eleven-arm", settings=maml(first, 4), num_test_tasks=4, checkpoint_every=1, log_every=1)
    whole, halted = tmp_path / "whole", tmp_path / "halted"
    run_experiment(config, whole, show=False, measure=False)
    with pytest.raises(RuntimeError, match="halted"):
        run_experiment(config, halted, show=False, measure=False, callbacks=[When(2, halt)])
    shutil.rmtree(first)
    resume(halted, show=False, measure=False)
    for x, y in zip(leaves(agent_of(whole)).values(), leaves(agent_of(halted)).values(), strict=True):
        np.testing.assert_array_equal(x, y)
    assert evaluate_run(halted, num_tasks=4, references=False, plot=False)[0].num_tasks == 4


def test_a_run_that_is_not_there_or_does_not_fit_is_named(first: Path, tmp_path: Path) -> None:
    row = benchmark("eleven-arm")
    for settings, complaint in (
        (maml(first, widths=(5,)), "does not fit"),
        (maml(first, activation="relu"), "not a relu one"),
        (maml(tmp_path / "nothing"), "nothing"),
    ):
        learner = settings.learner(row)
        with pytest.raises((ValueError, OSError), match=complaint):
            learner.init(jax.random.key(0))
