"""Two links to swing up by a torque at the joint between them, with the constants of physics as the task.

The standard task is Gymnasium's Acrobot-v1, step for step (a test compares them).
Source: Sutton and Barto 1998, section 11.3 (Gymnasium's "book" equations, which keep the term in spin_1² that
Sutton 1996 leaves out).
"""

import math
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from innerloop._env import Box, Discrete, Env, EnvSpec, advance, restart
from innerloop._task import Finite, Sampled
from innerloop._types import Key, TimeStep

SECONDS = 0.2
MAX_SPINS = (4 * math.pi, 9 * math.pi)


class AcrobotTask(NamedTuple):
    """Lengths (m) and masses (kg) of the links, the moment of inertia of either about its middle (kg m²), the torque of
    an action (N m), and `gravity` (m/s²). The centre of mass is the middle of a link.
    """

    length_1: Float[Array, "*batch"]
    length_2: Float[Array, "*batch"]
    mass_1: Float[Array, "*batch"]
    mass_2: Float[Array, "*batch"]
    inertia: Float[Array, "*batch"]
    torque: Float[Array, "*batch"]
    gravity: Float[Array, "*batch"]


STANDARD = (1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 9.8)


class AcrobotState(NamedTuple):
    """Angle of link 1 from hanging, of link 2 from link 1, their velocities (rad, rad/s), and steps done so far."""

    physics: Float[Array, "4"]
    steps: Int[Array, ""]


def accelerate(task: AcrobotTask, physics: Float[Array, "4"], torque: Float[Array, ""]) -> Float[Array, "4"]:
    """Time derivative of `physics` under `torque` (N m) at the second joint, without friction."""
    angle_1, angle_2, spin_1, spin_2 = physics
    com_1, com_2 = task.length_1 / 2.0, task.length_2 / 2.0
    sin, cos = jnp.sin(angle_2), jnp.cos(angle_2)
    coupling = task.mass_2 * task.length_1 * com_2
    inertia_2 = task.mass_2 * com_2**2 + task.inertia
    shared = inertia_2 + coupling * cos
    inertia_1 = task.mass_1 * com_1**2 + task.inertia + task.mass_2 * task.length_1**2 + coupling * cos + shared
    pull_2 = task.mass_2 * com_2 * task.gravity * jnp.sin(angle_1 + angle_2)
    pull_1 = (task.mass_1 * com_1 + task.mass_2 * task.length_1) * task.gravity * jnp.sin(angle_1) + pull_2
    load = pull_1 - coupling * sin * (spin_2**2 + 2.0 * spin_1 * spin_2)
    ratio = shared / inertia_1
    turn_2 = (torque + ratio * load - coupling * sin * spin_1**2 - pull_2) / (inertia_2 - ratio * shared)
    return jnp.stack([spin_1, spin_2, -(shared * turn_2 + load) / inertia_1, turn_2])


class Acrobot(Env):
    """Swing the free end above the line: the actions 0, 1, 2 are a torque of -1, 0, 1 times the task's.

    The reward is -1 a step, and 0 for the step that terminates: when -cos(angle_1) - cos(angle_1 + angle_2) > 1, which
    for links of 1 m means that the end is more than 1 m above the fixed joint. Truncated after `max_steps`. A step is
    one of Runge-Kutta (order 4) over 0.2 s; then angles are wrapped to [-pi, pi] and velocities clipped to 4 pi and
    9 pi. The observation is cosine and sine of angle 1, the same of angle 2, and both velocities. Starts with all four
    numbers uniform on [-0.1, 0.1].
    """

    spec: EnvSpec

    def __init__(self, max_steps: int = 500):
        self.spec = EnvSpec(Box((6,)), Discrete(3), max_steps)

    def reset(self, key: Key, task: AcrobotTask) -> tuple[AcrobotState, TimeStep]:
        physics = jax.random.uniform(key, (4,), minval=-0.1, maxval=0.1)
        return AcrobotState(physics, jnp.zeros((), jnp.int32)), restart(self.spec, _show(physics))

    def step(self, key: Key, task: AcrobotTask, state: AcrobotState, action: Array) -> tuple[AcrobotState, TimeStep]:
        torque = task.torque * (action - 1).astype(jnp.float32)
        physics = _limit(_integrate(task, state.physics, torque))
        state = AcrobotState(physics, state.steps + 1)
        terminated = -jnp.cos(physics[0]) - jnp.cos(physics[0] + physics[1]) > 1.0
        truncated = ~terminated & (state.steps == self.spec.max_steps)
        reward = jnp.where(terminated, 0.0, -1.0)
        return state, advance(_show(physics), action, reward, terminated=terminated, truncated=truncated)


def _integrate(task: AcrobotTask, physics: Float[Array, "4"], torque: Float[Array, ""]) -> Float[Array, "4"]:
    slope_1 = accelerate(task, physics, torque)
    slope_2 = accelerate(task, physics + SECONDS / 2 * slope_1, torque)
    slope_3 = accelerate(task, physics + SECONDS / 2 * slope_2, torque)
    slope_4 = accelerate(task, physics + SECONDS * slope_3, torque)
    return physics + SECONDS / 6 * (slope_1 + 2.0 * slope_2 + 2.0 * slope_3 + slope_4)


def _limit(physics: Float[Array, "4"]) -> Float[Array, "4"]:
    angles, spins = physics[:2], physics[2:]
    angles = angles - 2 * math.pi * jnp.round(angles / (2 * math.pi))
    limits = jnp.asarray(MAX_SPINS)
    return jnp.concatenate([angles, jnp.clip(spins, -limits, limits)])


def _show(physics: Float[Array, "4"]) -> Float[Array, "6"]:
    angles, spins = physics[:2], physics[2:]
    return jnp.concatenate([jnp.stack([jnp.cos(angles), jnp.sin(angles)], axis=1).ravel(), spins])


def standard_acrobot() -> Finite:
    """The one task of Acrobot-v1."""
    return Finite(AcrobotTask(*(jnp.full((1,), value) for value in STANDARD)))


def varied_acrobots(low: float = 0.8, high: float = 1.2) -> Sampled:
    """Each constant is the standard one times an independent factor, uniform on [`low`, `high`]."""
    if not 0 < low < high:
        raise ValueError(f"varied_acrobots(low={low}, high={high}): need 0 < low < high.")

    def sample(key: Key) -> AcrobotTask:
        factors = jax.random.uniform(key, (len(STANDARD),), minval=low, maxval=high)
        return AcrobotTask(*(value * factor for value, factor in zip(STANDARD, factors, strict=True)))

    return Sampled(sample)
