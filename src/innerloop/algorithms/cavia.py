"""CAVIA: fast context adaptation via meta-learning (Zintgraf et al. 2019).

The net gets further inputs, the context; the inner loop adapts these and nothing else, from zero for every task.
"""

from dataclasses import dataclass, field

from innerloop._benchmark import Benchmark
from innerloop._env import Env
from innerloop.algorithms._inner_loop import InnerLoop, MetaTraining, Net, meta_gradient
from innerloop.algorithms._meta_gradient import MetaGradient


@dataclass(frozen=True)
class CAVIA:
    """Adapt a context vector by gradient steps; meta-learn the net that reads it."""

    net: Net = field(default_factory=lambda: Net(num_context=5))
    """The policy; `num_context` is the length of the context."""
    inner: InnerLoop = field(default_factory=lambda: InnerLoop(inner_rate=1.0))
    """The inner loop."""
    training: MetaTraining = field(default_factory=MetaTraining)
    """The outer loop."""

    def env(self, benchmark: Benchmark) -> Env:
        """What the agent plays."""
        return benchmark.env

    def learner(self, benchmark: Benchmark) -> MetaGradient:
        """The learner for a benchmark."""
        if self.net.num_context < 1:
            raise ValueError(f"num_context={self.net.num_context}: CAVIA needs a context of at least 1 parameter.")
        agent = {"adapted": ("context",), "fixed_start": True}
        return meta_gradient(benchmark, self.net, self.inner, self.training, agent)
