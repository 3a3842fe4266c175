"""A sweep: settings x seeds, each a run directory, ranked by what their agents earn on training tasks.

Test tasks are never played, so that the settings found may be measured on them. In the folder of a sweep:

    sweep.json           the plan, and the state and rank of every setting; written anew whenever a run has got further
    SETTING/seed-K/      a run directory; seed-K.log holds what its processes had to say
"""

import dataclasses
import difflib
import itertools
import json
import math
import statistics
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, wait
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from innerloop._callbacks import Interrupted, read_metrics
from innerloop._evaluate import AdaptationCurve, stack_seeds
from innerloop._files import write_whole
from innerloop._run import RunConfig, configure, locked, measured, with_values
from innerloop._sealed import checkpoints
from innerloop.benchmarks import benchmark as find_benchmark
from innerloop.recipes import default_settings
from innerloop.sweeps._executors import Executor
from innerloop.sweeps._piece import CURVE, Job, Outcome
from innerloop.sweeps._pruning import Pruning

FORMAT = 1
State = Literal["finished", "going on", "waiting", "pruned", "failed"]


@dataclass(frozen=True)
class Sweep:
    """What is tried on what.

    `over` maps names of settings, nested ones included, to the values that are tried, in all combinations; `settings` are
    those of the method otherwise, None: those of its recipe. `seeds` are apart from 0, 1, 2, ... by default, with which
    results are measured. `num_tasks` training tasks and `metric`, "return" or one of the benchmark's, say which is best.
    """

    method: str
    benchmark: str
    over: Mapping[str, Sequence[Any]]
    settings: Any = None
    seeds: tuple[int, ...] = (100, 101, 102)
    num_tasks: int = 1000
    metric: str = "return"
    better: Literal["higher", "lower"] = "higher"
    pruning: Pruning = field(default_factory=Pruning)
    checkpoint_every: int | None = None
    """Updates between checkpoints; by default as many as take half a minute."""

    def __post_init__(self) -> None:
        if not self.over:
            raise ValueError("Sweep(over={}): name at least one setting and its values.")
        for name, values in self.over.items():
            if not len(values) or len(set(values)) < len(values):
                raise ValueError(f"Sweep(over={{{name!r}: {list(values)}}}): needs values, and each of them once.")
        if not self.seeds or len(set(self.seeds)) < len(self.seeds):
            raise ValueError(f"Sweep(seeds={self.seeds}): needs at least one, and each once.")
        if self.num_tasks < 1:
            raise ValueError(f"Sweep(num_tasks={self.num_tasks}): must be at least 1.")
        known = ["return", *find_benchmark(self.benchmark).metrics]
        if self.metric not in known:
            raise ValueError(f"Sweep(metric={self.metric!r}): {self.benchmark} has {', '.join(known)}.")
        budgets = {config.settings.training.num_updates for config in self.configs(self.seeds[0]).values()}
        if self.pruning.rule != "none" and len(budgets) > 1:
            raise ValueError(
                f"Sweep(pruning={self.pruning.rule!r}): settings with budgets of their own cannot be compared."
            )

    def configs(self, seed: int) -> dict[str, RunConfig]:
        """One run of each setting, by the setting's name."""
        base = default_settings(self.method, self.benchmark) if self.settings is None else self.settings
        found: dict[str, RunConfig] = {}
        for values in itertools.product(*self.over.values()):
            settings = base
            for name, value in zip(self.over, values, strict=True):
                settings = with_setting(settings, name, value)
            setting = setting_name(dict(zip(self.over, values, strict=True)))
            if setting in found:
                raise ValueError(f"Sweep(over=...): two settings would share the folder {setting}; name fewer values.")
            periods: dict[str, Any] = {"evaluate_every": 0, "checkpoint_every": self.checkpoint_every}
            found[setting] = configure(self.method, self.benchmark, settings=settings, seed=seed, **periods)
        return found


def setting_name(chosen: Mapping[str, Any]) -> str:
    """A setting as the name of a folder."""
    texts = {name: "-".join(map(str, x)) if isinstance(x, tuple) else str(x) for name, x in chosen.items()}
    return ",".join(f"{name}={text}" for name, text in texts.items()).replace("/", "_")


def with_setting(settings: Any, name: str, value: Any) -> Any:
    """A dataclass of settings with another value of one, which may be nested. Unknown names get the nearest as an answer."""
    path = _path(settings, name)
    if path is None:
        known = _names(settings)
        close = difflib.get_close_matches(name, known, n=3, cutoff=0.4) or known
        raise ValueError(f"{type(settings).__name__} has no setting {name}; did you mean {', '.join(close)}?")
    for entry in reversed(path):
        value = {entry: value}
    return with_values(settings, value)


def setting_of(settings: Any, name: str) -> Any:
    """The value of a setting, which may be nested."""
    for entry in _path(settings, name) or ():
        settings = getattr(settings, entry)
    return settings


def _path(settings: Any, name: str) -> tuple[str, ...] | None:
    """The fields that lead to a setting."""
    for entry in dataclasses.fields(settings):
        inside = getattr(settings, entry.name)
        if dataclasses.is_dataclass(inside):
            if (rest := _path(inside, name)) is not None:
                return (entry.name, *rest)
        elif entry.name == name:
            return (name,)
    return None


def _names(settings: Any) -> list[str]:
    found = []
    for entry in dataclasses.fields(settings):
        inside = getattr(settings, entry.name)
        found += _names(inside) if dataclasses.is_dataclass(inside) else [entry.name]
    return found


@dataclass
class Run:
    """A run of a sweep. `outcome` is what its newest piece came to, if that was not what was wanted."""

    config: RunConfig
    folder: Path
    num_tasks: int
    outcome: Outcome | None = None
    _values: dict[int, float] = field(default_factory=dict)

    @property
    def update(self) -> int:
        """The newest update that is saved."""
        found = checkpoints(self.folder / "checkpoints")
        return int(found[0].name) if found else 0

    def value(self, rung: int) -> float | None:
        """The mean return of a trial (or reward of a step) over the last tenth of the updates up to a rung.

        None as long as it has not been reached; the end of the budget is reached when the agent is measured, too.
        """
        if rung not in self._values:
            at_end = rung == self.config.settings.training.num_updates
            if self.update < rung or (at_end and measured(self.folder, CURVE, self.num_tasks) is None):
                return None
            self._values[rung] = earned(read_metrics(self.folder / "metrics.jsonl"), rung)
        return self._values[rung]


def earned(rows: Sequence[Mapping[str, Any]], rung: int) -> float:
    """The mean over the last tenth of the updates up to a rung; nothing, if its rows are lost."""
    rows = [row for row in rows if 0 < row["update"] <= rung]
    if not rows:
        return -math.inf
    name = "trial_return" if "trial_return" in rows[-1] else "reward"
    since = min(0.9 * rung, rows[-1]["update"] - 1)
    return statistics.fmean(-math.inf if row[name] is None else row[name] for row in rows if row["update"] > since)


@dataclass
class Setting:
    """A setting of a sweep and its runs, one a seed."""

    name: str
    runs: list[Run]
    rungs: tuple[int, ...]
    _score: dict[str, Any] | None = None

    @property
    def has_failed(self) -> bool:
        """Whether a run cannot go on."""
        return any(run.outcome is not None for run in self.runs)

    def values(self) -> list[float]:
        """Means over seeds at the rungs that all of them have reached. A setting that failed is worth nothing."""
        found: list[float] = []
        for rung in self.rungs:
            values = [x for run in self.runs if (x := run.value(rung)) is not None]
            if len(values) < len(self.runs):
                return [*found, -math.inf] if self.has_failed else found
            found.append(statistics.fmean(values))
        return found

    def score(self, metric: str) -> dict[str, Any] | None:
        """On training tasks, once all runs are finished."""
        if self._score is None and all(run.value(self.rungs[-1]) is not None for run in self.runs):
            curves = [AdaptationCurve.load(run.folder, CURVE) for run in self.runs]
            self._score = stack_seeds(curves).score(metric)
        return self._score


def run_sweep(
    sweep: Sweep, folder: str | Path, executor: Executor, *, tell: Callable[[str], None] = lambda text: None
) -> dict[str, Any]:
    """Play a sweep, or what is left of it: a finished run is not repeated, an interrupted one goes on.

    Args:
        folder: where its run directories are, and `sweep.json`.
        executor: `Local(...)` or `OnRay(...)`. The calling process computes nothing itself.
        tell: is told a line for each piece that ends.

    Returns:
        What is in `sweep.json`: settings in order, the best first.

    Raises:
        ValueError: the folder holds runs of other settings. Interrupted: SIGTERM; all that was going on is saved.
    """
    folder = Path(folder).resolve()
    folder.mkdir(parents=True, exist_ok=True)
    busy: dict[Future[Outcome], tuple[int, Run, int]] = {}
    with locked(folder), sigterm(), executor:
        settings = _prepared(sweep, folder)
        _write(sweep, settings, folder)
        while True:
            for number, run, until in _next_jobs(sweep, settings, busy):
                if len(busy) >= executor.num_workers():
                    break
                busy[executor.submit(Job(run.config, run.folder, until, sweep.num_tasks))] = (number, run, until)
            if not busy:
                return _write(sweep, settings, folder, is_over=True)
            for future in wait(busy, return_when=FIRST_COMPLETED).done:
                number, run, until = busy.pop(future)
                outcome = future.result()
                if outcome.kind == "done" and run.value(until) is None:
                    outcome = Outcome("crashed", f"it ended before update {until}.")
                run.outcome = None if outcome.kind == "done" else outcome
                told = f"{outcome.kind}: {outcome.message}" if run.outcome else _progress(run, until)
                tell(f"{settings[number].name} seed {run.config.seed}: {told}")
            _write(sweep, settings, folder, {number for number, _, _ in busy.values()})


def _prepared(sweep: Sweep, folder: Path) -> list[Setting]:
    """All settings and their runs; those that diverged before are not tried again."""
    diverged = {}
    if (folder / "sweep.json").exists():
        before = json.loads((folder / "sweep.json").read_text())
        if before["num_tasks"] > sweep.num_tasks:
            raise ValueError(
                f"Sweep(num_tasks={sweep.num_tasks}): runs in {folder} have played {before['num_tasks']}; take as many."
            )
        runs = [run for row in before["settings"] for run in row["runs"]]
        diverged = {run["folder"]: run["error"] for run in runs if run["outcome"] == "diverged"}
    by_seed = {seed: sweep.configs(seed) for seed in sweep.seeds}
    settings = []
    for name, config in by_seed[sweep.seeds[0]].items():
        rungs = sweep.pruning.rungs(config.settings.training.num_updates, config.log_every)
        runs = []
        for seed in sweep.seeds:
            run = Run(by_seed[seed][name], folder / name / f"seed-{seed}", sweep.num_tasks)
            if (run.folder / "config.json").exists():
                if RunConfig.read(run.folder) != run.config:
                    raise ValueError(f"{run.folder} was made with other settings; remove it, or choose another folder.")
                if (inside := f"{name}/seed-{seed}") in diverged:
                    run.outcome = Outcome("diverged", diverged[inside])
            runs.append(run)
        settings.append(Setting(name, runs, rungs))
    return settings


def _next_jobs(
    sweep: Sweep, settings: Sequence[Setting], busy: Mapping[Any, tuple[int, Run, int]]
) -> Iterator[tuple[int, Run, int]]:
    """Runs that may go on, those first that should, with the update they go on to."""
    playing = {id(run) for _, run, _ in busy.values()}
    at_work = {number for number, _, _ in busy.values()}
    values = [setting.values() for setting in settings]
    # A setting of which a seed is playing goes on with its other seeds before another one begins.
    allowed = sweep.pruning.may_go_on(values, len(settings[0].rungs), at_work)
    for number in [*sorted(at_work), *allowed]:
        setting = settings[number]
        if setting.has_failed or len(values[number]) == len(setting.rungs):
            continue
        rung = setting.rungs[len(values[number])]
        for run in setting.runs:
            if id(run) not in playing and run.value(rung) is None:
                yield number, run, rung


def _progress(run: Run, until: int) -> str:
    budget = run.config.settings.training.num_updates
    return f"update {until} of {budget}, {run.value(until):.4g} earned in training"


def _write(
    sweep: Sweep, settings: Sequence[Setting], folder: Path, at_work: Collection[int] = (), is_over: bool = False
) -> dict[str, Any]:
    """`sweep.json`: settings in order of rank."""
    rows = [_row(sweep, setting, folder, number in at_work, is_over) for number, setting in enumerate(settings)]
    sign = -1.0 if sweep.better == "higher" else 1.0

    def order(row: dict[str, Any]) -> tuple[Any, ...]:
        if row["state"] == "finished":
            return (0, sign * row["mean"])
        values = [x for x in row["values"] if x is not None]
        return (2 if row["state"] == "failed" else 1, -len(values), -values[-1] if values else 0.0)

    plan = {
        name: getattr(sweep, name) for name in ("method", "benchmark", "over", "seeds", "num_tasks", "metric", "better")
    }
    result = {
        "format": FORMAT,
        **plan,
        "tasks": "train",
        "pruning": dataclasses.asdict(sweep.pruning),
        "settings": sorted(rows, key=order),
    }
    result = json.loads(json.dumps(result))
    write_whole(folder / "sweep.json", json.dumps(result, indent=1) + "\n")
    return result


def _row(sweep: Sweep, setting: Setting, folder: Path, at_work: bool, is_over: bool) -> dict[str, Any]:
    """What is known of a setting."""
    values, score = setting.values(), setting.score(sweep.metric)
    state: State = "waiting"
    if setting.has_failed:
        state = "failed"
    elif score is not None:
        state = "finished"
    elif at_work:
        state = "going on"
    elif is_over and values:
        state = "pruned"
    runs = [
        {
            "seed": run.config.seed,
            "folder": str(run.folder.relative_to(folder)),
            "update": run.update,
            "outcome": None if run.outcome is None else run.outcome.kind,
            "error": None if run.outcome is None else run.outcome.message,
        }
        for run in setting.runs
    ]
    row: dict[str, Any] = {"name": setting.name, "state": state, "rungs": setting.rungs, "runs": runs}
    row["values"] = [x if math.isfinite(x) else None for x in values]
    return row | {name: None if score is None else score[name] for name in ("mean", "low", "high", "per_seed")}


@contextmanager
def sigterm() -> Iterator[None]:
    """SIGTERM ends what goes on as Ctrl-C does; outside of the main thread, where Python delivers none, it is left alone."""
    import signal
    import threading

    def stop(number: int, frame: Any) -> None:
        raise Interrupted("stopped by SIGTERM, with all runs saved; the same command goes on.", number)

    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGTERM, stop)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
