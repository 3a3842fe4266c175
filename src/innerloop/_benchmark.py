"""What a benchmark is: env + task distributions + evaluation protocol + reference scores."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from jaxtyping import Array, Float

from innerloop._agent import Agent
from innerloop._env import Env
from innerloop._task import TaskDistribution
from innerloop._types import Task, Transition, Trials


def improvement(trials: Trials) -> Float[Array, ""]:
    """Return of the second episode of a trial minus that of the first: what the first one taught."""
    returns = trials.returns().reshape(-1)
    return returns[1] - returns[0]


def mean_return(trials: Trials, start: int, stop: int) -> Float[Array, ""]:
    """The mean return of the episodes from `start` up to `stop`, counted over the whole trial."""
    return trials.returns().reshape(-1)[start:stop].mean()


def adapted_return(trials: Trials) -> Float[Array, ""]:
    """The mean return of the episodes of the last round: those that all that was learned in the trial serves."""
    return trials.returns()[-1].mean()


def mean_reward(trials: Trials, episode: int) -> Float[Array, ""]:
    """The mean reward of one episode, counted over the whole trial, whose steps are all valid."""
    reward = trials.transitions.next_timestep.reward
    return reward.reshape(-1, reward.shape[-1])[episode].mean()


def gain(trials: Trials, start: int, stop: int) -> Float[Array, ""]:
    """`mean_return` minus that of as many episodes at the start of the trial."""
    return mean_return(trials, start, stop) - mean_return(trials, 0, stop - start)


def adaptation_metrics(num_episodes: int, per_round: int) -> dict[str, Callable[[Trials], Float[Array, ""]]]:
    """`adapt_K` for K = 0, 1, ...: the mean return of round K + 1, of `per_round` episodes whoever plays them; and
    `gain_K`, by how much it is more than `adapt_0`."""
    starts = range(0, num_episodes, per_round)
    returns = {f"adapt_{k}": partial(mean_return, start=i, stop=i + per_round) for k, i in enumerate(starts)}
    gains = {f"gain_{k}": partial(gain, start=i, stop=i + per_round) for k, i in enumerate(starts) if k}
    return {**returns, **gains}


@dataclass(frozen=True)
class Reference:
    """A policy that needs no training, evaluated like any agent. If `reveals_task`, it plays `RevealTask(env)`."""

    agent: Callable[[], Agent]
    summary: str
    reveals_task: bool = False


@dataclass(frozen=True)
class Benchmark:
    """A row of the benchmark table.

    `metrics` map the trials of ONE task to a scalar (axes `[round episode time]`); `return` (per episode and in total)
    is always there. `known` are exact or published values by metric and policy, each with its source in the docs.
    `train`, `test` and `ood` are disjoint, or the same continuous distribution from which a task is never drawn twice.
    `episodes_per_round` is what agents that adapt between episodes get for one adaptation, if they do not say otherwise;
    None: half of a trial. `shaped` gives steps a denser reward, which learners may train on and agents never see.
    """

    name: str
    summary: str
    source: str
    env: Env
    train: TaskDistribution
    test: TaskDistribution
    num_episodes: int
    episodes_per_round: int | None = None
    ood: TaskDistribution | None = None
    shaped: Callable[[Task, Transition], Float[Array, ""]] | None = None
    metrics: Mapping[str, Callable[[Trials], Float[Array, ""]]] = field(default_factory=dict)
    references: Mapping[str, Reference] = field(default_factory=dict)
    known: Mapping[str, Mapping[str, float]] = field(default_factory=dict)

    @property
    def max_steps(self) -> int:
        """The longest episode in steps."""
        return self.env.spec.max_steps


@dataclass(frozen=True)
class OptionalRow:
    """A row whose env needs the package of an extra: what tables say of it, whether or not that is installed.

    Calling it builds the benchmark. `parts` returns the other fields of `Benchmark`: env, tasks, and references by the
    names that are listed here; it raises ValueError without the package, as `innerloop._extras.package` does.
    """

    extra: str
    name: str
    summary: str
    source: str
    num_episodes: int
    max_steps: int
    parts: Callable[[], Mapping[str, Any]]
    references: tuple[str, ...] = ()
    known: Mapping[str, Mapping[str, float]] = field(default_factory=dict)

    def __call__(self) -> Benchmark:
        fields = {x: getattr(self, x) for x in ("name", "summary", "source", "num_episodes", "known")}
        benchmark = Benchmark(**fields, **self.parts())
        for name, said, found in (
            ("max_steps", self.max_steps, benchmark.max_steps),
            ("references", self.references, tuple(benchmark.references)),
        ):
            if said != found:
                raise ValueError(
                    f"OptionalRow({self.name!r}, {name}={said}): its parts have {found}; change one of them."
                )
        return benchmark


def about(row: Benchmark | OptionalRow) -> str:
    """The summary, and which extra the row needs."""
    return f"{row.summary} (extra `{row.extra}`)" if isinstance(row, OptionalRow) else row.summary


Rows = dict[str, Callable[[], Benchmark]]
"""Part of the table: what builds a benchmark, by name."""
