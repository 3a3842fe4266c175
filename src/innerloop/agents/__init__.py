"""Memory architectures that several learners use."""

from innerloop.agents._feedforward import FeedForward
from innerloop.agents._greedy import Greedy
from innerloop.agents._recurrent import Recurrent

__all__ = ["FeedForward", "Greedy", "Recurrent"]
