"""Gymnasium's environments here, and ours there; needs `pip install innerloop[gymnasium]`."""

from collections.abc import Callable
from functools import partial
from typing import Any, ClassVar

import numpy as np

from innerloop._env import Discrete, Env, EnvSpec
from innerloop._extras import package
from innerloop._task import TaskDistribution
from innerloop._task_api import TaskEnv
from innerloop.bridges._codes import Decoder, Encoder
from innerloop.bridges._host import Host, HostEnv
from innerloop.bridges._pools import Pool, Recipe, Serial, Tell, Vector, Workers
from innerloop.bridges._spaces import actions, gymnasium_space, observations

package("gymnasium")
import gymnasium  # noqa: E402


def from_gymnasium(
    make: str | Callable[..., gymnasium.Env],
    max_steps: int | None = None,
    *,
    tell: Tell = "options",
    num_workers: int = 0,
    timeout: float = 60.0,
) -> HostEnv:
    """A Gymnasium environment as an `Env`: any number of copies, stepped together.

    Args:
        make: an id that is registered with Gymnasium, or a function that makes one environment. It is called without
            arguments first, to see its spaces.
        max_steps: the longest episode; by default the limit that is registered with the id, whose place it takes. Longer
            ones are truncated.
        tell: how a task gets there: "options", as `reset(options=task)`; "set_task", as `env.unwrapped.set_task(task)`
            before a reset; "constructor", as `make(**task)`, anew whenever the task changes; a function of the
            environment and the task, called before a reset; or None, if there is but one task. A task that is a named
            tuple arrives as a dict; arrays are NumPy's, those without axes are numbers.
        num_workers: processes that share the copies; 0 keeps them all in this one. They do not run the main program.
        timeout: seconds that a worker may take to step all its copies once, or to make and reset one; after that it is taken
            for lost.

    Every episode starts with `reset(seed=...)`, the seed being part of what the run's seed decides. So runs can be repeated
    and resumed bit for bit if the environment is deterministic after that, which `check_env` tests.

    Raises:
        ValueError: a space that agents cannot handle, no `max_steps`, an unknown `tell`, a `make` that needs arguments, or
            what cannot be sent to workers.

    What an environment raises later stops the compiled program, as does a worker that is lost again and again. It arrives as
    `jax.errors.JaxRuntimeError`, whose text ends in a `HostError` with the environment's traceback.
    """
    if isinstance(tell, str) and tell not in ("options", "set_task", "constructor"):
        raise ValueError(f"from_gymnasium(tell={tell!r}): choose options, set_task, constructor, a function or None.")
    if num_workers < 0 or timeout <= 0:
        raise ValueError(
            f"from_gymnasium(num_workers={num_workers}, timeout={timeout}): need at least 0 workers, and some seconds."
        )
    build = make if callable(make) else _registered(make, max_steps, num_workers)
    example = _example(build, tell)
    name = make if isinstance(make, str) else str(example)
    seen, done = example.observation_space, example.action_space
    spec = EnvSpec(observations(seen), actions(done), _max_steps(example, max_steps, name))
    example.close()
    recipe = Recipe(build, tell, Encoder(seen), Decoder(done))
    pool: Pool = Workers(recipe, num_workers, timeout) if num_workers else Serial(recipe)
    return HostEnv(spec, Host(pool, spec, name))


def from_vector(
    make_vec: Callable[[int], gymnasium.vector.VectorEnv],
    max_steps: int,
    set_tasks: Callable[[Any, list[Any]], None],
) -> HostEnv:
    """A Gymnasium vector environment as an `Env`.

    Args:
        make_vec: makes one with so many copies. All ways to reset by itself are taken; the last observation is kept.
        max_steps: the longest episode.
        set_tasks: tells it the tasks, one for each copy, before a reset.

    A vector environment that takes no list of seeds, but one number, gets one that is made of all of them. Its episodes can
    be repeated too, but each depends on the seeds of its whole batch.

    Raises ValueError for a space that agents cannot handle.
    """
    example = make_vec(1)
    seen, done = example.single_observation_space, example.single_action_space
    spec = EnvSpec(observations(seen), actions(done), max_steps)
    example.close()

    return HostEnv(spec, Host(Vector(make_vec, set_tasks, Encoder(seen), Decoder(done)), spec, str(example)))


def _registered(name: str, max_steps: int | None, num_workers: int) -> Callable[..., gymnasium.Env]:
    """What makes one, from all that is registered with the name: workers do not know what the main program registers."""
    try:
        spec = gymnasium.spec(name)
    except gymnasium.error.Error as error:
        raise ValueError(f"from_gymnasium(make={name!r}): {error}") from error
    if num_workers and isinstance(spec.entry_point, str) and spec.entry_point.startswith("__main__:"):
        raise ValueError(
            f"from_gymnasium(make={name!r}, num_workers={num_workers}): workers do not run the main program, where its "
            f"entry_point={spec.entry_point!r} is; register the class itself instead of its name."
        )
    return partial(gymnasium.make, spec, max_episode_steps=max_steps, disable_env_checker=True)


def _example(build: Callable[..., gymnasium.Env], tell: Tell) -> gymnasium.Env:
    """One that is made without a task: only its spaces matter."""
    try:
        return build()
    except Exception as error:
        if tell != "constructor":
            raise
        raise ValueError(
            f"from_gymnasium(tell='constructor'): make() without arguments, which is called to see its spaces, raised "
            f"{error!r}; give its arguments defaults."
        ) from error


def _max_steps(env: gymnasium.Env, given: int | None, name: str) -> int:
    if given is not None:
        return given
    if env.spec is None or env.spec.max_episode_steps is None:
        raise ValueError(
            f"from_gymnasium(max_steps=None): {name} has no registered limit; say how long an episode may be."
        )
    return env.spec.max_episode_steps


class ToGymnasium(gymnasium.Env):
    """One of our environments in Gymnasium's form, for other people's code; passes its `check_env`.

    It holds one task. `reset(options={"task": task})` or `set_task(task)` changes it, `sample_tasks(n)` draws some; without
    that, a reset starts another episode of the same task. `reset(seed=...)` decides all that is random until the next one.
    """

    metadata: ClassVar[dict[str, Any]] = {"render_modes": []}

    def __init__(self, env: Env, tasks: TaskDistribution, seed: int = 0):
        self._inner = TaskEnv(env, tasks, seed)
        self.observation_space = gymnasium_space(env.spec.obs)
        self.action_space = gymnasium_space(env.spec.action)
        self._is_discrete = isinstance(env.spec.obs, Discrete)
        self.sample_tasks, self.set_task, self.get_task = (
            self._inner.sample_tasks,
            self._inner.set_task,
            self._inner.get_task,
        )

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        """Start an episode: `(obs, info)`; the info holds the task."""
        super().reset(seed=seed)
        if options and "task" in options:
            self.set_task(options["task"])
        obs, _ = self._inner.reset(seed)
        return self._seen(obs), {"task": self.get_task()}

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        """`(obs, reward, terminated, truncated, info)`."""
        obs, reward, terminated, truncated, info = self._inner.step(action)
        return self._seen(obs), reward, terminated, truncated, info

    def _seen(self, obs: np.ndarray) -> Any:
        return np.int64(obs) if self._is_discrete else obs
