"""What goes through Gymnasium's spaces, in our form. Worker processes import this module, so it must not import JAX."""

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from gymnasium import spaces


@dataclass(frozen=True)
class Encoder:
    """Turns an observation of a space into what agents see; `observations` says what that is."""

    space: Any

    def __call__(self, obs: Any) -> np.ndarray:
        space = self.space
        if isinstance(space, spaces.Discrete):
            return np.asarray(obs - space.start, np.int32)
        if isinstance(space, spaces.Box):
            seen = np.asarray(obs, np.float32)
            return seen / np.float32(255.0) if space.dtype == np.uint8 else seen
        return np.asarray(spaces.flatten(space, obs), np.float32)


@dataclass(frozen=True)
class Decoder:
    """Turns an agent's choice into an action of a space; `actions` says what agents choose from."""

    space: Any

    @cached_property
    def _numbers(self) -> tuple[np.ndarray, np.ndarray]:
        return numbers(self.space)

    @cached_property
    def _has_one_bound(self) -> bool:
        return has_one_bound(self.space)

    def __call__(self, choice: Any) -> Any:
        space = self.space
        if isinstance(space, spaces.Discrete):
            return int(choice + space.start)
        if not isinstance(space, spaces.Box):
            sizes, start = self._numbers
            parts = np.unravel_index(int(choice), sizes.ravel())
            return (np.reshape(parts, sizes.shape) + start).astype(space.dtype)
        if self._has_one_bound:
            return np.minimum(np.maximum(choice, space.low), space.high).astype(space.dtype, copy=False)
        low, high = space.low.astype(np.float64), space.high.astype(np.float64)
        return (low + (np.clip(choice, -1.0, 1.0) + 1.0) / 2.0 * (high - low)).astype(space.dtype)


def numbers(space: Any) -> tuple[np.ndarray, np.ndarray]:
    """How many values each entry of a `MultiDiscrete` or `MultiBinary` has, and its least one."""
    sizes = np.asarray(getattr(space, "nvec", np.full(space.shape, 2)))
    return sizes, np.asarray(getattr(space, "start", np.zeros_like(sizes)))


def has_one_bound(space: Any) -> bool:
    """Whether all entries of a `Box` share their bounds."""
    return bool((space.low == space.low.flat[0]).all() and (space.high == space.high.flat[0]).all())
