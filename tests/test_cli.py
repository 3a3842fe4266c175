"""The command line: it teaches, it forgives, and it never answers a typing mistake with a traceback."""

import ast
import json
import shutil
import subprocess
import sys
from pathlib import Path

import jax
import numpy as np
import pytest
from rich.console import Console

import innerloop
from innerloop import recipes
from innerloop._evaluate import AdaptationCurve
from innerloop.benchmarks import REGISTRY, listed
from innerloop.cli import COMMANDS, main
from innerloop.cli._tables import console, curves_table
from innerloop.recipes import METHODS, RECIPES, Recipe

SOURCE = Path(__file__).parents[1] / "src"
RESULTS = Path(__file__).parents[1] / "benchmarks" / "results"
TINY = ["--num-updates", "3", "--num-tasks", "8", "--loss", "a2c", "--num-test-tasks", "20", "--quiet"]


def run(capsys: pytest.CaptureFixture, *arguments: str) -> tuple[int, str, str]:
    """Exit status, stdout, stderr."""
    try:
        status = main(list(arguments))
    except SystemExit as stop:
        status = int(stop.code or 0)
    out, err = capsys.readouterr()
    return status, out, err


def test_every_recipe_has_an_id_of_its_own_and_names_what_there_is() -> None:
    tables = (
        recipes._few_shot,
        recipes._navigation,
        recipes._beliefs,
        recipes._recurrent,
        recipes._control,
        recipes._external,
        recipes._packages,
        recipes._robots,
    )
    assert sum(len(table.ROWS) for table in tables) == len(RECIPES)
    assert all(row.method in METHODS and row.benchmark in REGISTRY for row in RECIPES.values())


@pytest.mark.parametrize(
    ("arguments", "hint"),
    [
        (["trian"], "unknown command 'trian'; did you mean train"),
        (["train"], "train METHOD BENCHMARK"),
        (["train", "rl3", "two-arm"], "unknown method 'rl3'; did you mean rl2"),
        (["train", "RL2", "two-arm"], "unknown method 'RL2'; did you mean rl2"),
        (["train", "two-arm", "rl2"], "it is a benchmark, and the method comes first: METHOD two-arm"),
        (["train", "rl2", "two-arms"], "unknown benchmark 'two-arms'; did you mean two-arm"),
        (["train", "rl2", "nowhere:mine"], "No module named 'nowhere'"),
        (["train", "rl2", "os:nothing"], "os has no 'nothing'"),
        (["train", "rl2", "os:abort"], "is no Benchmark, nor a function with `-> innerloop.Benchmark`"),
        (["train", "rl2", "two-arm", "--hiden-size", "3"], "unknown option '--hiden-size'; did you mean --hidden-size"),
        (["train", "rl2", "two-arm", "--hidden-size", "x"], "--hidden-size: invalid literal"),
        (["train", "rl2", "two-arm", "--core", "gruu"], "'gru', 'lstm', 'rnn', 'hebbian'"),
        (["train", "rl2", "two-arm", "--num-processes", "0"], "--num-processes 0: must be at least 1"),
        (["train", "rl2", "two-arm", "--process-id", "1"], "--process-id 1: needs --coordinator HOST:PORT"),
        (["train", "rl2", "two-arm", "--coordinator", "here"], "coordinator='here': must be HOST:PORT"),
        (["train", "rl2", "two-arm", "three"], "three"),
        (["train", "rl2", "two-arm", "--num-updates", "0"], "num_updates=0: must be at least 1."),
        (["train", "rl2", "two-arm", "--seed", "-1"], "seed=-1"),
        (["evaluate", "nowhere"], "nowhere: no run directory"),
        (["evaluate", "nowhere", "--tasks", "tset"], "Expected one of ('test', 'train', 'ood')"),
        (["evaluate", "nowhere", "--num-tasks", "0"], "--num-tasks 0"),
        (["resume", "nowhere"], "nowhere: no run directory"),
        (["resume"], "Missing from innerloop resume"),
        (["report"], "report RUN..."),
        (["list", "method"], "choose one of methods, benchmarks, recipes"),
        (["reproduce", "demo", "--workers", "0"], "--workers 0: must be at least 1"),
        (
            ["reproduce", "demo", "--quick", "--workers", "2"],
            "--quick trains seed 0 alone: leave out --seeds and --workers",
        ),
        (["reproduce", "demo", "--quick", "--seeds", "1"], "--quick trains seed 0 alone"),
        (["reproduce", "dmo"], "unknown recipe 'dmo'; did you mean demo?"),
        (["reproduce", "endurance", "--results", str(RESULTS)], "measured by: python benchmarks/endurance.py"),
        (["demo", "--sed", "1"], "did you mean --seed"),
        (["profile"], "profile METHOD BENCHMARK"),
        (["profile", "rl2"], "rl2 is a method, so name a benchmark, too"),
        (["profile", "two-armm"], "unknown recipe 'two-armm'; did you mean two-arm"),
        (["profile", "rl2", "two-arm", "--num-repeats", "0"], "--num-repeats 0: must be at least 1."),
    ],
)
def test_mistakes_are_one_line_and_status_2(
    arguments: list[str], hint: str, capsys: pytest.CaptureFixture, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    status, out, err = run(capsys, *arguments)
    assert status == 2
    assert hint in err
    assert err.startswith("innerloop: ")
    assert len(err.splitlines()) == 1
    assert not out
    assert not list(tmp_path.iterdir())


OWN = """
import innerloop as il

def short() -> il.Benchmark:
    env = il.envs.BernoulliBandit(num_arms=2)
    tasks = il.envs.uniform_bandits(num_arms=2)
    return il.Benchmark("short", "Two pulls", "a test", env, tasks, tasks, num_episodes=2)
"""


def test_a_benchmark_of_ones_own_is_trained_on_by_module_and_name(
    capsys: pytest.CaptureFixture, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", sys.path[:])
    (tmp_path / "lab_bandits.py").write_text(OWN)
    small = ["--num-updates", "1", "--num-tasks", "4", "--num-test-tasks", "4", "--hidden-size", "4", "--quiet"]
    status, out, _ = run(capsys, "train", "rl2", "lab_bandits:short", *small)
    assert status == 0
    assert "runs/rl2-lab_bandits-short" in out
    assert run(capsys, "evaluate", "runs/rl2-lab_bandits-short", "--num-tasks", "4")[0] == 0


def test_what_an_environment_outside_of_the_program_raises_is_one_message(
    capsys: pytest.CaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = (
        "INTERNAL: CpuCallback error calling callback: Traceback ...\nHostError: poles: it broke\n-----\nFor simplicity"
    )

    def command(arguments: list[str]) -> int:
        raise jax.errors.JaxRuntimeError(text)

    monkeypatch.setattr("innerloop.cli._list.list_command", command)
    status, _, err = run(capsys, "list")
    assert (status, err) == (1, "innerloop: poles: it broke\n")


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_explains_itself(command: str, capsys: pytest.CaptureFixture) -> None:
    status, out, _ = run(capsys, command, "--help")
    assert status == 0
    assert f"usage: innerloop {command}" in out
    status, out, _ = run(capsys, "--help")
    assert status == 0
    assert f"\n  {command} " in out


@pytest.mark.parametrize("method", METHODS)
def test_every_hyper_parameter_of_a_method_is_an_option_with_help(method: str, capsys: pytest.CaptureFixture) -> None:
    from innerloop.cli._parse import flags

    status, out, _ = run(capsys, "train", method, "two-arm", "--help")
    assert status == 0
    for flag in flags(METHODS[method]):
        assert flag in out
    assert "Bernoulli bandit, two independent arms" in " ".join(out.split())


def test_help_and_version_need_no_jax() -> None:
    code = "import sys, innerloop.cli; innerloop.cli.main(['--help']); sys.exit('jax' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env={"PYTHONPATH": str(SOURCE)})
    assert done.returncode == 0
    assert "first steps" in done.stdout


def test_list_names_everything(capsys: pytest.CaptureFixture) -> None:
    status, out, _ = run(capsys, "list")
    assert status == 0
    assert all(name in out for name in (*METHODS, "two-arm", "harlow", "demo"))
    assert "Tobin et al." in run(capsys, "list", "methods")[1]


@pytest.mark.parametrize("kind", ["recipes", "benchmarks"])
def test_list_never_cuts_a_name(kind: str, capsys: pytest.CaptureFixture, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("innerloop.benchmarks.listed", lambda _, row=listed("two-arm"): row)
    names = RECIPES if kind == "recipes" else REGISTRY
    whole = run(capsys, "list", kind)[1].splitlines()
    lines = {line.split()[0]: line for line in whole if line.split()}
    assert set(names) <= set(lines)
    if kind == "recipes":
        assert all({row.benchmark, *row.source.split()} <= set(lines[id].split()) for id, row in RECIPES.items())
    for width in (80, 169, 170):
        terminal = Console(width=width, force_terminal=True, color_system=None)
        monkeypatch.setattr("innerloop.cli._tables.console", lambda terminal=terminal: terminal)
        out = run(capsys, "list", kind)[1]
        assert set(names) <= {line.split()[0] for line in out.splitlines() if line.split()}
        assert max(map(len, out.splitlines())) <= width
        if kind == "recipes":
            assert all(row.benchmark in out.split() or f"{row.benchmark};" in out.split() for row in RECIPES.values())


def test_the_demo_names_a_program_that_the_shell_finds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from innerloop.cli._demo import _program

    monkeypatch.chdir(tmp_path)
    ours, others = (tmp_path / name / "bin" / "innerloop" for name in (".venv", "other"))
    for script in (ours, others):
        script.parent.mkdir(parents=True)
        script.touch(mode=0o755)
    monkeypatch.setattr(sys, "executable", str(ours.with_name("python")))
    for path, expected in (
        (ours, "innerloop"),
        (others, ".venv/bin/innerloop"),
        (tmp_path / "none", ".venv/bin/innerloop"),
    ):
        monkeypatch.setenv("PATH", str(path.parent))
        assert _program() == expected
    monkeypatch.setattr(sys, "executable", str(tmp_path / "python"))
    assert _program() == "innerloop"


def test_report_says_which_pictures_several_agents_do_not_get(capsys: pytest.CaptureFixture, tmp_path: Path) -> None:
    from innerloop.cli._runs import _insides

    several = innerloop.configure("maml", "sinusoid", num_seeds=2)
    assert not _insides(Path("runs/it"), several, tmp_path)
    assert capsys.readouterr().out.startswith("not drawn: fits.png, since runs/it holds several agents")
    assert not _insides(Path("runs/it"), innerloop.configure("memoryless", "eleven-arm", num_seeds=2), tmp_path)
    assert not capsys.readouterr().out, "there is nothing to draw"


def test_from_training_to_report(
    capsys: pytest.CaptureFixture, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for seed in ("0", "1"):
        status, out, _ = run(capsys, "train", "memoryless", "eleven-arm", *TINY, "--widths", "4", "--seed", seed)
        assert status == 0
    assert "memoryless on eleven-arm" in out
    assert "20 test tasks x 5 episodes, 1 seed, sampled actions" in " ".join(out.split())
    assert out.strip().endswith("run directory: runs/memoryless-eleven-arm-2")
    runs = ["runs/memoryless-eleven-arm", "runs/memoryless-eleven-arm-2"]
    status, out, _ = run(capsys, "report", *runs)
    assert status == 0
    assert "2 seeds" in " ".join(out.split())
    assert {"curve.png", "curve.html"} <= {path.name for path in Path(runs[0]).iterdir()}
    status, _, err = run(capsys, "report", runs[0], runs[0])
    assert (status, "are the same run, seed 0, twice: leave one out" in err) == (2, True)
    status, out, _ = run(capsys, "evaluate", runs[0], "--tasks", "train", "--num-tasks", "20", "--no-references")
    assert status == 0
    assert "These are train tasks, not the held-out test tasks." in " ".join(out.split())
    assert run(capsys, "resume", runs[0])[0] == 0
    status, _, err = run(capsys, "report", runs[0], "--greedy")
    assert (status, err) == (2, f"innerloop: {runs[0]} is not evaluated yet: innerloop evaluate {runs[0]} --greedy\n")
    assert run(capsys, "train", "memoryless", "eleven-arm", *TINY, "--widths", "4", "--seed", "0")[0] == 0
    status, _, err = run(capsys, "report", runs[0], "runs/memoryless-eleven-arm-3")
    assert (status, "are the same run, seed 0, twice: leave one out" in err) == (2, True)


def test_policies_that_play_fewer_episodes_say_so(capsys: pytest.CaptureFixture) -> None:
    agent, reference = (AdaptationCurve(np.ones((1, 4, n)), label=name) for name, n in (("maml", 3), ("random", 2)))
    console().print(curves_table([agent, reference], "title"))
    rows = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert ["maml", "1", "1", "1", "3", "[3,", "3]"] in rows
    assert ["random", "(2", "episodes)", "1", "1", "–", "2", "[2,", "2]"] in rows


def test_reproduce_stores_repeats_nothing_and_compares(
    capsys: pytest.CaptureFixture, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from innerloop.algorithms import Memoryless, OnPolicy
    from innerloop.sweeps import Local
    from innerloop.sweeps._piece import Job, Outcome, play

    played: list[str] = []

    def attempt(self: Local, job: Job, cores: list[int]) -> tuple[Outcome, bool]:
        played.append(job.folder.name)
        job.folder.with_suffix(".log").write_text("What the process would have said.")
        return play(job), False

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(Local, "_attempt", attempt)
    settings = Memoryless((4,), OnPolicy(num_updates=3, num_tasks=8, loss="a2c"))
    row = Recipe("tiny", "memoryless", "eleven-arm", settings, bar=0.0, num_seeds=3, num_test_tasks=20)
    monkeypatch.setitem(RECIPES, "tiny", row)
    status, out, _ = run(capsys, "reproduce", "tiny", "--seeds", "1", "--quiet")
    assert status == 0
    assert "bar: >= 0, reached" in out
    assert "not compared: benchmarks/results held no result of it; --results FOLDER" in out
    path = Path("benchmarks/results/tiny.json")
    first = json.loads(path.read_text())
    assert (first["num_seeds"], first["seeds"], first["num_test_tasks"]) == (1, [1], 20)
    assert first["env_steps"] == 3 * 8 * 5
    assert len(first["curve"]) == 5
    assert set(first["references"]) >= {"random"}
    before = {run: run.stat().st_mtime_ns for run in Path("runs/tiny/seed-1/checkpoints").iterdir()}
    status, out, err = run(capsys, "reproduce", "tiny", "--workers", "2", "--quiet")
    assert "2 side by side" in err
    assert sorted(played) == ["seed-0", "seed-2"], "the other one is trained already"
    assert not list(Path("runs").rglob("evaluation-train*")), "that is for sweeps"
    result = json.loads(path.read_text())
    assert (result["seeds"], result["command"]) == ([0, 1, 2], "innerloop reproduce tiny --workers 2")
    assert result["per_seed"][1] == first["per_seed"][0]
    assert before == {run: run.stat().st_mtime_ns for run in Path("runs/tiny/seed-1/checkpoints").iterdir()}
    assert "stored result" in out
    assert "not compared" not in out
    path.write_text(json.dumps({**result, "value": result["value"] * 2}))
    status, out, _ = run(capsys, "reproduce", "tiny", "--quiet")
    assert status == 1
    assert "OUTSIDE of its tolerance of 5%" in out
    assert json.loads(path.read_text())["value"] == result["value"] * 2, "a stored result is kept"
    monkeypatch.setattr(Local, "_attempt", lambda *_: (Outcome("diverged", "NaN."), False))
    shutil.rmtree("runs/tiny/seed-0")
    status, _, err = run(capsys, "reproduce", "tiny", "--workers", "2", "--quiet")
    assert (status, err.splitlines()[-1]) == (1, "innerloop: seed 0 diverged: NaN.")
    other = Recipe("tiny", "memoryless", "eleven-arm", Memoryless((5,), settings.training))
    monkeypatch.setitem(RECIPES, "tiny", other)
    assert "other settings" in run(capsys, "reproduce", "tiny", "--quiet")[2]


@pytest.mark.slow
def test_reproduce_stores_contrasts_of_methods_that_learn_to_adapt(
    capsys: pytest.CaptureFixture, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from innerloop.algorithms import MAML, MetaTraining

    monkeypatch.chdir(tmp_path)
    settings = MAML(training=MetaTraining(num_updates=2, num_tasks=4))
    row = Recipe("tiny", "maml", "sinusoid", settings, metric="mse", num_seeds=1, num_test_tasks=20)
    monkeypatch.setitem(RECIPES, "tiny", row)
    found = {
        "adapted": [-30.0, -20.0],
        "fine-tuned mixture": [-40.0, None],
        "oracle": [-0.5, -0.5],
        "step_size": 0.01,
        "num_tasks": 20,
    }
    asked: list[Path] = []
    monkeypatch.setattr("innerloop._contrast.contrast_run", lambda folder, show: asked.append(folder) or found)
    status, out, _ = run(capsys, "reproduce", "tiny", "--quiet")
    assert status == 0
    assert asked == [Path("runs/tiny/seed-0")]
    assert "no adaptation" in out
    assert "diverged" in out
    assert json.loads(Path("benchmarks/results/tiny.json").read_text())["contrasts"] == found


def test_public_names_exist_and_are_those_that_type_checkers_see() -> None:
    assert set(dir(innerloop)) == set(innerloop.__all__)
    for name in innerloop.__all__:
        assert getattr(innerloop, name) is not None
    tree = ast.parse((SOURCE / "innerloop" / "__init__.py").read_text())
    block = next(node for node in tree.body if isinstance(node, ast.If))
    seen = {alias.asname or alias.name for node in block.body for alias in getattr(node, "names", [])}
    assert seen == set(innerloop.__all__)
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        innerloop.nothing  # noqa: B018
