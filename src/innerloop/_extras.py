"""Packages that need not be installed: `pip install innerloop[EXTRA]` brings them."""

import contextlib
import importlib
import importlib.util
import io
import warnings
from pathlib import Path
from types import ModuleType

EXTRAS = {
    "xland": "xminigrid",
    "gymnax": "gymnax",
    "brax": "brax",
    "jumanji": "jumanji",
    "gymnasium": "gymnasium",
    "mujoco": "mujoco",
    "mjx": "mujoco.mjx",
    "metaworld": "metaworld",
    "ray": "ray",
}
"""The module that each extra brings."""


def installed(extra: str) -> bool:
    """Whether the package of an extra is here."""
    top, *within = EXTRAS[extra].split(".")
    found = importlib.util.find_spec(top)
    places = (found and found.submodule_search_locations) or []
    return found is not None and (not within or any(Path(place, *within).exists() for place in places))


def package(extra: str, module: str = "") -> ModuleType:
    """The package of an extra, or a module in it. Raises ValueError if it is not installed."""
    name = EXTRAS[extra]
    if not installed(extra):
        raise ValueError(f"this needs the package {name}, which is not installed: pip install 'innerloop[{extra}]'.")
    # What a package says of the packages that it needs is not for whoever uses this one.
    with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
        warnings.simplefilter("ignore", DeprecationWarning)
        return importlib.import_module(f"{name}.{module}" if module else name)
