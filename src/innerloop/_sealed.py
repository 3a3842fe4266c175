"""Sealed folders: complete or not there at all, with a digest of every file, so that damage is found before it is used.

A run keeps such folders named after updates; the newest that is as it was written counts.
"""

import hashlib
import json
import sys
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

from innerloop._machine import versions

FORMAT = 1
SIDECAR = "sidecar.json"


class CheckpointError(OSError):
    """A checkpoint could not be written, or none could be read."""


class DamagedError(Exception):
    """Files of a checkpoint are not what they were when it was written."""


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
        raise DamagedError(f"unreadable: {reason(error)}") from error
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


def reason(error: Exception) -> str:
    """In one line."""
    return error.strerror if isinstance(error, OSError) and error.strerror else " ".join(str(error).split())
