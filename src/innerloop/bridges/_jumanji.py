"""Jumanji (Bonnet et al. 2024): games, puzzles, packing and routing.

The package ends an episode at its time limit with discount 0, as if the problem had ended. Here it is built with a limit
one step longer and cut off before, so that what ends an episode by itself can be told from time that ran out.
"""

import inspect
import math
from collections.abc import Iterator
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from innerloop._env import Box, Discrete, Env, EnvSpec, Space, advance, restart
from innerloop._extras import package
from innerloop._task import Finite, Sampled
from innerloop._types import Key, TimeStep
from innerloop.bridges._bridge import Bridged, alike, as_arrays, bounded, lenient, scalar

EXTRA = "jumanji"
MAX_ACTIONS = 1000
NUM_INSTANCES = 2**28
"""Fifths of this many numbers of instances, four for training and one for tests."""


class InstanceTask(NamedTuple):
    """The number of an instance: what the package's `reset` draws with this seed."""

    seed: Int[Array, "*batch"]


class JumanjiState(NamedTuple):
    """The package's state, and steps done."""

    inner: Any
    steps: Int[Array, ""]


class JumanjiEnv(Env):
    """An env of Jumanji with one agent: its own rewards and endings, truncated after `max_steps`.

    All arrays of its observation, action masks included, make one vector, in the order of its specification; entries
    with finite bounds are scaled to [0, 1]. A choice of several numbers at once becomes one number, the last varying
    fastest. With `same_instance` every episode of a task starts from the same draw; else each from a new one.
    """

    spec: EnvSpec
    package: Any = eqx.field(static=True)
    choices: tuple[int, ...] = eqx.field(static=True)
    same_instance: bool = eqx.field(static=True)
    low: Float[Array, " entries"]
    span: Float[Array, " entries"]

    @lenient()
    def __init__(self, name: str, max_steps: int | None = None, same_instance: bool = True, **settings: Any):
        made = package(EXTRA)
        if name not in made.registered_environments():
            raise ValueError(
                f"jumanji(name={name!r}): choose one of {', '.join(sorted(made.registered_environments()))}."
            )
        env = made.make(name, **settings)
        limit = max_steps or getattr(env, "time_limit", None)
        if limit is None:
            raise ValueError(f"jumanji({name!r}): this env has no time limit; pass max_steps.")
        if "time_limit" in inspect.signature(type(env).__init__).parameters:
            env = made.make(name, **{**settings, "time_limit": limit + 1})
        if env.reward_spec.shape != ():
            raise ValueError(f"jumanji({name!r}): rewards have shape {env.reward_spec.shape}; one agent is bridged.")
        self.package, self.same_instance = env, same_instance
        action, self.choices = _action_space(name, env.action_spec)
        bounds = [_bounds(leaf) for leaf in _leaves(env.observation_spec)]
        low, high = (np.concatenate([pair[i] for pair in bounds]) for i in (0, 1))
        self.low, self.span = jnp.asarray(low), jnp.asarray(high - low)
        self.spec = EnvSpec(Box(low.shape), action, limit)

    def _see(self, observation: Any) -> Float[Array, " entries"]:
        entries = _values(self.package.observation_spec, observation)
        return (jnp.concatenate([jnp.ravel(x).astype(jnp.float32) for x in entries]) - self.low) / self.span

    @lenient()
    def reset(self, key: Key, task: InstanceTask) -> tuple[JumanjiState, TimeStep]:
        drawn = jax.random.key(task.seed) if self.same_instance else key
        # A plain key, as the package says, so that its state is made of plain arrays.
        inner, timestep = self.package.reset(jax.random.key_data(drawn))
        return JumanjiState(as_arrays(inner), jnp.zeros((), jnp.int32)), restart(
            self.spec, self._see(timestep.observation)
        )

    @lenient()
    def step(self, key: Key, task: InstanceTask, state: JumanjiState, action: Array) -> tuple[JumanjiState, TimeStep]:
        taken = jnp.stack(jnp.unravel_index(action, self.choices)).astype(jnp.int32) if self.choices else action
        inner, after = self.package.step(state.inner, taken)
        steps = state.steps + 1
        terminated = after.last() & (after.discount == 0)
        truncated = ~terminated & (after.last() | (steps == self.spec.max_steps))
        timestep = advance(
            self._see(after.observation), action, scalar(after.reward), terminated=terminated, truncated=truncated
        )
        return JumanjiState(alike(inner, state.inner), steps), timestep


def _action_space(name: str, spec: Any) -> tuple[Space, tuple[int, ...]]:
    """The space, and how many choices each of several numbers has."""
    specs = package(EXTRA, "specs")
    if isinstance(spec, specs.DiscreteArray):
        return Discrete(int(spec.num_values)), ()
    if isinstance(spec, specs.MultiDiscreteArray):
        choices = tuple(int(x) for x in np.asarray(spec.num_values).ravel())
        if math.prod(choices) <= MAX_ACTIONS and len(spec.shape) == 1:
            return Discrete(math.prod(choices)), choices
        raise ValueError(f"jumanji({name!r}): {choices} choices at once are more than {MAX_ACTIONS} actions.")
    if isinstance(spec, specs.BoundedArray) and np.issubdtype(spec.dtype, np.floating):
        return bounded(f"jumanji({name!r})", spec, spec.shape, spec.minimum, spec.maximum), ()
    raise ValueError(f"jumanji({name!r}): actions are {spec}, which is not bridged.")


def _leaves(spec: Any) -> Iterator[Any]:
    """The arrays that a specification is made of, in its order."""
    if isinstance(spec, package(EXTRA, "specs").Array):
        yield spec
    else:
        for part in spec._specs.values():
            yield from _leaves(part)


def _values(spec: Any, value: Any) -> Iterator[Array]:
    """The arrays of an observation, in the order of its specification."""
    if isinstance(spec, package(EXTRA, "specs").Array):
        yield jnp.asarray(value)
    else:
        for name, part in spec._specs.items():
            yield from _values(part, getattr(value, name))


def _bounds(spec: Any) -> tuple[Float[np.ndarray, " entries"], Float[np.ndarray, " entries"]]:
    """Least and greatest value of each entry; 0 and 1, which change nothing, where they are not finite."""
    if not isinstance(spec, package(EXTRA, "specs").BoundedArray):
        return np.zeros(math.prod(spec.shape), np.float32), np.ones(math.prod(spec.shape), np.float32)
    low, high = (
        np.broadcast_to(np.asarray(x, np.float32), spec.shape).reshape(-1) for x in (spec.minimum, spec.maximum)
    )
    scaled = np.isfinite(low) & np.isfinite(high) & (low < high)
    return np.where(scaled, low, 0.0).astype(np.float32), np.where(scaled, high, 1.0).astype(np.float32)


def jumanji(name: str, *, max_steps: int | None = None, same_instance: bool = True, **settings: Any) -> Bridged:
    """Jumanji's env `name`; a task is an instance (a maze, a set of items), a fifth of them held out for testing.

    `max_steps`: the package's time limit if None; envs without one need it. With `same_instance=False` there is one task,
    and every episode has an instance of its own. `settings` go to the package's `make`.
    """
    env = JumanjiEnv(name, max_steps, same_instance, **settings)
    if not same_instance:
        single = Finite(InstanceTask(jnp.zeros((1,), jnp.int32)))
        return Bridged(env, single, single)

    def train(key: Key) -> InstanceTask:
        number_key, part_key = jax.random.split(key)
        number = jax.random.randint(number_key, (), 0, NUM_INSTANCES)
        return InstanceTask(5 * number + jax.random.randint(part_key, (), 1, 5))

    def test(key: Key) -> InstanceTask:
        return InstanceTask(5 * jax.random.randint(key, (), 0, NUM_INSTANCES))

    return Bridged(env, Sampled(train), Sampled(test))
