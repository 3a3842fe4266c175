"""The one outer loop: collect, update, repeat, in one compiled program."""

import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple, Protocol, runtime_checkable

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Int

from innerloop._agent import Agent
from innerloop._buffer import without_replay
from innerloop._collect import Collector, experience_metrics
from innerloop._devices import everywhere, here, on_all
from innerloop._learner import Learner, all_finite
from innerloop._machine import give_back_memory
from innerloop._types import Key

INIT = np.uint32(2**32 - 1)
"""What the root key is folded with for initialisation; updates use 0, 1, 2, ..."""


class NonFiniteError(RuntimeError):
    """A loss or a parameter became NaN or infinite."""


class TrainState(NamedTuple):
    """All that a run needs to go on: arrays only. With several seeds every leaf has a leading seed axis."""

    state: Any
    stream: Any
    num_updates: Int[Array, "..."]


@dataclass
class Progress:
    """What callbacks are told. `metrics` are means over the updates since the last call with metrics."""

    train_state: TrainState
    learner: Learner
    collector: Collector
    key: Key
    update: int
    num_updates: int
    num_seeds: int | None
    env_steps: int
    compile_seconds: float
    train_seconds: float
    metrics: dict[str, np.ndarray] = field(default_factory=dict)

    @property
    def steps_per_second(self) -> float:
        """Environment steps a second since this process started training, compile time and callbacks apart."""
        return self.env_steps / max(self.train_seconds, 1e-9)

    def agent(self) -> Agent:
        """The current agent; with several seeds its leaves have a leading seed axis."""
        return self.learner.agent(self.train_state.state)


@runtime_checkable
class Callback(Protocol):
    """Called before training (with no metrics), every `every` updates, and at the end; may raise to stop the run.

    Callbacks see the run, never change it: the trained agent does not depend on them. They may add measurements of
    theirs to `progress.metrics`, where later callbacks and the rows that `train` returns find them.
    """

    every: int

    def open(self, num_updates: int) -> None:
        """The run begins; nothing is compiled yet."""

    def __call__(self, progress: Progress) -> None:
        """Look at the run."""

    def close(self, error: BaseException | None) -> None:
        """The run ended, or was stopped by `error`."""


def train(
    key: Key,
    learner: Learner,
    collector: Collector,
    num_updates: int,
    *,
    callbacks: Sequence[Callback] = (),
    start: TrainState | None = None,
    num_seeds: int | None = None,
    log_every: int | None = None,
    keep_rows: bool = True,
) -> tuple[Any, list[dict[str, Any]]]:
    """Meta-train: `num_updates` times collect a batch and update.

    Args:
        key: the run's only source of randomness; update i uses `fold_in(key, i)`, so a run that stops and goes on
            from `start` ends bit for bit where an uninterrupted one does.
        start: a `TrainState` to go on from (see `restore`).
        num_seeds: train that many independent agents under one vmap, seed s with `fold_in(key, s)`.
        log_every: updates that one row of metrics averages over; by default a hundredth of the run.
        keep_rows: return the rows. Without, callbacks alone see them, and a run needs no more memory the longer it is.

    Returns:
        The learner's state, and rows of metrics. A state of several seeds has a leading seed axis.

    Raises:
        NonFiniteError: a metric or parameter became NaN or infinite; the message names the update.
    """
    if num_updates < 1:
        raise ValueError(f"train(num_updates={num_updates}): must be at least 1.")
    if num_seeds is not None and num_seeds < 1:
        raise ValueError(f"train(num_seeds={num_seeds}): must be at least 1, or None.")
    log_every = log_every or max(1, num_updates // 100)
    error: BaseException | None = None
    try:
        for callback in callbacks:
            callback.open(num_updates)
        return _train(key, learner, collector, num_updates, callbacks, start, num_seeds, log_every, keep_rows)
    except BaseException as caught:
        error = caught
        raise
    finally:
        for callback in callbacks:
            callback.close(error)


def _train(
    key: Key,
    learner: Learner,
    collector: Collector,
    num_updates: int,
    callbacks: Sequence[Callback],
    start: TrainState | None,
    num_seeds: int | None,
    log_every: int,
    keep_rows: bool,
) -> tuple[Any, list[dict[str, Any]]]:
    """`train` with its callbacks open."""
    started = time.perf_counter()
    train_state = init(key, learner, collector, num_seeds) if start is None else jax.tree.map(jnp.copy, start)
    segment = Segment(learner, collector, key, train_state, log_every, num_seeds)
    train_state = segment.placed(train_state)
    first = done = int(np.max(jax.device_get(here(train_state.num_updates))))
    progress = Progress(
        here(train_state), learner, collector, key, done, num_updates, num_seeds, 0, time.perf_counter() - started, 0.0
    )
    for callback in callbacks:
        callback(progress)
    history = [{"update": done, **progress.metrics}] if progress.metrics and keep_rows else []
    give_back_memory()
    given_back = time.monotonic()
    steps_per_update = collector.steps_per_collect * (num_seeds or 1)
    while done < num_updates:
        stop = next_stop(done, num_updates, log_every, callbacks)
        clock = time.perf_counter()
        train_state, rows = segment(train_state, stop - done)
        progress.train_state = here(train_state)
        progress.train_seconds += time.perf_counter() - clock
        progress.env_steps = (stop - first) * steps_per_update
        check_finite(rows, done)
        progress.update = done = stop
        progress.metrics = averaged(rows)
        for callback in callbacks:
            if done % callback.every == 0 or done == num_updates:
                callback(progress)
        if keep_rows:
            history.append({"update": done, **progress.metrics})
        if time.monotonic() - given_back > 1:
            give_back_memory()
            given_back = time.monotonic()
    return progress.train_state.state, history


def next_stop(done: int, num_updates: int, log_every: int, callbacks: Sequence[Callback]) -> int:
    """The next update after which somebody wants to look."""
    periods = [log_every, *(callback.every for callback in callbacks)]
    return min(num_updates, *(done - done % period + period for period in periods))


ONCE = {"xla_backend_optimization_level": 0, "xla_cpu_use_fusion_emitters": False}
"""For a program that runs once: the CPU's compiler would take seconds to make milliseconds shorter."""


def init(key: Key, learner: Learner, collector: Collector, num_seeds: int | None = None) -> TrainState:
    """The state before the first update."""

    def one(key: Key) -> TrainState:
        state_key, stream_key = jax.random.split(jax.random.fold_in(key, INIT))
        state = learner.init(state_key)
        return TrainState(state, collector.init(stream_key, learner.player(state)), jnp.zeros((), jnp.int32))

    # As a part of another program, or where only shapes are asked for, it has no options of its own.
    is_part = isinstance(jax.random.fold_in(key, INIT), jax.core.Tracer)
    options = ONCE if jax.default_backend() == "cpu" and not is_part else None
    start = one if num_seeds is None else jax.vmap(one)
    return jax.jit(start, compiler_options=options)(seed_keys(key, num_seeds))


def seed_keys(key: Key, num_seeds: int | None) -> Array:
    """The root key of each seed; the key itself for a single run."""
    return key if num_seeds is None else jax.vmap(jax.random.fold_in, (None, 0))(key, jnp.arange(num_seeds))


class Segment:
    """The compiled part of training: any number of updates up to `capacity`, never traced twice."""

    def __init__(
        self, learner: Learner, collector: Collector, key: Key, start: TrainState, capacity: int, num_seeds: int | None
    ):
        constants, static = eqx.partition((learner, collector), eqx.is_array)
        self.mesh = collector.mesh
        self.constants, self.keys = self.placed((constants, seed_keys(key, num_seeds)))

        def run(constants: Any, key: Key, train_state: TrainState, count: Array) -> tuple[TrainState, Any]:
            learner, collector = eqx.combine(constants, static)
            return run_updates(learner, collector, key, train_state, count, capacity)

        function = run if num_seeds is None else jax.vmap(run, in_axes=(None, 0, 0, None))
        arguments = (self.constants, self.keys, self.placed(start), np.zeros((), np.int32))
        clock = time.perf_counter()
        if self.mesh is None:
            lowered = jax.jit(function, donate_argnums=2).lower(*arguments)
        else:
            with jax.set_mesh(self.mesh):
                lowered = jax.jit(function, donate_argnums=2, out_shardings=on_all(self.mesh)).lower(*arguments)
        self.trace_seconds = time.perf_counter() - clock
        self.compiled = lowered.compile()
        self.compile_seconds = time.perf_counter() - clock - self.trace_seconds
        self.num_seeds = num_seeds

    def placed(self, tree: Any) -> Any:
        """On all devices of the collector's mesh, where there is one."""
        return tree if self.mesh is None else everywhere(self.mesh, tree)

    def __call__(self, train_state: TrainState, count: int) -> tuple[TrainState, dict[str, list[np.ndarray]]]:
        """Do `count` updates; metrics come back as a list over updates, each `[seed?, ...]`."""
        train_state, rows = self.launch(train_state, count)
        return train_state, self.fetch(rows, count)

    def launch(self, train_state: TrainState, count: int) -> tuple[TrainState, dict[str, Array]]:
        """The program alone: its metrics are still on the device."""
        return self.compiled(self.constants, self.keys, train_state, np.asarray(count, np.int32))

    def fetch(self, rows: dict[str, Array], count: int) -> dict[str, list[np.ndarray]]:
        """Metrics of the first `count` updates."""
        axis = 0 if self.num_seeds is None else 1
        fetched = {name: np.moveaxis(np.asarray(x), axis, 0) for name, x in jax.device_get(here(rows)).items()}
        return {name: [np.asarray(row) for row in x[:count]] for name, x in fetched.items()}


def run_updates(
    learner: Learner, collector: Collector, key: Key, train_state: TrainState, count: Array, capacity: int
) -> tuple[TrainState, dict[str, Array]]:
    """`count <= capacity` updates of one seed; metrics `[capacity, ...]`, of which the first `count` rows are used."""

    def update(train_state: TrainState) -> tuple[TrainState, dict[str, Array]]:
        state, stream, num_updates = train_state
        collect_key, update_key = jax.random.split(jax.random.fold_in(key, num_updates))
        with jax.named_scope("collect"):
            experience, stream = collector.collect(collect_key, learner.player(state), stream)
        with jax.named_scope("update"):
            state, metrics = learner.update(update_key, state, experience)
        # What is replayed is experience: it would be read as a whole in every update, only to be found in a loss anyway.
        finite = all_finite((without_replay(state), metrics)).astype(jnp.float32)
        metrics |= experience_metrics(experience) | {"finite": finite}
        return TrainState(state, stream, num_updates + 1), metrics

    def step(i: Array, carry: tuple[TrainState, dict[str, Array]]) -> tuple[TrainState, dict[str, Array]]:
        train_state, rows = carry
        train_state, metrics = update(train_state)
        return train_state, jax.tree.map(lambda row, x: row.at[i].set(x), rows, metrics)

    shapes = jax.eval_shape(update, train_state)[1]
    rows = jax.tree.map(lambda x: jnp.zeros((capacity, *x.shape), x.dtype), shapes)
    return jax.lax.fori_loop(0, count, step, (train_state, rows))


def averaged(rows: dict[str, list[np.ndarray]]) -> dict[str, np.ndarray]:
    """Means over the updates of a segment."""
    return {name: np.asarray(np.mean(np.stack(x), axis=0)) for name, x in rows.items()}


def check_finite(rows: dict[str, list[np.ndarray]], done: int) -> None:
    """Raise if a seed of an update went astray; takes the flag out of the metrics."""
    for i, finite in enumerate(rows.pop("finite")):
        if not np.all(finite):
            bad = sorted(name for name, x in rows.items() if not np.all(np.isfinite(x[i]))) or ["a parameter"]
            which = "" if np.ndim(finite) == 0 else f" (seeds {np.flatnonzero(finite == 0).tolist()})"
            raise NonFiniteError(
                f"update {done + i + 1}{which}: {', '.join(bad)} became NaN or infinite. The last checkpoint is good; "
                "try a lower learning rate, gradient clipping, or a look at the env's rewards."
            )
