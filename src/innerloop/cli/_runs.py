"""innerloop resume, evaluate, contrast, report: what one does with runs."""

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import tyro

from innerloop.cli import UsageError
from innerloop.cli._parse import parse
from innerloop.cli._train import SharedOptions, join_others, show_curves


@dataclass(frozen=True)
class ResumeOptions(SharedOptions):
    """Go on with a run from its newest undamaged checkpoint to its budget, then evaluate it.

    It ends bit for bit where it would have ended without the interruption.
    """

    run: tyro.conf.Positional[Path]
    """A run directory."""
    quiet: bool = False
    """Show no progress."""


@dataclass(frozen=True)
class EvaluateOptions:
    """Measure a run's agent: return of each episode of a trial, beside the benchmark's references on the same tasks.

    Writes evaluation*.json, evaluation*.npz and curve*.png into the run directory.
    """

    run: tyro.conf.Positional[Path]
    """A run directory."""
    tasks: Literal["test", "train", "ood"] = "test"
    """Held-out tasks, those the agent was trained on, or (where there are some) those outside of their distribution."""
    num_tasks: int = 1000
    """How many tasks to play."""
    greedy: bool = False
    """Take the most probable action instead of drawing one."""
    references: bool = True
    """Measure the references, too."""


@dataclass(frozen=True)
class ContrastOptions:
    """How much does adaptation itself bring? The agent of a run before and after 1, 2, ... adaptations, beside the same
    net trained without adaptation and then fine-tuned, a fresh net trained on the test task with ten times the data,
    and the oracle.

    For methods that learn by meta-gradients. Writes RUN/contrasts; training the contrasts takes about as long as the run.
    """

    run: tyro.conf.Positional[Path]
    """A run directory."""
    num_tasks: int | None = None
    """How many held-out tasks to play; by default as many as the run is measured on."""
    quiet: bool = False
    """Show no progress."""


@dataclass(frozen=True)
class ReportOptions:
    """Compare evaluated runs of a benchmark: a table, curve.png and curve.html with all of them, and learning.png.

    Runs that differ only in their seed become one curve. Of the first run's agent, where it makes sense: fits.png shows
    some functions, as it sees them after 0, 1, 5 and 10 gradient steps, beliefs.png what it believes of the task, ways.png
    where it goes, and routing.png which modules serve which task. The page curve.html holds all of these pictures.
    """

    runs: tyro.conf.Positional[tuple[Path, ...]]
    """Run directories."""
    out: Path | None = None
    """Where the pictures go. By default into the first run directory."""
    greedy: bool = False
    """Take the measurements with greedy actions."""


def resume_command(arguments: list[str]) -> int:
    """innerloop resume RUN"""
    join_others(arguments)
    options = parse(ResumeOptions, arguments, "resume")
    if (status := options.launched(["resume", *arguments])) is not None:
        return status
    from innerloop._run import resume

    if curves := resume(options.run, show=not options.quiet, num_devices=options.num_devices):
        show_curves(curves, options.run)
    return 0


def evaluate_command(arguments: list[str]) -> int:
    """innerloop evaluate RUN"""
    options = parse(EvaluateOptions, arguments, "evaluate")
    if options.num_tasks < 1:
        raise UsageError(f"--num-tasks {options.num_tasks}: must be at least 1.")
    from innerloop._run import evaluate_run

    curves = evaluate_run(
        options.run,
        tasks=options.tasks,
        num_tasks=options.num_tasks,
        greedy=options.greedy,
        references=options.references,
    )
    show_curves(curves, options.run)
    return 0


def contrast_command(arguments: list[str]) -> int:
    """innerloop contrast RUN"""
    options = parse(ContrastOptions, arguments, "contrast")
    if options.num_tasks is not None and options.num_tasks < 1:
        raise UsageError(f"--num-tasks {options.num_tasks}: must be at least 1.")
    from innerloop._contrast import contrast_run
    from innerloop.cli._tables import console, contrast_table

    found = contrast_run(options.run, num_tasks=options.num_tasks, show=not options.quiet)
    console().print(contrast_table(found, f"what adaptation brings: {options.run}"))
    return 0


def report_command(arguments: list[str]) -> int:
    """innerloop report RUN..."""
    options = parse(ReportOptions, arguments, "report")
    if not options.runs:
        raise UsageError("usage: innerloop report RUN...")
    from innerloop._run import RunConfig
    from innerloop.benchmarks import benchmark
    from innerloop.cli._tables import console, curves_table, known_values
    from innerloop.report import html_curve, plot_curve, plot_learning

    configs = [RunConfig.read(run) for run in options.runs]
    names = sorted({config.benchmark for config in configs})
    if len(names) > 1:
        raise UsageError(f"these runs are on different benchmarks ({', '.join(names)}); report them one by one.")
    curves = _merged(list(zip(options.runs, configs, strict=True)), options.greedy)
    references = _references(options.runs, curves[0].num_tasks)
    title = f"{names[0]}: {benchmark(names[0]).summary}"
    console().print(curves_table([*curves, *references], title))
    print(known_values(benchmark(names[0]).known))
    out = options.out or options.runs[0]
    plot_curve(curves, out / "curve.png", title, references=references)
    plot_learning(options.runs, out / "learning.png", title)
    pictures = [out / "learning.png", *_insides(options.runs[0], configs[0], out)]
    html_curve(curves, out / "curve.html", title, references=references, pictures=pictures)
    print(f"pictures: {', '.join(map(str, [out / 'curve.png', out / 'curve.html', *pictures]))}")
    return 0


def _insides(folder: Path, config: Any, out: Path) -> list[Path]:
    """Pictures of what a run's agent does, as far as they make sense: fitted functions, beliefs, ways,
    routing."""
    from innerloop._run import agent_like, agent_of
    from innerloop.agents import Belief, Gradient, Posterior
    from innerloop.benchmarks import benchmark
    from innerloop.envs import Regression
    from innerloop.report import plot_beliefs, plot_fits, plot_rollouts, plot_routing
    from innerloop.report._beliefs import PLACES
    from innerloop.report._routing import routed_policy

    row, like = benchmark(config.benchmark), agent_like(config)
    env, rounds = config.settings.env(row), math.ceil(row.num_episodes / like.episodes_per_adapt)
    title = f"{config.method} on {config.benchmark}"
    drawn: dict[str, Callable[[Any, Path], None]] = {}
    if isinstance(row.env, Regression) and isinstance(like, Gradient):
        drawn["fits.png"] = lambda agent, path, fitted=row.env: plot_fits(agent, fitted, row.test, path, title)
    if isinstance(like, Belief | Posterior) and rounds > 1:
        drawn["beliefs.png"] = lambda agent, path: plot_beliefs(agent, env, row.test, rounds, path, title)
    if type(env) in PLACES:
        drawn["ways.png"] = lambda agent, path: plot_rollouts(agent, env, row.test, rounds, path, title)
    if routed_policy(like) is not None:
        drawn["routing.png"] = lambda agent, path: plot_routing(agent, env, row.test, rounds, path, title)
    if drawn and config.num_seeds is not None:
        print(f"not drawn: {', '.join(drawn)}, since {folder} holds several agents; train one without --num-seeds.")
        return []
    agent = agent_of(folder) if drawn else None
    for name, draw in drawn.items():
        draw(agent, out / name)
    return [out / name for name in drawn]


def _merged(runs: list[tuple[Path, Any]], greedy: bool) -> list[Any]:
    """One curve for each method and its settings, seeds stacked."""
    from innerloop._evaluate import AdaptationCurve, stack_seeds
    from innerloop._run import measured

    name = "evaluation" + "-greedy" * greedy
    groups: dict[Any, list[AdaptationCurve]] = {}
    seeds: dict[Any, Path] = {}
    for folder, config in runs:
        if (curve := measured(folder, name)) is None:
            is_new = not (folder / f"{name}.npz").exists()
            why = "is not evaluated yet" if is_new else "has no evaluation of its newest agent"
            raise UsageError(f"{folder} {why}: innerloop evaluate {folder}{' --greedy' * greedy}")
        alike = config.method, config.settings, config.products
        groups.setdefault(alike, []).append(curve)
        seed = (*alike, config.seed, config.num_seeds is None)
        if (other := seeds.get(seed)) is not None:
            raise UsageError(f"{folder} and {other} are the same run, seed {config.seed}, twice: leave one out.")
        seeds[seed] = folder
    curves = [stack_seeds(group) for group in groups.values()]
    methods = [method for method, *_ in groups]
    labels = [method if methods.count(method) == 1 else f"{method} ({i + 1})" for i, method in enumerate(methods)]
    return [replace(curve, label=label) for curve, label in zip(curves, labels, strict=True)]


def _references(folders: tuple[Path, ...], num_tasks: int) -> list[Any]:
    """Of the first run that has measured them on as many test tasks."""
    from innerloop._evaluate import AdaptationCurve

    for folder in folders:
        found = [AdaptationCurve.load(path.parent, path.stem) for path in sorted((folder / "references").glob("*.npz"))]
        if alike := [curve for curve in found if (curve.tasks, curve.num_tasks) == ("test", num_tasks)]:
            return alike
    return []
