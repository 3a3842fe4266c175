"""Act without noise."""

from typing import Any

import equinox as eqx
from jaxtyping import Array

from innerloop._agent import Agent
from innerloop._types import Key, Memory, TimeStep, Transition


class Greedy(Agent):
    """Takes the most probable action of an agent whose `act` gives `ActExtras`; remembers and adapts as it does."""

    agent: Agent
    episodes_per_adapt: int = eqx.field(static=True)

    def __init__(self, agent: Agent):
        self.agent = agent
        self.episodes_per_adapt = agent.episodes_per_adapt

    def init(self, key: Key) -> Memory:
        return self.agent.init(key)

    def act(self, key: Key, memory: Memory, timestep: TimeStep) -> tuple[Array, Any]:
        _, extras = self.agent.act(key, memory, timestep)
        return extras.greedy_action, extras._replace(log_prob=extras.greedy_log_prob)

    def observe(self, key: Key, memory: Memory, transition: Transition) -> Memory:
        return self.agent.observe(key, memory, transition)

    def adapt(self, key: Key, memory: Memory, episodes: Transition) -> Memory:
        return self.agent.adapt(key, memory, episodes)
