"""Environments around environments."""

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from innerloop._env import Box, Env, EnvSpec, EnvState, encode
from innerloop._types import Key, Task, TimeStep


def flatten_task(task: Task) -> Float[Array, " features"]:
    """All arrays of a task, as one float vector."""
    leaves = [jnp.ravel(leaf).astype(jnp.float32) for leaf in jax.tree.leaves(task)]
    return jnp.concatenate(leaves) if leaves else jnp.zeros((0,))


class RevealTask(Env):
    """Appends the flattened task to the (encoded) observation: what an oracle sees."""

    env: Env
    spec: EnvSpec

    def __init__(self, env: Env, task: Task):
        """`task` is any one task of the family; only its shapes are used."""
        num_features = env.spec.obs.num_features + flatten_task(task).shape[0]
        self.env = env
        self.spec = EnvSpec(Box((num_features,)), env.spec.action, env.spec.max_steps)

    def _reveal(self, task: Task, timestep: TimeStep) -> TimeStep:
        obs = jnp.concatenate([encode(self.env.spec.obs, timestep.obs), flatten_task(task)])
        return timestep._replace(obs=obs)

    def reset(self, key: Key, task: Task) -> tuple[EnvState, TimeStep]:
        state, timestep = self.env.reset(key, task)
        return state, self._reveal(task, timestep)

    def step(self, key: Key, task: Task, state: EnvState, action: Array) -> tuple[EnvState, TimeStep]:
        state, timestep = self.env.step(key, task, state, action)
        return state, self._reveal(task, timestep)


class ScaleActions(Env):
    """Multiplies actions by `factor` before the env sees them: 1 is then `factor` there.

    The space of actions has no bounds then (the env still clips to its own), so policies start with deviation 1.
    """

    env: Env
    factor: float = eqx.field(static=True)
    spec: EnvSpec

    def __init__(self, env: Env, factor: float):
        space = env.spec.action
        if not isinstance(space, Box) or factor <= 0:
            raise ValueError(
                f"ScaleActions(factor={factor}): needs a positive factor and an env whose actions are a Box."
            )
        self.env = env
        self.factor = factor
        self.spec = EnvSpec(env.spec.obs, Box(space.shape), env.spec.max_steps)

    def reset(self, key: Key, task: Task) -> tuple[EnvState, TimeStep]:
        return self.env.reset(key, task)

    def step(self, key: Key, task: Task, state: EnvState, action: Array) -> tuple[EnvState, TimeStep]:
        state, timestep = self.env.step(key, task, state, self.factor * action)
        return state, timestep._replace(prev_action=action)
