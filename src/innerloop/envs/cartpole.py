"""Cart and pole, with the constants of physics as the task.

The standard task is Gymnasium's CartPole-v1, step for step (a test compares them).
Source: Barto, Sutton and Anderson 1983, with the equations as corrected by Florian 2007.
"""

import math
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from innerloop._env import Box, Discrete, Env, EnvSpec, advance, restart
from innerloop._task import Finite, Sampled
from innerloop._types import Key, TimeStep

SECONDS = 0.02
MAX_POSITION = 2.4
MAX_ANGLE = 12 * math.pi / 180


class CartPoleTask(NamedTuple):
    """`gravity` (m/s²), masses (kg), half the pole's length (m), and the force of a push (N)."""

    gravity: Float[Array, "*batch"]
    cart_mass: Float[Array, "*batch"]
    pole_mass: Float[Array, "*batch"]
    half_length: Float[Array, "*batch"]
    force: Float[Array, "*batch"]


STANDARD = (9.8, 1.0, 0.1, 0.5, 10.0)


class CartPoleState(NamedTuple):
    """Position, velocity, angle, angular velocity (m, m/s, rad, rad/s), and steps done so far."""

    physics: Float[Array, "4"]
    steps: Int[Array, ""]


def accelerate(task: CartPoleTask, physics: Float[Array, "4"], force: Float[Array, ""]) -> Float[Array, "4"]:
    """Time derivative of `physics` under `force` (Florian 2007, without friction)."""
    _, velocity, angle, spin = physics
    sin, cos = jnp.sin(angle), jnp.cos(angle)
    total_mass = task.cart_mass + task.pole_mass
    moment = task.pole_mass * task.half_length
    push = (force + moment * spin**2 * sin) / total_mass
    turn = (task.gravity * sin - cos * push) / (task.half_length * (4.0 / 3.0 - task.pole_mass * cos**2 / total_mass))
    return jnp.stack([velocity, push - moment * turn * cos / total_mass, spin, turn])


class CartPole(Env):
    """Push the cart left (action 0) or right (1) to keep the pole up: reward 1 a step, explicit Euler steps of 0.02 s.

    Terminates when the cart is more than 2.4 m from the middle or the pole more than 12 degrees from upright; truncated
    after `max_steps`. Starts with all four numbers uniform on [-0.05, 0.05]. The best return is `max_steps`.
    """

    spec: EnvSpec

    def __init__(self, max_steps: int = 500):
        self.spec = EnvSpec(Box((4,)), Discrete(2), max_steps)

    def reset(self, key: Key, task: CartPoleTask) -> tuple[CartPoleState, TimeStep]:
        physics = jax.random.uniform(key, (4,), minval=-0.05, maxval=0.05)
        return CartPoleState(physics, jnp.zeros((), jnp.int32)), restart(self.spec, physics)

    def step(self, key: Key, task: CartPoleTask, state: CartPoleState, action: Array) -> tuple[CartPoleState, TimeStep]:
        force = jnp.where(action == 1, task.force, -task.force)
        physics = state.physics + SECONDS * accelerate(task, state.physics, force)
        state = CartPoleState(physics, state.steps + 1)
        terminated = (jnp.abs(physics[0]) > MAX_POSITION) | (jnp.abs(physics[2]) > MAX_ANGLE)
        truncated = ~terminated & (state.steps == self.spec.max_steps)
        return state, advance(physics, action, jnp.ones(()), terminated=terminated, truncated=truncated)


def standard_cartpole() -> Finite:
    """The one task of CartPole-v1."""
    return Finite(CartPoleTask(*(jnp.full((1,), value) for value in STANDARD)))


def varied_cartpoles(low: float = 0.5, high: float = 1.5) -> Sampled:
    """Each constant is the standard one times an independent factor, uniform on [`low`, `high`]."""
    if not 0 < low < high:
        raise ValueError(f"varied_cartpoles(low={low}, high={high}): need 0 < low < high.")

    def sample(key: Key) -> CartPoleTask:
        factors = jax.random.uniform(key, (len(STANDARD),), minval=low, maxval=high)
        return CartPoleTask(*(value * factor for value, factor in zip(STANDARD, factors, strict=True)))

    return Sampled(sample)


POLE_LENGTHS = (1.5, 0.7, 0.1, 2.9)
POLE_MASSES = (0.5, 0.2, 0.1, 0.9)
"""Mean, deviation, least and greatest of half the pole's length (m) and of its mass (kg) in the ensemble."""


def pole_ensemble() -> Sampled:
    """Poles of unknown length and mass, each a normal distribution cut off at two deviations; the rest is standard."""

    def draw(key: Key, mean: float, deviation: float, low: float, high: float) -> Float[Array, ""]:
        lower, upper = (low - mean) / deviation, (high - mean) / deviation
        return mean + deviation * jax.random.truncated_normal(key, lower, upper)

    def sample(key: Key) -> CartPoleTask:
        length_key, mass_key = jax.random.split(key)
        return _pole(draw(length_key, *POLE_LENGTHS), draw(mass_key, *POLE_MASSES))

    return Sampled(sample)


def mean_pole() -> Finite:
    """The one model in the middle of `pole_ensemble`."""
    return Finite(_pole(jnp.asarray([POLE_LENGTHS[0]]), jnp.asarray([POLE_MASSES[0]])))


def pole_grid(num_lengths: int = 20, num_masses: int = 10) -> Finite:
    """Poles spread evenly over the whole range of `pole_ensemble`, its ends included; lengths vary slowest."""
    for name, number in (("num_lengths", num_lengths), ("num_masses", num_masses)):
        if number < 2:
            raise ValueError(f"pole_grid({name}={number}): must be at least 2, for both ends.")
    lengths, masses = jnp.linspace(*POLE_LENGTHS[2:], num_lengths), jnp.linspace(*POLE_MASSES[2:], num_masses)
    return Finite(_pole(jnp.repeat(lengths, num_masses), jnp.tile(masses, num_lengths)))


def _pole(half_length: Float[Array, "*batch"], mass: Float[Array, "*batch"]) -> CartPoleTask:
    gravity, cart_mass, _, _, force = (jnp.full_like(mass, value) for value in STANDARD)
    return CartPoleTask(gravity, cart_mass, mass, half_length, force)
