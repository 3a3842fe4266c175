"""An env that keeps its task: `sample_tasks`, `set_task`, `get_task`, with Gymnasium's `reset` and `step`."""

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import PyTree

from innerloop._env import Discrete, Env, EnvState, Space
from innerloop._task import TaskDistribution, sample_tasks
from innerloop._types import Key

NumpyTask = PyTree[np.ndarray]


class TaskEnv:
    """An env with one current task, stepped like a Gymnasium env: NumPy in, NumPy out, no key to carry.

    A task is drawn when the wrapper is made. Only `set_task` changes it; `reset` starts another episode of the same
    task, and tasks go in and out as copies. The same seed, tasks and actions give the same episodes.
    """

    def __init__(self, env: Env, tasks: TaskDistribution, seed: int = 0):
        task_key, self._sample_key, self._episode_key = jax.random.split(jax.random.key(seed), 3)
        self._env, self._tasks = env, tasks
        self._reset, self._step = eqx.filter_jit(env.reset), eqx.filter_jit(env.step)
        self._task = tasks.sample(task_key)
        self._state: EnvState = None
        self._running = False

    @property
    def observation_space(self) -> Space:
        """The spec's `Discrete` or `Box`, with `shape` and `dtype` as in Gymnasium."""
        return self._env.spec.obs

    @property
    def action_space(self) -> Space:
        """The spec's `Discrete` or `Box`, with `shape` and `dtype` as in Gymnasium."""
        return self._env.spec.action

    def sample_tasks(self, num_tasks: int) -> list[NumpyTask]:
        """Draw tasks, each a pytree of NumPy arrays for `set_task`. The current task stays."""
        if num_tasks < 1:
            raise ValueError(f"sample_tasks(num_tasks={num_tasks}): must be at least 1.")
        self._sample_key, key = jax.random.split(self._sample_key)
        stacked = _to_numpy(sample_tasks(self._tasks, key, num_tasks))
        return [jax.tree.map(lambda leaf, index=index: np.array(leaf[index]), stacked) for index in range(num_tasks)]

    def set_task(self, task: PyTree) -> None:
        """Make `task` the current one; call `reset` before the next `step`.

        Raises ValueError if it is not built like the tasks of this env.
        """
        structure: Any = jax.tree.structure(self._task)
        if structure != jax.tree.structure(task):
            raise ValueError(
                f"set_task(task={task!r}): must be built like {self._task}; take one from sample_tasks(n)."
            )
        self._task = jax.tree.map(_like, self._task, task)
        self._running = False

    def get_task(self) -> NumpyTask:
        """A copy of the current task, as NumPy arrays."""
        return jax.tree.map(np.copy, _to_numpy(self._task))

    def reset(self, seed: int | None = None) -> tuple[np.ndarray, dict[str, Any]]:
        """Start an episode of the current task: `(obs, info)`. A `seed` restarts the random numbers of episodes."""
        if seed is not None:
            self._episode_key = jax.random.key(seed)
        self._state, timestep = self._reset(self._next_key(), self._task)
        self._running = True
        return np.asarray(timestep.obs), {}

    def step(self, action: Any) -> tuple[np.ndarray, float, bool, bool, dict[str, Any]]:
        """`(obs, reward, terminated, truncated, info)`. Raises ValueError for an action outside the space's shape or
        values, or if no episode is running."""
        if not self._running:
            raise ValueError(f"step(action={action!r}): no episode is running; call reset() first.")
        checked = _check_action(self._env.spec.action, action)
        self._state, timestep = self._step(self._next_key(), self._task, self._state, checked)
        last, terminated = bool(timestep.last), bool(timestep.discount == 0)
        self._running = not last
        return np.asarray(timestep.obs), float(timestep.reward), terminated, last and not terminated, {}

    def _next_key(self) -> Key:
        self._episode_key, key = jax.random.split(self._episode_key)
        return key


def _to_numpy(task: PyTree) -> NumpyTask:
    return jax.tree.map(np.asarray, task)


def _like(want: jax.Array, got: Any) -> jax.Array:
    """`got` as an array like `want`. Copied, so that later changes to `got` change nothing here."""
    leaf = jnp.array(got, want.dtype)
    if leaf.shape != want.shape:
        raise ValueError(f"set_task(task=...): an array of shape {leaf.shape}, but tasks have {want.shape} there.")
    return leaf


def _check_action(space: Space, action: Any) -> jax.Array:
    array = np.asarray(action)
    if array.shape != space.shape or array.dtype.kind not in ("iu" if isinstance(space, Discrete) else "iuf"):
        raise ValueError(f"step(action={action!r}): must be {space}, got shape {array.shape} and dtype {array.dtype}.")
    if isinstance(space, Discrete) and not 0 <= array < space.num_values:
        raise ValueError(f"step(action={action!r}): must be at least 0 and below {space.num_values}.")
    return jnp.asarray(array, space.dtype)
