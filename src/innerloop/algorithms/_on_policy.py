"""The settings that every on-policy method shares, and the learner they describe."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

import optax

from innerloop._agent import ActorCritic
from innerloop._benchmark import Benchmark
from innerloop._learner import check_shares, clipped_adam
from innerloop.algorithms.a2c import a2c
from innerloop.algorithms.ppo import PPO


@dataclass(frozen=True)
class OnPolicy:
    """How an actor-critic is trained: budget, optimiser, returns and loss."""

    num_updates: int = 400
    """Training length: batches collected and learned from."""
    num_tasks: int = 1024
    """Trials in a batch, each on a task of its own."""
    loss: Literal["ppo", "a2c"] = "ppo"
    """Clipped surrogate with several epochs, or one plain policy-gradient step on each batch."""
    learning_rate: float = 1e-3
    """Adam's step size at the start."""
    final_learning_rate: float = 0.0
    """Adam's step size at the end; linear in between."""
    max_grad_norm: float = 1.0
    """Gradients are scaled down to this global norm."""
    gamma: float = 0.99
    """Discount for each step."""
    gae_lambda: float = 0.3
    """λ of the advantages."""
    value_lambda: float = 1.0
    """λ of the value targets; 1 is Monte Carlo."""
    clip_ratio: float = 0.2
    """How far the surrogate follows the ratio of new to old policy."""
    value_coef: float = 0.5
    """Weight of the value error."""
    value_clip: float | None = None
    """Hold new values within this distance of old ones (in normalised units)."""
    entropy_coef: float = 0.01
    """Weight of the entropy bonus at the start."""
    final_entropy_coef: float = 0.0
    """Weight of the entropy bonus from `entropy_anneal` of the run on; linear before."""
    entropy_anneal: float = 0.8
    """The share of the run over which the entropy bonus changes."""
    num_epochs: int = 2
    """Passes over each batch; "a2c" takes one gradient step on the whole."""
    num_minibatches: int = 4
    """Gradient steps in a pass."""
    across_episodes: bool = True
    """Whether returns flow over the ends of episodes within a trial."""
    normalize_advantage: bool = True
    """Give advantages zero mean and unit variance in each batch."""
    num_free_episodes: int = 0
    """Episodes at the start of a trial whose rewards the agent is fed, but does not earn (E-RL²)."""
    bptt_length: int | None = None
    """Back-propagate through windows of this many steps; by default through whole trials."""
    stream_steps: int | None = None
    """Learn from windows of this many steps of `num_tasks` endless streams of trials; by default from whole trials."""

    def train_rounds(self, benchmark: Benchmark) -> int:
        """Rounds of a trial in training."""
        return benchmark.num_episodes

    def learner(self, make_agent: Callable[..., ActorCritic], **privileged: Any) -> PPO:
        """PPO or A2C with these settings; `privileged` are PPO's `make_critic`, `make_predictor` and `predict_coef`."""
        check_shares(gamma=self.gamma, gae_lambda=self.gae_lambda, value_lambda=self.value_lambda)
        passes: dict[str, Any] = {
            "num_epochs": self.num_epochs,
            "num_minibatches": self.num_minibatches,
            "clip_ratio": self.clip_ratio,
        }
        options: dict[str, Any] = {
            **privileged,
            "gamma": self.gamma,
            "gae_lambda": self.gae_lambda,
            "value_lambda": self.value_lambda,
            "value_coef": self.value_coef,
            "value_clip": self.value_clip,
            "entropy_coef": optax.linear_schedule(
                self.entropy_coef, self.final_entropy_coef, max(1, int(self.entropy_anneal * self.num_updates))
            ),
            "across_episodes": self.across_episodes,
            "normalize_advantage": self.normalize_advantage,
            "num_free_episodes": self.num_free_episodes,
            "bptt_length": self.bptt_length,
        }
        if self.loss == "a2c":
            return a2c(make_agent, self.optimizer(steps_per_update=1), **options)
        if self.loss == "ppo":
            return PPO(make_agent, self.optimizer(self.num_epochs * self.num_minibatches), **passes, **options)
        raise ValueError(f"loss={self.loss!r}: choose ppo or a2c.")

    def optimizer(self, steps_per_update: int) -> optax.GradientTransformation:
        """Adam behind a gradient clip, its step size linear over the run."""
        num_steps = self.num_updates * steps_per_update
        return clipped_adam(self.learning_rate, self.final_learning_rate, num_steps, self.max_grad_norm, eps=1e-5)
