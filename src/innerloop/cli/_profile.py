"""innerloop profile METHOD BENCHMARK, or RECIPE"""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from innerloop._precision import Products
from innerloop.cli import UsageError, unknown
from innerloop.cli._parse import parse
from innerloop.cli._train import known_settings, leading_names, parse_with

USAGE = "profile METHOD BENCHMARK [options], or profile RECIPE [options]"
ABOUT = """Where does the time of training go? Compiles the training program and runs its first updates: what a start costs,
and what environment, network, learning and host cost in each update. Keeps nothing of the run.

innerloop profile METHOD BENCHMARK takes the hyper-parameters of `innerloop train`; innerloop profile RECIPE those of a
recipe, which may be changed in the same way."""


@dataclass(frozen=True)
class ProfileOptions:
    """The measurement."""

    seed: int = 0
    """The root of all randomness."""
    num_seeds: int | None = None
    """Train so many independent agents side by side, in one compiled program."""
    log_every: int | None = None
    """Updates in a row of metrics, which share what the host does for it. By default a 200th of the run."""
    products: Products = "default"
    """How training multiplies matrices: as is usual on the device; bfloat16, on GPUs and TPUs; or float32."""
    num_measured: int = 5
    """At most so many updates in a measured piece of training (never more than are in a row of metrics)."""
    num_repeats: int = 5
    """How often each program is timed. Medians are shown."""
    trace: Path | None = None
    """Save a trace of one run of each program in this folder, for Perfetto and TensorBoard."""
    json: bool = False
    """Print all figures as JSON in place of the table."""


def profile_command(arguments: list[str]) -> int:
    """Measure, and say how each figure was obtained."""
    names = leading_names(arguments, USAGE, at_least=1)
    if not names:
        parse(ProfileOptions, ["--help"], "profile METHOD BENCHMARK | RECIPE", ABOUT)
    settings = known_settings(names) if len(names) == 2 else _of_recipe(names[0])
    options = parse_with(settings, ProfileOptions, arguments[len(names) :], "profile", names, ABOUT)
    from innerloop._profile import profile
    from innerloop._run import configure
    from innerloop.recipes import recipe

    run = options.run
    method, benchmark = names if len(names) == 2 else (recipe(names[0]).method, recipe(names[0]).benchmark)
    config = configure(
        method,
        benchmark,
        settings=options.method,
        seed=run.seed,
        num_seeds=run.num_seeds,
        log_every=run.log_every,
        products=run.products,
    )
    for name, value in {"--num-measured": run.num_measured, "--num-repeats": run.num_repeats}.items():
        if value < 1:
            raise UsageError(f"{name} {value}: must be at least 1.")
    found = profile(config, num_updates=run.num_measured, num_repeats=run.num_repeats, trace=run.trace)
    if run.json:
        print(json.dumps({"method": method, "benchmark": benchmark, **found.to_json()}, indent=1))
        return 0
    _show(found, f"{method} on {benchmark}")
    if run.trace is not None:
        print(
            f"trace: {run.trace} (open perfetto_trace.json.gz at ui.perfetto.dev, or tensorboard --logdir {run.trace})"
        )
    return 0


def _of_recipe(name: str) -> Any:
    """The settings of a recipe. A method's name alone is half a command."""
    from innerloop.recipes import METHODS, RECIPES

    if name in RECIPES:
        return RECIPES[name].settings
    if name in METHODS:
        raise UsageError(f"usage: innerloop {USAGE}; {name} is a method, so name a benchmark, too.")
    raise unknown("recipe", name, list(RECIPES))


def _show(found: Any, title: str) -> None:
    """Two tables: what is paid once, and what each update costs; then the compiler's figures."""
    from innerloop.cli._tables import console

    start = _table(f"{title}: start", "once", "seconds")
    updates = f"{found.num_updates} update{'s' * (found.num_updates > 1)}"
    start.add_row("first state", f"{found.init_seconds:.3g}", "nets and optimiser: traced, compiled and run")
    start.add_row("trace, lower", f"{found.trace_seconds:.3g}", "the training program, from Python to the compiler")
    start.add_row(
        "compile", f"{found.compile_seconds:.3g}", "the same; less in later starts, which find it in the cache"
    )
    start.add_row("first segment", f"{found.first_seconds:.3g}", f"{updates}, the first run of the compiled program")
    console().print(start)

    how = {
        "environment": (found.env_seconds, "random actions in place of the agent's; a program of its own"),
        "network": (found.collect_seconds, "collecting with the agent, on its own, less the line above"),
        "update": (found.learn_seconds, "gradients and optimiser on one stored batch; a program of its own"),
        "rest": (None, "the training program less the three above; negative: saved by fusing"),
        "host": (None, f"dispatch and metrics; shared by the updates of a row ({found.log_every})"),
    }
    table = _table("each update", "part", "ms", "share", "steps/s")
    for name, seconds in found.parts().items():
        alone, said = how[name]
        rate = "" if alone is None else f"{found.steps_per_update / alone:,.0f}"
        table.add_row(name, f"{1000 * seconds:.3g}", f"{seconds / found.update_seconds:.0%}", rate, said)
    rate = f"{found.steps_per_update / found.update_seconds:,.0f}"
    table.add_row("whole", f"{1000 * found.update_seconds:.3g}", "100%", rate, "evaluation and checkpoints left out")
    console().print(table)
    print(_notes(found))


def _table(title: str, *columns: str) -> Any:
    """Names, figures, and how these were measured."""
    from rich import box
    from rich.table import Table

    table = Table(title=title, title_justify="left", box=box.SIMPLE_HEAD)
    table.add_column(columns[0], no_wrap=True)
    for column in columns[1:]:
        table.add_column(column, justify="right", no_wrap=True)
    table.add_column("how it was measured")
    return table


def _notes(found: Any) -> str:
    counted = {"flops": found.flops, "bytes accessed": found.bytes_accessed, "bytes of memory": found.peak_bytes}
    figures = [f"{name} not given" if x is None else f"{x:.4g} {name}" for name, x in counted.items()]
    return (
        f"{found.steps_per_update:,} environment steps an update on {found.device}; medians of {found.num_repeats} runs.\n"
        "steps/s are those of the environment alone, of collecting, of the update alone, and of training as a whole.\n"
        "In training the parts are one program and overlap: shares say where time goes, not what leaving a part out saves.\n"
        f"The compiler says of the training program: {', '.join(figures)}. It counts the\n"
        "body of each loop once, however often it runs; memory is arguments, results and all that lies between."
    )
