"""Arrays of a tree by name, and in one file (safetensors): nothing but numbers goes in, and nothing else comes out."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np


def write_arrays(path: Path, arrays: Mapping[str, np.ndarray]) -> None:
    """Write and flush to the disk, so that an OSError comes now or never."""
    from safetensors.numpy import save

    content = save({name: _plain(x) for name, x in arrays.items()})
    with path.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())


def read_arrays(path: Path, dtypes: Mapping[str, str]) -> dict[str, np.ndarray]:
    """All arrays of a file, in the dtypes that they were written with."""
    from safetensors.numpy import load

    found = load(path.read_bytes())
    return {name: x.view(jnp.dtype(dtypes[name])) for name, x in found.items()}


def leaves(tree: Any) -> dict[str, Any]:
    """The array leaves by path."""
    return {jax.tree_util.keystr(path): leaf for path, leaf in jax.tree_util.tree_flatten_with_path(tree)[0]}


def structure(tree: Any) -> list[dict[str, Any]]:
    """Path, shape and dtype of each leaf, in order."""
    return [{"path": path, "shape": list(x.shape), "dtype": str(x.dtype)} for path, x in leaves(tree).items()]


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


def _plain(x: np.ndarray) -> np.ndarray:
    """In C order, and the bits of what NumPy does not know by itself (bfloat16) as integers."""
    x = np.require(x, requirements="C")
    return x if x.dtype.kind in "biuf" else x.view(f"u{x.dtype.itemsize}")
