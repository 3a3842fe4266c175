"""The Python of README and documentation runs: every block of a page, in order, with small budgets."""

import re
from pathlib import Path

import pytest

from innerloop import Benchmark
from innerloop.benchmarks import listed
from innerloop.cli._train import RunOptions, known_settings, parse_with

ROOT = Path(__file__).parents[1]
BLOCK = re.compile(r"^```python\n(.*?)^```", re.DOTALL | re.MULTILINE)
SMALL = {r"\bnum_updates=\d+": "num_updates=2", r"\b(num_tasks|num_test_tasks)=\d+": r"\1=16"}
PAGES = [
    page for page in [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))] if BLOCK.search(page.read_text())
]


COMMAND = re.compile(r"^innerloop train (.* --(?!help).*)$", re.MULTILINE)
TEXTS = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
COMMANDS = sorted({line.split("#")[0].strip() for page in TEXTS for line in COMMAND.findall(page.read_text())})


@pytest.mark.parametrize("command", COMMANDS)
def test_commands_with_options_make_a_learner(command: str) -> None:
    method, benchmark, *options = command.split()
    if ":" in benchmark or not isinstance(row := listed(benchmark), Benchmark):
        pytest.skip("needs a file of the reader's, or another package")
    read = parse_with(known_settings([method, benchmark]), RunOptions, options, "train", [method, benchmark])
    assert read.method.learner(row)


def test_the_pages_with_code_are_found():
    assert {"README.md", "index.md", "environment.md"} <= {page.name for page in PAGES}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_code_runs(page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    namespace: dict[str, object] = {"__name__": "page"}
    for number, block in enumerate(BLOCK.findall(page.read_text())):
        for pattern, replacement in SMALL.items():
            block = re.sub(pattern, replacement, block)
        exec(compile(block, f"{page.name}, block {number}", "exec"), namespace)


def test_the_readme_example_is_short():
    (example,) = BLOCK.findall((ROOT / "README.md").read_text())
    assert len([line for line in example.splitlines() if line.strip()]) <= 20
