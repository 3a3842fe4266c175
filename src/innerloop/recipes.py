"""Recipes: a method with its hyper-parameters on a benchmark, and the figure it stands for.

A plain table, read by the command line, the docs and the tests. A row's `id` is also that of its result file.
"""

import difflib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from innerloop._benchmark import Benchmark
from innerloop._env import Env
from innerloop._learner import Learner
from innerloop.algorithms._on_policy import OnPolicy
from innerloop.algorithms.memoryless import Memoryless, Oracle
from innerloop.algorithms.rl2 import RL2


class Method(Protocol):
    """A dataclass of hyper-parameters that builds a learner for a benchmark."""

    @property
    def training(self) -> OnPolicy:
        """Budget and outer loop."""

    def env(self, benchmark: Benchmark) -> Env:
        """What the agent plays."""

    def learner(self, benchmark: Benchmark) -> Learner:
        """The learner."""


METHODS: Mapping[str, type[Any]] = {"rl2": RL2, "memoryless": Memoryless, "oracle": Oracle}
"""Methods by name."""


@dataclass(frozen=True)
class Recipe:
    """A method on a benchmark.

    `metric`, `bar`, `better` and `published` say what the result is judged by; `num_test_tasks` how many held-out
    tasks it is measured on, `num_seeds` with how many seeds.
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
    notes: Mapping[str, str] = field(default_factory=dict)


RECIPES: dict[str, Recipe] = {}
"""Recipes by id."""


def add(recipe: Recipe) -> None:
    """Put a row into the table."""
    if recipe.id in RECIPES:
        raise ValueError(f"Recipe(id={recipe.id!r}): the id is taken.")
    RECIPES[recipe.id] = recipe


def nearest(kind: str, name: str, known: Mapping[str, Any]) -> ValueError:
    """The error for an unknown name, with what the user may have meant."""
    close = difflib.get_close_matches(name, known, n=3, cutoff=0.4)
    hint = f"did you mean {', '.join(close)}?" if close else f"choose one of {', '.join(known)}."
    return ValueError(f"unknown {kind} {name!r}: {hint}")


def recipe(id: str) -> Recipe:
    """A recipe by id; ValueError names the nearest ones."""
    if id not in RECIPES:
        raise nearest("recipe", id, RECIPES)
    return RECIPES[id]


def default_settings(method: str, benchmark: str) -> Any:
    """A method's hyper-parameters for a benchmark: those of its recipe if there is one, else the method's defaults."""
    if method not in METHODS:
        raise nearest("method", method, METHODS)
    for row in RECIPES.values():
        if (row.method, row.benchmark) == (method, benchmark):
            return row.settings
    return METHODS[method]()


add(
    Recipe(
        id="demo",
        method="rl2",
        benchmark="bandit-n10-k5",
        settings=RL2(hidden_size=32, training=OnPolicy(num_updates=150, num_tasks=512, learning_rate=3e-3)),
        num_seeds=1,
        num_test_tasks=2000,
    )
)
