"""The environment contract: a pure MDP or POMDP whose task is an argument."""

import abc
import math
from dataclasses import replace
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float

from innerloop._types import Key, Task, TimeStep, Transition

EnvState = Any


class Discrete(eqx.Module):
    """The integers `0 .. num_values - 1`, as an int32 scalar."""

    num_values: int = eqx.field(static=True)

    def __check_init__(self) -> None:
        if self.num_values < 1:
            raise ValueError(f"Discrete(num_values={self.num_values}): need at least 1 value.")

    @property
    def shape(self) -> tuple[int, ...]:
        return ()

    @property
    def dtype(self) -> Any:
        return jnp.int32

    @property
    def num_features(self) -> int:
        """Width of the one-hot code."""
        return self.num_values


class Box(eqx.Module):
    """A float32 array of a given shape, between `low` and `high` (the same bounds for every entry).

    Args:
        ignored: entries of a vector, counted from 0, that are no features of it: whoever observes does not look at them.
        origin, unit: of every entry of a vector. Features are (entry - origin) / unit: nets learn slowly from numbers that
            are far from 0 and vary by hundredths. Both or neither.
    """

    shape: tuple[int, ...] = eqx.field(static=True)
    low: float = eqx.field(static=True, default=-float("inf"))
    high: float = eqx.field(static=True, default=float("inf"))
    ignored: tuple[int, ...] = eqx.field(static=True, default=())
    origin: tuple[float, ...] = eqx.field(static=True, default=())
    unit: tuple[float, ...] = eqx.field(static=True, default=())

    def __check_init__(self) -> None:
        if not self.low < self.high:
            raise ValueError(f"Box(low={self.low}, high={self.high}): low must be below high.")
        if self.origin or self.unit:
            num = self.shape[0] if len(self.shape) == 1 else 0
            if not len(self.origin) == len(self.unit) == num or not np.isfinite(self.origin).all():
                raise ValueError(
                    f"Box(origin={self.origin}, unit={self.unit}): give a finite origin and a unit of each entry of a "
                    f"vector; the shape is {self.shape}."
                )
            if not all(0 < x < float("inf") for x in self.unit):
                raise ValueError(f"Box(unit={self.unit}): must be positive and finite.")
        if not self.ignored:
            return
        if len(self.shape) != 1:
            raise ValueError(
                f"Box(ignored={self.ignored}): only entries of a vector are ignored; the shape is {self.shape}."
            )
        if len(set(self.ignored) & set(range(self.shape[0]))) < len(self.ignored) or len(self.ignored) == self.shape[0]:
            raise ValueError(
                f"Box(ignored={self.ignored}): name some of the entries 0 to {self.shape[0] - 1}, each once."
            )

    @property
    def dtype(self) -> Any:
        return jnp.float32

    @property
    def num_features(self) -> int:
        """Number of entries that are not ignored."""
        return math.prod(self.shape) - len(self.ignored)


Space = Discrete | Box


def encode(space: Space, value: Array) -> Float[Array, " features"]:
    """A value as a float vector: one-hot if discrete; flattened if a box, in its units, without what is ignored."""
    if isinstance(space, Discrete):
        return jax.nn.one_hot(value, space.num_values)
    features = jnp.ravel(value).astype(jnp.float32)
    if space.unit:
        features = (features - np.asarray(space.origin, np.float32)) / np.asarray(space.unit, np.float32)
    return features[np.delete(np.arange(features.size), space.ignored)] if space.ignored else features


class EnvSpec(eqx.Module):
    """What an agent must know to be built: `obs` and `action` spaces, and the longest episode in steps."""

    obs: Space
    action: Space
    max_steps: int = eqx.field(static=True)

    def __check_init__(self) -> None:
        if self.max_steps < 1:
            raise ValueError(f"EnvSpec(max_steps={self.max_steps}): an episode needs at least 1 step.")
        if isinstance(self.action, Box) and (self.action.ignored or self.action.unit):
            raise ValueError(
                f"EnvSpec(action={self.action}): all of an action counts, as it is; leave `ignored`, `origin` and `unit` to "
                "observations."
            )

    def ignoring(self, entries: tuple[int, ...]) -> "EnvSpec":
        """The same, for agents that do not look at these entries of an observation. Raises ValueError if it is no vector."""
        if not isinstance(self.obs, Box):
            raise ValueError(f"ignored={entries}: observations are {self.obs}; only entries of a vector are ignored.")
        return replace(self, obs=replace(self.obs, ignored=entries))


class Env(eqx.Module):
    """A family of MDPs that share spaces and differ in their task.

    Both methods are pure functions of one key, one task and one state. An env never resets itself (the rollout does)
    and never draws a task (a `TaskDistribution` does), so the same task can be played again and again.
    """

    spec: eqx.AbstractVar[EnvSpec]

    @abc.abstractmethod
    def reset(self, key: Key, task: Task) -> tuple[EnvState, TimeStep]:
        """Start an episode of `task`. Build the time step with `restart`."""

    @abc.abstractmethod
    def step(self, key: Key, task: Task, state: EnvState, action: Array) -> tuple[EnvState, TimeStep]:
        """Do one step. Build the time step with `advance`."""


def restart(spec: EnvSpec, obs: Array) -> TimeStep:
    """The first time step of an episode: reward 0, discount 1, previous action 0."""
    return TimeStep(
        obs=obs,
        prev_action=jnp.zeros(spec.action.shape, spec.action.dtype),
        reward=jnp.zeros(()),
        discount=jnp.ones(()),
        first=jnp.ones((), bool),
        last=jnp.zeros((), bool),
    )


def advance(
    obs: Array,
    action: Array,
    reward: Float[Array, ""],
    *,
    terminated: Bool[Array, ""] | bool = False,
    truncated: Bool[Array, ""] | bool = False,
) -> TimeStep:
    """A later time step. `terminated`: the MDP ended (discount 0). `truncated`: time ran out (discount 1)."""
    terminated = jnp.asarray(terminated)
    return TimeStep(
        obs=obs,
        prev_action=action,
        reward=reward,
        discount=1.0 - terminated.astype(jnp.float32),
        first=jnp.zeros((), bool),
        last=terminated | jnp.asarray(truncated),
    )


def blank_transition(spec: EnvSpec) -> Transition:
    """Shapes and dtypes of a step, without extras; it is not valid."""
    action = jnp.zeros(spec.action.shape, spec.action.dtype)
    timestep = restart(spec, jnp.zeros(spec.obs.shape, spec.obs.dtype))
    return Transition(timestep, action, timestep, jnp.zeros((), bool), None)
