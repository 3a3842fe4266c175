"""Environments that live on the host and cannot be copied, as an `Env`: slots, seeds, and what is refused."""

import threading
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Int

from innerloop._devices import in_use
from innerloop._env import Env, EnvSpec, advance, restart
from innerloop._types import Key, Task, TimeStep
from innerloop.bridges._calls import call_host
from innerloop.bridges._pools import HostError, Pool, Results


class HostState(NamedTuple):
    """Which copy plays the episode, which of its episodes that is, and the steps done so far."""

    slot: Int[Array, ""]
    episode: Int[Array, ""]
    steps: Int[Array, ""]


class HostEnv(Env):
    """An `Env` over a pool. All tasks of a batch are reset and stepped in one call to the host.

    Every episode starts from a seed and a task that are arguments, so whole trials can be played again; a state cannot:
    a step from any but the newest state of a running episode is refused. Hence collectors of whole trials only, on one
    device of a process, since several would use the pool at once. Raises ValueError for more when it is traced.
    """

    spec: EnvSpec
    host: "Host" = eqx.field(static=True)

    def reset(self, key: Key, task: Task) -> tuple[HostState, TimeStep]:
        mesh = in_use()
        if mesh is not None and mesh.size > jax.process_count():
            raise ValueError(
                f"num_devices={mesh.size}: environments outside of the compiled program are played by one device of each "
                "process; use num_devices=1, and num_workers of from_gymnasium for more cores."
            )
        int32 = jax.ShapeDtypeStruct((), jnp.int32)
        shapes = (int32, int32, jax.ShapeDtypeStruct(self.spec.obs.shape, self.spec.obs.dtype))
        seed = jax.random.bits(key, dtype=jnp.uint32)
        treedef = jax.tree.structure(task)
        slot, episode, obs = call_host(
            lambda seed, *leaves: self.host.reset(treedef, seed, leaves), shapes, seed, *jax.tree.leaves(task)
        )
        return HostState(slot, episode, jnp.zeros((), jnp.int32)), restart(self.spec, obs)

    def step(self, key: Key, task: Task, state: HostState, action: Array) -> tuple[HostState, TimeStep]:
        seen, flag = jax.ShapeDtypeStruct(self.spec.obs.shape, self.spec.obs.dtype), jax.ShapeDtypeStruct((), bool)
        shapes = (seen, jax.ShapeDtypeStruct((), jnp.float32), flag, flag)
        obs, reward, terminated, truncated = call_host(self.host.step, shapes, *state, action)
        state = state._replace(steps=state.steps + 1)
        truncated = truncated | (state.steps >= self.spec.max_steps)
        return state, advance(obs, action, reward, terminated=terminated, truncated=truncated & ~terminated)


class Host:
    """Between callbacks and a pool: checks what goes through, and lets finished episodes rest."""

    def __init__(self, pool: Pool, spec: EnvSpec, name: str):
        self.pool, self._spec, self._name = pool, spec, name
        self._lock = threading.Lock()
        self._episode = 0
        self._steps = 0
        self._seeds, self._rows = np.zeros(0, np.uint32), np.zeros(0, np.int32)
        self._tasks: list[Any] = []
        self._last: Results | None = None

    def reset(self, treedef: Any, seeds: Any, leaves: Any) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """A new episode for each seed; what ran before is over."""
        batch, seeds = np.shape(seeds), np.asarray(seeds).reshape(-1)
        flat = [np.asarray(leaf).reshape(len(seeds), *np.shape(leaf)[len(batch) :]) for leaf in leaves]
        tasks = [plain(jax.tree.unflatten(treedef, [leaf[i] for leaf in flat])) for i in range(len(seeds))]
        slots = np.arange(len(seeds), dtype=np.int32)
        with self._lock, self._closed_by_errors():
            self._seeds, self._tasks = seeds, tasks
            self._episode, self._steps = self._episode + 1, 0
            obs = self._begin(slots)
            return slots.reshape(batch), np.full(batch, self._episode, np.int32), obs.reshape((*batch, *obs.shape[1:]))

    def _begin(self, rows: np.ndarray) -> np.ndarray:
        """Start those episodes of the last reset, each in a copy of its own; observations, a row each."""
        obs = self._checked(self.pool.reset(self._seeds[rows], [self._tasks[row] for row in rows]), len(rows))
        no = np.zeros(len(rows), bool)
        self._rows, self._last = rows, Results(obs, np.zeros(len(rows), np.float32), no, no)
        return obs

    def step(self, slots: Any, episodes: Any, steps: Any, actions: Any) -> tuple[np.ndarray, ...]:
        """One step of all episodes of the last reset."""
        batch, size = np.shape(slots), np.size(slots)
        actions = np.asarray(actions).reshape(size, *self._spec.action.shape)
        with self._lock, self._closed_by_errors():
            last = self._newest(np.ravel(slots), episodes, steps)
            running = ~(last.terminated | last.truncated)
            if running.any():
                results = self.pool.step(running, actions)
                obs = self._checked(np.where(_like(running, results.obs), results.obs, last.obs), size)
                reward = np.where(running, results.reward, 0.0).astype(np.float32)
                if not np.isfinite(reward).all():
                    raise HostError(f"{self._name}: step() gave a reward that is NaN or infinite.")
                ends = (np.where(running, new, old) for new, old in zip(results[2:], last[2:], strict=True))
                self._last = last = Results(obs, reward, *ends)
            else:
                self._last = last = last._replace(reward=np.zeros(size, np.float32))
            self._steps += 1
            return tuple(x.reshape((*batch, *x.shape[1:])) for x in last)

    def _newest(self, rows: np.ndarray, episodes: Any, steps: Any) -> Results:
        """What the states saw last. Raises HostError if they are not the newest.

        Under a `vmap` over what only actions depend on, as over agents, a reset is not batched and a step is: episodes that
        started as one go on as several. They start again, each in a copy of its own, as their slots say.
        """
        is_newest = bool((np.asarray(episodes) == self._episode).all() and (np.asarray(steps) == self._steps).all())
        if is_newest and self._last is not None and self._steps == 0 and not np.array_equal(rows, self._rows):
            seen = self._last.obs[rows]
            if not np.array_equal(self._begin(rows), seen):
                raise HostError(
                    f"{self._name}: an episode that several agents are to play (a vmap over agents with one key) started "
                    "differently for each. Let the seed alone decide how it starts, or give each agent a key of its own."
                )
        if not is_newest or self._last is None or not np.array_equal(rows, self._rows):
            raise HostError(
                f"{self._name}: a step from a state that is no longer the newest. Such an environment cannot go back: "
                "play it in whole trials (JaxCollector, no stream_steps), and one program at a time."
            )
        return self._last

    @contextmanager
    def _closed_by_errors(self) -> Iterator[None]:
        """After an error some copies may have answered and others not; the next reset makes them anew."""
        try:
            yield
        except Exception as error:
            self._last = None
            self.pool.close()
            if isinstance(error, HostError):
                raise
            raise HostError(f"{self._name}: {traceback.format_exc()}") from error

    def _checked(self, obs: np.ndarray, size: int) -> np.ndarray:
        space, obs = self._spec.obs, np.asarray(obs)
        if obs.shape != (size, *space.shape):
            raise HostError(
                f"{self._name}: observations have shape {obs.shape[1:]}, but the space says {space.shape}; change one of "
                "them."
            )
        if not np.isfinite(obs).all():
            raise HostError(f"{self._name}: an observation holds NaN or infinity.")
        return obs.astype(space.dtype)


def plain(task: Any) -> Any:
    """A task as other people's code likes it: named tuples as dicts, arrays without axes as numbers."""
    if hasattr(task, "_asdict"):
        return {name: plain(value) for name, value in task._asdict().items()}
    if isinstance(task, dict):
        return {name: plain(value) for name, value in task.items()}
    if isinstance(task, list | tuple):
        return type(task)(plain(value) for value in task)
    array = np.asarray(task)
    return array.item() if array.ndim == 0 else array


def _like(mask: np.ndarray, array: np.ndarray) -> np.ndarray:
    """With as many axes, so that it says which rows are meant."""
    return mask.reshape(-1, *(1,) * (array.ndim - 1))
