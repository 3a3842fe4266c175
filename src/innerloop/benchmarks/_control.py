"""Small control: a point that walks, cart and pole, the standard pendulum."""

import dataclasses
from functools import partial

import jax

from innerloop._benchmark import Benchmark, Reference, Rows, adapted_return, mean_return
from innerloop._task import Finite, TaskDistribution, sample_tasks
from innerloop.envs.cartpole import CartPole, mean_pole, pole_ensemble, pole_grid, standard_cartpole
from innerloop.envs.pendulum import Pendulum, standard_pendulum
from innerloop.envs.point import PointGoal, minus_distance, semicircle_goals, square_goals
from innerloop.references.generic import Constant, Random
from innerloop.references.point import GoToGoal


def _point(
    name: str, env: PointGoal, num_episodes: int, train: TaskDistribution, test: TaskDistribution, source: str
) -> Benchmark:
    return Benchmark(
        name=name,
        summary="A point walks to a goal that only its reward (minus the distance) tells.",
        source=source,
        env=env,
        train=train,
        test=test,
        num_episodes=num_episodes,
        references={
            "oracle": Reference(GoToGoal, "told the goal, walks straight to it", reveals_task=True),
            "random": Reference(lambda: Random(env.spec), "uniform steps"),
        },
    )


def _point_env() -> Benchmark:
    goals = square_goals()
    return _point("point-env", PointGoal(show_distance=True), 4, goals, goals, "garage 2021.3, PointEnv")


def _point_robot() -> Benchmark:
    goals = Finite(sample_tasks(square_goals(1.0), jax.random.key(0), 100))
    train, test = goals.split(0.8)
    row = _point("point-robot", PointGoal(20, start=1.0), 3, train, test, "Rakelly et al. 2019, point robot")
    summary = "A point starts anywhere and walks to one of 100 goals; the reward tells."
    return dataclasses.replace(row, summary=summary, metrics={"adapted": adapted_return})


def _sparse_point() -> Benchmark:
    train, test = semicircle_goals().split(0.8)
    row = _point("sparse-point", PointGoal(20, radius=0.2), 20, train, test, "Rakelly et al. 2019, sparse point robot")
    summary = "A point seeks a goal on a half circle that pays only near to it; training may use the distance."
    halves = {"first_five": partial(mean_return, start=0, stop=5), "last_five": partial(mean_return, start=15, stop=20)}
    return dataclasses.replace(row, summary=summary, shaped=minus_distance, metrics=halves)


def _point_goal() -> Benchmark:
    train, test = semicircle_goals().split(0.8)
    return _point("point-goal", PointGoal(), 3, train, test, "this library")


def _cartpole() -> Benchmark:
    env, tasks = CartPole(), standard_cartpole()
    return Benchmark(
        name="cartpole",
        summary="CartPole-v1, a single task: for speed, and to see that a learner learns at all.",
        source="Barto, Sutton and Anderson 1983; Gymnasium",
        env=env,
        train=tasks,
        test=tasks,
        num_episodes=1,
        references={"random": Reference(lambda: Random(env.spec), "uniform pushes")},
        known={"return": {"optimal": 500.0}},
    )


def _pendulum() -> Benchmark:
    env, tasks = Pendulum(), standard_pendulum()
    return Benchmark(
        name="pendulum",
        summary="Pendulum-v1, a single task: to see that a learner of continuous actions learns at all.",
        source="Gymnasium",
        env=env,
        train=tasks,
        test=tasks,
        num_episodes=1,
        references={
            "idle": Reference(partial(Constant, env.spec), "no torque"),
            "random": Reference(partial(Random, env.spec), "uniform torques"),
        },
    )


ENSEMBLE_STEPS = 200


def _cartpole_ensemble() -> Benchmark:
    """Trained where poles are likely, tested evenly over the whole range: tasks at its ends are rare in training."""
    env = CartPole(ENSEMBLE_STEPS)
    return Benchmark(
        name="cartpole-ensemble",
        summary="CartPole with poles of unknown length and mass; tests spread evenly over the whole range",
        source="this library; ensembles as in Rajeswaran et al. 2017",
        env=env,
        train=pole_ensemble(),
        test=pole_grid(),
        num_episodes=1,
        references={"random": Reference(lambda: Random(env.spec), "uniform pushes")},
        known={"return": {"optimal": float(ENSEMBLE_STEPS)}},
    )


def _cartpole_ensemble_single() -> Benchmark:
    """Tested on what `cartpole-ensemble` is tested on."""
    return dataclasses.replace(
        _cartpole_ensemble(),
        name="cartpole-ensemble-single",
        summary="The same tests after training on the one pole in the middle of the range",
        train=mean_pole(),
    )


def rows() -> Rows:
    """The family's benchmarks by name."""
    return {
        "point-env": _point_env,
        "point-goal": _point_goal,
        "point-robot": _point_robot,
        "sparse-point": _sparse_point,
        "cartpole": _cartpole,
        "pendulum": _pendulum,
        "cartpole-ensemble": _cartpole_ensemble,
        "cartpole-ensemble-single": _cartpole_ensemble_single,
    }
