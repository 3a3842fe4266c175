"""What gradient-based methods are measured on: navigation, the four corners, the half circle, control with varied physics."""

import math
from dataclasses import replace
from functools import partial
from typing import Any

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float

from innerloop._benchmark import Benchmark, Reference, Rows, adaptation_metrics, mean_return
from innerloop._env import Discrete, Env
from innerloop._task import TaskDistribution
from innerloop._types import Trials
from innerloop.envs.acrobot import Acrobot, varied_acrobots
from innerloop.envs.cartpole import CartPole, varied_cartpoles
from innerloop.envs.corners import CORNERS, Corners, corner_tasks
from innerloop.envs.krazy_world import KrazyWorld, krazy_worlds
from innerloop.envs.navigation import Navigation, navigation_goals, navigation_worlds
from innerloop.envs.pendulum import Pendulum, pendulum_masses
from innerloop.envs.point import PointGoal, minus_distance, semicircle_goals
from innerloop.envs.reacher import Reacher, reacher_goals
from innerloop.envs.wrappers import ScaleActions
from innerloop.references.generic import Constant, Random
from innerloop.references.point import GoToGoal, Navigate, best_returns

ROUND = 20


def _rounds(
    name: str,
    summary: str,
    source: str,
    env: Env,
    train: TaskDistribution,
    test: TaskDistribution | None = None,
    *,
    num_rounds: int = 4,
    per_round: int = ROUND,
    oracle: Reference | None = None,
    known: dict[str, dict[str, float]] | None = None,
) -> Benchmark:
    """Some episodes, an adaptation, as many episodes again, and so on."""
    references = {"oracle": oracle} if oracle else {}
    references["idle"] = Reference(partial(Constant, env.spec), "always the same action: 0, or the first")
    if isinstance(env.spec.action, Discrete) or env.spec.action.high < math.inf:
        references["random"] = Reference(partial(Random, env.spec), "uniform actions")
    return Benchmark(
        name=name,
        summary=summary,
        source=source,
        env=env,
        train=train,
        test=train if test is None else test,
        num_episodes=num_rounds * per_round,
        episodes_per_round=per_round,
        metrics=adaptation_metrics(num_rounds * per_round, per_round),
        references=references,
        known=known or {},
    )


TOLD = Reference(Navigate, "told the goal, walks straight to it", reveals_task=True)


def _nav2d() -> Benchmark:
    return _rounds(
        "nav2d",
        "A point walks to a goal that only its reward tells",
        "Finn et al. 2017, section 5.3, with the termination rule of the released code",
        Navigation(),
        navigation_goals(),
        oracle=TOLD,
        known={"adapt_1": {"best": -0.507}, "adapt_3": {"best": -0.507}},
    )


def _nav2d_worlds() -> Benchmark:
    return _rounds(
        "nav2d-worlds",
        "A point walks to a goal; start, goal and how far a step carries differ from task to task",
        "this library",
        Navigation(),
        navigation_worlds(),
        oracle=TOLD,
    )


def corners_visited(trials: Trials) -> Float[Array, ""]:
    """How many of the four corners the episodes of the first round come within 1 of."""
    return _come_near(trials, 0, 1.0).any(axis=1).sum().astype(jnp.float32)


def goal_reached(trials: Trials) -> Float[Array, ""]:
    """The share of the episodes of the last round that come within 0.5 of the goal."""
    task: Any = trials.tasks
    return _come_near(trials, -1, 0.5)[task.corner].mean()


def _come_near(trials: Trials, round: int, radius: float) -> Bool[Array, "corner episode"]:
    position = trials.transitions.next_timestep.obs[round]
    away = jnp.array(CORNERS)[:, None, None] - position[None]
    return (jnp.square(away).sum(axis=-1) < radius**2).any(axis=-1)


def _corners() -> Benchmark:
    """Test tasks are the four training tasks: there are no others."""
    row = _rounds(
        "corners",
        "Which of four corners pays shows only near to it",
        "Rothfuss et al. 2019, released code",
        ScaleActions(Corners(), 0.02),
        corner_tasks(),
    )
    return replace(row, metrics={**row.metrics, "corners_visited": corners_visited, "goal_reached": goal_reached})


def ever_paid(trials: Trials) -> Float[Array, ""]:
    """The share of the episodes of the last round that come where there is a reward."""
    return (trials.transitions.next_timestep.reward[-1] > 0).any(axis=-1).mean()


def _half_circle() -> Benchmark:
    env, (train, test) = PointGoal(50, radius=0.8, peak=2.0), semicircle_goals(200, 2.0).split(0.5)
    best = float(best_returns(env, np.asarray(test.tasks.goal)).mean())
    row = _rounds(
        "half-circle",
        "A point seeks a goal on a half circle of radius 2 that pays only near to it; training may use the distance",
        "after Gupta et al. 2018 (MAESN), wheeled robot, released code; a point instead of the robot is ours",
        env,
        train,
        test,
        oracle=Reference(GoToGoal, "told the goal, walks straight to it", reveals_task=True),
        known={"adapt_3": {"oracle": best}},
    )
    return replace(row, shaped=minus_distance, metrics={**row.metrics, "goal_reached": ever_paid})


def _krazy_world() -> Benchmark:
    train, test = krazy_worlds(96).split(1 / 3)
    return _rounds(
        "krazy-world",
        "What colours and controls mean is another thing in every world",
        "Stadie et al. 2018; the authors' second version",
        KrazyWorld(),
        train,
        test,
        num_rounds=2,
    )


def _krazy_world_5() -> Benchmark:
    """For agents with a memory: three episodes to explore, two that count (Stadie et al. 2018)."""
    row = _krazy_world()
    return replace(
        row,
        name="krazy-world-5",
        summary="Krazy World in five episodes, of which the last two count",
        num_episodes=5,
        episodes_per_round=None,
        metrics={
            "first_three": partial(mean_return, start=0, stop=3),
            "last_two": partial(mean_return, start=3, stop=5),
        },
    )


def _pendulum_mass() -> Benchmark:
    return _rounds(
        "pendulum-mass",
        "Swing up a pendulum of unknown mass",
        "RLlib's PendulumMass; Gymnasium's Pendulum-v1",
        Pendulum(),
        pendulum_masses(),
        per_round=10,
    )


def _cartpole_varied() -> Benchmark:
    return _rounds(
        "cartpole-varied",
        "CartPole with varied gravity, masses, length and force",
        "this library; Gymnasium's CartPole-v1",
        CartPole(),
        varied_cartpoles(),
        per_round=10,
    )


def _acrobot_varied() -> Benchmark:
    return _rounds(
        "acrobot-varied",
        "Acrobot with varied gravity, lengths, masses and torque",
        "this library; Gymnasium's Acrobot-v1",
        Acrobot(),
        varied_acrobots(),
        per_round=10,
    )


def _reacher() -> Benchmark:
    return _rounds("reacher", "A two-link arm reaches for a hidden goal", "this library", Reacher(), reacher_goals())


def rows() -> Rows:
    """The family's benchmarks by name."""
    return {
        "nav2d": _nav2d,
        "nav2d-worlds": _nav2d_worlds,
        "corners": _corners,
        "half-circle": _half_circle,
        "krazy-world": _krazy_world,
        "krazy-world-5": _krazy_world_5,
        "pendulum-mass": _pendulum_mass,
        "cartpole-varied": _cartpole_varied,
        "acrobot-varied": _acrobot_varied,
        "reacher": _reacher,
    }
