"""Where the time of training goes: what is paid once, and what each update costs, part by part.

Training is one compiled program in which the parts overlap, and the compiler may order and merge their operations as it
likes. So its parts are timed as programs of their own, and what their sum leaves over is a figure of its own.
"""

import dataclasses
import statistics
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import equinox as eqx
import jax
import numpy as np
from jaxtyping import Array

from innerloop._callbacks import MetricsWriter
from innerloop._collect import Collector, JaxCollector, StreamCollector
from innerloop._env import Box, EnvSpec
from innerloop._precision import multiplying
from innerloop._run import RunConfig, training_of
from innerloop._train import Progress, Segment, TrainState, averaged, check_finite, init, seed_keys
from innerloop._types import Key
from innerloop.references.generic import Random

MIN_SECONDS = 2.0


@dataclass(frozen=True)
class Profile:
    """Seconds: medians of `num_repeats` runs, but those of a start, which are measured once.

    Attributes:
        init_seconds: to trace, compile and run what makes the first state.
        trace_seconds: to trace and lower the program of a training segment. compile_seconds: to compile it.
        first_seconds: its first run, of `num_updates` updates.
        env_seconds: a batch of experience from random actions, compiled alone. Per update, like all that follow.
        collect_seconds: a batch from the agent as it is in training, compiled alone.
        learn_seconds: the learner's update from one stored batch, compiled alone.
        fused_seconds: an update of the training program itself, its dispatch left out.
        host_seconds: dispatch, fetching metrics and writing their row, shared by the `log_every` updates of a row.
        steps_per_update: environment steps in the batches of all seeds, padding included.
        flops, bytes_accessed: what the compiler counts for the training program; it counts the body of each loop once.
        peak_bytes: what the compiler set aside for the training program: arguments, results and all that lies between.
    """

    init_seconds: float
    trace_seconds: float
    compile_seconds: float
    first_seconds: float
    env_seconds: float
    collect_seconds: float
    learn_seconds: float
    fused_seconds: float
    host_seconds: float
    steps_per_update: int
    num_updates: int
    num_repeats: int
    log_every: int
    flops: float | None
    bytes_accessed: float | None
    peak_bytes: int | None
    device: str

    @property
    def update_seconds(self) -> float:
        """Wall-clock time of an update in training, evaluation and checkpoints left out."""
        return self.fused_seconds + self.host_seconds

    def parts(self) -> dict[str, float]:
        """Seconds of an update by part; they add up to `update_seconds`. `rest` is what fusing adds, or, below 0, saves."""
        return {
            "environment": self.env_seconds,
            "network": self.collect_seconds - self.env_seconds,
            "update": self.learn_seconds,
            "rest": self.fused_seconds - self.collect_seconds - self.learn_seconds,
            "host": self.host_seconds,
        }

    def to_json(self) -> dict[str, Any]:
        """All figures, as plain Python values."""
        return {**dataclasses.asdict(self), "update_seconds": self.update_seconds, "parts": self.parts()}


def profile(
    config: RunConfig, *, num_updates: int = 5, num_repeats: int = 5, trace: str | Path | None = None
) -> Profile:
    """Measure where the time of a run goes, by the first updates of its training. Nothing of the run is kept.

    Args:
        config: from `configure(method, benchmark, ...)`.
        num_updates: at most so many updates in a measured segment; never more than `log_every`, which is what training does.
        num_repeats: how often each program is timed at least; all together it goes on for `MIN_SECONDS`.
        trace: a folder for a trace of one run of each program, for Perfetto and TensorBoard.

    Raises:
        ValueError: a count is below 1.
    """
    for name, value in {"num_updates": num_updates, "num_repeats": num_repeats}.items():
        if value < 1:
            raise ValueError(f"profile({name}={value}): must be at least 1.")
    with multiplying(config.products):
        return _measured(
            config, min(num_updates, config.log_every), num_repeats, None if trace is None else Path(trace)
        )


def _measured(config: RunConfig, count: int, num_repeats: int, trace: Path | None) -> Profile:
    """`profile`, with `count` updates in a segment."""
    key = jax.random.key(config.seed)
    clock = time.perf_counter()
    learner, collector = training_of(config, config.settings)
    train_state = jax.block_until_ready(init(key, learner, collector, config.num_seeds))
    init_seconds = time.perf_counter() - clock
    segment = Segment(learner, collector, key, train_state, config.log_every, config.num_seeds)
    first_seconds, (train_state, _) = _timed(segment.launch, train_state, count)

    programs = _Programs(learner, collector, key, config.num_seeds)
    look = partial(_look, segment, learner, collector, key, config)
    environment, collect, learn = programs.environment(), programs.collect(train_state), programs.learn(train_state)
    times: dict[str, list[float]] = {name: [] for name in ("env", "collect", "learn", "empty", "full", "host")}
    with tempfile.TemporaryDirectory() as folder:
        writer = MetricsWriter(folder, config.log_every)
        train_state, rows = segment.launch(train_state, count)
        for run in (environment, partial(collect, train_state), learn, partial(look, writer, train_state, rows, count)):
            jax.block_until_ready(run())
        clock = time.perf_counter()
        while len(times["env"]) < num_repeats or time.perf_counter() - clock < MIN_SECONDS:
            times["env"].append(_timed(environment)[0])
            times["collect"].append(_timed(collect, train_state)[0])
            times["learn"].append(_timed(learn)[0])
            seconds, (train_state, _) = _timed(segment.launch, train_state, 0)
            times["empty"].append(seconds)
            seconds, (train_state, rows) = _timed(segment.launch, train_state, count)
            times["full"].append(seconds)
            times["host"].append(_timed(look, writer, train_state, rows, count)[0])
        writer.close(None)
    if trace is not None:
        _record(trace, environment, collect, learn, segment, train_state, count)
    median = {name: statistics.median(found) for name, found in times.items()}
    return Profile(
        init_seconds=init_seconds,
        trace_seconds=segment.trace_seconds,
        compile_seconds=segment.compile_seconds,
        first_seconds=first_seconds,
        env_seconds=median["env"],
        collect_seconds=median["collect"],
        learn_seconds=median["learn"],
        fused_seconds=(median["full"] - median["empty"]) / count,
        host_seconds=(median["empty"] + median["host"]) / config.log_every,
        steps_per_update=collector.steps_per_collect * (config.num_seeds or 1),
        num_updates=count,
        num_repeats=len(times["env"]),
        log_every=config.log_every,
        device=jax.devices()[0].device_kind,
        **_costs(segment.compiled),
    )


def _timed(function: Callable[..., Any], *arguments: Any) -> tuple[float, Any]:
    """Seconds until all of a result is there, and the result."""
    clock = time.perf_counter()
    result = jax.block_until_ready(function(*arguments))
    return time.perf_counter() - clock, result


def _look(
    segment: Segment,
    learner: Any,
    collector: Collector,
    key: Key,
    config: RunConfig,
    writer: MetricsWriter,
    train_state: TrainState,
    rows: dict[str, Array],
    count: int,
) -> None:
    """What `train` does with the metrics of a segment."""
    fetched = segment.fetch(rows, count)
    check_finite(fetched, 0)
    progress = Progress(train_state, learner, collector, key, count, count, config.num_seeds, 1, 0.0, 1.0)
    progress.metrics = averaged(fetched)
    writer(progress)


class _Programs:
    """Parts of training as programs of their own, compiled like the whole."""

    def __init__(self, learner: Any, collector: Collector, key: Key, num_seeds: int | None):
        self.constants, self.static = eqx.partition((learner, collector), eqx.is_array)
        self.num_seeds = num_seeds
        self.key = seed_keys(key, num_seeds)

    def _compiled(self, function: Callable[..., Any], *arguments: Any, donate: tuple[int, ...] = ()) -> Any:
        """`function(learner, collector, *arguments)`, over seeds if there are several, with its constants filled in."""

        def run(constants: Any, *arguments: Any) -> Any:
            return function(*eqx.combine(constants, self.static), *arguments)

        if self.num_seeds is not None:
            run = jax.vmap(run, in_axes=(None, *(0 for _ in arguments)))
        donated = tuple(i + 1 for i in donate)
        compiled = jax.jit(run, donate_argnums=donated).lower(self.constants, *arguments).compile()
        return partial(compiled, self.constants)

    def environment(self) -> Callable[[], Any]:
        """Experience from random actions: as many tasks, episodes and steps as in training, stored as in training."""

        def start(learner: Any, collector: Any, key: Key) -> Any:
            return collector.init(key, _random(collector))

        def play(learner: Any, collector: Any, key: Key, stream: Any) -> Any:
            return collector.collect(key, _random(collector), stream)

        stream = self._compiled(start, self.key)(self.key)
        return partial(self._compiled(play, self.key, stream), self.key, stream)

    def collect(self, train_state: TrainState) -> Callable[[TrainState], Any]:
        """A batch of experience, as in training."""

        def play(learner: Any, collector: Any, key: Key, train_state: TrainState) -> Any:
            return collector.collect(key, learner.player(train_state.state), train_state.stream)

        return partial(self._compiled(play, self.key, train_state), self.key)

    def learn(self, train_state: TrainState) -> Callable[[], Any]:
        """Updates from one batch, each on the state that the one before left: a state is donated, as in training."""

        def update(learner: Any, collector: Any, key: Key, state: Any, experience: Any) -> Any:
            return learner.update(key, state, experience)

        experience, _ = self.collect(train_state)(train_state)
        state = jax.tree.map(lambda x: x.copy(), train_state.state)
        compiled, held = self._compiled(update, self.key, state, experience, donate=(1,)), [state]

        def learn() -> Any:
            held[0], metrics = compiled(self.key, held[0], experience)
            return held[0], metrics

        return learn


def _random(collector: Collector) -> Random:
    """Random actions for what a collector plays, between -1 and 1 where they have no bounds."""
    assert isinstance(collector, JaxCollector | StreamCollector)
    spec = collector.env.spec
    if isinstance(spec.action, Box) and not np.isfinite(spec.action.high - spec.action.low):
        spec = EnvSpec(spec.obs, Box(spec.action.shape, -1.0, 1.0), spec.max_steps)
    return Random(spec, collector.episodes_per_round if isinstance(collector, JaxCollector) else 1)


def _costs(compiled: Any) -> dict[str, Any]:
    """The compiler's own figures; None where a backend has none."""
    counted, memory = compiled.cost_analysis() or {}, compiled.memory_analysis()
    most = None
    if memory is not None:
        most = memory.argument_size_in_bytes + memory.output_size_in_bytes + memory.temp_size_in_bytes
        most -= memory.alias_size_in_bytes
    return {"flops": counted.get("flops"), "bytes_accessed": counted.get("bytes accessed"), "peak_bytes": most}


def _record(
    folder: Path,
    environment: Callable[[], Any],
    collect: Callable[[TrainState], Any],
    learn: Callable[[], Any],
    segment: Segment,
    train_state: TrainState,
    count: int,
) -> None:
    """A trace with a span for each program."""
    programs: dict[str, Callable[[], Any]] = {
        "environment alone": environment,
        "collect alone": partial(collect, train_state),
        "update alone": learn,
        f"training, {count} updates": partial(segment.launch, train_state, count),
    }
    with jax.profiler.trace(str(folder), create_perfetto_trace=True):
        for name, run in programs.items():
            with jax.profiler.TraceAnnotation(name):
                jax.block_until_ready(run())
