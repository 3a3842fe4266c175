"""How much adaptation itself brings: an agent that learned to adapt, beside what the same net earns otherwise."""

import dataclasses
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Array, Float

from innerloop._benchmark import Benchmark
from innerloop._collect import JaxCollector
from innerloop._evaluate import AdaptationCurve, held_out_tasks
from innerloop._files import write_whole
from innerloop._learner import Learner
from innerloop._run import (
    RunConfig,
    agent_like,
    evaluate_run,
    measured,
    resume,
    run_experiment,
)
from innerloop._types import Key, Task
from innerloop.algorithms._inner_loop import InnerLoop, MetaTraining, Net, agent_maker
from innerloop.algorithms._meta_gradient import MetaGradient
from innerloop.benchmarks import benchmark as find_benchmark
from innerloop.envs.supervised import Supervised

MORE_DATA = 10
RATES = (3e-3, 1e-2, 3e-2)
NUM_TASKS, NUM_TRIAL_TASKS = 50, 20
FINE_TUNED, SCRATCH = "fine-tuned mixture", f"from scratch, {MORE_DATA} x data"
CONTRASTS = Path("contrasts") / "contrasts.json"


class Plan(NamedTuple):
    """Training on one task: how many rounds of episodes an update sees, updates and optimiser steps on each."""

    sets: int
    updates: int
    steps: int


def contrast_run(folder: str | Path, *, num_tasks: int | None = None, show: bool = True) -> dict[str, Any]:
    """What a run's agent earns after 0, 1, ... adaptations, beside contrasts on tasks of the same distribution.

    Args:
        folder: a finished run of a method that learns by meta-gradients.
        num_tasks: held-out tasks for agent, fine-tuning and oracle; by default as many as the run is measured on.
        show: progress on stderr.

    Returns:
        Mean returns of an episode, a list over the number of adaptations (0 is without; None where it diverged), for
        `adapted`: the agent itself; `fine-tuned mixture`: the same settings trained without adaptation, then tested
        with the same inner steps (a run of its own in FOLDER/contrasts); `from scratch, 10 x data`: a fresh net
        trained by Adam on the test task alone, with ten times the episodes, on 50 tasks, with the best of three step
        sizes as chosen on training tasks (`step_size`); and `oracle`, if the benchmark has one. The same is written to
        FOLDER/contrasts/contrasts.json.

    Raises:
        ValueError: the run's method does not learn by meta-gradients, or trains without adaptation.
    """
    folder, config = Path(folder), RunConfig.read(folder)
    benchmark = find_benchmark(config.benchmark)
    if not learns_to_adapt(config.settings, benchmark):
        raise ValueError(f"{folder}: {config.method} does not learn to adapt by gradient steps; nothing to contrast.")
    num_tasks = num_tasks or config.num_test_tasks
    per_round = agent_like(config).episodes_per_adapt

    adapted = _measured(folder, num_tasks)
    num_rounds = adapted.num_episodes // per_round
    curves = {"adapted": adapted} | _untaught(folder, config, num_tasks, adapted.num_episodes, show)
    found: dict[str, Any] = {name: _rounded(_rounds(x, num_rounds, per_round)) for name, x in curves.items()}
    scratch, rate = _from_scratch(config.settings, benchmark, per_round, num_rounds)
    found |= {SCRATCH: _rounded(scratch), "step_size": rate, "num_tasks": num_tasks}
    write_whole(folder / CONTRASTS, json.dumps(found, indent=1) + "\n")
    return found


def learns_to_adapt(settings: Any, row: Benchmark) -> bool:
    """Whether a method's settings train by meta-gradients, through at least one adaptation."""
    return isinstance(settings.learner(row), MetaGradient) and settings.training.inner_adaptation_steps > 0


def _rounds(curve: AdaptationCurve, num_rounds: int, per_round: int) -> list[float]:
    """The mean return of an episode in each of the first rounds."""
    means = curve.per_episode()[: num_rounds * per_round]
    return [float(x) for x in means.reshape(num_rounds, per_round).mean(axis=1)]


def _rounded(means: Sequence[float]) -> list[float | None]:
    return [round(x, 4) if np.isfinite(x) else None for x in means]


def read_contrasts(folder: str | Path) -> dict[str, Any] | None:
    """What `contrast_run` found for a run, or None."""
    path = Path(folder) / CONTRASTS
    return json.loads(path.read_text()) if path.exists() else None


def _measured(folder: Path, num_tasks: int) -> AdaptationCurve:
    """The run's stored curve if it is of as many tasks, else a new one, which does not take its place."""
    stored = measured(folder, "evaluation")
    if stored is not None and stored.num_tasks == num_tasks:
        return stored
    return evaluate_run(folder, num_tasks=num_tasks, references=False, plot=False, save=stored is None)[0]


def _untaught(
    folder: Path, config: RunConfig, num_tasks: int, num_episodes: int, show: bool
) -> dict[str, AdaptationCurve]:
    """The run's settings without adaptation in training, and the oracle if there is one, on as many episodes as the run.

    Left to itself, either is tested on the benchmark's number of episodes, and the run may be trained on more.
    """
    training = dataclasses.replace(config.settings.training, inner_adaptation_steps=0)
    config = dataclasses.replace(config, settings=dataclasses.replace(config.settings, training=training))
    inside = folder / "contrasts" / "fine-tuned"
    if (inside / "config.json").exists():
        resume(inside, show=show, measure=False)
    else:
        run_experiment(config, inside, show=show, measure=False)
    tuned, *others = evaluate_run(inside, num_tasks=num_tasks, min_episodes=num_episodes, plot=False)
    return {FINE_TUNED: tuned} | {x.label: x for x in others if x.label == "oracle"}


def _from_scratch(settings: Any, row: Benchmark, per_round: int, num_rounds: int) -> tuple[list[float], float]:
    """Mean return after each of the rounds' data, ten times, and the step size that was best on training tasks."""
    plan = Plan(MORE_DATA, 1, 200) if isinstance(row.env, Supervised) else Plan(1, MORE_DATA, 5)
    collector = JaxCollector(row.env, row.train, plan.sets, 1, per_round)

    def earned(key: Key, task: Task, rate: Float[Array, ""]) -> Float[Array, " round"]:
        learner = _alone(settings.net, settings.inner, row, plan, rate)
        return _train_alone(key, learner, collector, task, plan, num_rounds)

    @jax.jit
    def on_all(key: Key, tasks: Task, rates: Float[Array, " rate"]) -> Float[Array, "rate round"]:
        keys = jax.random.split(key, jax.tree.leaves(tasks)[0].shape[0])
        of_rate = jax.vmap(earned, in_axes=(0, 0, None))
        return jax.vmap(lambda rate: of_rate(keys, tasks, rate).mean(axis=0))(rates)

    choose_key, key = jax.random.split(jax.random.key(0))
    seen = held_out_tasks(choose_key, row.train, NUM_TRIAL_TASKS)
    last = np.asarray(on_all(choose_key, seen, jnp.array(RATES))[:, -1])
    best = int(np.argmax(np.where(np.isfinite(last), last, -np.inf)))
    means = on_all(key, held_out_tasks(key, row.test, NUM_TASKS), jnp.array([RATES[best]]))[0]
    return [float(x) for x in means], RATES[best]


def _alone(net: Net, inner: InnerLoop, row: Benchmark, plan: Plan, rate: Float[Array, ""]) -> Learner:
    """The learner of a fresh net on a single task: Adam, on the clipped surrogate where there is a policy."""
    loss = MetaTraining(outer="vpg" if isinstance(row.env, Supervised) else "ppo").objective(row.env, inner)
    make_agent = agent_maker(row, dataclasses.replace(net, start_from=None), inner)
    return MetaGradient(make_agent, loss, optimizer=optax.adam(rate), num_steps=plan.steps)


def _train_alone(
    key: Key, learner: Learner, collector: JaxCollector, task: Task, plan: Plan, num_rounds: int
) -> Float[Array, " round"]:
    """The mean return of an episode before and after each `plan.updates` updates."""
    init_key, key = jax.random.split(key)
    same = jax.tree.map(lambda x: jnp.repeat(x[None], plan.sets, axis=0), task)

    def update(state: Any, key: Key) -> tuple[Any, Array]:
        play_key, update_key = jax.random.split(key)
        trials = collector.play(play_key, learner.agent(state), same)
        return learner.update(update_key, state, trials)[0], trials.returns().mean()

    keys = jax.random.split(key, plan.updates * (num_rounds - 1) + 1)
    return jax.lax.scan(update, learner.init(init_key), keys)[1][:: plan.updates]
