"""Built-in environments and the task distributions that go with them."""

from innerloop.envs.acrobot import Acrobot, AcrobotTask, standard_acrobot, varied_acrobots
from innerloop.envs.bandits import (
    BanditTask,
    BernoulliBandit,
    InformativeBandit,
    RestlessBandit,
    RestlessTask,
    dependent_bandits,
    informative_bandits,
    one_good_arm,
    restless_bandits,
    uniform_bandits,
    uniform_dependent_bandits,
)
from innerloop.envs.bus import BusGrid, BusTask, bus_permutations, distracting_permutations
from innerloop.envs.cartpole import (
    CartPole,
    CartPoleTask,
    mean_pole,
    pole_ensemble,
    pole_grid,
    standard_cartpole,
    varied_cartpoles,
)
from innerloop.envs.corners import Corners, CornerTask, corner_tasks
from innerloop.envs.dark_room import DarkKeyToDoor, DarkRoom, KeyDoorTask, dark_goals, dark_keys_and_doors
from innerloop.envs.glyphs import Glyphs, GlyphTask, characters
from innerloop.envs.gridnavi import GridNavi, GridTask, gridnavi_goals
from innerloop.envs.harlow import Harlow, HarlowFixation1D, HarlowTask, ObjectPairs, object_pairs
from innerloop.envs.krazy_world import KrazyTask, KrazyWorld, krazy_worlds
from innerloop.envs.navigation import Navigation, NavigationTask, navigation_goals, navigation_worlds
from innerloop.envs.pendulum import Pendulum, PendulumTask, pendulum_masses, standard_pendulum
from innerloop.envs.permuted_grid import CodedTask, PermutedGrid, coded_tasks
from innerloop.envs.point import PointGoal, PointTask, semicircle_goals, square_goals
from innerloop.envs.reacher import Reacher, ReacherTask, reacher_goals
from innerloop.envs.regression import (
    Polynomial,
    Regression,
    Sinusoid,
    polynomial,
    polynomials,
    sine,
    sinusoids,
    sinusoids_with_frequency,
)
from innerloop.envs.reoccurring import Reoccurring, ReoccurringTask, ReoccurringTasks, reoccurring_tasks
from innerloop.envs.rooms import Rooms, RoomsTask, rooms_tasks
from innerloop.envs.start_goal import Mazes, StartGoalGrid, StartGoalTask, placements
from innerloop.envs.supervised import Supervised
from innerloop.envs.tabular import TabularMDP, TabularTask, random_mdps, random_walk_env, random_walks
from innerloop.envs.treasure import TreasureHunt, TreasureTask, treasures
from innerloop.envs.two_step import TwoStep, TwoStepTask, two_step_tasks
from innerloop.envs.wrappers import RevealTask, ScaleActions

__all__ = [
    "Acrobot",
    "AcrobotTask",
    "BanditTask",
    "BernoulliBandit",
    "BusGrid",
    "BusTask",
    "CartPole",
    "CartPoleTask",
    "CodedTask",
    "CornerTask",
    "Corners",
    "DarkKeyToDoor",
    "DarkRoom",
    "GlyphTask",
    "Glyphs",
    "GridNavi",
    "GridTask",
    "Harlow",
    "HarlowFixation1D",
    "HarlowTask",
    "InformativeBandit",
    "KeyDoorTask",
    "KrazyTask",
    "KrazyWorld",
    "Mazes",
    "Navigation",
    "NavigationTask",
    "ObjectPairs",
    "Pendulum",
    "PendulumTask",
    "PermutedGrid",
    "PointGoal",
    "PointTask",
    "Polynomial",
    "Reacher",
    "ReacherTask",
    "Regression",
    "Reoccurring",
    "ReoccurringTask",
    "ReoccurringTasks",
    "RestlessBandit",
    "RestlessTask",
    "RevealTask",
    "Rooms",
    "RoomsTask",
    "ScaleActions",
    "Sinusoid",
    "StartGoalGrid",
    "StartGoalTask",
    "Supervised",
    "TabularMDP",
    "TabularTask",
    "TreasureHunt",
    "TreasureTask",
    "TwoStep",
    "TwoStepTask",
    "bus_permutations",
    "characters",
    "coded_tasks",
    "corner_tasks",
    "dark_goals",
    "dark_keys_and_doors",
    "dependent_bandits",
    "distracting_permutations",
    "gridnavi_goals",
    "informative_bandits",
    "krazy_worlds",
    "mean_pole",
    "navigation_goals",
    "navigation_worlds",
    "object_pairs",
    "one_good_arm",
    "pendulum_masses",
    "placements",
    "pole_ensemble",
    "pole_grid",
    "polynomial",
    "polynomials",
    "random_mdps",
    "random_walk_env",
    "random_walks",
    "reacher_goals",
    "reoccurring_tasks",
    "restless_bandits",
    "rooms_tasks",
    "semicircle_goals",
    "sine",
    "sinusoids",
    "sinusoids_with_frequency",
    "square_goals",
    "standard_acrobot",
    "standard_cartpole",
    "standard_pendulum",
    "treasures",
    "two_step_tasks",
    "uniform_bandits",
    "uniform_dependent_bandits",
    "varied_acrobots",
    "varied_cartpoles",
]
