"""Brax (Freeman et al. 2021): bodies with joints, simulated in JAX, and the half-cheetah's families of tasks."""

import warnings
from typing import Any, Literal, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from innerloop._env import Box, Env, EnvSpec, advance, restart
from innerloop._extras import package
from innerloop._task import Finite, Sampled, TaskDistribution
from innerloop._types import Key, TimeStep
from innerloop.bridges._bridge import Bridged, alike, as_arrays, flatten, lenient, scalar

EXTRA = "brax"
Tasks = Literal["none", "direction", "velocity"]


class BraxTask(NamedTuple):
    """What is asked for: a direction (1 or -1), a velocity in m/s, or 0 where the package's own reward counts."""

    target: Float[Array, "*batch"]


class BraxState(NamedTuple):
    """The package's state, and steps done."""

    body: Any
    steps: Int[Array, ""]


class BraxEnv(Env):
    """An env of Brax without its wrappers: it terminates where the package says so, and is truncated after `max_steps`.

    Actions are clipped to [-1, 1]. With a direction d the package's term for running forward, v, becomes d · v; with a
    target velocity v' it becomes -|v - v'|. Its costs stay.
    """

    spec: EnvSpec
    package: Any = eqx.field(static=True)
    tasks: Tasks = eqx.field(static=True)

    @lenient()
    def __init__(
        self, name: str, tasks: Tasks = "none", max_steps: int = 200, backend: str = "spring", **settings: Any
    ):
        envs = package(EXTRA, "envs")
        if name not in envs._envs:
            raise ValueError(f"brax(name={name!r}): choose one of {', '.join(envs._envs)}.")
        if tasks not in ("none", "direction", "velocity"):
            raise ValueError(f"brax(tasks={tasks!r}): choose none, direction or velocity.")
        with warnings.catch_warnings():
            # Each time it is asked for an env the package says that it is no longer maintained; our docs do, too.
            warnings.filterwarnings("ignore", "Brax System", UserWarning)
            self.package = envs.get_environment(name, backend=backend, **settings)
        shapes = jax.eval_shape(self.package.reset, jax.random.key(0))
        if tasks != "none" and not {"reward_run", "x_velocity"} <= shapes.metrics.keys():
            raise ValueError(f"brax({name!r}, tasks={tasks!r}): its reward has no term for running; try halfcheetah.")
        self.tasks = tasks
        num_entries = sum(leaf.size for leaf in jax.tree.leaves(shapes.obs))
        self.spec = EnvSpec(Box((num_entries,)), Box((self.package.action_size,), -1.0, 1.0), max_steps)

    @lenient()
    def reset(self, key: Key, task: BraxTask) -> tuple[BraxState, TimeStep]:
        body = as_arrays(self.package.reset(key))
        return BraxState(body, jnp.zeros((), jnp.int32)), restart(self.spec, flatten(body.obs))

    @lenient()
    def step(self, key: Key, task: BraxTask, state: BraxState, action: Array) -> tuple[BraxState, TimeStep]:
        # The package writes into these two.
        before = state.body.replace(metrics=dict(state.body.metrics), info=dict(state.body.info))
        body = self.package.step(before, jnp.clip(action, -1.0, 1.0))
        reward, steps = scalar(body.reward), state.steps + 1
        if self.tasks != "none":
            run, velocity = scalar(body.metrics["reward_run"]), scalar(body.metrics["x_velocity"])
            wanted = task.target * velocity if self.tasks == "direction" else -jnp.abs(velocity - task.target)
            reward = reward - run + wanted
        terminated = body.done > 0
        truncated = ~terminated & (steps == self.spec.max_steps)
        timestep = advance(flatten(body.obs), action, reward, terminated=terminated, truncated=truncated)
        return BraxState(alike(body, state.body), steps), timestep


def brax(
    name: str = "halfcheetah",
    tasks: Tasks = "none",
    *,
    max_steps: int = 200,
    backend: str = "spring",
    max_velocity: float = 3.0,
    **settings: Any,
) -> Bridged:
    """Brax's env `name`: with its own reward, or (for the half-cheetah) one of two published families.

    `direction`: forward or backward, the same two tasks in training and test. `velocity`: uniform on
    [0, `max_velocity`] m/s. `settings` go to the package's constructor.
    """
    if max_velocity <= 0:
        raise ValueError(f"brax(max_velocity={max_velocity}): must be positive.")
    env = BraxEnv(name, tasks, max_steps, backend, **settings)
    found: TaskDistribution
    if tasks == "velocity":
        found = Sampled(lambda key: BraxTask(jax.random.uniform(key, (), maxval=max_velocity)))
    else:
        found = Finite(BraxTask(jnp.asarray([1.0, -1.0] if tasks == "direction" else [0.0])))
    return Bridged(env, found, found)
