"""Tables say what the result files say, also when a bar is missed and when fields are missing."""

import json
import re
from pathlib import Path
from types import SimpleNamespace

import pytest

from innerloop.benchmarks import REGISTRY
from innerloop.report import _tables

ROOT = Path(__file__).parents[2]
RESULT = {
    "id": "two-arm",
    "metric": "regret",
    "value": 2.1234,
    "low": 2.0,
    "high": 2.25,
    "per_seed": [2.0, 2.2],
    "better": "lower",
    "bar": 2.79,
    "published": None,
    "num_seeds": 2,
    "num_test_tasks": 10000,
    "env_steps": 40_000_000,
    "wall_seconds": 300.0,
    "machine": {"cpu": "some CPU", "cores": 2, "memory_gib": 24.0, "platform": "Linux", "devices": ["cpu"]},
    "commit": "0123456789abcdef",
    "command": "innerloop reproduce two-arm",
}


@pytest.mark.parametrize(
    ("better", "value", "bar", "expected"),
    [
        ("lower", 2.0, 2.79, "reached"),
        ("lower", 3.0, 2.79, "**missed**"),
        ("higher", 3.0, 2.79, "reached"),
        ("higher", 2.0, 2.79, "**missed**"),
        ("higher", 2.0, None, "no bar"),
        ("higher", None, 2.0, "not measured"),
        ("higher", float("nan"), 2.0, "**missed**"),
    ],
)
def test_verdict(better, value, bar, expected):
    assert _tables.verdict({"better": better, "value": value, "bar": bar}) == expected


def test_a_row_has_the_figures_of_its_file():
    row = _tables.results_table([RESULT]).splitlines()[2]
    for part in ("`two-arm`", "regret ↓", "2.123 [2, 2.25]", "2.79", "reached", "2 × 10,000", "40 M in 5 min"):
        assert part in row, part


def test_missing_fields_are_dashes():
    assert "–" in _tables.results_table([{"id": "resume-kill", "value": 20}])
    assert "resume-kill" in _tables.seeds_table([{"id": "resume-kill"}])


def test_seeds_and_machine_are_listed():
    row = _tables.seeds_table([RESULT]).splitlines()[-1]
    assert "2, 2.2" in row
    assert "some CPU, 2 cores, 24 GiB" in row
    assert "0123456789" in row


def test_our_speed_comes_from_the_result_file():
    peers = {
        "measured": "there",
        "rows": [{"what": "x", "library": "y", "steps_per_second": 815, "same": "a", "large": "b"}],
    }
    row = {"benchmark": "z", "compile_seconds": 3.25, "peak_memory_mib": 512, "share_of_matrix_rate": 0.125}
    rows = [row | {"name": "a", "steps_per_second": 99_000}, row | {"name": "b", "steps_per_second": 123_456}]
    ours = {"id": "rl2-speed", "rows": rows}
    assert "| 815 | – | – | – | – |" in _tables.peers_table(peers, [])
    assert "| 815 | – | 99,000 | 123,456 | 3.25 |" in _tables.peers_table(peers, [ours])
    assert "| `a` | `z` | 99,000 | 3.25 | 512 | 12.5% |" in _tables.speed_table([ours])
    assert _tables.meta_speed_table([ours]) == "*Not measured yet.*"
    assert "rl2-speed" not in _tables.results_table([ours, RESULT])


def test_fill_replaces_what_stands_between_markers():
    text = "a\n<!-- t x y:begin -->\nold\n<!-- t:end -->\nb"
    filled = _tables.fill(text, {"t": lambda *arguments: "+".join(arguments)})
    assert filled == "a\n<!-- t x y:begin -->\nx+y\n<!-- t:end -->\nb"
    with pytest.raises(ValueError, match="no NAME:end"):
        _tables.fill("<!-- t:begin -->", {"t": str})
    with pytest.raises(ValueError, match="nothing renders this"):
        _tables.fill(text, {"other": str})


def test_update_writes_pages_once(tmp_path):
    (tmp_path / "docs").mkdir()
    (tmp_path / "benchmarks" / "results").mkdir(parents=True)
    (tmp_path / "benchmarks" / "results" / "two-arm.json").write_text(json.dumps(RESULT))
    page = tmp_path / "README.md"
    page.write_text("<!-- results:begin -->\n<!-- results:end -->")
    assert _tables.update_pages(tmp_path, write=False) == [page]
    assert "2.123" not in page.read_text()
    assert _tables.update_pages(tmp_path, write=True) == [page]
    assert "2.123" in page.read_text()
    assert _tables.update_pages(tmp_path, write=True) == []


def test_every_benchmark_has_one_page():
    families = [
        tuple(match["arguments"].split())
        for page in (ROOT / "docs" / "benchmarks").glob("*.md")
        for match in _tables.BLOCK.finditer(page.read_text())
        if page.name != "index.md"
    ]
    assert len(families) >= 9
    homes = {name: sum(name.startswith(prefixes) for prefixes in families) for name in REGISTRY}
    assert {name for name, count in homes.items() if count != 1} == set()


def test_pages_name_only_benchmarks_and_methods_that_exist():
    for page in [ROOT / "README.md", *(ROOT / "docs").rglob("*.md")]:
        for method, name in re.findall(r"innerloop train (\S+) (\S+)", page.read_text()):
            if method.islower():  # METHOD BENCHMARK in capitals stands for any
                assert method in _tables.METHODS, f"{page.name}: {method}"
                assert ":" in name or name in REGISTRY, f"{page.name}: {name}"  # a colon: one of the reader's own


def test_notes_of_recipes_are_printed_once():
    text = _tables.results_table([RESULT, RESULT | {"id": "eleven-arm"}, RESULT | {"id": "harlow"}])
    (note,) = _tables.RECIPES["two-arm"].notes.values()
    assert text.endswith(f"\n\n¹ {note}")
    assert "| `two-arm`¹ |" in text
    assert "| `eleven-arm`¹ |" in text
    assert "| `harlow` |" in text


def test_there_may_be_more_notes_than_digits(monkeypatch):
    rows = {f"row-{i}": SimpleNamespace(notes={"choice": f"note {i}"}) for i in range(1, 13)}
    monkeypatch.setattr(_tables, "RECIPES", rows)
    text = _tables.results_table([RESULT | {"id": id} for id in rows])
    assert "| `row-12`¹² |" in text
    assert text.endswith("\n\n¹⁰ note 10\n\n¹¹ note 11\n\n¹² note 12")


def test_meta_speed_stands_beside_the_peer_whose_work_it_does():
    peer = {"name": "garage", "seconds": 83.0}
    rows = [
        {
            "name": "a",
            "benchmark": "z",
            "steps_per_update": 80_000,
            "seconds_per_update": 0.83,
            "peer": peer,
            "ratio": 100.0,
        },
        {"name": "b", "benchmark": "z", "seconds_per_update": 2.0},
    ]
    table = _tables.meta_speed_table([{"id": "maml-speed", "rows": rows}])
    assert "| `a` | `z` | 80,000 | 0.83 | – | – | – | garage | 83 | 100 |" in table
    assert "| `b` | `z` | – | 2 | – | – | – | – | – | – |" in table


def test_cores_and_scans_have_a_table_each():
    core = {"name": "gru", "size": 64, "weights": 16_134, "compile_seconds": 3.5}
    core |= {"acting_steps_per_second": 9_000, "training_steps_per_second": 5_000}
    scan = {"name": "ssm-100", "steps": 100, "size": 64, "ratio": 1.25}
    scan |= {"parallel_steps_per_second": 50, "loop_steps_per_second": 40}
    cores, scans = _tables.core_speed_table([{"id": "core-speed", "rows": [core, scan]}]).split("\n\n")
    assert cores.splitlines()[2:] == ["| `gru` | 64 | 16,134 | 9,000 | 5,000 | 3.5 |"]
    assert scans.splitlines()[2:] == ["| `ssm-100` | 100 | 50 | 40 | 1.25 |"]


def test_contrasts_show_every_agent_of_the_results_that_have_them():
    found = {"adapted": [-40.0, -10.0], "fine-tuned mixture": [-39.0, None], "oracle": [-0.5, -0.5], "step_size": 0.01}
    table = _tables.contrasts_table([RESULT, {"id": "nav", "contrasts": found}])
    assert "| `nav` | adapted | -40 → -10 |" in table
    assert "|  | fine-tuned mixture | -39 → diverged |" in table
    assert "|  | oracle | -0.5 |" in table
    assert "step_size" not in table
    assert _tables.contrasts_table([RESULT]) == "*Not measured yet.*"
