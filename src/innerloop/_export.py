"""Agents as files to share: arrays as safetensors, everything else as JSON. Loading them runs no code of theirs.

The JSON names classes of this package and the values of their fields. An agent of a class from elsewhere is loaded
into an agent that the caller builds (`load(folder, agent=...)`).
"""

import dataclasses
import importlib
import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from innerloop._agent import Agent
from innerloop._arrays import check_structure, leaves, read_arrays, structure, write_arrays
from innerloop._env import EnvSpec
from innerloop._machine import versions
from innerloop._sealed import DamagedError, digest, newest
from innerloop._train import Progress

FORMAT = 1
ARRAYS, DESCRIPTION = "agent.safetensors", "agent.json"


class Exported(NamedTuple):
    """An agent, the spec of the env it plays, and how many seeds its leaves stack (None: no seed axis)."""

    agent: Agent
    spec: EnvSpec
    num_seeds: int | None


def export(agent: Agent, spec: EnvSpec, folder: str | Path, *, num_seeds: int | None = None) -> None:
    """Write `agent.safetensors` and `agent.json` into `folder`.

    Args:
        spec: of the env the agent plays.
        num_seeds: the length of the leading axis of the agent's leaves, if they have one (see `train`).
    """
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    arrays = jax.device_get(leaves(eqx.filter(agent, eqx.is_array)))
    write_arrays(folder / ARRAYS, {path: np.asarray(x) for path, x in arrays.items()})
    description = {
        "format": FORMAT,
        "versions": versions(),
        "num_seeds": num_seeds,
        "sha256": digest(folder / ARRAYS),
        "structure": structure(eqx.filter(agent, eqx.is_array)),
        "spec": _encode(spec, ""),
        "agent": _encode(agent, ""),
    }
    (folder / DESCRIPTION).write_text(json.dumps(description, indent=1) + "\n")


def export_progress(progress: Progress, folder: Path) -> None:
    """The agent of a run as it stands. Collectors without an env leave nothing to check actions against: no export."""
    env = getattr(progress.collector, "env", None)
    if env is not None:
        export(progress.agent(), env.spec, folder, num_seeds=progress.num_seeds)


def read_exported(folder: str | Path, agent: Agent | None = None) -> Exported:
    """The agent of an exported folder, or of the newest undamaged checkpoint of a run.

    Args:
        agent: an agent built like the saved one, whose arrays are replaced (shapes and dtypes do); needed only for
            classes of your own.

    Raises:
        ValueError: nothing to load there, or another kind of agent.
    """
    folder = Path(folder)
    if not (folder / DESCRIPTION).exists():
        folder, _ = newest(folder)
    if not (folder / DESCRIPTION).exists():
        raise ValueError(f"{folder}: this checkpoint holds no agent, since its collector has no env; use restore().")
    description, arrays = _read(folder)
    spec = _decode(description["spec"], arrays)
    if agent is None:
        return Exported(_decode(description["agent"], arrays), spec, description["num_seeds"])
    dynamic, static = eqx.partition(agent, lambda x: eqx.is_array(x) or isinstance(x, jax.ShapeDtypeStruct))
    check_structure(folder, description["structure"], structure(dynamic))
    loaded = jax.tree.unflatten(jax.tree.structure(dynamic), [arrays[path] for path in leaves(dynamic)])
    return Exported(eqx.combine(loaded, static), spec, description["num_seeds"])


def _read(folder: Path) -> tuple[dict[str, Any], dict[str, jax.Array]]:
    try:
        description = json.loads((folder / DESCRIPTION).read_text())
        if description["format"] != FORMAT:
            raise ValueError(f"format {description['format']}, but this version of innerloop reads format {FORMAT}")
        if description["sha256"] != digest(folder / ARRAYS):
            raise DamagedError(f"{ARRAYS} was changed")
        arrays = read_arrays(folder / ARRAYS, {leaf["path"]: leaf["dtype"] for leaf in description["structure"]})
    except (DamagedError, ValueError, KeyError, TypeError) as error:
        raise ValueError(f"{folder}: cannot load the agent: {error}; get the files anew.") from error
    return description, {name: jnp.asarray(x) for name, x in arrays.items()}


def _encode(value: Any, path: str) -> Any:
    """A pytree as JSON. Every kind of value but plain ones is an object with one entry that names its kind."""
    if isinstance(value, jax.Array | np.ndarray):
        return {"array": path}
    if isinstance(value, float) and not np.isfinite(value):
        return {"float": str(value)}
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if isinstance(value, eqx.Module):
        return _encode_fields(value, [field.name for field in dataclasses.fields(value)], path)
    if isinstance(value, tuple) and hasattr(value, "_fields"):
        return _encode_fields(value, value._fields, path)
    if isinstance(value, tuple | list):
        return {type(value).__name__: [_encode(x, f"{path}[{i}]") for i, x in enumerate(value)]}
    if isinstance(value, dict) and all(isinstance(name, str) for name in value):
        return {"dict": {name: _encode(x, f"{path}[{name!r}]") for name, x in value.items()}}
    return {"opaque": f"{type(value).__module__}.{type(value).__qualname__}"}


def _encode_fields(value: Any, names: Iterable[str], path: str) -> dict[str, Any]:
    fields = {name: _encode(getattr(value, name), f"{path}.{name}") for name in names}
    return {"class": _class_name(type(value)), "fields": fields}


def _decode(code: Any, arrays: dict[str, jax.Array]) -> Any:
    if not isinstance(code, dict):
        return code
    kind = next(iter(code))
    if kind == "array":
        return arrays[code[kind]]
    if kind == "float":
        return float(code[kind])
    if kind in ("tuple", "list"):
        items = [_decode(x, arrays) for x in code[kind]]
        return tuple(items) if kind == "tuple" else items
    if kind == "dict":
        return {name: _decode(x, arrays) for name, x in code[kind].items()}
    if kind == "class":
        return _build(code[kind], {name: _decode(x, arrays) for name, x in code["fields"].items()})
    raise ValueError(f"the agent holds a {code[kind]}, which a file cannot describe; {BUILD_IT}")


BUILD_IT = "build such an agent and pass it: load(folder, agent=...)."


def _class_name(cls: type) -> str:
    """Where a class is public, so that files outlive changes of private modules."""
    public = cls.__module__.rpartition("._")[0]
    if public and getattr(importlib.import_module(public), cls.__name__, None) is cls:
        return f"{public}.{cls.__name__}"
    return f"{cls.__module__}.{cls.__qualname__}"


def _build(name: str, fields: dict[str, Any]) -> Any:
    """An instance from its fields, as unflattening a pytree would: no constructor runs."""
    module, _, attribute = name.rpartition(".")
    if not module.startswith("innerloop.") and module != "innerloop":
        raise ValueError(f"the agent is built from {name}, which is not a part of innerloop; {BUILD_IT}")
    cls = getattr(importlib.import_module(module), attribute, None)
    if isinstance(cls, type) and issubclass(cls, tuple) and hasattr(cls, "_fields"):
        return cls(**fields)
    if not (isinstance(cls, type) and issubclass(cls, eqx.Module)):
        raise ValueError(f"the agent is built from {name}, which this version of innerloop does not have; {BUILD_IT}")
    instance = object.__new__(cls)
    for field, value in fields.items():
        object.__setattr__(instance, field, value)
    return instance
