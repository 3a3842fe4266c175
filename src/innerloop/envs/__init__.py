"""Built-in environments and the task distributions that go with them."""

from innerloop.envs.bandits import (
    BanditTask,
    BernoulliBandit,
    InformativeBandit,
    RestlessBandit,
    RestlessTask,
    dependent_bandits,
    informative_bandits,
    restless_bandits,
    uniform_bandits,
    uniform_dependent_bandits,
)
from innerloop.envs.cartpole import CartPole, CartPoleTask, standard_cartpole, varied_cartpoles
from innerloop.envs.gridnavi import GridNavi, GridTask, gridnavi_goals
from innerloop.envs.harlow import Harlow, HarlowFixation1D, HarlowTask, ObjectPairs, object_pairs
from innerloop.envs.point import PointGoal, PointTask, semicircle_goals, square_goals
from innerloop.envs.start_goal import Mazes, StartGoalGrid, StartGoalTask, placements
from innerloop.envs.tabular import TabularMDP, TabularTask, random_mdps, random_walk_env, random_walks
from innerloop.envs.two_step import TwoStep, TwoStepTask, two_step_tasks
from innerloop.envs.wrappers import RevealTask

__all__ = [
    "BanditTask",
    "BernoulliBandit",
    "CartPole",
    "CartPoleTask",
    "GridNavi",
    "GridTask",
    "Harlow",
    "HarlowFixation1D",
    "HarlowTask",
    "InformativeBandit",
    "Mazes",
    "ObjectPairs",
    "PointGoal",
    "PointTask",
    "RestlessBandit",
    "RestlessTask",
    "RevealTask",
    "StartGoalGrid",
    "StartGoalTask",
    "TabularMDP",
    "TabularTask",
    "TwoStep",
    "TwoStepTask",
    "dependent_bandits",
    "gridnavi_goals",
    "informative_bandits",
    "object_pairs",
    "placements",
    "random_mdps",
    "random_walk_env",
    "random_walks",
    "restless_bandits",
    "semicircle_goals",
    "square_goals",
    "standard_cartpole",
    "two_step_tasks",
    "uniform_bandits",
    "uniform_dependent_bandits",
    "varied_cartpoles",
]
