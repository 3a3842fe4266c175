"""MuJoCo robots with the tasks of the meta-RL papers; they need the extra `mujoco`, or `mjx`."""

import math
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp

from innerloop._benchmark import OptionalRow, Reference, Rows, adaptation_metrics
from innerloop._extras import package
from innerloop._task import Finite, Sampled, TaskDistribution, sample_tasks
from innerloop._types import Key
from innerloop.bridges._mujoco import (
    ANT,
    CHEETAH,
    HOPPER,
    HUMANOID,
    WALKER,
    Body,
    Engine,
    Goal,
    Heading,
    Locomotion,
    Robot,
    Speed,
    along,
    at_speed,
    forward,
    near,
)
from innerloop.references.generic import Constant, Random

NUM_EPISODES = 3
MAX_STEPS = 200
FACTOR, LIMIT = 1.5, 3.0
"""A part's factor is `FACTOR` to a power that is uniform between minus and plus `LIMIT`."""
RADIUS = 3.0


def both_ways() -> Finite:
    """Forward and backward."""
    return Finite(Heading(jnp.array([[1.0, 0.0], [-1.0, 0.0]])))


def any_way(key: Key) -> Heading:
    """A direction in the plane."""
    angle = jax.random.uniform(key, maxval=2 * math.pi)
    return Heading(jnp.stack([jnp.cos(angle), jnp.sin(angle)]))


def speeds(low: float, high: float) -> Sampled:
    """Speeds uniform between two (m/s)."""
    return Sampled(lambda key: Speed(jax.random.uniform(key, minval=low, maxval=high)))


def goal_in_disc(key: Key) -> Goal:
    """Uniform on the disc of radius `RADIUS`."""
    radius_key, angle_key = jax.random.split(key)
    radius = RADIUS * jnp.sqrt(jax.random.uniform(radius_key))
    return Goal(radius * any_way(angle_key).direction)


def varied(robot: Robot, key: Key) -> Body:
    """A robot all of whose masses, inertias, joint dampings and frictions differ, each by a factor of its own."""
    shapes = ((robot.num_bodies,), (robot.num_bodies, 3), (robot.num_velocities,), (robot.num_shapes, 3))
    keys = jax.random.split(key, len(shapes))
    powers = [
        jax.random.uniform(key, shape, minval=-LIMIT, maxval=LIMIT) for key, shape in zip(keys, shapes, strict=True)
    ]
    return Body(*(FACTOR**power for power in powers))


def _row(
    name: str,
    summary: str,
    source: str,
    make_env: Callable[..., Locomotion],
    train: Callable[[], TaskDistribution],
    test: Callable[[], TaskDistribution],
    ood: Callable[[], TaskDistribution] | None = None,
    engine: Engine = "mujoco",
) -> OptionalRow:
    env = make_env(engine=engine)

    def parts() -> Mapping[str, Any]:
        package(engine)
        return {
            "env": env,
            "train": train(),
            "test": test(),
            "ood": ood and ood(),
            "episodes_per_round": 1,
            "metrics": adaptation_metrics(NUM_EPISODES, 1),
            "references": {
                "idle": Reference(partial(Constant, env.spec), "no torques"),
                "random": Reference(partial(Random, env.spec), "uniform torques"),
            },
        }

    return OptionalRow(engine, name, summary, source, NUM_EPISODES, env.spec.max_steps, parts, ("idle", "random"))


def _both(name: str, summary: str, source: str, *parts: Any) -> tuple[OptionalRow, OptionalRow]:
    """The benchmark over the simulator in C, and over the one that is compiled."""
    compiled = f"`{name}` with physics compiled by XLA, in single precision"
    return _row(name, summary, source, *parts), _row(f"mjx-{name}", compiled, source, *parts, engine="mjx")


def _varied(name: str, robot: Robot) -> OptionalRow:
    def part(index: int) -> Finite:
        return Finite(sample_tasks(Sampled(partial(varied, robot)), jax.random.key(0), 50)).split(0.8)[index]

    return _row(
        f"{name}-params",
        f"A {name} runs forward, made otherwise in each of 40 + 10 tasks: masses, inertias, damping, friction",
        "Rakelly et al. 2019, random parameters; factors are this library's",
        partial(Locomotion, robot, forward, MAX_STEPS, falls=True),
        partial(part, 0),
        partial(part, 1),
    )


def rows() -> Rows:
    """The family's benchmarks by name."""
    straight = partial(along, control=0.05)
    found = (
        *_both(
            "cheetah-dir",
            "A half-cheetah runs forward or backward; the reward tells which",
            "Rakelly et al. 2019; Zintgraf et al. 2020",
            partial(Locomotion, CHEETAH, straight, MAX_STEPS),
            both_ways,
            both_ways,
        ),
        *_both(
            "cheetah-vel",
            "A half-cheetah runs at a speed between 0 and 3 m/s that the reward tells; beyond: 3 to 4 m/s",
            "Rakelly et al. 2019; Zintgraf et al. 2020; beyond: Melo 2022",
            partial(Locomotion, CHEETAH, at_speed, MAX_STEPS),
            partial(speeds, 0.0, 3.0),
            partial(speeds, 0.0, 3.0),
            partial(speeds, 3.0, 4.0),
        ),
        _row(
            "cheetah-vel-maml",
            "The same with speeds between 0 and 2 m/s",
            "Finn et al. 2017 (MAML)",
            partial(Locomotion, CHEETAH, at_speed, MAX_STEPS),
            partial(speeds, 0.0, 2.0),
            partial(speeds, 0.0, 2.0),
        ),
        *_both(
            "ant-dir",
            "An ant runs forward or backward; the reward tells which",
            "Rakelly et al. 2019; Zintgraf et al. 2020",
            partial(Locomotion, ANT, partial(along, control=0.5, alive=1.0), MAX_STEPS, falls=True),
            both_ways,
            both_ways,
        ),
        *_both(
            "ant-goal",
            "An ant runs to a place within 3 m that the reward tells, and sees where it is",
            "Rakelly et al. 2019; Zintgraf et al. 2020",
            partial(Locomotion, ANT, near, MAX_STEPS, sees_place=True),
            partial(Sampled, goal_in_disc),
            partial(Sampled, goal_in_disc),
        ),
        *_both(
            "humanoid-dir",
            "A humanoid runs in a direction that the reward tells",
            "Rakelly et al. 2019",
            partial(Locomotion, HUMANOID, partial(along, control=0.1, alive=5.0, weight=1.25), MAX_STEPS, falls=True),
            partial(Sampled, any_way),
            partial(Sampled, any_way),
        ),
        _varied("hopper", HOPPER),
        _varied("walker", WALKER),
    )
    return {row.name: row for row in found}
