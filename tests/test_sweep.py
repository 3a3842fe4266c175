"""Sweeps: ranked on training tasks, restarted without repeating anything, pruned by what settings have earned."""

import dataclasses
import json
import math
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from innerloop._machine import share_of_cores
from innerloop._run import RunConfig, configure, run_experiment
from innerloop._sealed import checkpoints
from innerloop.algorithms import RL2, Memoryless, OnPolicy
from innerloop.cli import main
from innerloop.nn import CoreOptions
from innerloop.sweeps._executors import Local
from innerloop.sweeps._piece import Job, Outcome, play
from innerloop.sweeps._pruning import Pruning
from innerloop.sweeps._sweep import Sweep, earned, run_sweep, with_setting

TINY = Memoryless((4,), OnPolicy(num_updates=12, num_tasks=8, loss="a2c"))


def tiny(rates: tuple[float, ...] = (1e-3, 1e-2), seeds: tuple[int, ...] = (100,), **options: Any) -> Sweep:
    return Sweep("memoryless", "two-arm", {"learning_rate": rates}, TINY, seeds, num_tasks=20, **options)


def simulate(
    pruning: Pruning, earn: Callable[[int, int], float], num_settings: int, num_rungs: int
) -> list[list[float]]:
    """One setting plays to its next rung at a time."""
    values: list[list[float]] = [[] for _ in range(num_settings)]
    while found := pruning.may_go_on(values, num_rungs):
        values[found[0]].append(earn(found[0], len(values[found[0]])))
    return values


def test_halving_takes_the_best_third_to_each_rung() -> None:
    falling = simulate(Pruning("halving"), lambda i, rung: float(-i), 9, 3)
    assert [len(x) for x in falling] == [3, 2, 2, 1, 1, 1, 1, 1, 1]
    # In the worst order, each better than all before it, nothing is saved but the first ones: it decides without waiting.
    rising = simulate(Pruning("halving"), lambda i, rung: float(i), 9, 3)
    assert [len(x) for x in rising] == [1, 1, 2, 2, 3, 3, 3, 3, 3]
    # Asynchronous: with results of three settings the best goes on before a fourth begins.
    assert Pruning("halving").may_go_on([[1.0], [3.0], [2.0], [], []], 3) == [1, 3, 4]
    assert Pruning("halving").may_go_on([[1.0], [3.0], [2.0], [], []], 3, busy=[1, 3]) == [4]
    assert Pruning("halving").may_go_on([[1.0], [3.0, 4.0], [2.0]], 3, busy=[0]) == []


def test_halving_of_few_settings_still_ends_with_one_and_never_with_one_that_failed() -> None:
    assert [len(x) for x in simulate(Pruning("halving", eta=4), lambda i, rung: float(i), 3, 3)] == [1, 1, 3]
    failed = simulate(Pruning("halving", eta=2), lambda i, rung: -math.inf if i == 0 else float(-i), 2, 2)
    assert [len(x) for x in failed] == [1, 2]
    late = simulate(Pruning("halving"), lambda i, rung: -math.inf if (i, rung) == (0, 2) else float(-i), 9, 3)
    assert [len(x) for x in late] == [3, 3, 2, 1, 1, 1, 1, 1, 1], "the best one failed in its last stretch"


def test_median_rule_stops_what_is_below_the_others_running_means() -> None:
    pruning = Pruning("median", num_rungs=3)
    earn = [[4.0, 5.0, 6.0], [1.0, 2.0, 3.0], [2.0, 6.0, 9.0], [1.5, 9.0, 9.0], [3.0, 3.1, 9.0], [1.0, 9.0, 9.0]]
    values = simulate(pruning, lambda i, rung: earn[i][rung], 6, 3)
    # Medians of the first rung: 2 for the fourth, then 2 and 2; of the second 4 (running means 4.5, 1.5, 4) for the fifth.
    assert [len(x) for x in values] == [3, 3, 3, 1, 2, 1]
    assert [len(x) for x in simulate(Pruning(), lambda i, rung: float(i), 3, 1)] == [1, 1, 1]


def test_rungs_are_multiples_of_the_rows_and_end_with_the_budget() -> None:
    assert Pruning("halving").rungs(900, 1) == (100, 300, 900)
    assert Pruning("halving", eta=2, num_rungs=4).rungs(101, 5) == (15, 30, 55, 101)
    assert Pruning("median").rungs(100, 1) == (20, 40, 60, 80, 100)
    assert Pruning().rungs(100, 1) == (100,)
    for wrong in ({"eta": 1}, {"num_rungs": 1}, {"min_others": 0}):
        with pytest.raises(ValueError, match=f"{next(iter(wrong))}={next(iter(wrong.values()))}"):
            Pruning("halving", **wrong)  # type: ignore[arg-type]


def test_what_was_earned_is_the_mean_of_the_last_tenth() -> None:
    rows = [{"update": 0, "test/trial_return": 9.0}, *({"update": i, "trial_return": float(i)} for i in range(1, 101))]
    assert earned(rows, 100) == np.mean(range(91, 101))
    assert earned(rows, 5) == 5.0
    assert earned(rows[:1], 5) == -math.inf
    assert earned([*rows[:3], {"update": 3, "trial_return": None}], 3) == -math.inf


def test_nested_settings_are_found_by_name() -> None:
    assert with_setting(RL2(), "num_updates", 7).training.num_updates == 7
    assert with_setting(RL2(), "hidden_size", 7) == RL2(hidden_size=7)
    name = next(iter(CoreOptions.__dataclass_fields__))
    assert getattr(with_setting(RL2(), name, 7).core_options, name) == 7
    with pytest.raises(ValueError, match=r"RL2 has no setting learn_rate; did you mean .*learning_rate"):
        with_setting(RL2(), "learn_rate", 7)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"rates": ()}, "needs values, and each of them once"),
        ({"rates": (1.0, 1.0)}, "needs values, and each of them once"),
        ({"seeds": ()}, "needs at least one"),
        ({"metric": "regrets"}, "two-arm has return, regret"),
    ],
)
def test_plans_that_make_no_sense_say_so(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        tiny(**options)
    with pytest.raises(ValueError, match="budgets of their own"):
        Sweep("memoryless", "two-arm", {"num_updates": (3, 4)}, TINY, pruning=Pruning("median"))


OVER = ["sweep", "memoryless", "two-arm", "--over"]


@pytest.mark.parametrize(
    ("arguments", "hint"),
    [
        (OVER[:3], "--over NAME=V1,V2,...: name at least one setting"),
        ([*OVER, "learn-rate=1,2"], "unknown setting 'learn-rate'; did you mean learning-rate"),
        ([*OVER, "num-seeds=1,2"], "unknown setting 'num-seeds'"),
        ([*OVER, "learning-rate"], "--over learning-rate=V1,V2,... with a value between commas"),
        ([*OVER, "learning-rate=1,,2"], "with a value between commas"),
        ([*OVER, "learning-rate=1,x"], "--learning-rate: could not convert"),
        ([*OVER, "learning-rate=1,1.0"], "1.0 is there twice"),
        ([*OVER, "normalize-advantage=true,maybe"], "'maybe' is neither true nor false"),
        ([*OVER, "num-tasks=8,16", "--over", "num_tasks=4"], "names a setting twice"),
        ([*OVER, "num-tasks=8,16", "--num-seeds", "0"], "--num-seeds 0"),
        ([*OVER, "num-tasks=8,16", "--metric", "regrets"], "two-arm has return, regret"),
        ([*OVER, "num-tasks=8,16", "--workers", "0"], "workers=0"),
        ([*OVER, "num-tasks=8,16", "--prune", "halving", "--eta", "1"], "eta=1"),
    ],
)
def test_mistakes_are_one_line(
    arguments: list[str], hint: str, capsys: pytest.CaptureFixture, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(arguments) == 2
    err = capsys.readouterr().err
    assert hint in err
    assert len(err.splitlines()) == 1
    assert not list(tmp_path.iterdir())


def test_without_ray_the_extra_is_named(capsys: pytest.CaptureFixture, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    assert main([*OVER, "num-tasks=8,16", "--ray"]) == 2
    assert "pip install 'innerloop[ray]'" in capsys.readouterr().err


@pytest.fixture
def environment(program_cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What processes of a sweep inherit."""
    monkeypatch.setenv("JAX_COMPILATION_CACHE_DIR", str(program_cache))
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parents[1] / "src"))


@pytest.fixture
def no_test_tasks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Test tasks of the benchmark that nobody may draw."""

    from innerloop._task import Sampled
    from innerloop.benchmarks import benchmark

    def forbidden(key: Any) -> Any:
        raise AssertionError("a test task was drawn")

    row = dataclasses.replace(benchmark("two-arm"), test=Sampled(forbidden))
    monkeypatch.setattr("innerloop._run.find_benchmark", lambda name: row)


def test_workers_share_the_cores_and_hand_them_on(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("os.sched_getaffinity", lambda pid: {4, 2, 7, 9, 11})
    seen: list[list[int]] = []

    def attempt(self: Local, job: Job, cores: list[int]) -> tuple[Outcome, bool]:
        seen.append(cores)
        both.wait(60)
        return Outcome("done"), False

    monkeypatch.setattr(Local, "_attempt", attempt)
    config = next(iter(tiny().configs(100).values()))
    for workers, shares in ((1, [[2, 4, 7, 9, 11]]), (2, [[2, 7, 11], [4, 9]])):
        seen.clear()
        both = threading.Barrier(workers)
        with Local(workers) as executor:
            for future in [executor.submit(Job(config, tmp_path, 1)) for _ in range(2 * workers)]:
                future.result()
        assert sorted(seen) == sorted(shares * 2)
    assert share_of_cores(6, 7) == [2, 4, 7, 9, 11], "there are fewer than processes"


def test_a_piece_keeps_to_its_cores(environment: None, tmp_path: Path) -> None:
    core = max(os.sched_getaffinity(0))
    code = f"import os, sys; sys.argv = ['', '[{core}]']; import innerloop.sweeps._piece as p\n"
    code += "p.play = lambda job, stop: p.Outcome('done', str(sorted(os.sched_getaffinity(0)))); p._main()"
    job = Job(next(iter(tiny().configs(100).values())), tmp_path, 1)
    done = subprocess.run([sys.executable, "-c", code], input=json.dumps(job.to_json()), capture_output=True, text=True)
    assert json.loads(done.stdout) == ["done", str([core])], done.stderr


def test_a_piece_stops_where_it_should_and_never_plays_test_tasks(no_test_tasks: None, tmp_path: Path) -> None:
    config, folder = next(iter(tiny().configs(100).values())), tmp_path / "run"
    assert play(Job(config, folder, 4, 20)) == Outcome("done")
    assert [path.name for path in checkpoints(folder)] == ["000000004"]
    assert play(Job(config, folder, 12, 20)) == Outcome("done")
    facts = json.loads((folder / "evaluation-train.json").read_text())
    assert (facts["tasks"], facts["num_tasks"]) == ("train", 20)
    assert not list(folder.glob("evaluation.*"))
    assert "test/" not in (folder / "metrics.jsonl").read_text()
    whole = tmp_path / "whole"
    run_experiment(config, whole, show=False, measure=False)
    last = [json.loads((x / "metrics.jsonl").read_text().splitlines()[-1]) for x in (whole, folder)]
    assert last[0]["loss"] == last[1]["loss"], "stopping changes nothing"
    other = configure("memoryless", "two-arm", settings=TINY, seed=101, evaluate_every=0)
    outcome = play(Job(other, folder, 12, 20))
    assert outcome.kind == "refused"
    assert "made with other settings" in outcome.message


def test_a_sweep_goes_on_ranks_prunes_and_reports_what_failed(environment: None, tmp_path: Path) -> None:
    told: list[str] = []
    sweep = tiny((1e-3, 1e30, 1e-2), pruning=Pruning("halving", eta=2, num_rungs=2))
    begun = tmp_path / "learning_rate=0.001" / "seed-100"
    play(Job(sweep.configs(100)["learning_rate=0.001"], begun, 4, 20))
    lines = (begun / "metrics.jsonl").read_text().splitlines()
    found = run_sweep(sweep, tmp_path, Local(workers=2), tell=told.append)
    assert (begun / "metrics.jsonl").read_text().splitlines()[:4] == lines, "what was done is not done again"
    assert states(tmp_path) == ["finished", "pruned", "failed"]
    assert found["tasks"] == "train"
    assert found == json.loads((tmp_path / "sweep.json").read_text())
    best, pruned, failed = found["settings"]
    assert best["low"] <= best["mean"] <= best["high"]
    assert best["values"][0] >= pruned["values"][0]
    assert [path.name for path in checkpoints(tmp_path / pruned["runs"][0]["folder"])] == ["000000006"]
    assert failed["runs"][0]["outcome"] == "diverged"
    assert "NaN or infinite" in failed["runs"][0]["error"]
    assert len(told) == 4
    assert run_sweep(sweep, tmp_path, Local(), tell=told.append) == found
    assert len(told) == 4, "nothing is repeated"
    with pytest.raises(ValueError, match="have played 20; take as many"):
        run_sweep(dataclasses.replace(sweep, num_tasks=10), tmp_path, Local())
    with pytest.raises(ValueError, match="was made with other settings"):
        run_sweep(Sweep("memoryless", "two-arm", sweep.over, seeds=(100,)), tmp_path, Local())


def wait_for(condition: Callable[[], bool], seconds: float = 300.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.01)


LONG = ["--widths", "4", "--loss", "a2c", "--num-updates", "100", "--num-tasks", "8", "--num-ranking-tasks", "20"]
LONG += ["--num-seeds", "1", "--checkpoint-every", "1", "--quiet"]
SWEEP = [sys.executable, "-m", "innerloop", *OVER, "learning-rate=0.001,0.01", *LONG]


def rows_of(folder: Path) -> list[Any]:
    """Rows of metrics without what depends on time."""
    rows = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    return [{name: x for name, x in row.items() if "second" not in name} for row in rows]


def assert_as_if_undisturbed(folder: Path, tmp_path: Path) -> None:
    """A run of the sweep ended where one ends that nothing happened to."""
    whole = tmp_path / "undisturbed"
    run_experiment(RunConfig.read(folder), whole, show=False, measure=False)
    assert rows_of(folder) == rows_of(whole)


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGKILL])
def test_a_sweep_that_is_stopped_goes_on(number: signal.Signals, environment: None, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "innerloop", *OVER, "learning-rate=0.001", *LONG, "--out", str(tmp_path / "out")]
    folder = tmp_path / "out" / "learning_rate=0.001" / "seed-100"
    with started(command, stderr=subprocess.PIPE) as process:
        wait_for(lambda: len(checkpoints(folder)) > 2 or process.poll() is not None)
        process.send_signal(number)
        _, err = process.communicate()
    assert process.returncode == (-number if number == signal.SIGKILL else 128 + number), err
    assert number == signal.SIGKILL or "the same command goes on" in err
    assert int(checkpoints(folder)[0].name) < 100, "it ended before it could be stopped"
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "TRAINING tasks" in done.stdout
    assert states(tmp_path / "out") == ["finished"]
    assert_as_if_undisturbed(folder, tmp_path)


@contextmanager
def started(command: list[str], **options: Any) -> Iterator[subprocess.Popen[str]]:
    """A process that does not outlive a test that fails."""
    process = subprocess.Popen(command, text=True, **options)
    try:
        yield process
    finally:
        process.kill()
        process.wait()
        for pipe in (process.stdout, process.stderr):
            if pipe is not None:
                pipe.close()


def states(out: Path) -> list[str]:
    return [row["state"] for row in json.loads((out / "sweep.json").read_text())["settings"]]


@pytest.mark.slow
@pytest.mark.parametrize("retries", [0, 1])
def test_a_run_that_is_killed_is_reported_or_started_again(retries: int, environment: None, tmp_path: Path) -> None:
    out, first = tmp_path / "out", tmp_path / "out" / "learning_rate=0.001" / "seed-100"
    command = [*SWEEP, "--out", str(out), "--retries", str(retries)]
    with started(command, stdout=subprocess.PIPE) as process:
        wait_for(lambda: len(checkpoints(first)) > 2 or process.poll() is not None)
        children = Path(f"/proc/{process.pid}/task").glob("*/children")
        (child,) = [int(pid) for path in children for pid in path.read_text().split()]
        os.kill(child, signal.SIGKILL)
        assert int(checkpoints(first)[0].name) < 100, "it ended before it could be killed"
        said, _ = process.communicate()
    if retries:
        assert (process.returncode, states(out)) == (0, ["finished"] * 2)
    else:
        assert (process.returncode, states(out)) == (1, ["finished", "failed"])
        assert "killed by signal 9" in said
        assert subprocess.run(command).returncode == 0, "the same command tries again"
    assert_as_if_undisturbed(first, tmp_path)


@pytest.mark.slow
def test_on_ray_a_worker_that_is_killed_costs_nothing(environment: None, tmp_path: Path) -> None:
    pytest.importorskip("ray")
    out = tmp_path / "out"
    first = out / "learning_rate=0.001" / "seed-100"
    with started([*SWEEP, "--out", str(out), "--ray", "--workers", "2"]) as process:
        wait_for(lambda: len(checkpoints(first)) > 2 or process.poll() is not None)
        (worker,) = [pid for pid in map(int, filter(str.isdigit, os.listdir("/proc"))) if holds(pid, first / ".lock")]
        os.kill(worker, signal.SIGKILL)
        assert int(checkpoints(first)[0].name) < 100, "it ended before it could be killed"
        assert process.wait() == 0
    assert states(out) == ["finished"] * 2
    assert_as_if_undisturbed(first, tmp_path)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:os.fork:RuntimeWarning")
def test_on_ray_a_machine_that_is_lost_costs_nothing(environment: None, tmp_path: Path) -> None:
    cluster = pytest.importorskip("ray.cluster_utils").Cluster(True, head_node_args={"num_cpus": 0})
    try:
        lost, _ = [cluster.add_node(num_cpus=1) for _ in range(2)]
        out = tmp_path / "out"
        runs = [out / f"learning_rate={rate}" / "seed-100" for rate in (0.001, 0.01)]
        with started([*SWEEP, "--out", str(out), "--address", cluster.address, "--num-updates", "400"]) as process:
            wait_for(lambda: all(len(checkpoints(run)) > 2 for run in runs) or process.poll() is not None)
            cluster.remove_node(lost, allow_graceful=False)
            assert max(int(checkpoints(run)[0].name) for run in runs) < 400, (
                "one ended before its machine could be lost"
            )
            assert process.wait() == 0
    finally:
        cluster.shutdown()
    assert states(out) == ["finished"] * 2
    for run in runs:
        assert_as_if_undisturbed(run, tmp_path / run.parent.name)


def holds(pid: int, file: Path) -> bool:
    """Whether a process has a file open."""
    try:
        return any(os.readlink(entry) == str(file) for entry in Path(f"/proc/{pid}/fd").iterdir())
    except OSError:
        return False
