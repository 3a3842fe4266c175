"""Methods, one file for each, and the settings that they share."""

from innerloop.algorithms._critic import TaskCritic
from innerloop.algorithms._on_policy import OnPolicy
from innerloop.algorithms.memoryless import Memoryless, Oracle
from innerloop.algorithms.ppo import PPO
from innerloop.algorithms.rl2 import RL2

__all__ = ["PPO", "RL2", "Memoryless", "OnPolicy", "Oracle", "TaskCritic"]
