"""E-RL²: RL² whose first episodes are for exploration only (Stadie et al. 2018).

The agent is fed all rewards, but those of the first episodes of a trial do not count: what they are worth is what the
later ones make of them.
"""

from dataclasses import dataclass, field

from innerloop._benchmark import Benchmark
from innerloop._env import Env
from innerloop.algorithms._on_policy import OnPolicy
from innerloop.algorithms.ppo import PPO
from innerloop.algorithms.rl2 import RL2
from innerloop.nn import CoreName, CoreOptions, PolicyName, PolicyOptions


@dataclass(frozen=True)
class ERL2:
    """RL² that does not earn the rewards of its first episodes (`num_free_episodes`)."""

    core: CoreName = "gru"
    """Kind of memory."""
    hidden_size: int = 64
    """Width of the memory."""
    core_options: CoreOptions = field(default_factory=CoreOptions)
    """What the memory has beside its width."""
    encoder_widths: tuple[int, ...] = ()
    """Hidden layers between observation and memory."""
    head_widths: tuple[int, ...] = ()
    """Hidden layers on memory and observation, before policy and value."""
    policy: PolicyName = "mlp"
    """How the memory shapes policy and value; other than `mlp`: nets on the observation, with layers of `head_widths`."""
    policy_options: PolicyOptions = field(default_factory=PolicyOptions)
    """What these have beside their layers."""
    training: OnPolicy = field(default_factory=lambda: OnPolicy(num_free_episodes=1))
    """The outer loop."""

    def env(self, benchmark: Benchmark) -> Env:
        """What the agent plays."""
        return benchmark.env

    def learner(self, benchmark: Benchmark) -> PPO:
        """The learner for a benchmark."""
        if self.training.num_free_episodes < 1:
            raise ValueError(f"num_free_episodes={self.training.num_free_episodes}: E-RL² needs at least 1.")
        if not self.training.across_episodes:
            raise ValueError("across_episodes=False: then no later episode gives credit to the free ones; drop it.")
        same = RL2(
            core=self.core,
            hidden_size=self.hidden_size,
            core_options=self.core_options,
            encoder_widths=self.encoder_widths,
            head_widths=self.head_widths,
            policy=self.policy,
            policy_options=self.policy_options,
            training=self.training,
        )
        return same.learner(benchmark)
