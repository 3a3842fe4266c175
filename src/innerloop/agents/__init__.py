"""Memory architectures that several learners use."""

from innerloop.agents._feedforward import FeedForward
from innerloop.agents._gradient import Gradient
from innerloop.agents._greedy import Greedy
from innerloop.agents._objectives import AnswerError, Objective, PolicyObjective
from innerloop.agents._recurrent import Recurrent

__all__ = ["AnswerError", "FeedForward", "Gradient", "Greedy", "Objective", "PolicyObjective", "Recurrent"]
