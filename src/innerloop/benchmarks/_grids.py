"""Grid worlds: GridNavi, start to goal, mazes, permuted actions."""

import dataclasses
from functools import partial
from typing import Literal

import jax

from innerloop._benchmark import Benchmark, Reference, Rows, improvement
from innerloop._task import TaskDistribution
from innerloop.envs import start_goal
from innerloop.envs.gridnavi import GridNavi, gridnavi_goals
from innerloop.envs.permuted_grid import PermutedGrid, coded_tasks
from innerloop.references import gridnavi as gridnavi_policies
from innerloop.references.generic import Random
from innerloop.references.permuted_grid import Guide
from innerloop.references.start_goal import Explorer, ShortestPath


def _gridnavi(
    name: str, summary: str, train: TaskDistribution, test: TaskDistribution, obs: Literal["xy", "cell"] = "xy"
) -> Benchmark:
    """The references hold all 21 goals possible, whatever the split."""
    env, goals = GridNavi(obs=obs), gridnavi_goals()
    return Benchmark(
        name=name,
        summary=summary,
        source="Zintgraf et al. 2020 (variBAD), section 5.1",
        env=env,
        train=train,
        test=test,
        num_episodes=4,
        metrics={"improvement": improvement},
        references={
            "random": Reference(partial(Random, env.spec), "any action"),
            "posterior_sampling": Reference(
                partial(gridnavi_policies.PosteriorSampling, env, goals.tasks.goal), "goes to a goal that may be it"
            ),
            "bayes_optimal": Reference(
                partial(gridnavi_policies.bayes_optimal, env, goals, 4),
                "the best search for any of the 21 goals, then the shortest path; exact where all are possible",
            ),
            "optimal": Reference(partial(gridnavi_policies.Oracle, env), "knows the goal", reveals_task=True),
        },
    )


def _gridnavi_published(name: str = "gridnavi", obs: Literal["xy", "cell"] = "xy") -> Benchmark:
    goals = gridnavi_goals()
    summary = "find one of 21 hidden goals on a 5 x 5 grid, 4 episodes of 15 steps; trained and tested on the same 21"
    row = _gridnavi(name, summary if obs == "xy" else "GridNavi, observed as the number of the cell", goals, goals, obs)
    known = {"random": -4.6, "posterior_sampling": 11.6, "bayes_optimal": 37.214, "optimal": 44.286}
    return dataclasses.replace(row, known={"return": known})


def _gridnavi_held_out() -> Benchmark:
    train, test = gridnavi_goals().split(15 / 21, key=jax.random.key(0))
    return _gridnavi("gridnavi-held-out", "GridNavi trained on 15 of its goals and tested on the other 6", train, test)


def _gridnavi_variant(name: str, summary: str, env: GridNavi, optimal: Reference, known: dict[str, float]) -> Benchmark:
    goals = gridnavi_goals()
    return Benchmark(
        name=name,
        summary=summary,
        source="Beck et al. 2023, section 5",
        env=env,
        train=goals,
        test=goals,
        num_episodes=4,
        references={"random": Reference(partial(Random, env.spec), "any action"), "optimal": optimal},
        known={"return": known},
    )


def _gridnavi_show() -> Benchmark:
    env = GridNavi(shows_goal=True)
    optimal = Reference(partial(gridnavi_policies.Reader, env), "reads the goal and goes straight there")
    summary = "GridNavi, with the goal shown in the place of the start cell"
    return _gridnavi_variant("gridnavi-show", summary, env, optimal, {"random": -4.6, "optimal": 44.286})


def _gridnavi_dense() -> Benchmark:
    env = GridNavi(dense_reward=True)
    optimal = Reference(partial(gridnavi_policies.Oracle, env), "knows the goal", reveals_task=True)
    summary = "GridNavi, with a reward that says how far the goal is"
    return _gridnavi_variant("gridnavi-dense", summary, env, optimal, {"optimal": 38.133})


_START_GOAL_METRICS = {
    "first_episode_steps": start_goal.first_episode_steps,
    "second_episode_steps": start_goal.second_episode_steps,
    "last_episode_steps": start_goal.last_episode_steps,
    "shortest_path": start_goal.shortest_path,
    "last_over_shortest": start_goal.last_over_shortest,
    "success_last": start_goal.success_last,
}


def _start_goal_references(env: start_goal.StartGoalGrid) -> dict[str, Reference]:
    return {
        "random": Reference(partial(Random, env.spec), "any move"),
        "explorer": Reference(partial(Explorer, env), "nearest unvisited cell, then the shortest path it knows"),
        "optimal": Reference(partial(ShortestPath, env), "knows the way", reveals_task=True),
    }


def _start_goal(name: str, size: int) -> Benchmark:
    env = start_goal.StartGoalGrid(size)
    train, test = start_goal.placements(size).split(0.8, key=jax.random.key(0))
    return Benchmark(
        name=name,
        summary=f"hidden start-goal pairs on a {size} x {size} grid, 5 episodes; tested on the 20 % of pairs held out",
        source="ours",
        env=env,
        train=train,
        test=test,
        num_episodes=5,
        metrics=_START_GOAL_METRICS,
        references=_start_goal_references(env),
    )


def _maze(name: str, size: int, num_loops: int) -> Benchmark:
    env = start_goal.StartGoalGrid(size, show_walls=True)
    return Benchmark(
        name=name,
        summary=f"a new {size} x {size} maze with a hidden goal for each task, 3 episodes; tested on layouts held out",
        source="ours, after the mazes of Duan et al. 2016 (RL²), section 3.3",
        env=env,
        train=start_goal.Mazes(size, "train", num_loops),
        test=start_goal.Mazes(size, "test", num_loops),
        num_episodes=3,
        metrics=_START_GOAL_METRICS,
        references=_start_goal_references(env),
    )


def _many_tasks(name: str, num_tasks: int, optimal: float) -> Benchmark:
    env, tasks = PermutedGrid(num_tasks), coded_tasks(num_tasks)
    return Benchmark(
        name=name,
        summary=f"{num_tasks} grids, each its own pair of a goal and an order of actions; one episode; tested on the same",
        source="ours; multi-task protocol as in MT10 (Yu et al. 2019)",
        env=env,
        train=tasks,
        test=tasks,
        num_episodes=1,
        references={
            "random": Reference(partial(Random, env.spec), "any action"),
            "optimal": Reference(
                partial(Guide, env), "told which task it is, takes the shortest way", reveals_task=True
            ),
        },
        known={"return": {"random": 0.4, "optimal": optimal}},
    )


def rows() -> Rows:
    """The family's benchmarks by name."""
    return {
        "gridnavi": _gridnavi_published,
        "gridnavi-cells": partial(_gridnavi_published, "gridnavi-cells", "cell"),
        "gridnavi-held-out": _gridnavi_held_out,
        "gridnavi-show": _gridnavi_show,
        "gridnavi-dense": _gridnavi_dense,
        "start-goal-5": partial(_start_goal, "start-goal-5", 5),
        "start-goal-7": partial(_start_goal, "start-goal-7", 7),
        "maze-7": partial(_maze, "maze-7", 7, 2),
        "maze-9": partial(_maze, "maze-9", 9, 3),
        "ten-tasks": partial(_many_tasks, "ten-tasks", 10, 7.4),
        "hundred-tasks": partial(_many_tasks, "hundred-tasks", 100, 7.714),
    }
