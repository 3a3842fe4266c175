"""What a recipe is."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Recipe:
    """A method on a benchmark.

    `metric`, `bar`, `better` and `published` say what the result is judged by; `num_test_tasks` how many held-out
    tasks it is measured on, `num_seeds` with how many seeds. `evaluate_every` is how many updates lie between two looks at
    held-out tasks while training; None: about ten looks in all.
    """

    id: str
    method: str
    benchmark: str
    settings: Any
    metric: str = "return"
    better: str = "higher"
    bar: float | None = None
    published: float | None = None
    source: str = ""
    num_seeds: int = 5
    num_test_tasks: int = 10_000
    tolerance: float = 0.05
    evaluate_every: int | None = None
    notes: Mapping[str, str] = field(default_factory=dict)


BASE: dict[str, Any] = {
    "num_tasks": 1024,
    "num_minibatches": 32,
    "learning_rate": 2e-3,
    "gae_lambda": 0.9,
    "entropy_coef": 0.04,
}
"""What most recipes share."""
