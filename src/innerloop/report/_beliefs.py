"""Beliefs as pictures: where task vectors lie, how sure the agent is, and where it goes in one episode after another."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from innerloop._agent import Agent
from innerloop._collect import JaxCollector
from innerloop._env import Env
from innerloop._task import TaskDistribution, sample_tasks
from innerloop._types import Trials
from innerloop.agents import Belief, Posterior
from innerloop.envs.gridnavi import GridNavi
from innerloop.envs.navigation import Navigation
from innerloop.envs.point import PointGoal
from innerloop.envs.wrappers import flatten_task
from innerloop.report._curves import COLOURS, GREYS, decorate, save


def _play(agent: Agent, env: Env, tasks: TaskDistribution, num_tasks: int, num_rounds: int) -> Trials:
    task_key, play_key = jax.random.split(jax.random.key(0))
    drawn = sample_tasks(tasks, task_key, num_tasks)
    collector = JaxCollector(env, tasks, num_tasks, num_rounds, agent.episodes_per_adapt)
    return jax.device_get(eqx.filter_jit(collector.play)(play_key, agent, drawn))


def _first_components(x: np.ndarray, num: int) -> np.ndarray:
    """The coordinates of the rows along their first principal axes."""
    centred = x - x.mean(axis=0)
    _, _, axes = np.linalg.svd(centred, full_matrices=False)
    axes = np.concatenate([axes, np.zeros((max(0, num - len(axes)), x.shape[1]))])
    return centred @ axes[:num].T


def plot_beliefs(
    agent: Belief | Posterior,
    env: Env,
    tasks: TaskDistribution,
    num_rounds: int,
    path: str | Path,
    title: str = "",
    *,
    num_tasks: int = 200,
) -> None:
    """Draw what an agent believes: where the means of its beliefs lie before the last round of a trial (their first two
    principal components, coloured by the first one of the tasks), and how their deviation shrinks from round to round.

    Raises ValueError if the trial has no second round, before which nothing has been learned.
    """
    if num_rounds < 2:
        raise ValueError(f"plot_beliefs(num_rounds={num_rounds}): needs at least 2.")
    trials = _play(agent, env, tasks, num_tasks, num_rounds)
    beliefs = jax.device_get(jax.vmap(jax.vmap(agent.belief))(trials.memories))
    figure = Figure(figsize=(8.0, 3.8), dpi=140, layout="constrained")
    left, right = figure.subplots(1, 2)
    colour = _first_components(np.asarray(jax.vmap(flatten_task)(trials.tasks)), 1)[:, 0]
    means = _first_components(np.asarray(beliefs.mean[:, -1]), 2)
    left.scatter(means[:, 0], means[:, 1], c=colour, s=14, cmap="viridis")
    left.set_xlabel("first component of the mean")
    left.set_ylabel("second")
    deviation = np.exp(0.5 * np.asarray(beliefs.log_variance)).mean(axis=-1)
    rounds = np.arange(num_rounds)
    low, high = np.percentile(deviation, (10, 90), axis=0)
    right.fill_between(rounds, low, high, color=COLOURS[0], alpha=0.2, linewidth=0)
    right.plot(rounds, deviation.mean(axis=0), color=COLOURS[0])
    right.set_ylim(bottom=0)
    right.set_xlabel("rounds played")
    right.set_ylabel("deviation of the belief")
    right.xaxis.set_major_locator(MaxNLocator(integer=True))
    caption = (
        f"Left: {num_tasks} tasks, before round {num_rounds}. Right: mean over tasks and dimensions; band: 10 to 90 %."
    )
    decorate(figure, left, title, caption)
    save(figure, path)


PLACES: dict[type[Env], Callable[[Any, Any], Any]] = {
    PointGoal: lambda env, obs: obs[:2],
    Navigation: lambda env, obs: obs[:2],
    GridNavi: lambda env, obs: env.locate(obs).astype(jnp.float32),
}
"""Where an observation says that the agent is, for the envs in which it walks in a plane."""


def plot_rollouts(
    agent: Agent,
    env: Env,
    tasks: TaskDistribution,
    num_rounds: int,
    path: str | Path,
    title: str = "",
    *,
    num_tasks: int = 3,
    num_episodes: int = 8,
) -> None:
    """Draw the ways of consecutive episodes of a trial, one panel a task, early ones pale and late ones dark.

    Raises ValueError if the env is not one of `PLACES`.
    """
    if type(env) not in PLACES:
        raise ValueError(
            f"plot_rollouts(env={type(env).__name__}): needs one of {', '.join(x.__name__ for x in PLACES)}."
        )
    trials = _play(agent, env, tasks, num_tasks, num_rounds)
    steps = trials.transitions
    place = jax.vmap(jax.vmap(jax.vmap(lambda obs: PLACES[type(env)](env, obs))))

    def flat(x: Any) -> Any:
        return x.reshape(num_tasks, -1, *x.shape[3:])

    start, after = (np.asarray(place(flat(x.obs))) for x in (steps.timestep, steps.next_timestep))
    valid = flat(np.asarray(steps.valid))
    shown = np.unique(np.linspace(0, valid.shape[1] - 1, num_episodes).astype(int))
    figure = Figure(figsize=(3.2 * num_tasks, 3.6), dpi=140, layout="constrained")
    panels = np.ravel(figure.subplots(1, num_tasks, sharex=True, sharey=True))
    for i, axes in enumerate(panels):
        for rank, episode in enumerate(shown):
            way = np.concatenate([start[i, episode, :1], after[i, episode][valid[i, episode]]])
            shade = (rank + 1) / len(shown)
            axes.plot(way[:, 0], way[:, 1], color=COLOURS[0], alpha=0.15 + 0.85 * shade, linewidth=0.8 + shade)
        goal = getattr(trials.tasks, "goal", None)
        if goal is not None:
            axes.plot(*np.asarray(goal[i], np.float64)[:2], "x", color=GREYS[0], markersize=8, markeredgewidth=2)
        axes.set_aspect("equal")
    numbers = ", ".join(str(episode + 1) for episode in shown)
    decorate(figure, panels[0], title, f"Episodes {numbers}, from pale to dark; the cross is the goal.")
    save(figure, path)
