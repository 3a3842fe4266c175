"""Sweeps: settings x seeds as resumable runs, ranked on training tasks, pruned, spread over processes or a Ray cluster."""

from typing import TYPE_CHECKING

from innerloop._lazy import lazy

if TYPE_CHECKING:
    from innerloop.sweeps._executors import Local, OnRay
    from innerloop.sweeps._pruning import Pruning
    from innerloop.sweeps._sweep import Sweep, run_sweep

__all__ = ["Local", "OnRay", "Pruning", "Sweep", "run_sweep"]

__getattr__, __dir__ = lazy(
    __name__,
    {"_executors": ("Local", "OnRay"), "_pruning": ("Pruning",), "_sweep": ("Sweep", "run_sweep")},
)
