"""Recipes of few-shot learning: sinusoids and polynomials."""

import dataclasses
from typing import Any

from innerloop.algorithms._inner_loop import InnerLoop, MetaTraining, Net
from innerloop.algorithms.cavia import CAVIA
from innerloop.algorithms.maml import MAML
from innerloop.algorithms.meta_sgd import MetaSGD
from innerloop.recipes._recipe import Recipe

FEW_SHOT_NET = Net(widths=(40, 40), activation="relu")
FEW_SHOT = MetaTraining(num_updates=20_000, num_tasks=100, learning_rate=5e-3)
REGRESSION: dict[str, Any] = {"metric": "mse", "better": "lower"}


def _few_shot(
    method: type[Any], inner_rate: float, net: Net = FEW_SHOT_NET, steps_per_round: int = 1, **training: Any
) -> Any:
    """A gradient-based method on a supervised family."""
    inner = InnerLoop(inner_rate=inner_rate, steps_per_round=steps_per_round)
    return method(net=net, inner=inner, training=dataclasses.replace(FEW_SHOT, **training))


ROWS: tuple[Recipe, ...] = (
    Recipe(
        id="sine-maml",
        method="maml",
        benchmark="sinusoid",
        settings=_few_shot(MAML, 0.01),
        bar=0.35,
        source="task of Finn et al. 2017; best answer without adaptation 3.01 (computed)",
        **REGRESSION,
    ),
    Recipe(
        id="sine-cavia",
        method="cavia",
        benchmark="sinusoid",
        settings=_few_shot(CAVIA, 1.0, dataclasses.replace(FEW_SHOT_NET, num_context=5)),
        bar=0.25,
        source="task of Finn et al. 2017; best answer without adaptation 3.01 (computed)",
        **REGRESSION,
    ),
    Recipe(
        id="sine-frequency-maml",
        method="maml",
        benchmark="sinusoid-frequency-5",
        settings=_few_shot(MAML, 0.01),
        bar=1.13,
        source="Li et al. 2017, trained and tested with 5 shots: MAML 1.13, Meta-SGD .90",
        **REGRESSION,
    ),
    Recipe(
        id="sine-frequency-metasgd",
        method="meta-sgd",
        benchmark="sinusoid-frequency-5",
        settings=_few_shot(MetaSGD, 0.01),
        bar=0.90,
        source="Li et al. 2017, trained and tested with 5 shots: MAML 1.13, Meta-SGD .90",
        **REGRESSION,
    ),
    Recipe(
        id="polynomial-maml",
        method="maml",
        benchmark="polynomial",
        settings=_few_shot(MAML, 0.1, steps_per_round=5, num_updates=5000),
        **REGRESSION,
    ),
)
