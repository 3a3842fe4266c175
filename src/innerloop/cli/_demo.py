"""innerloop demo: from nothing to an adaptation curve."""

import dataclasses
import shlex
import shutil
import sys
import time
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from innerloop.cli._parse import parse


@dataclass(frozen=True)
class DemoOptions:
    """Train RL² on a small benchmark, and a policy without memory for contrast. Then play tasks that neither has seen,
    and show the return of each episode of a trial beside the benchmark's reference policies.

    Writes curve.png, curve.html (it opens without a network) and both run directories.
    """

    seed: int = 0
    """The root of all randomness."""
    folder: Path | None = None
    """Where everything goes. By default demo/, or demo-2/ and so on."""
    num_test_tasks: int = 2000
    """Held-out tasks to play."""


def demo_command(arguments: list[str]) -> int:
    """Train two agents, measure, draw."""
    options = parse(DemoOptions, arguments, "demo")
    started = time.monotonic()
    print("innerloop demo: loading JAX ...", file=sys.stderr, flush=True)
    from innerloop._run import configure, run_experiment
    from innerloop.benchmarks import benchmark
    from innerloop.cli._tables import console, curves_table, known_values
    from innerloop.cli._train import first_line, new_folder
    from innerloop.recipes import METHODS, recipe

    row = recipe("demo")
    about = benchmark(row.benchmark)
    print(f"The task family: {about.summary} ({about.num_episodes} episodes a trial).", file=sys.stderr)
    contrast = METHODS["memoryless"](training=row.settings.training)
    curves: list[Any] = []
    references: list[Any] = []
    with nullcontext(options.folder) if options.folder else new_folder(Path(), "demo") as folder:
        for method, settings in ((row.method, row.settings), ("memoryless", contrast)):
            print(f"\n{method}: {first_line(settings)}", file=sys.stderr)
            config = configure(
                method,
                row.benchmark,
                settings=settings,
                seed=options.seed,
                evaluate_every=0,
                checkpoint_every=settings.training.num_updates,
                num_test_tasks=options.num_test_tasks,
            )
            curve, *others = run_experiment(config, folder / method, plot=False, references=not curves)
            curves.append(dataclasses.replace(curve, label="RL²" if method == "rl2" else method))
            references += others
    _draw(folder, curves, references, f"{about.summary}: how agents adapt to tasks they have never seen")
    console().print(curves_table([*curves, *references], about.summary))
    print(known_values(about.known))
    print(f"pictures: {folder / 'curve.png'}, {folder / 'curve.html'}")
    following = shlex.join([_program(), "evaluate", str(folder / row.method), "--greedy"])
    print(f"done in {time.monotonic() - started:.0f} s. Next: {following}")
    return 0


def _program() -> str:
    """What starts innerloop from here: its name, or the way to it where another one or none would be found."""
    script = Path(sys.executable).with_name("innerloop")
    found = shutil.which("innerloop")
    if not script.is_file() or (found is not None and Path(found).resolve() == script.resolve()):
        return "innerloop"
    return str(script.relative_to(Path.cwd()) if script.is_relative_to(Path.cwd()) else script)


def _draw(folder: Path, curves: list[Any], references: list[Any], title: str) -> None:
    from innerloop.report import html_curve, plot_curve

    plot_curve(curves, folder / "curve.png", title, references=references)
    html_curve(curves, folder / "curve.html", title, references=references)
