"""innerloop train METHOD BENCHMARK"""

import dataclasses
import io
import sys
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext, redirect_stderr, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from innerloop._precision import Products
from innerloop.cli import UsageError, unknown
from innerloop.cli._parse import HELP_FLAGS, flags, parse


@dataclass(frozen=True, kw_only=True)
class SharedOptions:
    """Who shares the tasks of each batch. What is learned does not depend on it, up to rounding."""

    num_devices: int = 1
    """Devices of one process."""
    num_processes: int = 1
    """Processes. Without a coordinator they are started on this machine, and share its cores."""
    coordinator: str | None = None
    """HOST:PORT of process 0, where processes that you have started on many machines meet."""
    process_id: int | None = None
    """Which of them this is. SLURM, Open MPI and Kubernetes' indexed jobs tell it by themselves."""

    def launched(self, arguments: list[str]) -> int | None:
        """The exit status of several processes on this machine with these arguments, if that is what they are for."""
        for name in ("num_devices", "num_processes"):
            if getattr(self, name) < 1:
                raise UsageError(f"--{name.replace('_', '-')} {getattr(self, name)}: must be at least 1.")
        if self.coordinator is None and self.process_id is not None:
            raise UsageError(f"--process-id {self.process_id}: needs --coordinator HOST:PORT.")
        if self.coordinator is not None or self.num_processes == 1:
            return None
        from innerloop._processes import launch

        return launch(arguments, self.num_processes)


def join_others(arguments: list[str]) -> None:
    """If this is one of many processes, join the others: before the arguments are read as a whole, since that may look for
    devices. What is wrong with them is told then."""
    if not any(argument.startswith("--coordinator") for argument in arguments):
        return
    import tyro

    with suppress(SystemExit), redirect_stderr(io.StringIO()):
        found, _ = tyro.cli(SharedOptions, args=arguments, return_unknown_args=True, add_help=False)
        if found.coordinator is not None:
            from innerloop._processes import join

            join(found.coordinator, found.num_processes, found.process_id)


@dataclass(frozen=True)
class RunOptions(SharedOptions):
    """The run: its randomness, where it goes, and how often it is looked at."""

    seed: int = 0
    """The root of all randomness: same seed, same run, bit for bit."""
    num_seeds: int | None = None
    """Train so many independent agents side by side, in one compiled program."""
    folder: Path | None = None
    """The run directory. By default a new one, runs/METHOD-BENCHMARK with the next free number."""
    num_test_tasks: int = 1000
    """Held-out tasks that the trained agent is measured on."""
    log_every: int | None = None
    """Updates in a row of metrics. By default a 200th of the run."""
    checkpoint_every: int | None = None
    """Updates between checkpoints. By default as many as take half a minute."""
    evaluate_every: int | None = None
    """Updates between evaluations on held-out tasks, 0 for none. By default a 10th of the run."""
    products: Products = "default"
    """How training multiplies matrices: as is usual on the device; bfloat16, on GPUs and TPUs; or float32."""
    quiet: bool = False
    """Show no progress."""


def train_command(arguments: list[str]) -> int:
    """Train, evaluate, and say where everything is."""
    names = leading_names(arguments, "train METHOD BENCHMARK [options]")
    if not names:
        return _overview()
    join_others(arguments)
    from innerloop._processes import leading
    from innerloop._run import configure, run_experiment

    settings = known_settings(names)
    options = parse_with(settings, RunOptions, arguments[len(names) :], "train", names)
    run = {field.name: getattr(options.run, field.name) for field in dataclasses.fields(RunOptions)}
    run = {name: value for name, value in run.items() if name not in SharedOptions.__dataclass_fields__}
    given, show = run.pop("folder"), not run.pop("quiet")
    leads = options.run.coordinator is None or leading()
    is_theirs = given is not None or not leads
    place = nullcontext(given or Path("runs")) if is_theirs else new_folder(Path("runs"), "-".join(names))
    with place as folder:
        if (status := options.run.launched(["train", *arguments, f"--folder={folder}"])) is not None:
            return status
        config = configure(*names, settings=options.method, **run)
        curves = run_experiment(config, folder, show=show, num_devices=options.run.num_devices)
    if curves:
        show_curves(curves, folder)
    return 0


def leading_names(arguments: list[str], usage: str, at_least: int = 2) -> list[str]:
    """The names at the start of a command: at most METHOD and BENCHMARK. There may be fewer if help is asked for."""
    names = [argument for argument in arguments[:2] if not argument.startswith("-")]
    if len(names) < at_least and not any(argument in HELP_FLAGS for argument in arguments):
        raise UsageError(f"usage: innerloop {usage}; `innerloop list` names both.")
    return names


def known_settings(names: list[str]) -> Any:
    """The settings of METHOD on BENCHMARK, or of METHOD alone; a name that does not exist gets the nearest ones."""
    from innerloop.benchmarks import REGISTRY
    from innerloop.recipes import METHODS, default_settings

    for kind, name, known in zip(("method", "benchmark"), names, (METHODS, REGISTRY), strict=False):
        if name not in known and not (kind == "benchmark" and ":" in name):
            raise unknown(kind, name, list(known))
    return default_settings(names[0], names[1] if len(names) > 1 else "")


def parse_with(
    settings: Any, run_options: type[Any], arguments: list[str], command: str, names: list[str], about: str = ""
) -> Any:
    """Options of a command that takes the hyper-parameters of a method, as `.method`, beside its own, as `.run`.

    `about` is help that comes before that of the method.
    """
    from innerloop.benchmarks import listed

    described = [about] if about else []
    described.append(f"{'Method' if about else command.capitalize()} {names[0]}: {first_line(settings)}")
    if len(names) > 1:
        described.append(f"On {names[1]}: {listed(names[1]).summary}. Defaults are those of its recipe, if it has one.")
    made = _options(settings, run_options)
    return parse(made, arguments, " ".join([command, *names]), "\n\n".join(described))


def show_curves(curves: list[Any], folder: Path) -> None:
    """The table of a run, and where its files are."""
    from innerloop._run import RunConfig
    from innerloop.benchmarks import benchmark
    from innerloop.cli._tables import console, curves_table, known_values

    config = RunConfig.read(folder)
    console().print(curves_table(curves, f"{config.method} on {config.benchmark}"))
    if curves[0].tasks == "test":
        print(known_values(benchmark(config.benchmark).known))
    print(f"run directory: {folder}")


def first_line(thing: Any) -> str:
    """What an object says about itself in one line."""
    return (type(thing).__doc__ or "").strip().splitlines()[0]


@contextmanager
def new_folder(parent: Path, name: str) -> Iterator[Path]:
    """`parent/name`, or with the first number that is free; made at once, so that no other process takes it.

    Removed if an error leaves it empty.
    """
    number, name, is_first = 1, name.replace(":", "-"), not parent.exists()
    while True:
        folder = parent / (name if number == 1 else f"{name}-{number}")
        try:
            folder.mkdir(parents=True)
            break
        except FileExistsError:
            number += 1
        except OSError as error:
            raise UsageError(f"cannot make {folder}: {error.strerror}; choose another place with --folder.") from error
    try:
        yield folder
    except BaseException:
        for empty in [folder, parent] if is_first else [folder]:
            with suppress(OSError):
                empty.rmdir()
        raise


def _options(settings: Any, run_options: type[Any]) -> type[Any]:
    """A dataclass of a method's hyper-parameters and of a command's own."""
    taken = set(flags(type(settings))) & set(flags(run_options))
    if taken:
        raise UsageError(
            f"settings of {type(settings).__name__} and {run_options.__name__} share the name {', '.join(sorted(taken))}."
        )
    fields = [("method", type(settings), field(default=settings)), ("run", run_options, field(default=run_options()))]
    return dataclasses.make_dataclass("Options", fields, frozen=True)


OVERVIEW = """usage: innerloop train METHOD BENCHMARK [--any-hyper-parameter VALUE ...] [run options]

Trains a method on the training tasks of a benchmark, measures it on held-out tasks beside the benchmark's reference
policies, and writes settings, metrics, checkpoints and curves into a run directory.

methods:    {methods}
benchmarks: {benchmarks}

  innerloop train rl2 two-arm                             with the settings of its recipe
  innerloop train rl2 two-arm --hidden-size 128 --num-seeds 5
  innerloop train rl2 --help                              the hyper-parameters of RL²
  innerloop train rl2 poles:varied_poles                  a benchmark of your own, in poles.py
"""


def _overview() -> int:
    """Help before a method is named."""
    import textwrap

    from innerloop.benchmarks import REGISTRY
    from innerloop.recipes import METHODS

    names = textwrap.fill(", ".join(REGISTRY), 100, subsequent_indent=" " * 12, break_on_hyphens=False)
    print(OVERVIEW.format(methods=", ".join(METHODS), benchmarks=names))
    sys.stdout.flush()
    parse(RunOptions, ["--help"], "train METHOD BENCHMARK", "Options of every run:")
    return 0
