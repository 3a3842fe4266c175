"""Where adaptation to a training task begins, for learners that differentiate through it."""

import abc
from typing import Any

import equinox as eqx
from jaxtyping import Array, Int

from innerloop._agent import Player
from innerloop._types import Metrics, Task
from innerloop.agents import Gradient


class Start(eqx.Module):
    """What is meta-learned beside the agent, and how an agent that knows its training task begins with it."""

    @abc.abstractmethod
    def params(self, agent: Gradient) -> Any:
        """All that is meta-learned, from a new agent."""

    @abc.abstractmethod
    def agent(self, params: Any) -> Gradient:
        """The agent at test time."""

    @abc.abstractmethod
    def player(self, params: Any, num_updates: Int[Array, ""]) -> Gradient | Player:
        """Who plays in training, after so many updates."""

    @abc.abstractmethod
    def at(self, params: Any, task: Task, num_updates: Int[Array, ""]) -> tuple[Gradient, Metrics]:
        """The agent at the start of a training task, and terms that are added to its loss, by name."""


class SharedStart(Start):
    """Every task begins with the parameters of the agent (Finn et al. 2017)."""

    def params(self, agent: Gradient) -> Gradient:
        return agent

    def agent(self, params: Gradient) -> Gradient:
        return params

    def player(self, params: Gradient, num_updates: Int[Array, ""]) -> Gradient:
        return params

    def at(self, params: Gradient, task: Task, num_updates: Int[Array, ""]) -> tuple[Gradient, Metrics]:
        return params, {}
