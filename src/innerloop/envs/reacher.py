"""A planar arm of two links that reaches for a goal it is not told.

This library's own model, *not* MuJoCo's Reacher: only the lengths of the links and the 50 steps of 0.02 s are taken
from there. Results on one say nothing about the other.

Two equal uniform rods (mass m, length l) move in a horizontal plane, so gravity does nothing. With the angles q (of
link 1 from the x axis, of link 2 from link 1) and the torques u at the joints,
M(q) q'' + C(q, q') q' + damping q' = u.
"""

import math
from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from innerloop._env import Box, Env, EnvSpec, advance, restart
from innerloop._task import Sampled
from innerloop._types import Key, TimeStep

LENGTH = 0.1
MASS = 0.05
MAX_TORQUE = 0.1
SECONDS = 0.004
NUM_SUBSTEPS = 5
MAX_VELOCITY = 50.0
REACH = 2 * LENGTH
CONTROL_COST = 0.01
VELOCITY_SCALE = 10.0
INERTIA = MASS * LENGTH**2


class ReacherTask(NamedTuple):
    """Where the fingertip should be (m), in the plane; the fixed joint is the origin."""

    goal: Float[Array, "2"]


class ReacherState(NamedTuple):
    """Angles and velocities of the joints (rad, not wrapped, and rad/s), and steps done so far."""

    angles: Float[Array, "2"]
    velocities: Float[Array, "2"]
    steps: Int[Array, ""]


def mass_matrix(angles: Float[Array, "2"]) -> Float[Array, "2 2"]:
    """M(q) in kg m²: m l² [[5/3 + cos q2, 1/3 + cos(q2) / 2], [1/3 + cos(q2) / 2, 1/3]]."""
    cos = jnp.cos(angles[1])
    shared = 1 / 3 + cos / 2
    return INERTIA * jnp.stack([jnp.stack([5 / 3 + cos, shared]), jnp.stack([shared, jnp.full((), 1 / 3)])])


def coriolis_matrix(angles: Float[Array, "2"], velocities: Float[Array, "2"]) -> Float[Array, "2 2"]:
    """C(q, v) in N m s: m l² sin(q2) / 2 [[-v2, -v1 - v2], [v1, 0]], chosen such that C(q, v) w = C(q, w) v."""
    spin_1, spin_2 = velocities
    rows = jnp.stack([jnp.stack([-spin_2, -(spin_1 + spin_2)]), jnp.stack([spin_1, jnp.zeros(())])])
    return INERTIA / 2 * jnp.sin(angles[1]) * rows


def fingertip(angles: Float[Array, "2"]) -> Float[Array, "2"]:
    """Position of the end of link 2 (m)."""
    directions = jnp.cumsum(angles)
    return LENGTH * jnp.stack([jnp.sum(jnp.cos(directions)), jnp.sum(jnp.sin(directions))])


class Reacher(Env):
    """Move the fingertip to the goal: the action, clipped to [-1, 1] for each joint, is a torque in units of 0.1 N m.

    The reward is -|fingertip - goal| - 0.01 |action|², with the fingertip (m) *after* the step and the clipped action.
    The observation is both cosines and both sines of the angles, the velocities / (10 rad/s), and the fingertip, but
    not the goal. Starts at rest, both angles uniform on [-0.1, 0.1]. Nothing terminates: truncated after `max_steps`.
    Joints turn without limits and the links may cross.

    A step is 5 of h = 0.004 s. Each turns the arm for h / 2, finds the new velocities w from the old v by
    (M + h C(q, v) + h damping) w = M v + h u, and turns it for h / 2 with w. That is implicit in `damping` (N m s), so
    a large one is stable; and since C(q, v) w is symmetric in v and w it is reversible without damping, so the energy
    does not drift. Velocities are clipped to 50 rad/s, which only an arm with little damping comes near.
    """

    spec: EnvSpec
    damping: float = eqx.field(static=True)

    def __init__(self, max_steps: int = 50, damping: float = 0.01):
        if not 0 <= damping < math.inf:
            raise ValueError(f"Reacher(damping={damping}): must be 0 or positive, and finite.")
        self.spec = EnvSpec(Box((8,)), Box((2,), -1.0, 1.0), max_steps)
        self.damping = damping

    def reset(self, key: Key, task: ReacherTask) -> tuple[ReacherState, TimeStep]:
        angles = jax.random.uniform(key, (2,), minval=-0.1, maxval=0.1)
        state = ReacherState(angles, jnp.zeros((2,)), jnp.zeros((), jnp.int32))
        return state, restart(self.spec, _show(state))

    def step(self, key: Key, task: ReacherTask, state: ReacherState, action: Array) -> tuple[ReacherState, TimeStep]:
        effort = jnp.clip(action, -1.0, 1.0)
        angles, velocities = self._move(state.angles, state.velocities, MAX_TORQUE * effort)
        state = ReacherState(angles, velocities, state.steps + 1)
        distance = jnp.linalg.norm(fingertip(angles) - task.goal)
        reward = -distance - CONTROL_COST * jnp.sum(effort**2)
        return state, advance(_show(state), action, reward, truncated=state.steps == self.spec.max_steps)

    def _move(
        self, angles: Float[Array, "2"], velocities: Float[Array, "2"], torques: Float[Array, "2"]
    ) -> tuple[Float[Array, "2"], Float[Array, "2"]]:
        def substep(_: Array, moving: tuple[Array, Array]) -> tuple[Array, Array]:
            angles, velocities = moving
            halfway = angles + SECONDS / 2 * velocities
            mass = mass_matrix(halfway)
            resistance = coriolis_matrix(halfway, velocities) + self.damping * jnp.eye(2)
            velocities = _solve(mass + SECONDS * resistance, _apply(mass, velocities) + SECONDS * torques)
            velocities = jnp.clip(velocities, -MAX_VELOCITY, MAX_VELOCITY)
            return halfway + SECONDS / 2 * velocities, velocities

        return jax.lax.fori_loop(0, NUM_SUBSTEPS, substep, (angles, velocities))


def _apply(matrix: Float[Array, "2 2"], vector: Float[Array, "2"]) -> Float[Array, "2"]:
    """Matrix times vector in full float32, which accelerators do not promise for `@`."""
    return jnp.sum(matrix * vector[None], axis=1)


def _solve(matrix: Float[Array, "2 2"], vector: Float[Array, "2"]) -> Float[Array, "2"]:
    """Cramer's rule."""
    (a, b), (c, d) = matrix
    x, y = vector
    return jnp.stack([d * x - b * y, a * y - c * x]) / (a * d - b * c)


def _show(state: ReacherState) -> Float[Array, "8"]:
    scaled = state.velocities / VELOCITY_SCALE
    return jnp.concatenate([jnp.cos(state.angles), jnp.sin(state.angles), scaled, fingertip(state.angles)])


def reacher_goals(radius: float = REACH) -> Sampled:
    """Goals uniform, by area, on a disc around the fixed joint; the default is all that the arm can reach."""
    if not 0 < radius <= REACH:
        raise ValueError(f"reacher_goals(radius={radius}): must be positive and at most the arm's reach, {REACH}.")

    def sample(key: Key) -> ReacherTask:
        radius_key, angle_key = jax.random.split(key)
        distance = radius * jnp.sqrt(jax.random.uniform(radius_key))
        angle = jax.random.uniform(angle_key, maxval=2 * math.pi)
        return ReacherTask(distance * jnp.stack([jnp.cos(angle), jnp.sin(angle)]))

    return Sampled(sample)
