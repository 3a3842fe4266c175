"""Gradient-based methods learn to adapt, and what must not adapt does not."""

from dataclasses import replace
from typing import Any

import jax
import numpy as np
import pytest

from innerloop._benchmark import Benchmark
from innerloop._collect import JaxCollector
from innerloop._evaluate import evaluate
from innerloop._train import train
from innerloop.algorithms import (
    ANIL,
    CAVIA,
    EMAML,
    FOMAML,
    MAML,
    FineTuning,
    MetaPolicySearch,
    MetaSGD,
    MetaTraining,
    Net,
    ProMP,
    Reptile,
)
from innerloop.benchmarks import benchmark
from innerloop.envs.probes import PROBES
from marks import rarely

KEY = jax.random.key(0)
ARMS = PROBES["two-arms"]
BANDIT = Benchmark("two-arms", "", "", ARMS.env, ARMS.tasks, ARMS.tasks, num_episodes=40, episodes_per_round=20)
SINE = benchmark("sinusoid")


def rounds_after_training(settings: Any, row: Benchmark, num_tasks: int = 512) -> np.ndarray:
    """Mean return of an episode in the rounds before and after one adaptation, on fresh tasks."""
    training, per_round = settings.training, row.episodes_per_round
    learner = settings.learner(row)
    collector = JaxCollector(row.env, row.train, training.num_tasks, training.train_rounds(row), per_round)
    state, _ = train(KEY, learner, collector, training.num_updates)
    held_out = JaxCollector(row.env, row.test, num_tasks, 2, per_round)
    curve = evaluate(KEY, learner.agent(state), held_out)
    return curve.per_episode().reshape(2, per_round).mean(axis=1)


BANDIT_METHODS: dict[str, Any] = {
    "maml-vpg": MAML(),
    "maml-trpo": MAML(training=MetaTraining(outer="trpo", max_kl=0.05)),
    "fomaml": FOMAML(),
    "meta-sgd": MetaSGD(),
    "e-maml": EMAML(),
    "promp": ProMP(),
    "meta-policy-search": MetaPolicySearch(),
}


@pytest.mark.parametrize("name", rarely(BANDIT_METHODS, "promp"))
def test_one_step_finds_the_better_arm(name: str) -> None:
    settings = BANDIT_METHODS[name]
    training = replace(settings.training, num_updates=40, num_tasks=64, learning_rate=2e-2)
    inner = replace(settings.inner, inner_rate=1.0)
    settings = replace(settings, net=Net(widths=(8,)), inner=inner, training=training)
    before, after = rounds_after_training(settings, BANDIT)
    assert 0.4 < before < 0.6, "no policy is good before it knows the arm"
    assert after > 0.85


def test_the_mixture_without_adaptation_in_training_adapts_less() -> None:
    training = MetaTraining(num_updates=40, num_tasks=64, learning_rate=2e-2, inner_adaptation_steps=0)
    _, tuned = rounds_after_training(FineTuning(net=Net(widths=(8,)), training=training), BANDIT)
    assert tuned < 0.8


SINE_METHODS: dict[str, tuple[Any, float, float]] = {
    "maml": (MAML(), 0.01, 1.5),
    "anil": (ANIL(), 0.05, 1.8),
    "cavia": (CAVIA(), 1.0, 1.5),
    "reptile": (Reptile(), 0.02, 2.2),
}
"""Settings, inner rate, and the error that must be undercut."""


@pytest.mark.parametrize("name", rarely(SINE_METHODS, "maml"))
def test_few_points_tell_the_sine(name: str) -> None:
    settings, rate, bound = SINE_METHODS[name]
    training = replace(
        settings.training, num_updates=400, num_tasks=50, learning_rate=1.0 if name == "reptile" else 5e-3
    )
    net = replace(settings.net, widths=(40, 40), activation="relu")
    settings = replace(settings, net=net, inner=replace(settings.inner, inner_rate=rate), training=training)
    before, after = rounds_after_training(settings, SINE) / -10
    assert before > 2.5, "without points nobody can know the sine"
    assert after < bound
