"""Packages that need not be installed: `pip install innerloop[EXTRA]` brings them."""

import importlib
import importlib.util
import warnings
from types import ModuleType

EXTRAS = {
    "xland": "xminigrid",
    "gymnax": "gymnax",
    "brax": "brax",
    "jumanji": "jumanji",
    "gymnasium": "gymnasium",
    "mujoco": "mujoco",
    "metaworld": "metaworld",
    "ray": "ray",
}
"""The module that each extra brings."""


def installed(extra: str) -> bool:
    """Whether the package of an extra is here."""
    return importlib.util.find_spec(EXTRAS[extra]) is not None


def package(extra: str, module: str = "") -> ModuleType:
    """The package of an extra, or a module in it. Raises ValueError if it is not installed."""
    name = EXTRAS[extra]
    if not installed(extra):
        raise ValueError(f"this needs the package {name}, which is not installed: pip install 'innerloop[{extra}]'.")
    with warnings.catch_warnings():
        # What a package says of the packages that it needs is not for whoever uses this one.
        warnings.simplefilter("ignore", DeprecationWarning)
        return importlib.import_module(f"{name}.{module}" if module else name)
