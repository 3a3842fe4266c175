"""Episodic RL²: recurrent meta-reinforcement learning for tasks that come back (Ritter et al. 2018).

A trial is a lifetime in which tasks re-occur, each episode one exposure to one of them. The recurrent net is cleared when
an episode ends; a store keeps how it was left, under a key made from what the episode showed first, until the trial ends.
At every step: query the store; if nothing close is found, interact as if there were none; when the episode ends, write.
"""

from dataclasses import dataclass, field
from functools import partial

from innerloop._benchmark import Benchmark
from innerloop._env import Env
from innerloop.agents import Reinstating
from innerloop.algorithms._on_policy import OnPolicy
from innerloop.algorithms.ppo import PPO
from innerloop.nn import Search


@dataclass(frozen=True)
class EpisodicRL2:
    """RL² that reinstates what it knew when it last met the same context: for tasks that come back within a trial."""

    hidden_size: int = 64
    """Width of the memory within an episode, and of what is stored."""
    context: tuple[int, int] | None = None
    """Entries of an episode's first observation that are its key: from, up to. By default the whole encoded one."""
    memory_slots: int = 32
    """Episodes that the store holds; beyond that, the least recently used is evicted."""
    num_neighbors: int = 1
    """Slots that are read: those with the nearest keys."""
    hit_distance: float = 0.25
    """Squared distance up to which a key is the same: it is reinstated, and overwritten."""
    search: Search = "exact"
    """How the nearest keys are found; `approximate` is for TPUs and many slots."""
    encoder_widths: tuple[int, ...] = ()
    """Hidden layers between observation and memory."""
    head_widths: tuple[int, ...] = ()
    """Hidden layers on memory and observation, before policy and value."""
    training: OnPolicy = field(default_factory=OnPolicy)
    """The outer loop."""

    def env(self, benchmark: Benchmark) -> Env:
        """What the agent plays."""
        return benchmark.env

    def learner(self, benchmark: Benchmark) -> PPO:
        """The learner for a benchmark."""
        make_agent = partial(
            Reinstating,
            benchmark.env.spec,
            hidden_size=self.hidden_size,
            context=self.context,
            memory_slots=self.memory_slots,
            num_neighbors=self.num_neighbors,
            hit_distance=self.hit_distance,
            search=self.search,
            encoder_widths=self.encoder_widths,
            head_widths=self.head_widths,
        )
        return self.training.learner(make_agent)
