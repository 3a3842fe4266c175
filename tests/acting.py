"""A callback that does something in the middle of a run."""

from collections.abc import Callable
from typing import Any

from innerloop._train import Progress


class When:
    """Does something at an update."""

    def __init__(self, update: int, act: Callable[[], Any]):
        self.every = 1
        self._update, self._act = update, act

    def open(self, num_updates: int) -> None:
        pass

    def __call__(self, progress: Progress) -> None:
        if progress.update == self._update and progress.metrics:
            self._act()

    def close(self, error: BaseException | None) -> None:
        pass


def halt() -> None:
    """Stop a run without a word to it."""
    raise RuntimeError("halted")
