"""Gymnasium's spaces as ours, and ours as Gymnasium's."""

import math
from typing import Any

import numpy as np
from gymnasium import spaces

from innerloop._env import Box, Discrete, Space
from innerloop.bridges._codes import has_one_bound, is_whole, numbers

MAX_CHOICES = 4096
"""Most values that several discrete choices at once may have together."""


def observations(space: Any) -> Space:
    """What agents see: `Discrete` stays, `Box` keeps its shape, all else becomes one vector, in which a choice is a one-hot
    code. Images, which are whole numbers from 0 to 255, are divided by 255, there too. Raises ValueError for what has no
    such form."""
    if isinstance(space, spaces.Discrete):
        return Discrete(int(space.n))
    if isinstance(space, spaces.Box):
        return Box(space.shape)
    _check(space)
    return Box((int(spaces.flatdim(space)),))


def actions(space: Any) -> Space:
    """What agents choose from: `Discrete` stays; several choices at once become one of all their combinations; a `Box` whose
    entries share their bounds stays, else each is chosen from between -1 and 1. Raises ValueError for all else, for a `Box`
    without entries, and for whole numbers without bounds."""
    if isinstance(space, spaces.Discrete):
        return Discrete(int(space.n))
    if isinstance(space, spaces.MultiDiscrete | spaces.MultiBinary):
        count = math.prod(numbers(space)[0].ravel().tolist())
        if count > MAX_CHOICES:
            raise ValueError(
                f"action_space={space}: {count} combinations are too many for one choice among all of them (at most "
                f"{MAX_CHOICES}); wrap the env so that it has fewer."
            )
        return Discrete(count)
    if not isinstance(space, spaces.Box):
        raise ValueError(f"action_space={space}: cannot be acted in; Box, Discrete, MultiDiscrete and MultiBinary can.")
    if 0 in space.shape:
        raise ValueError(
            f"action_space={space}: has no entries, so nothing to choose; wrap the env in a space with some."
        )
    if is_whole(space) and not space.is_bounded():
        raise ValueError(f"action_space={space}: whole numbers need bounds; wrap the env in finite ones.")
    if has_one_bound(space):
        return Box(space.shape, float(space.low.flat[0]), float(space.high.flat[0]))
    if not (np.isfinite(space.low).all() and np.isfinite(space.high).all()):
        raise ValueError(
            f"action_space={space}: some bounds are infinite and some are not; wrap the env in finite ones."
        )
    return Box(space.shape, -1.0, 1.0)


def _check(space: Any) -> None:
    """Raise if there is something in it that has no fixed length."""
    if isinstance(space, spaces.Dict | spaces.Tuple):
        for part in space.spaces.values() if isinstance(space, spaces.Dict) else space.spaces:
            _check(part)
    elif not isinstance(space, spaces.Box | spaces.Discrete | spaces.MultiDiscrete | spaces.MultiBinary):
        raise ValueError(
            f"observation_space: {type(space).__name__} cannot be observed; Box, Discrete, MultiDiscrete, MultiBinary, and "
            "Dict or Tuple of these can. Wrap the env."
        )


def gymnasium_space(space: Space) -> Any:
    """One of ours as Gymnasium's."""
    if isinstance(space, Discrete):
        return spaces.Discrete(space.num_values)
    return spaces.Box(space.low, space.high, space.shape, np.float32)
