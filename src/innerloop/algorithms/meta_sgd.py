"""Meta-SGD: learning to learn quickly for few-shot learning (Li et al. 2017).

Initial parameters and a step size for each of them are meta-learned together; step sizes may become negative.
"""

from dataclasses import dataclass, field

from innerloop._benchmark import Benchmark
from innerloop._env import Env
from innerloop.algorithms._inner_loop import InnerLoop, MetaTraining, Net, meta_gradient
from innerloop.algorithms._meta_gradient import MetaGradient


@dataclass(frozen=True)
class MetaSGD:
    """φ = θ - α ∘ ∇L(θ) with both θ and α learned; α starts at `inner_rate`."""

    net: Net = field(default_factory=Net)
    """The policy."""
    inner: InnerLoop = field(default_factory=InnerLoop)
    """The inner loop."""
    training: MetaTraining = field(default_factory=MetaTraining)
    """The outer loop."""

    def env(self, benchmark: Benchmark) -> Env:
        """What the agent plays."""
        return benchmark.env

    def learner(self, benchmark: Benchmark) -> MetaGradient:
        """The learner for a benchmark."""
        return meta_gradient(benchmark, self.net, self.inner, self.training, {"learn_rates": True})
