"""Checkpoints: exact, complete, and hard to lose."""

import json
import os
import resource
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jaxtyping import Array

from innerloop._checkpoint import Checkpoint, key_data, restore, save
from innerloop._collect import JaxCollector, StreamCollector
from innerloop._export import export, read_exported
from innerloop._learner import Learner
from innerloop._sealed import CheckpointError, checkpoints
from innerloop._train import NonFiniteError, TrainState, init, train
from innerloop.agents import FeedForward
from innerloop.envs.bandits import BernoulliBandit, uniform_bandits

KEY = jax.random.key(0)
ENV = BernoulliBandit(3)


class DriftState(NamedTuple):
    """An agent, a key of its own, an array without entries, and other dtypes."""

    agent: FeedForward
    key: Array
    empty: Array
    flags: Array
    half: Array


class Drift(Learner):
    """Moves its agent about at random, by the reward it got: training that is quick to compile."""

    width: int = eqx.field(static=True, default=4)
    breaks_at: int = eqx.field(static=True, default=1_000_000)

    def init(self, key: Array) -> DriftState:
        agent = FeedForward(ENV.spec, key=key, widths=(self.width,))
        return DriftState(
            agent, jax.random.key(7), jnp.zeros((0, 2)), jnp.zeros((3,), bool), jnp.ones((), jnp.bfloat16)
        )

    def agent(self, state: DriftState) -> FeedForward:
        return state.agent

    def update(self, key: Array, state: DriftState, experience: Any) -> tuple[DriftState, dict[str, Array]]:
        own_key, next_key = jax.random.split(state.key)
        rewards = experience.transitions.next_timestep.reward.mean()
        noise = jax.random.normal(key) * jax.random.normal(own_key) + rewards
        agent = jax.tree.map(lambda x: x + 0.01 * noise, state.agent)
        count = state.flags.sum() + 1
        flags = jnp.arange(3) < count % 4
        noise = jnp.where(count >= self.breaks_at, jnp.nan, noise)
        half = state.half + noise.astype(jnp.bfloat16)
        return DriftState(agent, next_key, state.empty, flags, half), {"noise": noise}


def stream() -> StreamCollector:
    return StreamCollector(ENV, uniform_bandits(3), num_streams=2, num_steps=3, num_episodes=2)


def run(folder: Path, num_updates: int, every: int = 2, **options: Any) -> Any:
    state, _ = train(KEY, Drift(), stream(), num_updates, callbacks=[Checkpoint(folder, every)], **options)
    return state


def template(**options: Any) -> TrainState:
    return jax.eval_shape(lambda: init(KEY, Drift(**options), stream()))


def assert_equal(a: Any, b: Any) -> None:
    assert jax.tree.structure(a) == jax.tree.structure(b)
    for x, y in zip(jax.tree.leaves(a), jax.tree.leaves(b), strict=True):
        assert x.dtype == y.dtype
        if jnp.issubdtype(x.dtype, jax.dtypes.prng_key):
            x, y = jax.random.key_data(x), jax.random.key_data(y)
        np.testing.assert_array_equal(x, y)


@pytest.fixture(scope="module")
def finished(program_cache: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Any]:
    """A run of 7 updates with checkpoints at 4, 6 and 7, and its last state."""
    folder = tmp_path_factory.mktemp("finished")
    return folder, run(folder, 7)


@pytest.fixture
def copied(finished: tuple[Path, Any], tmp_path: Path) -> Path:
    import shutil

    return Path(shutil.copytree(finished[0], tmp_path / "run"))


def test_the_last_checkpoints_are_kept_and_hold_the_whole_state(finished: tuple[Path, Any]) -> None:
    folder, state = finished
    assert [x.name for x in checkpoints(folder)] == ["000000007", "000000006", "000000004"]
    restored = restore(folder, template(), key=KEY)
    assert int(restored.num_updates) == 7
    assert_equal(restored.state, state)
    sidecar = json.loads((folder / "000000007" / "sidecar.json").read_text())
    assert (sidecar["update"], sidecar["num_updates"]) == (7, 7)
    assert {"path": ".state.flags", "shape": [3], "dtype": "bool"} in sidecar["structure"]
    assert not [x for x in folder.iterdir() if x.name.startswith(".")]


def test_a_resumed_run_ends_bit_for_bit_where_an_uninterrupted_one_does(
    finished: tuple[Path, Any], tmp_path: Path
) -> None:
    run(tmp_path, 3)
    resumed = run(tmp_path, 7, start=restore(tmp_path, template(), key=KEY))
    assert_equal(resumed, finished[1])
    assert_equal(restore(tmp_path, template()), restore(finished[0], template()))


def test_several_seeds_are_restored(tmp_path: Path) -> None:
    state = init(KEY, Drift(), stream(), 2)
    save(tmp_path, state, {})
    assert_equal(restore(tmp_path, jax.eval_shape(lambda: init(KEY, Drift(), stream(), 2))), state)
    with pytest.raises(ValueError, match=r"is float32\[2, 1, 4\] there and float32\[1, 4\] in this run"):
        restore(tmp_path, template())


DAMAGES: dict[str, Callable[[Path], Any]] = {
    "flipped": lambda newest: flip(newest / "state.safetensors"),
    "truncated": lambda newest: (newest / "agent.safetensors").write_bytes(b""),
    "missing": lambda newest: (newest / "state.safetensors").unlink(),
    "no sidecar": lambda newest: (newest / "sidecar.json").unlink(),
    "cut sidecar": lambda newest: (newest / "sidecar.json").write_text("{"),
    "forged sidecar": lambda newest: forge(newest / "sidecar.json"),
}


def flip(file: Path) -> None:
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 1
    file.write_bytes(content)


def forge(sidecar: Path) -> None:
    body = json.loads(sidecar.read_text())
    body["update"] = 8
    sidecar.write_text(json.dumps(body))


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_checkpoint_falls_back_to_the_one_before(
    damage: str, copied: Path, capsys: pytest.CaptureFixture
) -> None:
    DAMAGES[damage](copied / "000000007")
    assert int(restore(copied, template()).num_updates) == 6
    assert "000000007 is damaged" in capsys.readouterr().err


def test_what_a_kill_leaves_behind_is_not_taken_for_a_checkpoint(copied: Path) -> None:
    (copied / "000000007").rename(copied / ".000000007.part")
    assert int(restore(copied, template()).num_updates) == 6
    run(copied, 7, start=restore(copied, template()))
    assert [x.name for x in sorted(copied.iterdir())] == ["000000004", "000000006", "000000007"]


def test_when_all_are_damaged_it_says_so(copied: Path) -> None:
    for checkpoint in checkpoints(copied):
        (checkpoint / "sidecar.json").unlink()
    with pytest.raises(CheckpointError, match="none of its 3 checkpoints can be read"):
        restore(copied, template())


def test_foreign_checkpoints_name_the_first_differing_leaf(finished: tuple[Path, Any]) -> None:
    folder, _ = finished
    with pytest.raises(
        ValueError, match=r"leaf \.state\.agent\.policy_net.* is float32\[1, 4\] there and float32\[1, 5\]"
    ):
        restore(folder, template(width=5))
    trials = JaxCollector(ENV, uniform_bandits(3), num_tasks=2, num_rounds=3)
    with pytest.raises(ValueError, match=r"its leaf \.stream\.task\.means does not exist in this run"):
        restore(folder, jax.eval_shape(lambda: init(KEY, Drift(), trials)))
    with pytest.raises(ValueError, match="another root key"):
        restore(folder, template(), key=jax.random.key(1))
    with pytest.raises(ValueError, match="there is no checkpoint in it"):
        restore(folder / "nothing", template())


def test_a_new_run_refuses_the_folder_of_another(finished: tuple[Path, Any]) -> None:
    with pytest.raises(ValueError, match="another run's checkpoints"):
        run(finished[0], 7)


def test_a_run_that_was_stopped_before_its_first_update_goes_on(finished: tuple[Path, Any], tmp_path: Path) -> None:
    save(tmp_path, init(KEY, Drift(), stream()), {"key": key_data(KEY)})
    state = run(tmp_path, 7, start=restore(tmp_path, template(), key=KEY))
    assert_equal(state, finished[1])
    save(tmp_path / "other", init(KEY, Drift(), stream()), {"key": key_data(jax.random.key(1))})
    with pytest.raises(ValueError, match="another run's checkpoints"):
        run(tmp_path / "other", 7)


@contextmanager
def small_files(limit: int) -> Iterator[None]:
    """Writing more than `limit` bytes into a file fails, as on a disk that is full."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


@pytest.mark.parametrize("at", ["first byte", "first file", "last file"])
def test_a_full_disk_is_one_error_and_damages_nothing(copied: Path, at: str) -> None:
    size = (copied / "000000007" / "state.safetensors").stat().st_size
    limit = {"first byte": 0, "first file": size - 1, "last file": size}[at]
    before = restore(copied, template())
    later = before._replace(num_updates=before.num_updates + 1)
    with small_files(limit), pytest.raises(CheckpointError, match=r"cannot write checkpoint .*000000008: .*too large"):
        save(copied, later, {})
    assert [x.name for x in sorted(copied.iterdir())] == ["000000004", "000000006", "000000007"]
    assert_equal(restore(copied, template()), before)


@pytest.mark.skipif(not Path("/sys/kernel").is_dir(), reason="needs a folder where nobody can write")
def test_a_read_only_folder_is_one_error(finished: tuple[Path, Any]) -> None:
    with pytest.raises(CheckpointError, match="cannot write checkpoint /sys/kernel/runs"):
        save("/sys/kernel/runs", restore(finished[0], template()), {})


def test_a_state_that_is_not_finite_is_never_saved(tmp_path: Path) -> None:
    with pytest.raises(NonFiniteError, match="update 3: noise"):
        train(KEY, Drift(breaks_at=3), stream(), 6, callbacks=[Checkpoint(tmp_path, 1)], log_every=2)
    assert [x.name for x in checkpoints(tmp_path)] == ["000000002", "000000001"]
    assert int(restore(tmp_path, template()).num_updates) == 2


def test_agents_are_shared_without_code(tmp_path: Path) -> None:
    agent = FeedForward(ENV.spec, key=KEY, widths=(4,))
    export(agent, ENV.spec, tmp_path)
    assert sorted(os.listdir(tmp_path)) == ["agent.json", "agent.safetensors"]
    loaded = read_exported(tmp_path)
    assert_equal(loaded.agent, agent)
    assert loaded.spec == ENV.spec


class OwnAgent(FeedForward):
    """A class that no file may name."""


def test_classes_from_elsewhere_are_not_imported(tmp_path: Path) -> None:
    agent = OwnAgent(ENV.spec, key=KEY, widths=(4,))
    export(agent, ENV.spec, tmp_path)
    with pytest.raises(ValueError, match=r"OwnAgent, which is not a part of innerloop; build such an agent"):
        read_exported(tmp_path)
    other = OwnAgent(ENV.spec, key=jax.random.key(1), widths=(4,))
    assert_equal(read_exported(tmp_path, other).agent, agent)
    with pytest.raises(ValueError, match=r"leaf \.policy_net\.mlp\.layers\[0\]\.weight is"):
        read_exported(tmp_path, OwnAgent(ENV.spec, key=KEY, widths=(5,)))


@pytest.mark.parametrize("name", ["os.system", "innerloop._machine.commit", "innerloop.cli.main", "innerloop.nothing"])
def test_a_forged_description_runs_nothing(name: str, tmp_path: Path) -> None:
    export(FeedForward(ENV.spec, key=KEY, widths=()), ENV.spec, tmp_path)
    description = json.loads((tmp_path / "agent.json").read_text())
    description["agent"]["class"] = name
    (tmp_path / "agent.json").write_text(json.dumps(description))
    with pytest.raises(ValueError, match=f"built from {name}"):
        read_exported(tmp_path)


def test_changed_arrays_are_noticed(tmp_path: Path) -> None:
    export(FeedForward(ENV.spec, key=KEY, widths=()), ENV.spec, tmp_path)
    flip(tmp_path / "agent.safetensors")
    with pytest.raises(ValueError, match=r"cannot load the agent: agent\.safetensors was changed"):
        read_exported(tmp_path)
