"""Environments of other packages as `Env`s with their tasks. Each package is an extra, imported when it is used."""

from typing import TYPE_CHECKING

from innerloop._lazy import lazy

if TYPE_CHECKING:
    from innerloop.bridges._brax import BraxEnv, BraxTask, brax
    from innerloop.bridges._bridge import Bridged
    from innerloop.bridges._gymnax import GymnaxEnv, GymnaxTask, gymnax
    from innerloop.bridges._jumanji import InstanceTask, JumanjiEnv, jumanji
    from innerloop.bridges._xland import XLand, XLandTask, xland

__all__ = [
    "BraxEnv",
    "BraxTask",
    "Bridged",
    "GymnaxEnv",
    "GymnaxTask",
    "InstanceTask",
    "JumanjiEnv",
    "XLand",
    "XLandTask",
    "brax",
    "gymnax",
    "jumanji",
    "xland",
]

__getattr__, __dir__ = lazy(
    __name__,
    {
        "_brax": ("BraxEnv", "BraxTask", "brax"),
        "_bridge": ("Bridged",),
        "_gymnax": ("GymnaxEnv", "GymnaxTask", "gymnax"),
        "_jumanji": ("InstanceTask", "JumanjiEnv", "jumanji"),
        "_xland": ("XLand", "XLandTask", "xland"),
    },
)
