"""Tasks shared out among devices and processes: the same numbers, whoever computes them."""

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from innerloop._devices import over_tasks, share, task_mesh
from innerloop._processes import join
from innerloop._run import run_experiment
from innerloop._sealed import newest
from innerloop._train import Segment, init, train
from table import KEY, LEARNERS
from test_run import OPTIONS, arrays, config


def assert_close(a: dict[str, np.ndarray], b: dict[str, np.ndarray]) -> None:
    assert a.keys() == b.keys()
    for name, x in a.items():
        np.testing.assert_allclose(x, b[name], rtol=1e-4, atol=1e-5, err_msg=name)


def test_each_device_gets_its_part_and_all_of_the_rest() -> None:
    seen = jax.jit(lambda x, y: share(task_mesh(2), lambda x, y: (x * y, jnp.full(x.shape, x.size)), x, y))
    product, sizes = seen(jnp.arange(6.0), jnp.asarray(3.0))
    assert product.tolist() == [0, 3, 6, 9, 12, 15]
    assert sizes.tolist() == [3] * 6


def test_gradients_over_tasks_are_those_of_one_device() -> None:
    def loss(w: jax.Array, xs: jax.Array) -> jax.Array:
        return over_tasks(lambda w, x: jnp.sin(w * x).sum(), w, xs).mean()

    w, xs = jnp.arange(3.0), jax.random.normal(KEY, (4, 3))
    alone = jax.grad(loss)(w, xs)
    with jax.set_mesh(task_mesh(2)):
        together = jax.jit(jax.grad(loss))(w, xs)
        odd = jax.jit(jax.grad(loss))(w, xs[:3])
    np.testing.assert_allclose(alone, together, rtol=1e-6)
    np.testing.assert_allclose(jax.grad(loss)(w, xs[:3]), odd, rtol=1e-6)


def test_tasks_that_cannot_be_shared_out_and_devices_that_are_not_there_are_refused() -> None:
    learner, collector = LEARNERS["ppo-trials"]()
    odd = replace(collector, num_tasks=3, mesh=task_mesh(2))
    with pytest.raises(ValueError, match=r"num_tasks=3: must be a multiple of the 2 devices"):
        train(KEY, learner, odd, 1)
    with pytest.raises(ValueError, match=r"num_devices=99: there are 2"):
        task_mesh(99)


def test_a_recurrent_update_exchanges_no_gradient_within_a_sequence() -> None:
    learner, collector = LEARNERS["ppo-trials"]()
    start = init(KEY, learner, collector)
    segment = Segment(learner, replace(collector, mesh=task_mesh(2)), KEY, start, 1, None)
    sums = [line for line in segment.compiled.as_text().splitlines() if " all-reduce(" in line]
    assert sums
    # A loop over updates, one over epochs, one over minibatches; the next one would be over steps.
    deepest = max(line.split('op_name="')[-1].split('"')[0].count("while/body") for line in sums)
    assert deepest == 3


@pytest.mark.slow
def test_a_run_on_two_devices_is_a_run(tmp_path: Path) -> None:
    run_experiment(config(), tmp_path / "one", show=False, measure=False)
    run_experiment(config(), tmp_path / "two", show=False, measure=False, num_devices=2)
    assert_close(arrays(tmp_path / "one"), arrays(tmp_path / "two"))


def in_two_processes(*arguments: str) -> "subprocess.CompletedProcess[str]":
    command = [sys.executable, "-m", "innerloop", *arguments, "--num-processes", "2"]
    return subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)


def test_two_processes_do_what_one_does(tmp_path: Path) -> None:
    run_experiment(config(), tmp_path / "one", show=False, measure=False)
    done = in_two_processes("train", *OPTIONS, "--folder", str(tmp_path / "two"))
    assert done.returncode == 0, done.stderr
    assert "run directory" in done.stdout
    assert_close(arrays(tmp_path / "one"), arrays(tmp_path / "two"))


@pytest.mark.slow
def test_two_processes_go_on_from_what_one_has_saved(tmp_path: Path) -> None:
    run_experiment(config(), tmp_path / "run", show=False, measure=False)
    one = arrays(tmp_path / "run")
    shutil.rmtree(newest(tmp_path / "run")[0])
    done = in_two_processes("resume", str(tmp_path / "run"))
    assert done.returncode == 0, done.stderr
    assert_close(one, arrays(tmp_path / "run"))


@pytest.mark.slow
def test_when_one_process_is_killed_all_end_and_say_so(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "innerloop", "train", *OPTIONS, "--num-processes", "2", "--num-updates", "1000000"]
    with subprocess.Popen([*command, "--folder", str(tmp_path / "run")], stderr=subprocess.PIPE, text=True) as launched:
        wait_for(lambda: (tmp_path / "run" / "checkpoints").exists())
        number = Path(f"/proc/{launched.pid}/task/{launched.pid}/children").read_text().split()[1]
        os.kill(int(number), signal.SIGKILL)
        assert launched.wait(60) == 1
        assert launched.stderr is not None
        assert "innerloop resume" in launched.stderr.read().splitlines()[-1]
    assert newest(tmp_path / "run")


def wait_for(true: Callable[[], bool], seconds: float = 120.0) -> None:
    deadline = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.1)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("here", 2, 0), "coordinator='here': must be HOST:PORT"),
        (("localhost:1", 2, 2), "process_id=2, num_processes=2: processes are numbered from 0"),
        (("localhost:1", 2, None), "process_id=None: give this process's number"),
    ],
)
def test_processes_that_cannot_meet_are_told_why(arguments: tuple[str, int, int | None], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        join(*arguments)
