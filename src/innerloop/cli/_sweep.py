"""innerloop sweep METHOD BENCHMARK --over NAME=V1,V2,..."""

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

import tyro

from innerloop.cli import UsageError, unknown
from innerloop.cli._parse import flags, parse
from innerloop.cli._train import known_settings, leading_names, parse_with

ABOUT = """Which settings are best? Trains every combination of the values given with --over, with several seeds, and ranks
them by what the agents earn on TRAINING tasks. Test tasks are never played, so that the settings found may be measured on
them.

  innerloop sweep rl2 two-arm --over learning-rate=0.001,0.002,0.004 --over hidden-size=32,64
  innerloop sweep rl2 gridnavi --over entropy-coef=0.01,0.04,0.1 --prune halving --workers 2
  innerloop sweep rl2 two-arm --over "head-widths=64,64 64" --num-updates 200

A value of several words is a list. Each combination and seed is a run directory, OUT/NAME=VALUE,.../seed-K, which may be
resumed, evaluated and compared like any other. The same command goes on where it was stopped and repeats no finished run;
a run that crashes is reported, and the others go on. OUT/sweep.json holds the table and is renewed as runs get on.

Other options of `innerloop train METHOD BENCHMARK` hold for all runs."""


@dataclass(frozen=True)
class SweepOptions:
    """The sweep."""

    over: Annotated[tuple[str, ...], tyro.conf.UseAppendAction] = ()
    """A setting and the values to try, as NAME=V1,V2,...; once for each setting."""
    num_seeds: int = 3
    """Runs of each setting."""
    first_seed: int = 100
    """Their first seed. Not 0, so that settings are not chosen by the seeds that results are measured with."""
    out: Path | None = None
    """Where run directories go. By default runs/sweep-METHOD-BENCHMARK."""
    num_ranking_tasks: int = 1000
    """Training tasks that each trained agent plays for its rank."""
    metric: str = "return"
    """What settings are ranked by: return, or a measure of the benchmark's own."""
    better: Literal["higher", "lower"] = "higher"
    """Which values of it are better."""
    prune: Literal["none", "halving", "median"] = "none"
    """Give settings up early, by their seeds' mean return in training: asynchronous successive halving (ASHA), or the median
    stopping rule. They keep their checkpoints."""
    eta: int = 3
    """Halving: one in so many goes on, to so many times the updates."""
    num_rungs: int | None = None
    """Updates at which settings are compared, the end included. By default 3 for halving and 5 for the median."""
    checkpoint_every: int | None = None
    """Updates between checkpoints: what is lost at most if a run is killed. By default as many as take half a minute."""
    workers: int | None = None
    """Runs side by side. By default 1, or on Ray as many as there are processors for."""
    retries: int = 2
    """How often a run is started again whose process, or machine, was lost. It goes on from its newest checkpoint."""
    ray: bool = False
    """Play the runs as tasks of Ray (pip install 'innerloop[ray]') on this machine."""
    address: str | None = None
    """The same on a Ray cluster: auto, or ray://HOST:PORT. Its machines must share the folder OUT."""
    cpus_per_run: float = 1.0
    """Processors that Ray sets aside for a run."""
    gpus_per_run: float = 0.0
    """Accelerators that Ray sets aside for a run."""
    quiet: bool = False
    """Show no progress."""


def sweep_command(arguments: list[str]) -> int:
    """Train all settings, and show them in order."""
    names = leading_names(arguments, "sweep METHOD BENCHMARK --over NAME=V1,V2,... [options]")
    if not names:
        parse(SweepOptions, ["--help"], "sweep METHOD BENCHMARK", ABOUT)
    settings = known_settings(names)
    options = parse_with(settings, SweepOptions, arguments[len(names) :], "sweep", names, ABOUT)
    run = options.run
    if not run.over:
        raise UsageError("--over NAME=V1,V2,...: name at least one setting and the values to try.")
    over = dict(_values(settings, text, names) for text in run.over)
    if len(over) < len(run.over):
        raise UsageError(f"--over {' --over '.join(run.over)}: names a setting twice.")
    if run.num_seeds < 1 or run.first_seed < 0:
        raise UsageError(f"--num-seeds {run.num_seeds} --first-seed {run.first_seed}: at least 1, and not negative.")

    _leave_accelerators_alone()
    from innerloop.sweeps import Local, OnRay, Pruning, Sweep, run_sweep

    sweep = Sweep(
        names[0],
        names[1],
        over,
        settings=options.method,
        seeds=tuple(range(run.first_seed, run.first_seed + run.num_seeds)),
        num_tasks=run.num_ranking_tasks,
        metric=run.metric,
        better=run.better,
        pruning=Pruning(run.prune, run.eta, run.num_rungs),
        checkpoint_every=run.checkpoint_every,
    )
    executor: Any = Local(1 if run.workers is None else run.workers, run.retries)
    if run.ray or run.address is not None:
        executor = OnRay(run.address, run.workers, run.cpus_per_run, run.gpus_per_run, run.retries)
    out = run.out or Path("runs") / f"sweep-{'-'.join(names)}"
    if not run.quiet:
        num_settings = len(sweep.configs(0))
        print(f"{num_settings} settings x {run.num_seeds} seeds, in {out}", file=sys.stderr, flush=True)
    try:
        found = run_sweep(sweep, out, executor, tell=lambda text: None if run.quiet else _say(text))
    except KeyboardInterrupt:
        print("stopped, with all runs saved; the same command goes on.", file=sys.stderr)
        raise
    return _show(found, names, arguments, out)


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def _leave_accelerators_alone() -> None:
    """The runs have processes of their own; this one must not take memory from them."""
    import jax

    if jax.config.jax_platforms != "cpu":  # type: ignore[attr-defined]
        jax.config.update("jax_platforms", "cpu")


def _values(settings: Any, text: str, names: list[str]) -> tuple[str, tuple[Any, ...]]:
    """NAME=V1,V2,... as the setting's name and its values, each read like the option of that name."""
    from innerloop.sweeps._sweep import setting_of

    flag, _, values = text.partition("=")
    name = flag.strip().lstrip("-").replace("-", "_")
    known = [known for known in flags(type(settings)) if not known.startswith("--no-")]
    option = "--" + name.replace("_", "-")
    if option not in known:
        raise unknown("setting", flag, [known.removeprefix("--") for known in known])
    words = [value.split() for value in values.split(",")]
    if not all(words):
        raise UsageError(f"--over {text}: write --over {flag}=V1,V2,... with a value between commas.")
    found = []
    for value in words:
        if isinstance(setting_of(settings, name), bool):
            if value not in (["true"], ["false"]):
                raise UsageError(f"--over {text}: {' '.join(value)!r} is neither true nor false.")
            read = value == ["true"]
        else:
            chosen = parse_with(settings, SweepOptions, [option, *value], "sweep", names)
            read = setting_of(chosen.method, name)
        if read in found:
            raise UsageError(f"--over {text}: {' '.join(value)} is there twice.")
        found.append(read)
    return name, tuple(found)


def _show(found: dict[str, Any], names: list[str], arguments: Sequence[str], out: Path) -> int:
    """The table, and what it means."""
    from rich import box
    from rich.table import Table

    from innerloop.cli._tables import console

    seeds = found["seeds"]
    table = Table(title=f"{' on '.join(names)}, best first", title_justify="left", box=box.SIMPLE_HEAD)
    for column in ("", "setting", f"{found['metric']} on training tasks", "each seed", "state"):
        table.add_column(column, no_wrap=column == "setting")
    failed = []
    for number, row in enumerate(found["settings"]):
        rank, score, each = "", "", ""
        if row["state"] == "finished":
            rank, score = str(number + 1), f"{row['mean']:.4g} [{row['low']:.4g}, {row['high']:.4g}]"
            each = " ".join(f"{x:.4g}" for x in row["per_seed"])
        state = row["state"]
        if state == "pruned":
            state = f"pruned at update {row['rungs'][len(row['values']) - 1]}"
        table.add_row(rank, row["name"], score, each, state)
        failed += [f"{run['folder']}: {run['outcome']}: {run['error']}" for run in row["runs"] if run["outcome"]]
    console().print(table)
    which = f"seed {seeds[0]}" if len(seeds) == 1 else f"seeds {seeds[0]} to {seeds[-1]}"
    print(
        f"Ranked by {found['metric']} on {found['num_tasks']:,} TRAINING tasks, {which}; means with 95 % intervals. No test "
        "task was\nplayed. Settings whose intervals overlap are not told apart, and the best of many looks better than it "
        "is:\nmeasure it on test tasks with seeds of its own, by innerloop train."
    )
    for line in failed:
        print(f"FAILED {line} (log: {out / line.partition(':')[0]}.log)")
    print(f"run directories and sweep.json: {out}")
    return 1 if failed else 0
