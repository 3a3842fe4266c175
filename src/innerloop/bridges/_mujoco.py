"""MuJoCo robots: the simulator in C, stepping a whole batch of states on all cores; needs `pip install innerloop[mujoco]`.

A state holds all that MuJoCo's physics depends on, in full precision, so these are environments like any other: a pure
function of state and action, usable with every collector, and a run that goes on from a checkpoint ends bit for bit
where an uninterrupted one does. Inside a compiled program a step is one call back to the host for all tasks at once.

Models are Gymnasium's (`HalfCheetah-v5` and so on), and so are observations without contact forces, noise at resets and
what counts as fallen. Velocities are those of the torso's joint, averaged over a step.
"""

import copy
import functools
import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, NamedTuple, get_args

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int, UInt32

from innerloop._env import Box, Env, EnvSpec, advance, restart
from innerloop._extras import package
from innerloop._machine import usable_cores
from innerloop._types import Key, Task, TimeStep
from innerloop.bridges._calls import call_host

INFINITY = float("inf")


@dataclass(frozen=True)
class Robot:
    """One of Gymnasium's models, and what is seen of it. Lengths in m, angles in rad."""

    file: str
    num_positions: int
    num_velocities: int
    num_actions: int
    num_substeps: int
    """Physics steps in a step of the env."""
    num_bodies: int
    num_shapes: int
    num_hidden: int
    """Leading positions that are not observed: where the robot is on its line or plane."""
    noise: float
    """At a reset positions are uniform within this of the model's; so are velocities,"""
    normal_velocities: bool = False
    """unless they are normal with this standard deviation."""
    max_action: float = 1.0
    max_seen_velocity: float = INFINITY
    height: tuple[float, float] = (-INFINITY, INFINITY)
    """A robot whose torso leaves this has fallen, and so has one that leans more than"""
    max_angle: float = INFINITY
    max_state: float = INFINITY
    """One whose angles or velocities leave this has, too."""

    @property
    def is_planar(self) -> bool:
        """Whether it moves along a line; its height is then the second position, else the third."""
        return self.num_hidden == 1


CHEETAH = Robot("half_cheetah.xml", 9, 9, 6, 5, 8, 9, num_hidden=1, noise=0.1, normal_velocities=True)
ANT = Robot("ant.xml", 15, 14, 8, 5, 14, 14, num_hidden=2, noise=0.1, normal_velocities=True, height=(0.2, 1.0))
HUMANOID = Robot("humanoid.xml", 24, 23, 17, 5, 14, 18, num_hidden=2, noise=0.01, max_action=0.4, height=(1.0, 2.0))
HOPPER = Robot(
    "hopper.xml",
    6,
    6,
    3,
    4,
    5,
    5,
    num_hidden=1,
    noise=5e-3,
    max_seen_velocity=10.0,
    height=(0.7, INFINITY),
    max_angle=0.2,
    max_state=100.0,
)
WALKER = Robot(
    "walker2d_v5.xml",
    9,
    9,
    6,
    4,
    8,
    8,
    num_hidden=1,
    noise=5e-3,
    max_seen_velocity=10.0,
    height=(0.8, 2.0),
    max_angle=1.0,
)


class Heading(NamedTuple):
    """Where to run: a unit vector in the plane; along a line its first entry counts."""

    direction: Float[Array, "2"]


class Speed(NamedTuple):
    """How fast to run along the first axis (m/s)."""

    velocity: Float[Array, ""]


class Goal(NamedTuple):
    """Where to stand (m)."""

    position: Float[Array, "2"]


class Body(NamedTuple):
    """What the robot is made of: factors on the model's masses, inertias, joint dampings and frictions."""

    mass: Float[Array, " bodies"]
    inertia: Float[Array, "bodies 3"]
    damping: Float[Array, " velocities"]
    friction: Float[Array, "shapes 3"]


class Motion(NamedTuple):
    """What rewards depend on, after a step: joint positions and velocities, and how fast the torso went (m/s)."""

    position: Float[Array, " positions"]
    velocity: Float[Array, " velocities"]
    speed: Float[Array, "2"]


Reward = Callable[[Any, Motion, Float[Array, " actions"]], Float[Array, ""]]
"""Of a task, the motion after a step, and the action that was done, within its bounds."""


def along(
    task: Heading, motion: Motion, action: Array, *, control: float, alive: float = 0.0, weight: float = 1.0
) -> Array:
    """How fast the robot goes where it should, less the cost of control."""
    return alive + weight * jnp.dot(task.direction, motion.speed) - control * jnp.sum(action**2)


def at_speed(task: Speed, motion: Motion, action: Array, *, control: float = 0.05) -> Array:
    """Minus how far off its speed is, less the cost of control."""
    return -jnp.abs(motion.speed[0] - task.velocity) - control * jnp.sum(action**2)


def near(task: Goal, motion: Motion, action: Array, *, control: float = 0.1) -> Array:
    """Minus the distance in steps along the axes, less the cost of control."""
    return -jnp.sum(jnp.abs(motion.position[:2] - task.position)) - control * jnp.sum(action**2)


def forward(task: Body, motion: Motion, action: Array, *, control: float = 1e-3, alive: float = 1.0) -> Array:
    """How fast it runs, and a bonus for not having fallen, less the cost of control."""
    return alive + motion.speed[0] - control * jnp.sum(action**2)


Engine = Literal["mujoco", "mjx"]


class LocomotionState(NamedTuple):
    """`physics` is MuJoCo's full state, its doubles as pairs of words (`mjx`: positions and velocities); `steps` were done so
    far."""

    physics: UInt32[Array, " words"] | Float[Array, " joints"]
    steps: Int[Array, ""]


class Locomotion(Env):
    """A robot that is to move as its task says. Actions are clipped to the motors' bounds.

    Observations are joint positions, without where the robot is unless `sees_place`, and joint velocities. An episode
    terminates when the robot falls, if `falls`, and is truncated after `max_steps`. `reward` gets the task. A task that is
    a `Body` changes what the robot is made of.

    `engine`: "mujoco", the simulator in C; or "mjx", the same physics compiled by XLA in single precision, for accelerators,
    without tasks that are a `Body`.
    """

    spec: EnvSpec
    robot: Robot = eqx.field(static=True)
    reward: Reward = eqx.field(static=True)
    falls: bool = eqx.field(static=True)
    sees_place: bool = eqx.field(static=True)
    engine: Engine = eqx.field(static=True)

    def __init__(
        self,
        robot: Robot,
        reward: Reward,
        max_steps: int = 200,
        *,
        falls: bool = False,
        sees_place: bool = False,
        engine: Engine = "mujoco",
    ):
        if engine not in get_args(Engine):
            raise ValueError(f"Locomotion(engine={engine!r}): choose one of {', '.join(get_args(Engine))}.")
        num_seen = robot.num_positions + robot.num_velocities - (0 if sees_place else robot.num_hidden)
        actions = Box((robot.num_actions,), -robot.max_action, robot.max_action)
        self.spec = EnvSpec(Box((num_seen,)), actions, max_steps)
        self.robot, self.reward, self.falls, self.sees_place, self.engine = robot, reward, falls, sees_place, engine

    def reset(self, key: Key, task: Task) -> tuple[LocomotionState, TimeStep]:
        robot = self.robot
        position_key, velocity_key = jax.random.split(key)
        position = jax.random.uniform(position_key, (robot.num_positions,), minval=-robot.noise, maxval=robot.noise)
        draw = jax.random.normal if robot.normal_velocities else functools.partial(jax.random.uniform, minval=-1.0)
        velocity = robot.noise * draw(velocity_key, (robot.num_velocities,))
        physics, motion, _ = self._ask("start", position, velocity)
        return LocomotionState(physics, jnp.zeros((), jnp.int32)), restart(self.spec, self._obs(motion))

    def step(self, key: Key, task: Task, state: LocomotionState, action: Array) -> tuple[LocomotionState, TimeStep]:
        robot = self.robot
        action = jnp.clip(action, -robot.max_action, robot.max_action)
        body = task if isinstance(task, Body) else ()
        if body and self.engine != "mujoco":
            raise ValueError(f"Locomotion(engine={self.engine!r}): robots made otherwise (Body) need engine='mujoco'.")
        physics, motion, is_sound = self._ask("step", state.physics, action, *body)
        steps = state.steps + 1
        timestep = advance(
            self._obs(motion),
            action,
            self.reward(task, motion, action),
            terminated=self.falls & (~is_sound | self._fallen(motion)),
            truncated=steps >= self.spec.max_steps,
        )
        return LocomotionState(physics, steps), timestep

    def _ask(self, what: str, *arguments: Array) -> tuple[Array, Motion, Bool[Array, ""]]:
        """Have the simulator do something: the state, what of it is seen, whether physics went well."""
        num_moving = self.robot.num_positions + self.robot.num_velocities
        if self.engine == "mjx":
            from innerloop.bridges._mjx import compiled_simulator

            physics, moving, is_sound = getattr(compiled_simulator(self.robot), what)(*arguments)
        else:
            physics, moving, is_sound = self._ask_host(what, num_moving, *arguments)
        position, velocity, speed = jnp.split(moving, [self.robot.num_positions, num_moving])
        return physics, Motion(position, velocity, speed), is_sound

    def _ask_host(self, what: str, num_moving: int, *arguments: Array) -> tuple[Array, ...]:
        """One call for all tasks."""
        host = simulator(self.robot)
        shapes = (
            jax.ShapeDtypeStruct((host.num_words,), jnp.uint32),
            jax.ShapeDtypeStruct((num_moving + 2,), jnp.float32),
            jax.ShapeDtypeStruct((), bool),
        )
        return call_host(getattr(host, what), shapes, *arguments)

    def _obs(self, motion: Motion) -> Array:
        bound = self.robot.max_seen_velocity
        position = motion.position if self.sees_place else motion.position[self.robot.num_hidden :]
        return jnp.concatenate([position, jnp.clip(motion.velocity, -bound, bound)])

    def _fallen(self, motion: Motion) -> Bool[Array, ""]:
        robot = self.robot
        height = motion.position[1 if robot.is_planar else 2]
        stands = (robot.height[0] < height) & (height < robot.height[1])
        if robot.is_planar:
            state = jnp.concatenate([motion.position[2:], motion.velocity])
            stands &= (jnp.abs(motion.position[2]) < robot.max_angle) & jnp.all(jnp.abs(state) < robot.max_state)
        return ~stands


@functools.cache
def simulator(robot: Robot) -> "Simulator":
    """The one simulator of a robot in this process. Raises ValueError if MuJoCo or Gymnasium is missing."""
    return Simulator(robot, package("mujoco"))


MAX_BODIES = 4096
"""Changed models that are kept; the oldest goes first."""


class Simulator:
    """Steps batches of states over threads. Methods take NumPy arrays with any axes in front, all the same."""

    def __init__(self, robot: Robot, mujoco: Any):
        from mujoco.rollout import Rollout

        self.robot, self.model = robot, load(robot)
        self._start = mujoco.MjData(self.model)
        num_threads = usable_cores()
        self.data = [mujoco.MjData(self.model) for _ in range(num_threads)]
        self.pool = Rollout(nthread=num_threads if num_threads > 1 else 0)
        self._lock, self._set_constants = threading.Lock(), mujoco.mj_setConst
        self._bodies: dict[bytes, Any] = {}
        self._rooms: tuple[np.ndarray, ...] = ()
        self._size = mujoco.mj_stateSize(self.model, mujoco.mjtState.mjSTATE_FULLPHYSICS)
        self.seconds_per_step = self.model.opt.timestep * robot.num_substeps

    @property
    def num_words(self) -> int:
        """Length of `LocomotionState.physics`."""
        return 2 * self._size

    def start(self, position: Any, velocity: Any) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """States whose positions and velocities differ by this much from the model's own."""
        batch, position = np.shape(position)[:-1], _rows(position, np.float64)
        state = np.zeros((len(position), self._size))
        joints = self._joints(state)
        joints[...] = np.concatenate([self._start.qpos, self._start.qvel])
        joints += np.concatenate([position, _rows(velocity, np.float64)], axis=1)
        return self._told(batch, state, np.zeros((len(state), 2)), np.ones(len(state), bool))

    def step(self, physics: Any, action: Any, *body: Any) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """States after the substeps of one step with a constant action."""
        batch = np.shape(physics)[:-1]
        before = _rows(physics, np.uint32).view(np.float64)
        num_rows, num_substeps = len(before), self.robot.num_substeps
        with self._lock:
            controls, after, sensed = self._room(num_rows)
            controls[...] = np.reshape(action, (num_rows, 1, -1))
            models = self._models(body) if body else [self.model] * num_rows
            self.pool.rollout(
                models,
                self.data,
                before,
                controls,
                nstep=num_substeps,
                state=after,
                sensordata=sensed,
                skip_checks=True,
            )
            state = after[:, -1].copy()
        moved = (self._joints(state)[:, :2] - self._joints(before)[:, :2]) / self.seconds_per_step
        # A simulation that goes astray is put back to the start by MuJoCo, its clock too.
        went_on = np.abs(state[:, 0] - before[:, 0] - self.seconds_per_step) < self.model.opt.timestep / 2
        return self._told(batch, state, moved, went_on)

    def _room(self, num_rows: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Where controls, states and sensors of all substeps go; new memory at each step would cost more than it seems."""
        if not self._rooms or len(self._rooms[0]) != num_rows:
            sizes = self.robot.num_actions, self._size, self.model.nsensordata
            self._rooms = tuple(np.zeros((num_rows, self.robot.num_substeps, size)) for size in sizes)
        controls, after, sensed = self._rooms
        return controls, after, sensed

    def _joints(self, state: np.ndarray) -> np.ndarray:
        """The part of states that holds positions and velocities: it comes after the time."""
        return state[:, 1 : 1 + self.robot.num_positions + self.robot.num_velocities]

    def _told(
        self, batch: tuple[int, ...], state: np.ndarray, speed: np.ndarray, went_on: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        joints = self._joints(state)
        moving = np.empty((len(state), joints.shape[1] + 2), np.float32)
        moving[:, :-2], moving[:, -2:] = joints, speed
        is_sound = went_on & np.isfinite(moving).all(axis=1)
        if not is_sound.all():
            moving[~is_sound] = 0.0
        return state.view(np.uint32).reshape(*batch, -1), moving.reshape(*batch, -1), is_sound.reshape(batch)

    def _models(self, body: tuple[Any, ...]) -> list[Any]:
        """One changed model for each row. Rows that are alike share one."""
        parts = [np.asarray(part, np.float32) for part in body]
        flat = np.concatenate([part.reshape(-1, size) for part, size in zip(parts, self._sizes(), strict=True)], axis=1)
        return [self._body(row) for row in flat]

    def _sizes(self) -> tuple[int, ...]:
        robot = self.robot
        return robot.num_bodies, 3 * robot.num_bodies, robot.num_velocities, 3 * robot.num_shapes

    def _body(self, factors: np.ndarray) -> Any:
        name = factors.tobytes()
        if name not in self._bodies:
            if len(self._bodies) >= MAX_BODIES:
                self._bodies.pop(next(iter(self._bodies)))
            model = copy.copy(self.model)
            mass, inertia, damping, friction = np.split(factors.astype(np.float64), np.cumsum(self._sizes())[:-1])
            model.body_mass[:] *= mass
            model.body_inertia[:] *= inertia.reshape(-1, 3)
            model.dof_damping[:] *= damping
            model.geom_friction[:] *= friction.reshape(-1, 3)
            self._set_constants(model, self.data[0])
            self._bodies[name] = model
        return self._bodies[name]


def _rows(array: Any, dtype: Any) -> np.ndarray:
    """All axes but the last as one."""
    array = np.asarray(array)
    return np.ascontiguousarray(array.reshape(-1, array.shape[-1]), dtype)


def load(robot: Robot) -> Any:
    """A robot's model. Warnings of the files' age would go to stderr, and to a file where the program was started.

    Raises ValueError if MuJoCo or Gymnasium is missing.
    """
    mujoco = package("mujoco")
    path = Path(str(package("gymnasium").__file__)).parent / "envs" / "mujoco" / "assets" / robot.file
    before = mujoco.get_mju_user_warning()
    mujoco.set_mju_user_warning(lambda message: None)
    try:
        return mujoco.MjModel.from_xml_path(str(path))
    finally:
        mujoco.set_mju_user_warning(before)
