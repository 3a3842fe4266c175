"""innerloop reproduce ID: train a recipe's seeds, measure them, and compare with the stored result."""

import dataclasses
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import tyro

from innerloop.cli import UsageError, unknown
from innerloop.cli._parse import parse


@dataclass(frozen=True)
class ReproduceOptions:
    """Train the seeds of a recipe, measure each on the held-out tasks of its protocol, and compare with the stored result.

    Each seed is a run directory of its own, RUNS/ID/seed-K: a finished one is not repeated, an interrupted one goes on.
    The result is stored if there is none yet, or if the stored one has fewer seeds. The exit status is 1 if the value
    lies outside the stored one's tolerance.
    """

    id: tyro.conf.Positional[str]
    """A recipe (see `innerloop list recipes`)."""
    seeds: tuple[int, ...] | None = None
    """Which seeds to train. By default all of the recipe's, counted from 0."""
    quick: bool = False
    """One seed with a twentieth of the updates: shows that everything works, stores nothing."""
    workers: int = 1
    """Seeds that are trained side by side, each in a process with its share of the cores; on machines without accelerators.
    By default one after another, with all cores."""
    overwrite: bool = False
    """Store the result even if there is one."""
    runs: Path = Path("runs")
    """Where run directories go."""
    results: Path = Path("benchmarks/results")
    """Where results are stored."""
    quiet: bool = False
    """Show no progress."""


def reproduce_command(arguments: list[str]) -> int:
    """innerloop reproduce ID"""
    options = parse(ReproduceOptions, arguments, "reproduce")
    from innerloop.recipes import RECIPES, recipe
    from innerloop.report._results import read_result

    if options.id not in RECIPES:
        if stored := read_result(options.results, options.id):
            raise UsageError(f"{options.id!r} is no recipe; its stored result is measured by: {stored['command']}")
        raise unknown("recipe", options.id, list(RECIPES))
    row = recipe(options.id)
    if options.quick:
        if options.seeds is not None or options.workers != 1:
            raise UsageError("--quick trains seed 0 alone: leave out --seeds and --workers.")
        return _quick(_shortened(row), options)
    return _reproduce(row, options)


def _reproduce(row: Any, options: ReproduceOptions) -> int:
    from innerloop._contrast import learns_to_adapt
    from innerloop.benchmarks import benchmark
    from innerloop.report._results import agrees, read_result, write_result

    stored = read_result(options.results, row.id)
    wanted = tuple(range(row.num_seeds)) if options.seeds is None else options.seeds
    if not wanted or min(wanted) < 0:
        raise UsageError(f"--seeds {' '.join(map(str, wanted))}: name at least one, none negative.")
    if options.workers < 1:
        raise UsageError(f"--workers {options.workers}: must be at least 1.")
    result: dict[str, Any] = {}

    def store() -> None:
        if options.overwrite or stored is None or result["num_seeds"] > stored["num_seeds"]:
            print(f"stored: {write_result(options.results, result)}")

    with _training(row, options, wanted) as wait_for:
        for seed in wanted:
            wait_for(seed)
            _train_seed(row, options, seed)
            result = _gather(row, options.runs / row.id)
            if options.workers > 1:
                result["command"] += f" --workers {options.workers}"
            store()
    if 0 in wanted and learns_to_adapt(row.settings, benchmark(row.benchmark)):
        result["contrasts"] = _contrast(row, options)
        store()
    _tell(row, result)
    if stored is None:
        print(_nothing_stored(options))
        return 0
    same = agrees(result["value"], stored)
    interval = f"[{stored['low']:.5g}, {stored['high']:.5g}]"
    print(
        f"stored result: {stored['value']:.5g} {interval}, {stored['num_seeds']} seeds; the new one is "
        f"{'within' if same else 'OUTSIDE of'} its tolerance of {stored['tolerance']:.0%}."
    )
    return 0 if same else 1


@contextmanager
def _training(row: Any, options: ReproduceOptions, seeds: Sequence[int]) -> Iterator[Callable[[int], None]]:
    """Train seeds in `options.workers` processes; gives what waits until one is trained.

    One worker, or seeds that are trained already: nothing to wait for.
    """
    from innerloop._run import finished

    parent = (options.runs / row.id).resolve()
    folders = {} if options.workers == 1 else {seed: parent / f"seed-{seed}" for seed in seeds}
    left = {seed: at for seed, at in folders.items() if not ((at / "config.json").exists() and finished(at))}
    if not left:
        yield lambda seed: None
        return
    from innerloop.sweeps import Local
    from innerloop.sweeps._piece import Job
    from innerloop.sweeps._sweep import sigterm

    with sigterm(), Local(options.workers) as executor:
        budget = row.settings.training.num_updates
        jobs = {seed: executor.submit(Job(_config(row, seed), folder, budget)) for seed, folder in left.items()}
        print(f"training seeds in {parent}, {options.workers} side by side; seed-K.log says more", file=sys.stderr)

        def wait_for(seed: int) -> None:
            if seed not in jobs:
                return
            outcome = jobs[seed].result()
            if outcome.kind == "refused":
                raise ValueError(outcome.message)
            if outcome.kind != "done":
                raise ChildProcessError(f"seed {seed} {outcome.kind}: {outcome.message}")

        yield wait_for


def _contrast(row: Any, options: ReproduceOptions) -> dict[str, Any]:
    """The contrasts of the first seed, measured unless they have been, and printed."""
    from innerloop import _contrast as contrast
    from innerloop.cli._tables import console, contrast_table

    folder = options.runs / row.id / "seed-0"
    found = contrast.read_contrasts(folder) or contrast.contrast_run(folder, show=not options.quiet)
    console().print(contrast_table(found, f"{row.id}, seed 0"))
    return found


def _quick(row: Any, options: ReproduceOptions) -> int:
    from innerloop.report._results import read_result

    _train_seed(row, options, 0)
    result = _gather(row, options.runs / row.id)
    _tell(row, result)
    stored = read_result(options.results, row.id.removesuffix("-quick"))
    if stored is not None:
        print(f"stored result of the whole recipe: {stored['value']:.5g} with {stored['num_seeds']} seeds.")
    else:
        print(_nothing_stored(options))
    print("A shortened run: its value says nothing about the recipe's.")
    return 0


def _nothing_stored(options: ReproduceOptions) -> str:
    return (
        f"not compared: {options.results} held no result of it; --results FOLDER names another folder (a clone of the "
        "repository has benchmarks/results)."
    )


def _shortened(row: Any) -> Any:
    """One seed, a twentieth of the updates, at most 1000 tasks."""
    updates = max(2, row.settings.training.num_updates // 20)
    training = dataclasses.replace(row.settings.training, num_updates=updates)
    settings = dataclasses.replace(row.settings, training=training)
    tasks = min(1000, row.num_test_tasks)
    return dataclasses.replace(row, id=f"{row.id}-quick", settings=settings, num_seeds=1, num_test_tasks=tasks)


def _config(row: Any, seed: int) -> Any:
    from innerloop._run import configure

    return configure(
        row.method,
        row.benchmark,
        settings=row.settings,
        seed=seed,
        evaluate_every=row.evaluate_every,
        num_test_tasks=row.num_test_tasks,
    )


def _train_seed(row: Any, options: ReproduceOptions, seed: int) -> None:
    """Train and measure one seed, or what is left of that."""
    from innerloop._run import RunConfig, evaluate_run, measured, resume, run_experiment

    folder, config = options.runs / row.id / f"seed-{seed}", _config(row, seed)
    if not (folder / "config.json").exists():
        print(f"seed {seed}: training in {folder}", file=sys.stderr)
        run_experiment(config, folder, show=not options.quiet, measure=False)
    elif RunConfig.read(folder) != config:
        raise UsageError(f"{folder} was made with other settings than the recipe's; remove it, or choose other --runs.")
    else:
        resume(folder, show=not options.quiet, measure=False)
    for greedy in (False, True):
        if measured(folder, f"evaluation{'-greedy' * greedy}", row.num_test_tasks) is None:
            first = not greedy and seed == min(options.seeds or (0,))
            evaluate_run(folder, num_tasks=row.num_test_tasks, greedy=greedy, references=first, plot=not greedy)
    seen = _seed_result(folder, seed)
    values = [float(curve.scores()[row.metric].mean()) for curve in (seen.sampled, seen.greedy)]
    print(f"seed {seed}: {row.metric} {values[0]:.5g} (greedy {values[1]:.5g}) after {seen.seconds:.0f} s", flush=True)


def _seed_result(folder: Path, seed: int) -> Any:
    from innerloop._callbacks import read_metrics
    from innerloop._evaluate import AdaptationCurve
    from innerloop.report._results import SeedResult

    sampled, greedy = (AdaptationCurve.load(folder, name) for name in ("evaluation", "evaluation-greedy"))
    last = read_metrics(folder / "metrics.jsonl")[-1]
    return SeedResult(seed, sampled, greedy, last["env_steps"], last["seconds"], last["compile_seconds"])


def _gather(row: Any, folder: Path) -> dict[str, Any]:
    """The result of all seeds in a folder that were measured as the recipe wants it."""
    from innerloop._contrast import read_contrasts
    from innerloop._evaluate import AdaptationCurve
    from innerloop._run import RunConfig, measured
    from innerloop.report._results import result_of

    def is_measured(run: Path) -> bool:
        return all(measured(run, name, row.num_test_tasks) is not None for name in ("evaluation", "evaluation-greedy"))

    begun = {int(path.parent.name.removeprefix("seed-")): path.parent for path in folder.glob("seed-*/config.json")}
    alike = {seed: run for seed, run in sorted(begun.items()) if RunConfig.read(run).settings == row.settings}
    runs = {seed: run for seed, run in alike.items() if is_measured(run)}
    seeds = [_seed_result(run, seed) for seed, run in runs.items()]
    references = {path.stem: path for run in runs.values() for path in (run / "references").glob("*.npz")}
    curves = {name: AdaptationCurve.load(path.parent, name) for name, path in references.items()}
    return result_of(row, seeds, curves, read_contrasts(folder / "seed-0"))


def _tell(row: Any, result: dict[str, Any]) -> None:
    """The measured value beside bar and published one."""
    from innerloop.report._results import reaches_bar

    print(
        f"{row.id}: {row.metric} {result['value']:.5g} [{result['low']:.5g}, {result['high']:.5g}] over "
        f"{result['num_seeds']} seeds and {result['num_test_tasks']} tasks; greedy {result['greedy']['value']:.5g}"
    )
    reached = reaches_bar(result["value"], row)
    if reached is not None:
        print(f"bar: {'>=' if row.better == 'higher' else '<='} {row.bar:g}, {'reached' if reached else 'MISSED'}")
    if row.published is not None:
        print(f"published: {row.published:g} ({row.source})")
