"""Checkpoints: what a run needs to go on, written so that no crash, full disk or flipped bit can cost more than the
newest one.

Each checkpoint is a folder named after its update. It is written under another name, then renamed, so a folder with a
proper name is complete:

    000000500/state.safetensors  all array leaves of the TrainState
    000000500/agent.*            the agent alone, for deployment and sharing (see `innerloop.export`)
    000000500/sidecar.json       format, versions, update, root key, tree structure, SHA-256 of every file
"""

import hashlib
import json
import shutil
import sys
import time
from collections.abc import Callable, Mapping
from functools import cache, partial
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from innerloop._arrays import read_arrays, write_arrays
from innerloop._machine import versions
from innerloop._train import Progress, TrainState
from innerloop._types import Key

FORMAT = 1
STATE, SIDECAR = "state.safetensors", "sidecar.json"


class CheckpointError(OSError):
    """A checkpoint could not be written, or none could be read."""


class DamagedError(Exception):
    """Files of a checkpoint are not what they were when it was written."""


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
            f"cannot write checkpoint {final}: {_reason(error)}. Earlier checkpoints are untouched: "
            "make room or choose another folder, and resume."
        ) from error
    finally:
        shutil.rmtree(part, ignore_errors=True)
    for old in checkpoints(folder)[keep:]:
        shutil.rmtree(old, ignore_errors=True)
    return final


def _reason(error: Exception) -> str:
    """In one line."""
    return error.strerror if isinstance(error, OSError) and error.strerror else " ".join(str(error).split())


def leaves(tree: Any) -> dict[str, Any]:
    """The array leaves by path."""
    return {jax.tree_util.keystr(path): leaf for path, leaf in jax.tree_util.tree_flatten_with_path(tree)[0]}


def structure(tree: Any) -> list[dict[str, Any]]:
    """Path, shape and dtype of each leaf, in order."""
    return [{"path": path, "shape": list(x.shape), "dtype": str(x.dtype)} for path, x in leaves(tree).items()]


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


def seal(folder: Path, sidecar: Mapping[str, Any]) -> None:
    """Write the sidecar: what is in the folder, and the digest of each file."""
    files = {str(file.relative_to(folder)): digest(file) for file in sorted(folder.rglob("*")) if file.is_file()}
    body = {"format": FORMAT, **sidecar, "versions": versions(), "files": files}
    body["sha256"] = _digest_of(body)
    (folder / SIDECAR).write_text(json.dumps(body, indent=1) + "\n")


def digest(file: Path) -> str:
    """SHA-256 of a file."""
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def _digest_of(body: Mapping[str, Any]) -> str:
    text = json.dumps({name: x for name, x in body.items() if name != "sha256"}, sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()


def verify(checkpoint: Path) -> dict[str, Any]:
    """The sidecar, after every file was found as it was written. Raises DamagedError."""
    try:
        sidecar = json.loads((checkpoint / SIDECAR).read_text())
        if sidecar["sha256"] != _digest_of(sidecar):
            raise DamagedError(f"{SIDECAR} was changed")
        for name, expected in sidecar["files"].items():
            if digest(checkpoint / name) != expected:
                raise DamagedError(f"{name} was changed")
    except FileNotFoundError as error:
        raise DamagedError(f"{Path(str(error.filename)).name} is missing") from error
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise DamagedError(f"unreadable: {_reason(error)}") from error
    if sidecar["format"] != FORMAT:
        raise ValueError(f"{checkpoint}: format {sidecar['format']}; this version of innerloop reads format {FORMAT}.")
    return sidecar


def checkpoints(folder: str | Path) -> list[Path]:
    """Complete checkpoints of a run, newest first."""
    folder = checkpoint_folder(folder)
    if not folder.is_dir():
        return []
    return sorted((x for x in folder.iterdir() if x.is_dir() and x.name.isdecimal()), key=lambda x: -int(x.name))


def checkpoint_folder(folder: str | Path) -> Path:
    """Where a run keeps its checkpoints; the folder itself if it is no run directory."""
    inside = Path(folder) / "checkpoints"
    return inside if inside.is_dir() else Path(folder)


def newest(folder: str | Path) -> tuple[Path, dict[str, Any]]:
    """The newest undamaged checkpoint and its sidecar. Says on stderr which ones it had to pass over."""
    found = checkpoints(folder)
    if not found:
        raise ValueError(f"{folder}: there is no checkpoint in it; give the folder of a run that has saved one.")
    for checkpoint in found:
        try:
            return checkpoint, verify(checkpoint)
        except DamagedError as error:
            _say_once(f"checkpoint {checkpoint} is damaged ({error}); using the one before.")
    raise CheckpointError(f"{folder}: none of its {len(found)} checkpoints can be read; start the run anew.")


@cache
def _say_once(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


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


def check_structure(checkpoint: Path, saved: list[dict[str, Any]], wanted: list[dict[str, Any]]) -> None:
    """Raise ValueError naming the first leaf in which two trees differ."""
    fix = "build learner and collector with the settings of that run (its config.json), or use another folder."
    saved_by_path, wanted_by_path = ({leaf["path"]: leaf for leaf in x} for x in (saved, wanted))
    for path in [*wanted_by_path, *saved_by_path]:
        if path not in saved_by_path:
            raise ValueError(f"{checkpoint}: it has no leaf {path}, which this run has; {fix}")
        if path not in wanted_by_path:
            raise ValueError(f"{checkpoint}: its leaf {path} does not exist in this run; {fix}")
        there, here = (f"{x[path]['dtype']}{x[path]['shape']}" for x in (saved_by_path, wanted_by_path))
        if there != here:
            raise ValueError(f"{checkpoint}: leaf {path} is {there} there and {here} in this run; {fix}")


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
        if progress.update == 0 and checkpoints(self.folder):
            raise ValueError(
                f"Checkpoint(folder={str(self.folder)!r}): it holds another run's checkpoints; go on from them with "
                "train(start=restore(folder, ...)), or choose another folder."
            )
        if not progress.metrics and (self.folder / f"{progress.update:09d}").exists():
            self._saved = progress.update
        is_due = progress.update == progress.num_updates or time.monotonic() - self._when >= self.seconds
        if progress.update > 0 and is_due:
            self.write(progress)

    def write(self, progress: Progress) -> None:
        """Save now, unless this update is saved already."""
        if progress.update == self._saved:
            return
        from innerloop._export import export_progress

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
