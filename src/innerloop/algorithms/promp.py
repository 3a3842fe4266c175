"""ProMP: proximal meta-policy search (Rothfuss et al. 2019).

The inner loop descends on the low-variance curvature surrogate; the outer loop takes several clipped steps on each
batch and holds the policy before adaptation near the one that has played.
"""

from dataclasses import dataclass, field

from innerloop._benchmark import Benchmark
from innerloop._env import Env
from innerloop.algorithms._inner_loop import InnerLoop, MetaTraining, Net, meta_gradient
from innerloop.algorithms._meta_gradient import MetaGradient


@dataclass(frozen=True)
class ProMP:
    """Clipped meta-policy search with a KL penalty before adaptation."""

    proximity_coef: float = 5e-4
    """η: weight of KL(π_old ‖ π) on the episodes before each adaptation."""
    net: Net = field(default_factory=Net)
    """The policy."""
    inner: InnerLoop = field(default_factory=InnerLoop)
    """The inner loop."""
    training: MetaTraining = field(default_factory=lambda: MetaTraining(outer="ppo", num_outer_steps=5))
    """The outer loop."""

    def env(self, benchmark: Benchmark) -> Env:
        """What the agent plays."""
        return benchmark.env

    def learner(self, benchmark: Benchmark) -> MetaGradient:
        """The learner for a benchmark."""
        return meta_gradient(benchmark, self.net, self.inner, self.training, {}, proximity_coef=self.proximity_coef)
