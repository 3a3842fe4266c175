"""How matrices are multiplied: said to the compiler, kept by a run, and not where systems are solved."""

import json
from functools import partial
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import pytest

from innerloop._precision import multiplying
from innerloop._run import RunConfig, configure, training_of
from innerloop._train import init, run_updates
from innerloop.algorithms import CAVIA, MAML, PEARL, RL2, InnerLoop, MetaTraining, OffPolicy, OnPolicy
from innerloop.algorithms._trust_region import TrustRegion
from innerloop.cli import main
from innerloop.losses import linear_baseline

BFLOAT16 = "lhs_precision_type = bf16"
SHORT = {"num_updates": 1, "num_tasks": 4}
SETTINGS: dict[str, Any] = {
    "rl2": RL2(hidden_size=4, training=OnPolicy(**SHORT)),
    "pearl": PEARL(training=OffPolicy(**SHORT, num_gradient_steps=1, batch_size=16, capacity=100, widths=(4,))),
    "maml": MAML(inner=InnerLoop(episodes_per_round=2), training=MetaTraining(**SHORT, outer="trpo")),
    "cavia": CAVIA(training=MetaTraining(**SHORT)),
}


def program(method: str, products: str) -> str:
    """The training program of a method on a small benchmark, as it goes to the compiler."""
    config = configure(method, "eleven-arm" if method != "pearl" else "gridnavi-cells", settings=SETTINGS[method])
    key = jax.random.key(0)
    with multiplying(products):
        learner, collector = training_of(config, config.settings)
        start = jax.eval_shape(partial(init, key, learner, collector))
        count = jax.ShapeDtypeStruct((), jnp.int32)
        return jax.jit(partial(run_updates, learner, collector, key, capacity=1)).lower(start, count).as_text()


@pytest.fixture
def accelerator(monkeypatch: pytest.MonkeyPatch) -> None:
    """A device with units for bfloat16, for which programs are lowered and not compiled."""
    monkeypatch.setattr("innerloop._precision.has_bfloat16", lambda: True)


@pytest.mark.usefixtures("accelerator")
@pytest.mark.parametrize("method", SETTINGS)
def test_the_nets_of_every_kind_of_method_obey(method: str) -> None:
    assert BFLOAT16 in program(method, "bfloat16")


def test_without_units_nothing_is_asked_for() -> None:
    assert "algorithm = <" not in program("rl2", "bfloat16")


@pytest.mark.usefixtures("accelerator")
def test_systems_are_solved_in_float32_all_the_same() -> None:
    obs, returns, valid = jnp.ones((2, 5, 3)), jnp.ones((2, 5)), jnp.ones((2, 5), bool)
    with multiplying("bfloat16"):
        text = jax.jit(linear_baseline).lower(obs, returns, valid).as_text()
    assert BFLOAT16 not in text
    assert "dot_general" in text


@pytest.mark.usefixtures("accelerator")
def test_a_trust_region_looks_for_its_direction_in_float32_policies_included() -> None:
    obs, weight = jnp.ones((5, 3)), jnp.ones((3, 2))

    def step(weight: jax.Array) -> Any:
        return TrustRegion().step(
            weight,
            jnp.ones_like(weight),
            policies=lambda weight: obs @ weight,
            divergence=lambda old, new: jnp.square(old - new).mean(),
            judge=lambda weight: (weight.sum(), jnp.zeros(())),
        )[0]

    with multiplying("bfloat16"):
        text = jax.jit(step).lower(weight).as_text()
    assert BFLOAT16 not in text
    assert "dot_general" in text


def test_a_run_keeps_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []
    monkeypatch.setattr("innerloop._run.multiplying", lambda products: asked.append(products) or multiplying(products))
    options = ["--num-updates", "2", "--num-tasks", "4", "--num-test-tasks", "4", "--evaluate-every", "0", "--quiet"]
    folder = tmp_path / "run"
    assert main(["train", "memoryless", "eleven-arm", *options, "--products", "bfloat16", "--folder", str(folder)]) == 0
    assert RunConfig.read(folder).products == "bfloat16"
    assert asked == ["bfloat16"]


def test_runs_from_before_multiply_as_they_did(tmp_path: Path) -> None:
    config = configure("rl2", "eleven-arm", settings=SETTINGS["rl2"])
    config.write(tmp_path)
    saved = json.loads((tmp_path / "config.json").read_text())
    del saved["products"]
    (tmp_path / "config.json").write_text(json.dumps(saved))
    assert RunConfig.read(tmp_path) == config


def test_another_word_is_refused(capsys: pytest.CaptureFixture) -> None:
    assert main(["train", "rl2", "eleven-arm", "--products", "half"]) == 2
    assert "bfloat16" in capsys.readouterr().err
