"""Environments of other packages as `Env`s with their tasks. Each package is an extra, imported when it is used."""

from typing import TYPE_CHECKING

from innerloop._lazy import lazy

if TYPE_CHECKING:
    from innerloop.bridges._brax import BraxEnv, BraxTask, brax
    from innerloop.bridges._bridge import Bridged
    from innerloop.bridges._gymnasium import ToGymnasium, from_gymnasium, from_vector
    from innerloop.bridges._gymnax import GymnaxEnv, GymnaxTask, gymnax
    from innerloop.bridges._host import HostEnv
    from innerloop.bridges._jumanji import InstanceTask, JumanjiEnv, jumanji
    from innerloop.bridges._metaworld import OfficialAgent, Variant, Verdict, metaworld, official_evaluation
    from innerloop.bridges._mujoco import (
        ANT,
        CHEETAH,
        HOPPER,
        HUMANOID,
        WALKER,
        Body,
        Goal,
        Heading,
        Locomotion,
        Motion,
        Robot,
        Speed,
    )
    from innerloop.bridges._pools import HostError
    from innerloop.bridges._xland import XLand, XLandTask, xland

__all__ = [
    "ANT",
    "CHEETAH",
    "HOPPER",
    "HUMANOID",
    "WALKER",
    "Body",
    "BraxEnv",
    "BraxTask",
    "Bridged",
    "Goal",
    "GymnaxEnv",
    "GymnaxTask",
    "Heading",
    "HostEnv",
    "HostError",
    "InstanceTask",
    "JumanjiEnv",
    "Locomotion",
    "Motion",
    "OfficialAgent",
    "Robot",
    "Speed",
    "ToGymnasium",
    "Variant",
    "Verdict",
    "XLand",
    "XLandTask",
    "brax",
    "from_gymnasium",
    "from_vector",
    "gymnax",
    "jumanji",
    "metaworld",
    "official_evaluation",
    "xland",
]

ROBOTS = ("ANT", "CHEETAH", "HOPPER", "HUMANOID", "WALKER")

__getattr__, __dir__ = lazy(
    __name__,
    {
        "_brax": ("BraxEnv", "BraxTask", "brax"),
        "_bridge": ("Bridged",),
        "_gymnasium": ("ToGymnasium", "from_gymnasium", "from_vector"),
        "_gymnax": ("GymnaxEnv", "GymnaxTask", "gymnax"),
        "_host": ("HostEnv",),
        "_jumanji": ("InstanceTask", "JumanjiEnv", "jumanji"),
        "_metaworld": ("OfficialAgent", "Variant", "Verdict", "metaworld", "official_evaluation"),
        "_mujoco": (*ROBOTS, "Body", "Goal", "Heading", "Locomotion", "Motion", "Robot", "Speed"),
        "_pools": ("HostError",),
        "_xland": ("XLand", "XLandTask", "xland"),
    },
)
