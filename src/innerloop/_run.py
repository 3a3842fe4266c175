"""A run directory: everything about one run, from its settings to its adaptation curve.

Its files:

    config.json          method, benchmark, resolved settings, seed, versions, commit, machine
    metrics.jsonl        one row of metrics for every `log_every` updates
    tensorboard/         the same, for TensorBoard
    checkpoints/         see `innerloop.Checkpoint`
    evaluation*.json     adaptation curves with intervals; evaluation*.npz: the same as `[seed task]` arrays
    references/          curves of the benchmark's reference policies, on the same tasks
    curve*.png           the curves
"""

import dataclasses
import json
import math
import shutil
import sys
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Literal

import jax
import numpy as np

from innerloop._agent import Agent
from innerloop._benchmark import Benchmark
from innerloop._callbacks import EVALUATION, Evaluate, MetricsWriter, ProgressBar, StopOnSignal
from innerloop._checkpoint import Checkpoint, restore
from innerloop._collect import Collector, JaxCollector, StreamCollector
from innerloop._devices import task_mesh
from innerloop._env import Env
from innerloop._evaluate import AdaptationCurve, evaluate
from innerloop._export import read_exported
from innerloop._files import write_whole
from innerloop._learner import Learner
from innerloop._machine import compilation_cache, limit_arenas, provenance
from innerloop._precision import ALGORITHMS, Products, multiplying
from innerloop._processes import Follower, agreed, leading, leave
from innerloop._sealed import CheckpointError, checkpoints, newest
from innerloop._task import TaskDistribution
from innerloop._train import Callback, TrainState, init, train
from innerloop.benchmarks import benchmark as find_benchmark
from innerloop.envs.wrappers import RevealTask
from innerloop.recipes import default_settings

FORMAT = 1
BATCH = 1000
"""Most episodes played side by side in an evaluation."""
CHECKPOINT_SECONDS = 30.0
TRAIN_EVALUATION = np.uint32(2**32 - 3)
"""What stands in for `EVALUATION` where training tasks are played."""
Which = Literal["test", "train", "ood"]


@dataclass(frozen=True)
class RunConfig:
    """What a run is made from. Periods are in updates; `evaluate_every=0` leaves out evaluation while training, and
    `checkpoint_every=None` means now and then, at least `CHECKPOINT_SECONDS` apart."""

    method: str
    benchmark: str
    settings: Any
    seed: int
    num_seeds: int | None
    log_every: int
    checkpoint_every: int | None
    evaluate_every: int
    num_test_tasks: int
    products: Products = "default"

    def write(self, folder: Path) -> None:
        """To `config.json`, with versions, commit and machine."""
        write_whole(folder / "config.json", json.dumps({**self.to_json(), **provenance()}, indent=1) + "\n")

    def to_json(self) -> dict[str, Any]:
        """As plain values."""
        return {"format": FORMAT, **dataclasses.asdict(self)}

    @staticmethod
    def read(folder: str | Path) -> "RunConfig":
        """From a run directory. Raises ValueError if it is none."""
        path = Path(folder) / "config.json"
        if not path.is_file():
            raise ValueError(
                f"{folder}: no run directory, since it has no config.json; give one that `train` has made."
            )
        saved = json.loads(path.read_text())
        if saved.get("format") != FORMAT:
            raise ValueError(f"{path}: format {saved.get('format')}; this version of innerloop reads format {FORMAT}.")
        return RunConfig.from_json(saved)

    @staticmethod
    def from_json(saved: Mapping[str, Any]) -> "RunConfig":
        """From what `to_json` gave; runs from before a field existed have its default."""
        known = [x.name for x in dataclasses.fields(RunConfig) if x.default is dataclasses.MISSING or x.name in saved]
        fields = {name: saved[name] for name in known}
        fields["settings"] = with_values(default_settings(saved["method"], saved["benchmark"]), saved["settings"])
        return RunConfig(**fields)


def with_values(settings: Any, values: dict[str, Any]) -> Any:
    """A dataclass of settings with values from JSON, nested ones included. Unknown names are a ValueError."""
    unknown = values.keys() - {field.name for field in dataclasses.fields(settings)}
    if unknown:
        raise ValueError(
            f"{type(settings).__name__} has no setting {', '.join(sorted(unknown))}; the run is of another version."
        )
    changes = {}
    for name, value in values.items():
        old = getattr(settings, name)
        if dataclasses.is_dataclass(old) and isinstance(value, dict):
            value = with_values(old, value)
        changes[name] = tuple(value) if isinstance(value, list) else value
    return dataclasses.replace(settings, **changes)


def configure(
    method: str,
    benchmark: str,
    *,
    settings: Any = None,
    seed: int = 0,
    num_seeds: int | None = None,
    log_every: int | None = None,
    checkpoint_every: int | None = None,
    evaluate_every: int | None = None,
    num_test_tasks: int = 1000,
    products: Products = "default",
) -> RunConfig:
    """Fill in what was left open: the settings of the recipe, 200 rows of metrics, 10 evaluations.

    Periods are rounded up to a multiple of `log_every`. Raises ValueError for unknown names and impossible numbers.
    """
    find_benchmark(benchmark)
    settings = default_settings(method, benchmark) if settings is None else settings
    num_updates = settings.training.num_updates
    log_every = log_every or max(1, num_updates // 200)
    given = {"log_every": log_every, "num_updates": num_updates, "num_test_tasks": num_test_tasks}
    given |= {"num_seeds": 1 if num_seeds is None else num_seeds}
    given |= {"checkpoint_every": 1 if checkpoint_every is None else checkpoint_every}
    for name, value in given.items():
        if value < 1:
            raise ValueError(f"{name}={value}: must be at least 1.")
    if products not in ALGORITHMS:
        raise ValueError(f"products={products!r}: choose {', '.join(ALGORITHMS)}.")
    evaluate_every = num_updates // 10 + 1 if evaluate_every is None else evaluate_every
    if evaluate_every < 0 or seed < 0:
        raise ValueError(f"evaluate_every={evaluate_every}, seed={seed}: neither may be negative.")
    looks = math.ceil(evaluate_every / log_every) * log_every
    saves = None if checkpoint_every is None else math.ceil(checkpoint_every / log_every) * log_every
    return RunConfig(method, benchmark, settings, seed, num_seeds, log_every, saves, looks, num_test_tasks, products)


def run_experiment(
    config: RunConfig,
    folder: str | Path,
    *,
    show: bool = True,
    measure: bool = True,
    references: bool = True,
    plot: bool = True,
    callbacks: Sequence[Callback] = (),
    num_devices: int = 1,
) -> list[AdaptationCurve]:
    """Train, evaluate and write everything down in a new run directory.

    Args:
        config: from `configure(method, benchmark, ...)`.
        show: progress on stderr.
        measure: evaluate after training. references, plot: see `evaluate_run`.
        callbacks: further ones.
        num_devices: so many devices share the tasks of each batch; all of them, where several processes do (see `join`).

    Returns:
        The agent's adaptation curve on held-out tasks and those of the benchmark's references. Nothing in processes other
        than the leader, which train, and look at no folder.

    Raises:
        ValueError: the folder holds a run already, or the settings make no sense together; nothing is left behind.
        CheckpointError: the folder cannot be written. NonFiniteError: training diverged.
        Interrupted: a signal stopped the run, after a checkpoint.
    """
    folder = Path(folder)
    if not leading():
        train_run(folder, config, show=False, callbacks=callbacks)
        return []
    with _disk_errors(folder):
        folder.mkdir(parents=True, exist_ok=True)
        is_new = not any(folder.iterdir())
        with locked(folder):
            if (folder / "config.json").exists():
                raise ValueError(
                    f"{folder}: holds a run already; `innerloop resume {folder}` goes on, or use another folder."
                )
            config.write(folder)
            try:
                return _go_on(folder, config, show, measure, references, plot, callbacks, num_devices)
            except ValueError:
                if is_new and not checkpoints(folder):
                    shutil.rmtree(folder, ignore_errors=True)
                raise


def resume(
    folder: str | Path,
    *,
    show: bool = True,
    measure: bool = True,
    references: bool = True,
    plot: bool = True,
    callbacks: Sequence[Callback] = (),
    num_devices: int = 1,
) -> list[AdaptationCurve]:
    """Take a run to its budget and evaluate it. It ends bit for bit where an uninterrupted run ends.

    A finished run is evaluated again. Arguments, returns and errors are those of `run_experiment`.
    """
    folder = Path(folder)
    config = RunConfig.read(folder)
    if not leading():
        train_run(folder, config, show=False, callbacks=callbacks)
        return []
    with _disk_errors(folder), locked(folder):
        return _go_on(folder, config, show, measure, references, plot, callbacks, num_devices)


def _go_on(
    folder: Path,
    config: RunConfig,
    show: bool,
    measure: bool,
    references: bool,
    plot: bool,
    callbacks: Sequence[Callback],
    num_devices: int,
) -> list[AdaptationCurve]:
    """Train to the budget and evaluate, in a folder that is locked."""
    train_run(folder, config, show=show, callbacks=callbacks, num_devices=num_devices)
    if not measure:
        return []
    if show:
        print(f"measuring on {config.num_test_tasks} held-out tasks ...", file=sys.stderr, flush=True)
    return evaluate_run(folder, num_tasks=config.num_test_tasks, references=references, plot=plot)


def finished(folder: str | Path) -> bool:
    """Whether a run has reached its budget."""
    config = RunConfig.read(folder)
    return bool(checkpoints(folder)) and newest(folder)[1]["update"] >= config.settings.training.num_updates


def train_run(
    folder: Path,
    config: RunConfig,
    *,
    show: bool = True,
    callbacks: Sequence[Callback] = (),
    num_devices: int = 1,
) -> None:
    """Train from the newest checkpoint, or from the start, to the budget.

    Of several processes only the leader looks at the folder and runs callbacks; devices are then those of all.
    """
    compilation_cache()
    limit_arenas()
    leads = leading()
    if agreed(leads and finished(folder)):
        leave()
        return
    key, goes_on = jax.random.key(config.seed), agreed(leads and bool(checkpoints(folder)))
    learner, collector = training_of(config, begun(config.settings) if goes_on else config.settings)
    start = _restored(folder, config, learner, collector) if leads and goes_on else None
    looks = [*_callbacks(folder, config, show), *callbacks]
    if jax.process_count() > 1:
        collector = dataclasses.replace(collector, mesh=task_mesh())
        looks = looks if leads else [*map(Follower, looks), StopOnSignal(config.log_every)]
    elif num_devices > 1:
        collector = dataclasses.replace(collector, mesh=task_mesh(num_devices))
    with multiplying(config.products):
        train(
            key,
            learner,
            collector,
            config.settings.training.num_updates,
            callbacks=looks,
            start=start,
            num_seeds=config.num_seeds,
            log_every=config.log_every,
            keep_rows=False,  # They are on disk.
        )
    leave()


def training_of(config: RunConfig, settings: Any) -> tuple[Learner, Collector]:
    """Who learns, and from what."""
    benchmark, training = find_benchmark(config.benchmark), settings.training
    env, learner = settings.env(benchmark), settings.learner(benchmark)
    num_tasks, stream_steps = training.num_tasks, training.stream_steps
    if stream_steps is not None:
        return learner, StreamCollector(env, benchmark.train, num_tasks, stream_steps, benchmark.num_episodes)
    per_round = agent_like(config).episodes_per_adapt
    return learner, JaxCollector(env, benchmark.train, num_tasks, training.train_rounds(benchmark), per_round)


def _restored(folder: Path, config: RunConfig, learner: Learner, collector: Collector) -> TrainState:
    """The newest state of a run."""
    key = jax.random.key(config.seed)
    return restore(folder, jax.eval_shape(partial(init, key, learner, collector, config.num_seeds)), key=key)


def learner_of(folder: str | Path) -> tuple[Learner, Any]:
    """A run's learner and its newest state, which holds what its agent alone does not: decoders, critics, replay."""
    config = RunConfig.read(folder)
    learner, collector = training_of(config, begun(config.settings))
    return learner, _restored(Path(folder), config, learner, collector).state


def _callbacks(folder: Path, config: RunConfig, show: bool) -> list[Callback]:
    """Those of every run. Measuring comes before writing, and stopping last."""
    benchmark = find_benchmark(config.benchmark)
    seconds = CHECKPOINT_SECONDS if config.checkpoint_every is None else 0.0
    checkpoint = Checkpoint(folder / "checkpoints", config.checkpoint_every or config.log_every, seconds=seconds)
    found: list[Callback] = [ProgressBar(config.log_every)] if show else []
    if config.evaluate_every:
        num_tasks = min(256, config.num_test_tasks)
        env, rounds = config.settings.env(benchmark), config.settings.training.train_rounds(benchmark)
        held_out = make_collector(env, benchmark.test, benchmark, agent_like(config), num_tasks, rounds)
        found.append(Evaluate(held_out, config.evaluate_every, metrics=benchmark.metrics))
    writer = MetricsWriter(folder, config.log_every)
    return [*found, writer, checkpoint, StopOnSignal(config.log_every, checkpoint, f"innerloop resume {folder}")]


def make_collector(
    env: Env, tasks: TaskDistribution, benchmark: Benchmark, agent: Agent, num_tasks: int, min_rounds: int = 1
) -> JaxCollector:
    """Whole trials of the benchmark's number of episodes, in rounds as long as the agent wants them.

    An agent that was trained on more rounds than that (`min_rounds`) is tested on as many.
    """
    num_rounds = max(min_rounds, math.ceil(benchmark.num_episodes / agent.episodes_per_adapt))
    return JaxCollector(env, tasks, num_tasks, num_rounds, agent.episodes_per_adapt)


def begun(settings: Any) -> Any:
    """Settings that no longer read the run they start from: what it gave is in the checkpoints."""
    if getattr(getattr(settings, "net", None), "start_from", None) is None:
        return settings
    return dataclasses.replace(settings, net=dataclasses.replace(settings.net, start_from=None))


def agent_like(config: RunConfig) -> Agent:
    """Structure, shapes and dtypes of a run's agent."""
    learner = begun(config.settings).learner(find_benchmark(config.benchmark))

    def build(key: Any) -> Agent:
        return learner.agent(learner.init(key))

    keys = jax.random.key(0) if config.num_seeds is None else jax.random.split(jax.random.key(0), config.num_seeds)
    return jax.eval_shape(build if config.num_seeds is None else jax.vmap(build), keys)


def agent_of(folder: str | Path) -> Agent:
    """The newest agent of a run."""
    return read_exported(folder, agent_like(RunConfig.read(folder))).agent


def evaluate_run(
    folder: str | Path,
    *,
    tasks: Which = "test",
    num_tasks: int = 1000,
    min_episodes: int = 0,
    greedy: bool = False,
    references: bool = True,
    plot: bool = True,
    save: bool = True,
) -> list[AdaptationCurve]:
    """Measure a run's newest agent on `num_tasks` held-out tasks, and write the curves into its folder.

    Args:
        tasks: "test", or on demand "train" or "ood"; the curves and their files say which.
        min_episodes: agent and references play trials of at least so many episodes, in whole rounds.
        greedy: the agent takes its most probable action. References act as they always do.
        references: measure the benchmark's reference policies on the same tasks, too.
        plot: draw `curve.png`.
        save: write the agent's curve into the run's folder, over one that is there.

    Returns:
        The agent's curve first. Tasks do not depend on the run's seed: all runs on a benchmark play the same ones.
    """
    compilation_cache()
    folder, config = Path(folder), RunConfig.read(folder)
    benchmark = find_benchmark(config.benchmark)
    distribution = getattr(benchmark, tasks)
    if distribution is None:
        raise ValueError(f"tasks={tasks!r}: {benchmark.name} has no such tasks; choose test or train.")
    update = newest(folder)[1]["update"]
    agent = agent_of(folder)
    env = config.settings.env(benchmark)
    play = partial(_play, benchmark, distribution, tasks, num_tasks, min_episodes)
    rounds = config.settings.training.train_rounds(benchmark)
    curve = play(config.method, agent, env, rounds, greedy=greedy, num_seeds=config.num_seeds)
    curve = dataclasses.replace(curve, update=update)
    kind = "" if tasks == "test" else f"-{tasks}"
    with _disk_errors(folder):
        if save:
            curve.save(folder, f"evaluation{kind}{'-greedy' * greedy}")
        others = list(_reference_curves(play, benchmark, folder / "references", kind)) if references else []
        if plot:
            from innerloop.report import plot_curve

            name = f"curve{kind}{'-greedy' * greedy}.png"
            plot_curve([curve], folder / name, f"{config.method} on {benchmark.name}", references=others)
    return [curve, *others]


def measured(folder: Path, name: str, num_tasks: int = 1) -> AdaptationCurve | None:
    """The curve that `evaluate_run` saved under this name, unless it is damaged, of fewer tasks, or of an agent that has been
    trained further since."""
    try:
        curve = AdaptationCurve.load(folder, name)
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile):
        return None
    is_newest = not checkpoints(folder) or curve.update == newest(folder)[1]["update"]
    return curve if is_newest and curve.num_tasks >= num_tasks else None


def _play(
    benchmark: Benchmark,
    distribution: TaskDistribution,
    tasks: str,
    num_tasks: int,
    min_episodes: int,
    label: str,
    agent: Agent,
    env: Env,
    min_rounds: int = 1,
    **options: Any,
) -> AdaptationCurve:
    min_rounds = max(min_rounds, math.ceil(min_episodes / agent.episodes_per_adapt))
    num_batches = math.ceil(num_tasks / max(1, BATCH // agent.episodes_per_adapt))
    per_batch = math.ceil(num_tasks / num_batches)
    collector = make_collector(env, distribution, benchmark, agent, per_batch, min_rounds)
    # Where training and test tasks are one distribution, a key of their own keeps them apart.
    key = jax.random.fold_in(jax.random.key(0), TRAIN_EVALUATION if tasks == "train" else EVALUATION)
    about: dict[str, Any] = {"metrics": benchmark.metrics, "num_batches": num_batches, "num_tasks": num_tasks}
    return evaluate(key, agent, collector, label=label, tasks=tasks, **about, **options)


def _reference_curves(play: Any, benchmark: Benchmark, folder: Path, kind: str) -> Iterator[AdaptationCurve]:
    """Each on the very tasks that the agent plays."""
    for name, reference in benchmark.references.items():
        env = benchmark.env
        if reference.reveals_task:
            env = RevealTask(env, benchmark.train.sample(jax.random.key(0)))
        curve = play(name, reference.agent(), env)
        curve.save(folder, f"{name}{kind}")
        yield curve


@contextmanager
def _disk_errors(folder: Path) -> Iterator[None]:
    """One clear error for a disk that is full, read-only or broken."""
    try:
        yield
    except CheckpointError:
        raise
    except OSError as error:
        raise CheckpointError(
            f"cannot write to {folder}: {error.strerror or error}. What was saved before is untouched: make room, then "
            f"innerloop resume {folder}"
        ) from error


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Keep a second process out; the lock goes with the process, however it ends."""
    import fcntl

    with (folder / ".lock").open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise ValueError(f"{folder}: another process is training this; wait for it, or stop it.") from error
        yield
