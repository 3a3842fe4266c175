"""ANIL: almost no inner loop (Raghu et al. 2020). Only the last layer is adapted; the features below are meta-learned."""

from dataclasses import dataclass, field

from innerloop._benchmark import Benchmark
from innerloop._env import Env
from innerloop.algorithms._inner_loop import InnerLoop, MetaTraining, Net, meta_gradient
from innerloop.algorithms._meta_gradient import MetaGradient


@dataclass(frozen=True)
class ANIL:
    """MAML that adapts the head of the policy only."""

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
        return meta_gradient(benchmark, self.net, self.inner, self.training, {"adapted": ("policy",)})
