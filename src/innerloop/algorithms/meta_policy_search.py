"""Gradient-based meta-policy search with an actor-critic objective in both loops.

J(θ) = λ E[Σ r] + η H(π_θ) - β KL(π_θ ‖ π_ref), with its own λ, η, β in the inner and in the outer loop. π_ref is the
policy before adaptation, the first policy of all, or a moving average; the critic is a value net, adapted and
meta-learned like the policy.
"""

from dataclasses import dataclass, field

from innerloop._benchmark import Benchmark
from innerloop._env import Env
from innerloop.algorithms._inner_loop import InnerLoop, MetaTraining, Net, meta_gradient
from innerloop.algorithms._meta_gradient import MetaGradient


@dataclass(frozen=True)
class MetaPolicySearch:
    """Actor-critic meta-policy search with entropy and KL terms."""

    net: Net = field(default_factory=Net)
    """The policy."""
    inner: InnerLoop = field(
        default_factory=lambda: InnerLoop(
            baseline="value", gae_lambda=0.95, inner_entropy_coef=0.001, inner_kl_coef=0.01
        )
    )
    """The inner loop."""
    training: MetaTraining = field(
        default_factory=lambda: MetaTraining(
            outer="ppo", num_outer_steps=5, outer_entropy_coef=0.001, outer_kl_coef=0.01, reference="average"
        )
    )
    """The outer loop."""

    def env(self, benchmark: Benchmark) -> Env:
        """What the agent plays."""
        return benchmark.env

    def learner(self, benchmark: Benchmark) -> MetaGradient:
        """The learner for a benchmark."""
        return meta_gradient(benchmark, self.net, self.inner, self.training, {})
