"""Adaptation curves: what an agent earns in each episode of a trial, on tasks it has not been trained on."""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from innerloop._agent import Agent
from innerloop._collect import JaxCollector
from innerloop._files import whole
from innerloop._task import Finite, TaskDistribution
from innerloop._types import Key, Task, Trials

NUM_RESAMPLES = 2000
TASKS = np.uint32(2**32 - 1)
"""What the key of an evaluation is folded with to draw tasks; its batches use 0, 1, 2, ..."""


def iqm(x: np.ndarray) -> float:
    """Interquartile mean: the mean of the middle half of all entries (Agarwal et al. 2021)."""
    ordered = np.sort(np.ravel(x))
    cut = ordered.size // 4
    return float(ordered[cut : ordered.size - cut].mean())


def bootstrap_interval(
    x: np.ndarray, statistic: Callable[[np.ndarray], float] = lambda x: float(x.mean()), level: float = 0.95
) -> tuple[float, float]:
    """Percentile bootstrap interval of a statistic of `x [seed task]`.

    Seeds and tasks are drawn with replacement, each on its own (Owen 2007): all seeds play the same tasks, so what a task
    adds to the error is common to them, and does not average out over seeds. With one seed only tasks are drawn, so the
    interval says nothing about other seeds.
    """
    x = np.asarray(x, np.float64)
    if x.ndim != 2 or not x.size:
        raise ValueError(f"bootstrap_interval(x): need a non-empty [seed task] array, got shape {x.shape}.")
    rng = np.random.default_rng(0)
    num_seeds, num_tasks = x.shape
    if statistic is not iqm:
        # Beyond 2000 tasks, means of blocks of them are resampled: the interval is much the same, and much cheaper.
        block = -(-num_tasks // 2000)
        x = x[:, : num_tasks // block * block].reshape(num_seeds, -1, block).mean(axis=2)
    estimates = []
    for _ in range(NUM_RESAMPLES if x.size <= 100_000 else 200):
        seeds = rng.integers(num_seeds, size=(num_seeds, 1))
        tasks = rng.integers(x.shape[1], size=(1, x.shape[1]))
        estimates.append(statistic(x[seeds, tasks]))
    low, high = np.quantile(estimates, [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)


def bootstrap_means(x: np.ndarray, level: float = 0.95) -> np.ndarray:
    """`bootstrap_interval` of the mean for every episode of `x [seed task episode]`, as `[episode 2]`.

    All episodes share their resamples, so 2000 resamples are one matrix product.
    """
    num_seeds, num_tasks, num_episodes = x.shape
    block = -(
        -num_tasks // 1000
    )  # beyond 1000 tasks, means of blocks of them are resampled: much the same, much cheaper
    num_tasks //= block
    x = x[:, : num_tasks * block].reshape(num_seeds, num_tasks, block, num_episodes).mean(axis=2)
    rng = np.random.default_rng(0)
    estimates = []
    for _ in range(NUM_RESAMPLES):
        seeds = np.bincount(rng.integers(num_seeds, size=num_seeds), minlength=num_seeds)
        tasks = np.bincount(rng.integers(num_tasks, size=num_tasks), minlength=num_tasks)
        estimates.append(np.outer(seeds, tasks).ravel().astype(np.float32) / (num_seeds * num_tasks))
    means = np.stack(estimates) @ x.reshape(-1, num_episodes).astype(np.float32)
    return np.quantile(means, [(1 - level) / 2, (1 + level) / 2], axis=0).T


@dataclass(frozen=True)
class AdaptationCurve:
    """What evaluation returns.

    Attributes:
        returns: `[seed task episode]`, undiscounted.
        metrics: by name `[seed task]`, the benchmark's own measures of a whole trial.
        num_steps: environment steps spent on evaluation, padding left out.
        label: whose curve it is. tasks: which tasks it was measured on, e.g. "test".
        greedy: whether the most probable action was taken instead of a sampled one.
        update: after which update of its run the agent was measured, where that is known.
    """

    returns: np.ndarray
    metrics: Mapping[str, np.ndarray] = field(default_factory=dict)
    num_steps: int = 0
    label: str = "agent"
    tasks: str = "test"
    greedy: bool = False
    update: int | None = None

    @property
    def num_seeds(self) -> int:
        return self.returns.shape[0]

    @property
    def num_tasks(self) -> int:
        return self.returns.shape[1]

    @property
    def num_episodes(self) -> int:
        return self.returns.shape[2]

    def per_episode(self) -> np.ndarray:
        """Mean return of each episode of the trial, `[episode]`."""
        return self.returns.mean(axis=(0, 1))

    def interval(self, level: float = 0.95) -> np.ndarray:
        """Bootstrap interval of `per_episode`, `[episode 2]`."""
        return bootstrap_means(self.returns, level)

    def scores(self) -> dict[str, np.ndarray]:
        """All measures of a whole trial, `[seed task]`: `return` (the sum over episodes) and the benchmark's own."""
        return {"return": self.returns.sum(axis=2), **self.metrics}

    def score(self, metric: str = "return") -> dict[str, Any]:
        """Mean over tasks and seeds with its interval, IQM with its interval, and the mean of each seed."""
        scores = self.scores()
        if metric not in scores:
            raise ValueError(f"score(metric={metric!r}): choose one of {', '.join(scores)}.")
        values = scores[metric]
        low, high = bootstrap_interval(values)
        iqm_low, iqm_high = bootstrap_interval(values, iqm)
        return {
            "mean": float(values.mean()),
            "low": low,
            "high": high,
            "iqm": iqm(values),
            "iqm_low": iqm_low,
            "iqm_high": iqm_high,
            "per_seed": [float(x) for x in values.mean(axis=1)],
        }

    def summary(self) -> str:
        """A few lines for people: what was measured, on what, and the curve."""
        kind = "greedy" if self.greedy else "sampled"
        lines = [
            f"{self.label}: {self.num_tasks} {self.tasks} tasks x {self.num_episodes} episodes, "
            f"{self.num_seeds} seed{'s' * (self.num_seeds > 1)}, {kind} actions"
        ]
        for name in self.scores():
            score = self.score(name)
            lines.append(
                f"  {name}: {score['mean']:.4g} [{score['low']:.4g}, {score['high']:.4g}], IQM {score['iqm']:.4g}"
            )
        means = self.per_episode()
        shown = (
            range(self.num_episodes)
            if self.num_episodes <= 10
            else np.linspace(0, self.num_episodes - 1, 8).astype(int)
        )
        lines.append("  per episode: " + "  ".join(f"{i + 1}: {means[i]:.3g}" for i in shown))
        return "\n".join(lines)

    def to_json(self) -> dict[str, Any]:
        """Everything but the single returns, as plain Python values."""
        return {
            "label": self.label,
            "tasks": self.tasks,
            "actions": "greedy" if self.greedy else "sampled",
            "update": self.update,
            "num_seeds": self.num_seeds,
            "num_tasks": self.num_tasks,
            "num_episodes": self.num_episodes,
            "num_steps": self.num_steps,
            "per_episode": [float(x) for x in self.per_episode()],
            "interval": [[float(low), float(high)] for low, high in self.interval()],
            "scores": {name: self.score(name) for name in self.scores()},
        }

    def save(self, folder: str | Path, name: str) -> None:
        """`NAME.npz`, `[run task]` arrays as the rliable package takes them, and `NAME.json`; each whole or not at all."""
        folder = Path(folder)
        text = json.dumps(self.to_json(), indent=1) + "\n"
        arrays: dict[str, Any] = {"returns": self.returns, **self.scores()}
        with whole(folder / f"{name}.npz") as part, part.open("wb") as file:
            np.savez_compressed(file, **arrays)
        with whole(folder / f"{name}.json") as part:
            part.write_text(text)

    @staticmethod
    def load(folder: str | Path, name: str) -> "AdaptationCurve":
        """A curve that `save` wrote."""
        facts = json.loads((Path(folder) / f"{name}.json").read_text())
        with (Path(folder) / f"{name}.npz").open("rb") as file, np.load(file, allow_pickle=False) as arrays:
            metrics = {key: arrays[key] for key in arrays.files if key not in ("returns", "return")}
            returns = arrays["returns"]
        greedy = facts["actions"] == "greedy"
        about = facts["num_steps"], facts["label"], facts["tasks"], greedy, facts.get("update")
        return AdaptationCurve(returns, metrics, *about)


def stack_seeds(curves: Sequence[AdaptationCurve]) -> AdaptationCurve:
    """One curve of runs that differ only in their seed and were measured on the same number of tasks."""
    first = curves[0]
    if len({(curve.returns.shape[1:], curve.tasks, curve.greedy) for curve in curves}) > 1:
        raise ValueError("stack_seeds(curves): measured in different ways; evaluate the runs alike first.")
    return AdaptationCurve(
        np.concatenate([curve.returns for curve in curves]),
        {name: np.concatenate([curve.metrics[name] for curve in curves]) for name in first.metrics},
        sum(curve.num_steps for curve in curves),
        first.label,
        first.tasks,
        first.greedy,
        first.update,
    )


def evaluate(
    key: Key,
    agent: Agent,
    collector: JaxCollector,
    *,
    metrics: Mapping[str, Callable[[Trials], Any]] | None = None,
    num_batches: int = 1,
    num_tasks: int | None = None,
    num_seeds: int | None = None,
    label: str = "agent",
    tasks: str = "test",
    greedy: bool = False,
    progress: Callable[[float], None] | None = None,
) -> AdaptationCurve:
    """Play `num_batches` x `collector.num_tasks` trials and measure each episode.

    Args:
        agent: any agent; with `num_seeds` its leaves have a leading seed axis. Every seed plays the same tasks, and so does
            every agent that is measured with this key on as many of them, whatever its batches.
        collector: names the env, the task distribution and the number of rounds. A finite distribution of at most
            `num_tasks` tasks is played task by task, each as often as the others or once more, instead of drawn at random.
        num_tasks: measure no more than so many; what fills the last batch does not count.
        metrics: measures of the trials of one task (axes `[round episode time]`).
        greedy: take the most probable action (the agent must be an actor-critic).
        progress: told the share that is done.
    """
    if num_batches < 1:
        raise ValueError(f"evaluate(num_batches={num_batches}): must be at least 1.")
    if not isinstance(agent, Agent):
        raise ValueError(f"evaluate(agent={type(agent).__name__}): needs an Agent, who knows nothing of its task.")
    num_places = num_batches * collector.num_tasks
    if num_tasks is None:
        num_tasks = num_places
    if not 1 <= num_tasks <= num_places:
        raise ValueError(
            f"evaluate(num_tasks={num_tasks}): choose 1 to the {num_places} that {num_batches} batches of "
            f"{collector.num_tasks} hold."
        )
    drawn = eqx.filter_jit(held_out_tasks)(jax.random.fold_in(key, TASKS), collector.tasks, num_tasks)
    if num_seeds is None:
        agent = jax.tree.map(lambda x: x[None] if eqx.is_array(x) else x, agent)
    batches = []
    for i in range(num_batches):
        places = np.arange(i * collector.num_tasks, (i + 1) * collector.num_tasks) % num_tasks
        played = jax.tree.map(lambda x, places=places: x[places], drawn)
        one_batch = _play_batch(
            jax.random.fold_in(key, i), agent, collector, played, dict(metrics or {}), greedy, num_seeds or 1
        )
        batches.append(jax.device_get(one_batch))
        if progress is not None:
            progress((i + 1) / num_batches)
    returns, measured, steps = jax.tree.map(lambda *x: np.concatenate(x, axis=1)[:, :num_tasks], *batches)
    return AdaptationCurve(returns, measured, int(steps.sum()), label, tasks, greedy)


@eqx.filter_jit
def _play_batch(
    key: Key,
    agents: Agent,
    collector: JaxCollector,
    tasks: Task,
    metrics: dict[str, Callable[[Trials], Any]],
    greedy: bool,
    num_agents: int,
) -> Any:
    """`_measure` for each of the stacked agents. Compiled once for each kind of agent and collector."""
    from innerloop.agents import Greedy

    arrays, static = eqx.partition(agents, eqx.is_array)

    def one_seed(arrays: Any) -> Any:
        agent = eqx.combine(arrays, static)
        return _measure(key, Greedy(agent) if greedy else agent, collector, tasks, metrics)

    return jax.vmap(one_seed, axis_size=num_agents)(arrays)


def _measure(
    key: Key, agent: Agent, collector: JaxCollector, tasks: Task, metrics: dict[str, Callable[[Trials], Any]]
) -> Any:
    """Returns `[task episode]`, metrics `[task]` and numbers of steps `[task]` of one batch."""
    trials = collector.play(key, agent, tasks)
    returns = trials.returns()
    measured = {name: jax.vmap(metric)(trials) for name, metric in metrics.items()}
    return returns.reshape(returns.shape[0], -1), measured, trials.transitions.valid.sum(axis=(1, 2, 3))


def held_out_tasks(key: Key, tasks: TaskDistribution, num_tasks: int) -> Any:
    """Draws from p(T); of a finite distribution no larger than `num_tasks` every task equally often, in turn.

    Where that leaves places over, they go to tasks drawn without repetition, so that none counts more for where it stands.
    """
    if isinstance(tasks, Finite) and tasks.num_tasks <= num_tasks:
        in_turn = jnp.tile(jnp.arange(tasks.num_tasks), num_tasks // tasks.num_tasks)
        drawn = jax.random.permutation(key, tasks.num_tasks)[: num_tasks % tasks.num_tasks]
        return tasks.take(jnp.concatenate([in_turn, drawn]))
    return jax.vmap(tasks.sample)(jax.random.split(key, num_tasks))
