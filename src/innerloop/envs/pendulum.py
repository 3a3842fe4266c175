"""A pendulum to swing up and hold, with the constants of physics as the task.

The standard task is Gymnasium's Pendulum-v1, step for step (a test compares them).
"""

import math
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from innerloop._env import Box, Env, EnvSpec, advance, restart
from innerloop._task import Finite, Sampled
from innerloop._types import Key, TimeStep

SECONDS = 0.05
MAX_TORQUE = 2.0
MAX_VELOCITY = 8.0


class PendulumTask(NamedTuple):
    """`gravity` (m/s²), `mass` (kg) and `length` (m) of a uniform rod that turns about its end."""

    gravity: Float[Array, "*batch"]
    mass: Float[Array, "*batch"]
    length: Float[Array, "*batch"]


STANDARD = (10.0, 1.0, 1.0)


class PendulumState(NamedTuple):
    """Angle from upright (rad, not wrapped), angular velocity (rad/s), and steps done so far."""

    angle: Float[Array, ""]
    velocity: Float[Array, ""]
    steps: Int[Array, ""]


def accelerate(task: PendulumTask, angle: Float[Array, ""], torque: Float[Array, ""]) -> Float[Array, ""]:
    """Angular acceleration: 3 g sin(angle) / (2 l) + 3 torque / (m l²), without friction."""
    turn = 3.0 * task.gravity / (2.0 * task.length) * jnp.sin(angle)
    return turn + 3.0 / (task.mass * task.length**2) * torque


class Pendulum(Env):
    """Turn the rod up and hold it there; the action is the torque (N m), clipped to 2 either way.

    The reward is -(angle² + 0.1 velocity² + 0.001 torque²), with the angle, wrapped to [-pi, pi), and the velocity
    *before* the step. Steps of 0.05 s: first the velocity, clipped to 8 rad/s, then with it the angle. The observation
    is the angle's cosine and sine, and the velocity. Starts with the angle uniform on [-pi, pi] and the velocity on
    [-1, 1]. Nothing terminates: truncated after `max_steps`.
    """

    spec: EnvSpec

    def __init__(self, max_steps: int = 200):
        self.spec = EnvSpec(Box((3,)), Box((1,), -MAX_TORQUE, MAX_TORQUE), max_steps)

    def reset(self, key: Key, task: PendulumTask) -> tuple[PendulumState, TimeStep]:
        angle_key, velocity_key = jax.random.split(key)
        angle = jax.random.uniform(angle_key, minval=-math.pi, maxval=math.pi)
        velocity = jax.random.uniform(velocity_key, minval=-1.0, maxval=1.0)
        state = PendulumState(angle, velocity, jnp.zeros((), jnp.int32))
        return state, restart(self.spec, _show(state))

    def step(self, key: Key, task: PendulumTask, state: PendulumState, action: Array) -> tuple[PendulumState, TimeStep]:
        torque = jnp.clip(action[0], -MAX_TORQUE, MAX_TORQUE)
        cost = _wrap(state.angle) ** 2 + 0.1 * state.velocity**2 + 0.001 * torque**2
        velocity = state.velocity + SECONDS * accelerate(task, state.angle, torque)
        velocity = jnp.clip(velocity, -MAX_VELOCITY, MAX_VELOCITY)
        state = PendulumState(state.angle + SECONDS * velocity, velocity, state.steps + 1)
        return state, advance(_show(state), action, -cost, truncated=state.steps == self.spec.max_steps)


def _wrap(angle: Float[Array, ""]) -> Float[Array, ""]:
    return (angle + math.pi) % (2 * math.pi) - math.pi


def _show(state: PendulumState) -> Float[Array, "3"]:
    return jnp.stack([jnp.cos(state.angle), jnp.sin(state.angle), state.velocity])


def standard_pendulum() -> Finite:
    """The one task of Pendulum-v1."""
    return Finite(PendulumTask(*(jnp.full((1,), value) for value in STANDARD)))


def pendulum_masses(low: float = 0.5, high: float = 2.0) -> Sampled:
    """Masses uniform on [`low`, `high`], the rest as in Pendulum-v1; the default is RLlib's PendulumMassEnv."""
    if not 0 < low < high:
        raise ValueError(f"pendulum_masses(low={low}, high={high}): need 0 < low < high.")
    gravity, _, length = STANDARD

    def sample(key: Key) -> PendulumTask:
        mass = jax.random.uniform(key, minval=low, maxval=high)
        return PendulumTask(jnp.float32(gravity), mass, jnp.float32(length))

    return Sampled(sample)
