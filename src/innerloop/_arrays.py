"""Named arrays in one file (safetensors): nothing but numbers goes in, and nothing but numbers comes out."""

import os
from collections.abc import Mapping
from pathlib import Path

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


def _plain(x: np.ndarray) -> np.ndarray:
    """In C order, and the bits of what NumPy does not know by itself (bfloat16) as integers."""
    x = np.require(x, requirements="C")
    return x if x.dtype.kind in "biuf" else x.view(f"u{x.dtype.itemsize}")
