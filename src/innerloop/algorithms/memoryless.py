"""Non-adapting contrasts, trained by the same outer loop: domain randomisation and the task-conditioned oracle."""

from dataclasses import dataclass, field
from functools import partial

import jax

from innerloop._benchmark import Benchmark
from innerloop._env import Env
from innerloop.agents import FeedForward, TaskConditioned
from innerloop.algorithms._on_policy import OnPolicy
from innerloop.algorithms.ppo import PPO
from innerloop.algorithms.rl2 import num_task_features
from innerloop.envs.wrappers import RevealTask
from innerloop.nn import PolicyName, PolicyOptions


@dataclass(frozen=True)
class Memoryless:
    """One policy for all tasks, blind to which it is in (domain randomisation, Tobin et al. 2017)."""

    widths: tuple[int, ...] = (64, 64)
    """Hidden layers of policy and value."""
    training: OnPolicy = field(default_factory=OnPolicy)
    """The outer loop."""

    def env(self, benchmark: Benchmark) -> Env:
        """What the agent plays."""
        return benchmark.env

    def learner(self, benchmark: Benchmark) -> PPO:
        """The learner for a benchmark."""
        return self.training.learner(partial(FeedForward, self.env(benchmark).spec, widths=self.widths))


@dataclass(frozen=True)
class Oracle:
    """A policy that is told the task: what adaptation could reach at best, if training succeeds."""

    widths: tuple[int, ...] = (64, 64)
    """Hidden layers of policy and value."""
    policy: PolicyName = "mlp"
    """How the task shapes policy and value; other than `mlp`: nets on the observation, with layers of `widths`."""
    policy_options: PolicyOptions = field(default_factory=PolicyOptions)
    """What these have beside their layers."""
    training: OnPolicy = field(default_factory=OnPolicy)
    """The outer loop."""

    def env(self, benchmark: Benchmark) -> Env:
        """What the agent plays: the env with the task in its observation."""
        return RevealTask(benchmark.env, benchmark.train.sample(jax.random.key(0)))

    def learner(self, benchmark: Benchmark) -> PPO:
        """The learner for a benchmark."""
        spec = self.env(benchmark).spec
        if self.policy == "mlp":
            return self.training.learner(partial(FeedForward, spec, widths=self.widths))
        return self.training.learner(
            partial(
                TaskConditioned,
                spec,
                num_task_features(benchmark),
                widths=self.widths,
                policy=self.policy,
                policy_options=self.policy_options,
            )
        )
