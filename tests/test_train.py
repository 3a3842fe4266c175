"""The outer loop: determinism, resume, seeds, non-finite values, no retracing."""

import os
import subprocess
import sys
import time
from ctypes import CDLL, c_size_t, c_void_p, memset
from functools import partial
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from innerloop._collect import JaxCollector
from innerloop._machine import usable_cores
from innerloop._train import NonFiniteError, Progress, Segment, TrainState, init, train
from innerloop._types import Transition
from innerloop.agents import Recurrent
from innerloop.algorithms._critic import TaskCritic
from innerloop.algorithms.ppo import PPO
from innerloop.nn import CoreOptions
from marks import rarely
from table import ADAM, KEY, LEARNERS, bandit_stream, bandit_trials, recurrent


def assert_equal(a: Any, b: Any) -> None:
    assert jax.tree.structure(a) == jax.tree.structure(b)
    for x, y in zip(jax.tree.leaves(a), jax.tree.leaves(b), strict=True):
        np.testing.assert_array_equal(x, y)


class Spy:
    """Keeps what it is shown."""

    def __init__(self, every: int):
        self.every = every
        self.seen: list[int] = []
        self.states: dict[int, TrainState] = {}
        self.error: BaseException | None = None

    def open(self, num_updates: int) -> None:
        self.num_updates = num_updates

    def __call__(self, progress: Progress) -> None:
        self.seen.append(progress.update)
        self.states[progress.update] = jax.device_get(progress.train_state)

    def close(self, error: BaseException | None) -> None:
        self.error = error


def small() -> tuple[Any, Any]:
    return PPO(recurrent(), ADAM, num_minibatches=2), bandit_trials()


def same_key_same_run_and_callbacks_change_nothing() -> None:
    learner, collector = small()
    plain, rows = train(KEY, learner, collector, 5)
    spy = Spy(every=2)
    watched, kept = train(KEY, learner, collector, 5, callbacks=[spy], log_every=3, keep_rows=False)
    assert_equal(plain, watched)
    assert kept == []
    assert spy.seen == [0, 2, 4, 5]
    assert [row["update"] for row in rows] == [1, 2, 3, 4, 5]
    other, _ = train(jax.random.key(1), learner, collector, 5)
    assert not np.array_equal(plain.params.agent.core.recurrent, other.params.agent.core.recurrent)


def test_same_key_same_run_and_callbacks_change_nothing(tmp_path: Path) -> None:
    """Segments of other lengths are other programs, so this holds for the compiler as users have it, not as tests do."""
    environment = {name: value for name, value in os.environ.items() if name != "XLA_FLAGS"}
    environment["JAX_COMPILATION_CACHE_DIR"] = str(tmp_path)
    code = "import test_train; test_train.same_key_same_run_and_callbacks_change_nothing()"
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, cwd=Path(__file__).parent, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("name", rarely(("ppo-trials", "ppo-critic", "ppo-stream"), "ppo-stream"))
def test_resume_is_bit_exact(name: str) -> None:
    learner, collector = LEARNERS[name]()
    spy = Spy(every=2)
    whole, _ = train(KEY, learner, collector, 5, callbacks=[spy])
    resumed, _ = train(KEY, learner, collector, 5, start=jax.tree.map(jnp.asarray, spy.states[2]))
    assert_equal(whole, resumed)


def test_seeds_are_independent_runs() -> None:
    learner, collector = small()
    several, rows = train(KEY, learner, collector, 3, num_seeds=2)
    assert rows[-1]["trial_return"].shape == (2,)
    alone, _ = train(jax.random.fold_in(KEY, 1), learner, collector, 3)
    second = jax.tree.map(lambda x: x[1], several)
    for x, y in zip(jax.tree.leaves(second.params), jax.tree.leaves(alone.params), strict=True):
        np.testing.assert_allclose(x, y, rtol=1e-3, atol=1e-4)


def test_a_segment_is_compiled_once_for_any_length() -> None:
    learner, collector = small()
    segment = Segment(learner, collector, KEY, init(KEY, learner, collector), 3, None)
    state, rows = segment(init(KEY, learner, collector), 2)
    assert len(rows["loss"]) == 2
    state, rows = segment(state, 3)
    assert len(rows["loss"]) == 3
    assert int(state.num_updates) == 5


def test_a_value_that_is_not_finite_stops_the_run_and_names_the_update() -> None:
    collector = bandit_trials()
    breaks = optax.sgd(lambda count: jnp.where(count < 8, 0.0, jnp.nan))
    learner = PPO(recurrent(), breaks, num_epochs=1, num_minibatches=4)
    spy = Spy(every=1)
    with pytest.raises(NonFiniteError, match="update 3:"):
        train(KEY, learner, collector, 5, callbacks=[spy], log_every=5)
    assert isinstance(spy.error, NonFiniteError)
    assert max(spy.seen) == 2


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: train(KEY, *small(), 0), "num_updates=0"),
        (lambda: train(KEY, *small(), 1, num_seeds=0), "num_seeds=0"),
        (lambda: bandit_trials(num_tasks=0), "num_tasks=0"),
        (lambda: PPO(recurrent(), ADAM, num_epochs=0), "num_epochs=0"),
        (lambda: train(KEY, PPO(recurrent(), ADAM, num_minibatches=3), bandit_trials(), 1), "num_minibatches=3"),
        (lambda: train(KEY, PPO(recurrent(), ADAM, bptt_length=4), bandit_trials(), 1), "bptt_length=4"),
        (lambda: Recurrent(bandit_trials().env.spec, key=KEY, hidden_size=0), "hidden_size=0"),
    ],
)
def test_bad_arguments_name_themselves(call: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        call()


@pytest.mark.parametrize("core", ["gru", "transformer"])
def test_acting_and_observing_share_the_network(core: Any) -> None:
    """`act` and `observe` both need the core; compiled together they must cost hardly more than `act` alone."""
    collector = bandit_trials(num_tasks=64)
    agent = recurrent(core=core, core_options=CoreOptions(num_heads=1))(key=KEY)

    def flops(share: bool) -> float:
        def step(memory: Any, key: Any) -> Any:
            _, timestep = collector.env.reset(key, collector.tasks.sample(key))
            action, extras = agent.act(key, memory, timestep)
            transition = Transition(timestep, action, timestep, jnp.ones((), bool), extras)
            return agent.observe(key, memory, transition) if share else memory, (action, extras)

        loop = jax.jit(lambda memory, keys: jax.lax.scan(step, memory, keys))
        cost = loop.lower(agent.init(KEY), jax.random.split(KEY, 3)).compile().cost_analysis()
        return float(cost["flops"])

    assert flops(True) < 1.2 * flops(False)


def test_streams_carry_over_between_batches() -> None:
    learner, collector = LEARNERS["ppo-stream"]()
    assert collector.steps_per_collect == bandit_stream().steps_per_collect == 40
    start = init(KEY, learner, collector)
    agent = learner.agent(start.state)
    first, stream = collector.collect(KEY, agent, start.stream)
    second, _ = collector.collect(jax.random.key(1), agent, stream)
    assert first.trial_first[:, [0, 3]].all()
    assert not first.trial_first[:, [1, 2, 4]].any()
    assert second.trial_first[:, 1].all(), "a trial of three pulls that began at step 3 ends after step 5"
    assert_equal(first.next_timestep, jax.tree.map(lambda x: x[:, 0], second.transitions.timestep))


def test_collector_refuses_an_agent_that_adapts_at_another_pace() -> None:
    collector = JaxCollector(bandit_trials().env, bandit_trials().tasks, 4, 3, episodes_per_round=2)
    with pytest.raises(ValueError, match="episodes_per_round=2"):
        train(KEY, small()[0], collector, 1)


def test_a_critic_that_knows_the_task_needs_whole_trials() -> None:
    learner = PPO(recurrent(), ADAM, make_critic=partial(TaskCritic, 8, 3), num_minibatches=1)
    with pytest.raises(ValueError, match="stream_steps"):
        train(KEY, learner, bandit_stream(), 1)


class Waste:
    """Leaves 64 MiB of freed blocks between blocks in use, which the C library keeps, and sees how much the process has."""

    every = 1

    def __init__(self, library: Any):
        library.malloc.restype, library.malloc.argtypes, library.free.argtypes = c_void_p, [c_size_t], [c_void_p]
        self.library = library
        self.blocks: list[int] = []
        self.mib: list[int] = []

    def open(self, num_updates: int) -> None: ...

    def __call__(self, progress: Progress) -> None:
        self.mib.append(self.pages_mib())
        if progress.update < 2:
            blocks = [self.library.malloc(2**16) for _ in range(2**11)]
            for block in blocks:
                memset(block, 1, 2**16)
            for block in blocks[::2]:
                self.library.free(block)
            self.blocks += blocks[1::2]
            self.mib.append(self.pages_mib())
            time.sleep(1.1 * progress.update)

    def close(self, error: BaseException | None) -> None:
        for block in self.blocks:
            self.library.free(block)

    @staticmethod
    def pages_mib() -> int:
        lines = Path("/proc/self/smaps_rollup").read_text().splitlines()
        return next(int(line.split()[1]) for line in lines if line.startswith("Anonymous:")) // 1024


@pytest.mark.skipif(
    not hasattr(CDLL(None), "malloc_trim"), reason="this C library keeps nothing that could be asked for"
)
def test_freed_memory_is_given_back() -> None:
    waste = Waste(CDLL(None))
    train(KEY, *small(), 2, callbacks=[waste])
    before, wasted, compiled, wasted_again, later = waste.mib
    assert min(wasted - before, wasted_again - compiled) > 50
    assert wasted - compiled > 40, "after compiling"
    assert wasted_again - later > 40, "a second later"


@pytest.mark.skipif(
    not hasattr(CDLL(None), "malloc_trim"), reason="this C library keeps nothing that could be asked for"
)
def test_threads_share_pools_of_memory() -> None:
    """Sixteen threads that ask for memory at once; glibc's statistics count its pools."""
    code = """if True:
        from ctypes import CDLL
        from threading import Barrier, Thread
        from innerloop._machine import limit_arenas

        library, barrier = CDLL(None), Barrier(16)
        limit_arenas()

        def ask():
            barrier.wait()
            library.malloc(2**15)
            barrier.wait()

        threads = [Thread(target=ask) for _ in range(16)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        library.malloc_stats()
    """
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert 1 <= done.stderr.count("Arena ") <= usable_cores()
