"""Which cases of a test are for every day."""

from collections.abc import Iterable
from typing import Any

import pytest


def rarely(cases: Iterable[Any], *everyday: Any) -> list[Any]:
    """All cases, a tuple for several arguments; those that are not for every day are marked slow: others share their code."""
    return [case if case in everyday else slow(*case) if isinstance(case, tuple) else slow(case) for case in cases]


def slow(*arguments: Any) -> Any:
    return pytest.param(*arguments, marks=pytest.mark.slow)
