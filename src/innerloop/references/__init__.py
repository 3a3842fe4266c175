"""Reference policies: agents that need no training, one module for each family of benchmarks."""

from innerloop.references import (
    bandits,
    bus,
    dark_room,
    generic,
    gridnavi,
    harlow,
    point,
    reoccurring,
    rooms,
    start_goal,
    tabular,
    treasure,
    two_step,
)

__all__ = [
    "bandits",
    "bus",
    "dark_room",
    "generic",
    "gridnavi",
    "harlow",
    "point",
    "reoccurring",
    "rooms",
    "start_goal",
    "tabular",
    "treasure",
    "two_step",
]
