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

    @cached_property
    def _divisors(self) -> np.ndarray:
        flat = divisors(self.space)
        return flat.reshape(self.space.shape) if isinstance(self.space, spaces.Box) else flat

    def __call__(self, obs: Any) -> np.ndarray:
        space = self.space
        if isinstance(space, spaces.Discrete):
            return np.asarray(obs - space.start, np.int32)
        seen = obs if isinstance(space, spaces.Box) else spaces.flatten(space, obs)
        return np.asarray(np.asarray(seen, np.float32) / self._divisors)


@dataclass(frozen=True)
class Decoder:
    """Turns an agent's choice into an action of a space; `actions` says what agents choose from.

    Whole numbers of a `Box` have equal shares of the range that agents choose from.
    """

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
        if self._has_one_bound and not is_whole(space):
            return np.minimum(np.maximum(choice, space.low), space.high).astype(space.dtype, copy=False)
        low, high = space.low.astype(np.float64), space.high.astype(np.float64)
        least, most = (low, high) if self._has_one_bound else (-1.0, 1.0)
        share = (np.clip(np.asarray(choice, np.float64), least, most) - least) / (most - least)
        if is_whole(space):
            return np.minimum(low + np.floor(share * (high - low + 1.0)), high).astype(space.dtype)
        return (low + share * (high - low)).astype(space.dtype)


def numbers(space: Any) -> tuple[np.ndarray, np.ndarray]:
    """How many values each entry of a `MultiDiscrete` or `MultiBinary` has, and its least one."""
    sizes = np.asarray(getattr(space, "nvec", np.full(space.shape, 2)))
    return sizes, np.asarray(getattr(space, "start", np.zeros_like(sizes)))


def divisors(space: Any) -> np.ndarray:
    """What each entry of a flattened observation is divided by: 255 in images, whole numbers from 0 to 255, else 1."""
    if isinstance(space, spaces.Dict | spaces.Tuple):
        parts = space.spaces.values() if isinstance(space, spaces.Dict) else space.spaces
        return np.concatenate([divisors(part) for part in parts])
    is_box = isinstance(space, spaces.Box)
    is_image = is_box and is_whole(space) and (space.low == 0).all() and (space.high == 255).all()
    return np.full(spaces.flatdim(space), 255.0 if is_image else 1.0, np.float32)


def is_whole(space: Any) -> bool:
    """Whether a `Box` holds whole numbers; false and true count as 0 and 1."""
    return space.dtype.kind in "iub"


def has_one_bound(space: Any) -> bool:
    """Whether all entries of a `Box` share their bounds."""
    return bool((space.low == space.low.flat[0]).all() and (space.high == space.high.flat[0]).all())
