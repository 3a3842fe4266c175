"""The tasks of a batch, shared out among devices: of this process, or of several that train together.

A mesh has one axis, over which tasks are spread; everything else is on all of its devices. Losses are means over tasks, so
the compiler adds up what each device contributes. What is computed is the same on any number of devices, up to rounding.
"""

from collections.abc import Callable
from functools import partial
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import AbstractMesh, AxisType, Mesh, NamedSharding, PartitionSpec
from jaxtyping import Array

AXIS = "task"


def task_mesh(num_devices: int | None = None) -> Mesh:
    """A mesh of the first `num_devices` devices, or of all, those of other processes included.

    Raises ValueError if there are fewer.
    """
    devices = jax.devices()
    if num_devices is not None and not 1 <= num_devices <= len(devices):
        raise ValueError(
            f"num_devices={num_devices}: there are {len(devices)}. More on a CPU: set "
            "XLA_FLAGS=--xla_force_host_platform_device_count=N."
        )
    return Mesh(np.asarray(devices[:num_devices]), (AXIS,), axis_types=(AxisType.Auto,))


def share(mesh: Mesh | AbstractMesh | None, function: Callable[[Any, Any], Any], tasks: Any, whole: Any) -> Any:
    """`function(tasks, whole)`, each device of the mesh with its part of the first axis of `tasks`, and of the result."""
    if mesh is None:
        return function(tasks, whole)
    num_tasks = jax.tree.leaves(tasks)[0].shape[0]
    if num_tasks % mesh.size:
        raise ValueError(f"num_tasks={num_tasks}: must be a multiple of the {mesh.size} devices that share them.")
    arrays, static = eqx.partition(whole, eqx.is_array)
    split, on_all = PartitionSpec(AXIS), PartitionSpec()

    def part(tasks: Any, arrays: Any) -> Any:
        return function(tasks, eqx.combine(arrays, static))

    return jax.shard_map(part, mesh=mesh, in_specs=(split, on_all), out_specs=split, check_vma=False)(tasks, arrays)


def over_tasks(function: Callable[..., Any], whole: Any, *tasks: Any) -> Any:
    """`function(whole, *task)` for each task, each device of the mesh in use with its part of them.

    For losses of which `whole` are the parameters: what a device's tasks add to the gradient is summed up there, over all
    steps of a sequence, before devices exchange it. Left to the compiler, they would do so at every step.
    """

    def part(tasks: Any, whole: Any) -> Any:
        return jax.vmap(partial(function, whole))(*tasks)

    mesh = in_use()
    num_tasks = jax.tree.leaves(tasks)[0].shape[0]
    return share(None if mesh is None or num_tasks % mesh.size else mesh, part, tasks, whole)


def shared(tree: Any, axis: int) -> Any:
    """The same values, of which each device of the mesh in use has a part along an axis of tasks."""
    mesh = in_use()
    if mesh is None:
        return tree
    spec = PartitionSpec(*[None] * axis, AXIS)

    def one(x: Array) -> Array:
        return x if x.shape[axis] % mesh.size else jax.lax.with_sharding_constraint(x, spec)

    return jax.tree.map(one, tree)


def in_use() -> AbstractMesh | None:
    """The mesh of the program that is being traced, if tasks are shared out there."""
    mesh = jax.sharding.get_abstract_mesh()
    return mesh if AXIS in mesh.axis_names else None


def on_all(mesh: Mesh) -> NamedSharding:
    """What is whole on each device."""
    return NamedSharding(mesh, PartitionSpec())


def everywhere(mesh: Mesh, tree: Any) -> Any:
    """Arrays, whole on each device of the mesh. In several processes: those of the first one."""
    from jax.experimental.multihost_utils import broadcast_one_to_all

    is_key = jax.tree.map(lambda x: jnp.issubdtype(x.dtype, jax.dtypes.prng_key), tree)
    data = jax.tree.map(lambda x, key: np.asarray(jax.random.key_data(x) if key else x), tree, is_key)
    impls = jax.tree.map(lambda x, key: str(jax.random.key_impl(x)) if key else "", tree, is_key)

    def wrapped(data: Any) -> Any:
        return jax.tree.map(lambda x, impl: jax.random.wrap_key_data(x, impl=impl) if impl else x, data, impls)

    return jax.jit(wrapped, out_shardings=on_all(mesh))(broadcast_one_to_all(data))


def here(tree: Any) -> Any:
    """What is whole on each device of a mesh, as arrays of one device of this process; nothing is copied."""
    return jax.tree.map(lambda x: x if x.sharding.num_devices == 1 else x.addressable_data(0), tree)
