"""Fitted functions: what an agent makes of a few examples, before and after some gradient steps."""

from collections.abc import Sequence
from pathlib import Path

import jax
import numpy as np
from matplotlib.figure import Figure

from innerloop._few_shot import fitted_functions
from innerloop._task import TaskDistribution
from innerloop.agents import Gradient
from innerloop.envs.regression import Regression
from innerloop.report._curves import COLOURS, GREYS, decorate, save


def plot_fits(
    agent: Gradient,
    env: Regression,
    tasks: TaskDistribution,
    path: str | Path,
    title: str = "",
    *,
    steps: Sequence[int] = (0, 1, 5, 10),
    num_tasks: int = 3,
) -> None:
    """Draw functions of `num_tasks` tasks: the examples shown, the truth, and the agent's guess after `steps` steps.

    Raises ValueError if `steps` is empty or holds a negative number.
    """
    if not steps or min(steps) < 0:
        raise ValueError(f"plot_fits(steps={tuple(steps)}): name at least one number of gradient steps, none negative.")
    fits = jax.device_get(fitted_functions(jax.random.key(0), agent, env, tasks, num_tasks, max(steps)))
    figure = Figure(figsize=(3.4 * num_tasks, 3.4), dpi=140, layout="constrained")
    panels = np.ravel(figure.subplots(1, num_tasks, sharey=True))
    for i, axes in enumerate(panels):
        axes.plot(fits.grid, fits.truth[i], color=GREYS[0], linestyle="--", linewidth=1.4, label="truth")
        for j, step in enumerate(steps):
            name = f"{step} step{'s' * (step != 1)}"
            axes.plot(fits.grid, fits.guesses[i, step], color=COLOURS[j % len(COLOURS)], linewidth=1.6, label=name)
        axes.plot(fits.examples[i], fits.answers[i], "o", color=GREYS[0], markersize=4, label="examples")
        axes.set_xlabel("x")
        decorate(
            figure, axes, title, "Dots: the examples of a task that was not trained on; lines: guesses, and the truth."
        )
    panels[0].set_ylabel("y")
    panels[0].legend(fontsize=7, frameon=False)
    save(figure, path)
