"""Names that are imported when they are first used."""

import importlib
from collections.abc import Callable, Mapping, Sequence
from typing import Any


def lazy(
    package: str, names: Mapping[str, Sequence[str]], modules: Sequence[str] = ()
) -> tuple[Callable[[str], Any], Callable[[], list[str]]]:
    """A package's `__getattr__` and `__dir__`: `names` by module of the package, and `modules` as they are.

    "name=other" makes the module's `other` public as `name`.
    """
    where = {}
    for module, entries in names.items():
        for entry in entries:
            name, _, attribute = entry.partition("=")
            where[name] = (f"{package}.{module}", attribute or name)

    def find(name: str) -> Any:
        if name in modules:
            return importlib.import_module(f"{package}.{name}")
        if name not in where:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        module, attribute = where[name]
        return getattr(importlib.import_module(module), attribute)

    return find, lambda: sorted([*where, *modules])
