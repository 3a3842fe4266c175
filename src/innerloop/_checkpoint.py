"""Checkpoints: what a run needs to go on, written so that no crash, full disk or flipped bit can cost more than the
newest one.

Each checkpoint is a folder named after its update. It is written under another name, then renamed, so a folder with a
proper name is complete:

    000000500/state.safetensors  all array leaves of the TrainState
    000000500/agent.*            the agent alone, for deployment and sharing (see `innerloop.export`)
    000000500/sidecar.json       format, versions, update, root key, tree structure, SHA-256 of every file
"""

import shutil
import time
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from innerloop._arrays import check_structure, leaves, read_arrays, structure, write_arrays
from innerloop._export import export_progress
from innerloop._sealed import CheckpointError, checkpoints, newest, reason, seal
from innerloop._train import Progress, TrainState
from innerloop._types import Key

STATE = "state.safetensors"


def save(
    folder: str | Path,
    train_state: TrainState,
    sidecar: Mapping[str, Any],
    *,
    keep: int = 3,
    more: Callable[[Path], None] | None = None,
) -> Path:
    """Write a checkpoint into `folder` and delete all but the newest `keep`.

    Args:
        sidecar: facts to store beside the arrays, as JSON.
        more: writes further files into the checkpoint before it is sealed.

    Raises:
        CheckpointError: the disk is full, read-only or broken. Earlier checkpoints are untouched.
    """
    folder = Path(folder)
    final = folder / f"{int(np.max(jax.device_get(train_state.num_updates))):09d}"
    part = folder / f".{final.name}.part"
    shutil.rmtree(part, ignore_errors=True)
    try:
        part.mkdir(parents=True)
        _write_state(part / STATE, train_state)
        if more is not None:
            more(part)
        seal(part, {**sidecar, "update": int(final.name), "structure": structure(train_state)})
        if final.exists():
            shutil.rmtree(final)
        part.rename(final)
    except OSError as error:
        raise CheckpointError(
            f"cannot write checkpoint {final}: {reason(error)}. Earlier checkpoints are untouched: "
            "make room or choose another folder, and resume."
        ) from error
    finally:
        shutil.rmtree(part, ignore_errors=True)
    for old in checkpoints(folder)[keep:]:
        shutil.rmtree(old, ignore_errors=True)
    return final


def _is_key(leaf: Any) -> bool:
    return bool(jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key))


def _write_state(path: Path, tree: Any) -> None:
    arrays = {name: jax.random.key_data(x) if _is_key(x) else x for name, x in leaves(tree).items()}
    write_arrays(path, {name: np.asarray(x) for name, x in jax.device_get(arrays).items()})


def _read_state(path: Path, template: Any) -> Any:
    wanted = leaves(template)
    found = read_arrays(path, {name: "uint32" if _is_key(x) else str(x.dtype) for name, x in wanted.items()})
    arrays = [_like(x, found[name]) for name, x in wanted.items()]
    return jax.tree.unflatten(jax.tree.structure(template), arrays)


def _like(template: Any, found: np.ndarray) -> jax.Array:
    """On the devices of the template, if it is on any."""
    array = jnp.asarray(found)
    if _is_key(template):
        array = jax.random.wrap_key_data(array, impl=_key_impl(template))
    return jax.device_put(array, template.sharding) if isinstance(template, jax.Array) else array


def _key_impl(key: Any) -> str:
    """The generator of a key that may be given by shape and dtype alone."""
    found: list[str] = []
    jax.eval_shape(lambda key: found.append(str(jax.random.key_impl(key))), key)
    return found[0]


def restore(folder: str | Path, template: TrainState, *, key: Key | None = None) -> TrainState:
    """The newest undamaged checkpoint of a run.

    Args:
        folder: a run directory, or the folder given to `Checkpoint`.
        template: a state of the same structure, as `initial_state` gives it (its values are not used).
        key: the run's root key, if it shall be compared with the one the checkpoint was made with.

    Raises:
        ValueError: there is no checkpoint, or it belongs to another learner, collector or key.
        CheckpointError: all checkpoints are damaged.
    """
    checkpoint, sidecar = newest(folder)
    check_structure(checkpoint, sidecar["structure"], structure(template))
    if key is not None and sidecar.get("key") not in (None, key_data(key)):
        raise ValueError(f"restore(key=...): {checkpoint} was made with another root key; use the seed of that run.")
    return _read_state(checkpoint / STATE, template)


def key_data(key: Key) -> list[int]:
    """A key as integers."""
    return [int(x) for x in np.ravel(jax.random.key_data(key))]


class Checkpoint:
    """Callback that saves the run every `every` updates and at its end, and keeps the last `keep` checkpoints.

    With `seconds`, it leaves out those that come sooner than that after the one before. A state with a NaN never gets
    here: `train` stops before. A new run refuses a folder that holds another one's.
    """

    def __init__(self, folder: str | Path, every: int = 100, keep: int = 3, seconds: float = 0.0):
        if every < 1 or keep < 1:
            raise ValueError(f"Checkpoint(every={every}, keep={keep}): both must be at least 1.")
        self.folder = Path(folder)
        self.every = every
        self.keep = keep
        self.seconds = seconds
        self._saved: int | None = None
        self._when = 0.0

    def open(self, num_updates: int) -> None:
        """Start the clock."""
        self._when = time.monotonic()

    def __call__(self, progress: Progress) -> None:
        if progress.update == 0 and not self._is_ours(progress.key):
            raise ValueError(
                f"Checkpoint(folder={str(self.folder)!r}): it holds another run's checkpoints; go on from them with "
                "train(start=restore(folder, ...)), or choose another folder."
            )
        if not progress.metrics and (self.folder / f"{progress.update:09d}").exists():
            self._saved = progress.update
        is_due = progress.update == progress.num_updates or time.monotonic() - self._when >= self.seconds
        if progress.update > 0 and is_due:
            self.write(progress)

    def _is_ours(self, key: Key) -> bool:
        """Whether the folder is empty, or holds no more than where this run was stopped before its first update."""
        found = checkpoints(self.folder)
        if [int(path.name) for path in found] != [0]:
            return not found
        return newest(self.folder)[1].get("key") == key_data(key)

    def write(self, progress: Progress) -> None:
        """Save now, unless this update is saved already."""
        if progress.update == self._saved:
            return
        sidecar = {
            "num_updates": progress.num_updates,
            "num_seeds": progress.num_seeds,
            "key": key_data(progress.key),
        }
        save(self.folder, progress.train_state, sidecar, keep=self.keep, more=partial(export_progress, progress))
        self._saved = progress.update
        self._when = time.monotonic()

    def close(self, error: BaseException | None) -> None:
        """The last update was saved already; a state that an error left behind is not worth keeping."""
