"""MuJoCo's physics compiled by XLA (MJX), for accelerators; needs `pip install innerloop[mjx]`.

The same models and the same equations as MuJoCo in C, in single precision. Robots in a plane agree with it for some ten
steps, then drift apart as chaotic ones do. The ant differs from it where it touches the ground: the pyramid that stands for
the cone of friction is turned otherwise. The humanoid was not compared.
"""

import functools
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from innerloop._extras import package
from innerloop.bridges import _mujoco


@functools.cache
def compiled_simulator(robot: "_mujoco.Robot") -> "CompiledSimulator":
    """The one of a robot in this process. Raises ValueError if MJX or Gymnasium is missing."""
    return CompiledSimulator(robot, package("mjx"))


class CompiledSimulator:
    """Positions and velocities after a start or a step of one robot; methods are traced, and batch under `vmap`."""

    def __init__(self, robot: "_mujoco.Robot", mjx: Any):
        model = _mujoco.load(robot)
        self._robot, self._step = robot, mjx.step
        # Whoever comes first may be tracing: constants, not parts of that program.
        with jax.ensure_compile_time_eval():
            self._model = mjx.put_model(model)
            self._data = mjx.make_data(self._model)
        self._seconds_per_step = model.opt.timestep * robot.num_substeps

    def start(
        self, position: Float[Array, " positions"], velocity: Float[Array, " velocities"]
    ) -> tuple[Float[Array, " joints"], Float[Array, " moving"], Bool[Array, ""]]:
        """A state whose positions and velocities differ by this much from the model's own."""
        joints = jnp.concatenate([self._data.qpos + position, self._data.qvel + velocity])
        return self._told(joints, jnp.zeros(2))

    def step(
        self, joints: Float[Array, " joints"], action: Float[Array, " actions"]
    ) -> tuple[Float[Array, " joints"], Float[Array, " moving"], Bool[Array, ""]]:
        """The state after the substeps of one step with a constant action."""
        position, velocity = jnp.split(joints, [self._robot.num_positions])
        before = self._data.replace(qpos=position, qvel=velocity, ctrl=action)
        after = jax.lax.fori_loop(0, self._robot.num_substeps, lambda _, data: self._step(self._model, data), before)
        speed = (after.qpos[:2] - position[:2]) / self._seconds_per_step
        return self._told(jnp.concatenate([after.qpos, after.qvel]), speed)

    def _told(self, joints: Array, speed: Array) -> tuple[Array, Array, Array]:
        moving = jnp.concatenate([joints, speed])
        is_sound = jnp.isfinite(moving).all()
        return joints, jnp.where(is_sound, moving, 0.0), is_sound
