"""Routing as a picture: which modules of a net serve which task."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import equinox as eqx
import jax
import numpy as np
from jaxtyping import Array
from matplotlib.figure import Figure

from innerloop._agent import Agent
from innerloop._collect import JaxCollector
from innerloop._env import Env
from innerloop._evaluate import held_out_tasks
from innerloop._task import Finite, TaskDistribution
from innerloop._types import Key, Memory, TimeStep, Transition
from innerloop.agents import Belief, Posterior, Recurrent, TaskConditioned
from innerloop.nn import Routed
from innerloop.report._curves import save

POLICIES: dict[type[Agent], Callable[[Any], Any]] = {
    TaskConditioned: lambda agent: agent.policy,
    Recurrent: lambda agent: agent.head,
    Belief: lambda agent: agent.policy,
    Posterior: lambda agent: agent.policy.net,
}
"""The net that chooses actions, for the agents in which it is shaped by what is known."""


def routed_policy(agent: Any) -> Routed | None:
    """The net of an agent that has modules, if there is one."""
    net = POLICIES[type(agent)](agent) if type(agent) in POLICIES else None
    return net if isinstance(net, Routed) else None


class Watched(Agent):
    """Plays as an agent does; its extras are the routing at each step."""

    agent: Any
    episodes_per_adapt: int = eqx.field(static=True)

    def init(self, key: Key) -> Memory:
        return self.agent.init(key)

    def act(self, key: Key, memory: Memory, timestep: TimeStep) -> tuple[Array, Array]:
        net = routed_policy(self.agent)
        assert net is not None
        action, _ = self.agent.act(key, memory, timestep)
        return action, net.routing(*self.agent.policy_inputs(memory, timestep))

    def observe(self, key: Key, memory: Memory, transition: Transition) -> Memory:
        return self.agent.observe(key, memory, transition)

    def adapt(self, key: Key, memory: Memory, episodes: Transition) -> Memory:
        return self.agent.adapt(key, memory, episodes)


def shares_by_task(agent: Agent, env: Env, tasks: TaskDistribution, num_rounds: int, num_tasks: int) -> np.ndarray:
    """`[task layer fed module]`: what routing is on average over the steps of the last episode of a trial."""
    task_key, play_key = jax.random.split(jax.random.key(0))
    collector = JaxCollector(env, tasks, num_tasks, num_rounds, agent.episodes_per_adapt)
    drawn = held_out_tasks(task_key, tasks, num_tasks)
    trials = eqx.filter_jit(collector.play)(play_key, Watched(agent, agent.episodes_per_adapt), drawn)
    routing, valid = (np.asarray(x)[:, -1, -1] for x in (trials.transitions.extras, trials.transitions.valid))
    weights = valid / valid.sum(axis=1, keepdims=True)
    return np.einsum("kt,kt...->k...", weights, routing)


def plot_routing(
    agent: Agent,
    env: Env,
    tasks: TaskDistribution,
    num_rounds: int,
    path: str | Path,
    title: str = "",
    *,
    num_tasks: int = 12,
) -> None:
    """Draw which modules serve which task: one row a task, one panel a layer, shares averaged over the steps of the last
    episode of a trial. Where several modules are fed, their shares stand side by side, between white lines.

    Raises ValueError if the agent's policy has no modules.
    """
    if routed_policy(agent) is None:
        raise ValueError(f"plot_routing(agent={type(agent).__name__}): its policy must be mixture, modular or library.")
    if isinstance(tasks, Finite):
        num_tasks = min(num_tasks, tasks.num_tasks)
    shares = shares_by_task(agent, env, tasks, num_rounds, num_tasks)
    _, layers, fed, modules = shares.shape
    width = max(1.6, 0.28 * fed * modules)
    figure = Figure(figsize=(1.6 + layers * width, 1.4 + 0.26 * num_tasks), dpi=140, layout="constrained")
    panels = figure.subplots(1, layers, sharey=True, squeeze=False)[0]
    for i, axes in enumerate(panels):
        picture = axes.imshow(shares[:, i].reshape(num_tasks, -1), cmap="viridis", vmin=0, vmax=1, aspect="auto")
        for line in range(1, fed):
            axes.axvline(line * modules - 0.5, color="white", linewidth=2)
        axes.set_xticks(range(fed * modules), [str(1 + j % modules) for j in range(fed * modules)], fontsize=6)
        axes.set_yticks(range(num_tasks), [str(1 + k) for k in range(num_tasks)], fontsize=7)
        axes.tick_params(length=0)
        axes.set_xlabel(f"modules, layer {i + 1}" if layers > 1 else "modules", fontsize=8)
    panels[0].set_ylabel("task", fontsize=8)
    figure.colorbar(picture, ax=list(panels), label="share", shrink=0.8)
    figure.suptitle(title, fontsize=9)
    save(figure, path)
