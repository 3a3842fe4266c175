"""Which settings of a sweep go on: pure functions of what settings have earned so far.

A setting stops at fixed numbers of updates, its rungs; its value there is a mean over its seeds, so that a lucky seed does
not save a setting. `values[i]` are those of setting i at the rungs that it has reached. A setting that stops for good keeps
its checkpoints.
"""

import math
import statistics
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Literal

Values = Sequence[Sequence[float]]


@dataclass(frozen=True)
class Pruning:
    """When settings are given up early.

    `halving` is asynchronous successive halving (ASHA, after Li et al. 2020): a setting goes on beyond a rung while it
    is in the best 1/`eta` of those that have reached it; rungs are `eta` times apart. `median` is the median stopping rule
    (after Golovin et al. 2017): a setting goes on unless its best value so far is below the median of the others' running
    means at that rung; rungs are evenly spaced, and the first `min_others` settings are never stopped. `none`: all go on to
    the end.
    """

    rule: Literal["none", "halving", "median"] = "none"
    eta: int = 3
    num_rungs: int | None = None
    """Rungs, the end included: 3 for halving and 5 for the median if not given."""
    min_others: int = 3

    def __post_init__(self) -> None:
        if self.eta < 2:
            raise ValueError(f"Pruning(eta={self.eta}): must be at least 2.")
        if self.num_rungs is not None and self.num_rungs < 2:
            raise ValueError(f"Pruning(num_rungs={self.num_rungs}): need one before the end, so at least 2.")
        if self.min_others < 1:
            raise ValueError(f"Pruning(min_others={self.min_others}): must be at least 1.")

    def rungs(self, num_updates: int, log_every: int) -> tuple[int, ...]:
        """Updates at which settings are compared, rising, each a multiple of `log_every`; the last is the whole budget."""
        if self.rule == "none":
            return (num_updates,)
        if self.rule == "halving":
            shares = [self.eta**-k for k in range((self.num_rungs or 3) - 1, -1, -1)]
        else:
            num_rungs = self.num_rungs or 5
            shares = [(k + 1) / num_rungs for k in range(num_rungs)]
        found = {min(num_updates, math.ceil(share * num_updates / log_every) * log_every) for share in shares}
        return tuple(sorted(found))

    def may_go_on(self, values: Values, num_rungs: int, busy: Collection[int] = ()) -> list[int]:
        """Settings that may play to their next rung now, those first that should. `busy` ones are on their way there."""
        reached = [len(x) for x in values]
        new = [i for i, k in enumerate(reached) if k == 0]
        waiting = [i for i, k in enumerate(reached) if 0 < k < num_rungs and values[i][-1] > -math.inf]
        if self.rule == "halving":
            found = self._promoted(values, waiting)
            is_over = not found and not new and not any(i in busy for i in range(len(values))) and waiting
            # Fewer than `eta` settings: the best of those that got furthest takes the sweep to an end.
            if is_over and not any(len(x) == num_rungs and x[-1] > -math.inf for x in values):
                found = [min(waiting, key=lambda i: (-reached[i], -values[i][-1], i))]
        else:
            going = [i for i in waiting if self.rule == "none" or not self._is_below_median(values, i)]
            found = sorted(going, key=lambda i: -reached[i])
        return [i for i in (*found, *new) if i not in busy]

    def _promoted(self, values: Values, waiting: Sequence[int]) -> list[int]:
        """Those among the best 1/eta at their last rung, highest rungs first."""
        found = []
        for rung in sorted({len(values[i]) - 1 for i in waiting}, reverse=True):
            there = sorted((i for i, x in enumerate(values) if len(x) > rung), key=lambda i: (-values[i][rung], i))
            best = there[: len(there) // self.eta]
            found += [i for i in best if i in waiting and len(values[i]) == rung + 1]
        return found

    def _is_below_median(self, values: Values, setting: int) -> bool:
        """Whether the best so far is below the median of the others' running means at the same rung."""
        rung = len(values[setting])
        others = [statistics.fmean(x[:rung]) for i, x in enumerate(values) if i != setting and len(x) >= rung]
        return len(others) >= self.min_others and max(values[setting]) < statistics.median(others)
