"""Memory architectures that several learners use."""

from innerloop.agents._belief import Belief
from innerloop.agents._decoupled import Decoupled
from innerloop.agents._feedforward import FeedForward
from innerloop.agents._gradient import Gradient
from innerloop.agents._greedy import Greedy
from innerloop.agents._objectives import AnswerError, Objective, PolicyObjective
from innerloop.agents._posterior import Posterior
from innerloop.agents._recurrent import Recurrent
from innerloop.agents._reinstating import Reinstating
from innerloop.agents._soft import Soft, SoftPolicy
from innerloop.agents._structured import Structured
from innerloop.agents._summary import History, Present, Summary
from innerloop.agents._task_conditioned import TaskConditioned

__all__ = [
    "AnswerError",
    "Belief",
    "Decoupled",
    "FeedForward",
    "Gradient",
    "Greedy",
    "History",
    "Objective",
    "PolicyObjective",
    "Posterior",
    "Present",
    "Recurrent",
    "Reinstating",
    "Soft",
    "SoftPolicy",
    "Structured",
    "Summary",
    "TaskConditioned",
]
