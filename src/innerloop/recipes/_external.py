"""Recipes of external memories: tasks that come back, and associative recall."""

from typing import Any

from innerloop.algorithms._on_policy import OnPolicy
from innerloop.algorithms.episodic_rl2 import EpisodicRL2
from innerloop.algorithms.rl2 import RL2
from innerloop.nn import CoreName, CoreOptions
from innerloop.recipes._recipe import Recipe

REOCCURRING = OnPolicy(
    num_updates=80,
    num_tasks=128,
    num_minibatches=8,
    num_epochs=3,
    learning_rate=5e-3,
    gamma=0.9,
    gae_lambda=0.8,
    entropy_coef=0.02,
    bptt_length=100,
)
RECALL = OnPolicy(
    num_updates=80,
    num_tasks=512,
    num_minibatches=8,
    learning_rate=5e-3,
    final_learning_rate=2e-3,
    gamma=0.0,
    gae_lambda=0.9,
    entropy_coef=0.05,
)
FED = "The memory is not fed actions and rewards: while pairs are shown, actions mean nothing."


def _comes_back(id: str, method: str, settings: Any, **told: Any) -> Recipe:
    return Recipe(
        id=id,
        method=method,
        benchmark="reoccurring-bandits",
        settings=settings,
        metric="again_over_first",
        better="lower",
        num_test_tasks=1000,
        **told,
    )


def _recall(core: CoreName, **notes: str) -> Recipe:
    return Recipe(
        id=f"associative-recall-{core}",
        method="rl2",
        benchmark="associative-recall",
        settings=RL2(
            core=core,
            core_options=CoreOptions(num_neighbors=16),
            feed_action=False,
            feed_reward=False,
            training=RECALL,
        ),
        num_test_tasks=1000,
        notes={"input": FED, **notes},
    )


ROWS: tuple[Recipe, ...] = (
    _comes_back(
        "episodic-reoccurring",
        "episodic-rl2",
        EpisodicRL2(hidden_size=48, memory_slots=8, training=REOCCURRING),
        bar=0.25,
        source="the bar is ours: at most a quarter of the least regret that a first exposure costs",
    ),
    _comes_back(
        "episodic-reoccurring-lstm",
        "rl2",
        RL2(core="lstm", hidden_size=48, training=REOCCURRING),
        notes={"contrast": "An LSTM that is kept for the whole trial, without a store; otherwise the same."},
    ),
    _recall("episodic"),
    _recall("ntm"),
    _recall("lstm", contrast="An LSTM without an external memory; otherwise the same."),
)
