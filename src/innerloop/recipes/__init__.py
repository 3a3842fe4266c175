"""Recipes: a method with its hyper-parameters on a benchmark, and the figure it stands for.

Plain tables, one file for each family, read by the command line, the docs and the tests. A row's `id` is also that of its
result file.
"""

import difflib
from collections.abc import Mapping
from typing import Any, Protocol, runtime_checkable

from innerloop._benchmark import Benchmark
from innerloop._env import Env
from innerloop._learner import Learner
from innerloop.algorithms._inner_loop import MetaTraining
from innerloop.algorithms._on_policy import OnPolicy
from innerloop.algorithms._soft import OffPolicy
from innerloop.algorithms.anil import ANIL
from innerloop.algorithms.cavia import CAVIA
from innerloop.algorithms.dream import DREAM
from innerloop.algorithms.e_maml import EMAML
from innerloop.algorithms.e_rl2 import ERL2
from innerloop.algorithms.episodic_rl2 import EpisodicRL2
from innerloop.algorithms.epopt import EPOpt
from innerloop.algorithms.fine_tuning import FineTuning
from innerloop.algorithms.fomaml import FOMAML
from innerloop.algorithms.hyperx import HyperX
from innerloop.algorithms.maesn import MAESN
from innerloop.algorithms.maml import MAML
from innerloop.algorithms.memoryless import Memoryless, Oracle
from innerloop.algorithms.meta_policy_search import MetaPolicySearch
from innerloop.algorithms.meta_sgd import MetaSGD
from innerloop.algorithms.pearl import PEARL
from innerloop.algorithms.promp import ProMP
from innerloop.algorithms.reptile import Reptile
from innerloop.algorithms.rl2 import RL2
from innerloop.algorithms.sac import SoftActorCritic
from innerloop.algorithms.varibad import VariBAD
from innerloop.recipes import _beliefs, _control, _external, _few_shot, _navigation, _packages, _recurrent, _robots
from innerloop.recipes._recipe import Recipe


@runtime_checkable
class Method(Protocol):
    """A dataclass of hyper-parameters that builds a learner for a benchmark."""

    @property
    def training(self) -> OnPolicy | MetaTraining | OffPolicy:
        """Budget and outer loop."""

    def env(self, benchmark: Benchmark) -> Env:
        """What the agent plays."""

    def learner(self, benchmark: Benchmark) -> Learner:
        """The learner."""


METHODS: Mapping[str, type[Any]] = {
    "rl2": RL2,
    "e-rl2": ERL2,
    "episodic-rl2": EpisodicRL2,
    "memoryless": Memoryless,
    "epopt": EPOpt,
    "oracle": Oracle,
    "maml": MAML,
    "fomaml": FOMAML,
    "reptile": Reptile,
    "anil": ANIL,
    "cavia": CAVIA,
    "maesn": MAESN,
    "meta-sgd": MetaSGD,
    "e-maml": EMAML,
    "promp": ProMP,
    "meta-policy-search": MetaPolicySearch,
    "fine-tuning": FineTuning,
    "varibad": VariBAD,
    "hyperx": HyperX,
    "sac": SoftActorCritic,
    "pearl": PEARL,
    "dream": DREAM,
}
"""Methods by name."""


RECIPES: Mapping[str, Recipe] = {
    row.id: row
    for family in (_few_shot, _navigation, _beliefs, _recurrent, _control, _external, _packages, _robots)
    for row in family.ROWS
}
"""Recipes by id. Where two have the same method and benchmark, the first has the method's defaults for it."""


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
