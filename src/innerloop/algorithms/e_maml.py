"""E-MAML: some considerations on learning to explore via meta-reinforcement learning (Stadie et al. 2018).

MAML's gradient as its first release computes it leaves out that the episodes before adaptation were sampled from the
policy, too. With that term, the policy before adaptation gets credit for what its experience is worth after it.
"""

from dataclasses import dataclass, field

from innerloop._benchmark import Benchmark
from innerloop._env import Env
from innerloop.algorithms._inner_loop import InnerLoop, MetaTraining, Net, meta_gradient
from innerloop.algorithms._meta_gradient import MetaGradient


@dataclass(frozen=True)
class EMAML:
    """MAML with credit for exploration."""

    exploration_coef: float = 1.0
    """Weight of that credit. 1 gives the gradient of what is earned after adaptation if advantages are not normalised;
    if they are, so are returns, and the weight is a matter of taste."""
    net: Net = field(default_factory=Net)
    """The policy."""
    inner: InnerLoop = field(default_factory=lambda: InnerLoop(surrogate="plain"))
    """The inner loop."""
    training: MetaTraining = field(default_factory=MetaTraining)
    """The outer loop."""

    def env(self, benchmark: Benchmark) -> Env:
        """What the agent plays."""
        return benchmark.env

    def learner(self, benchmark: Benchmark) -> MetaGradient:
        """The learner for a benchmark."""
        return meta_gradient(benchmark, self.net, self.inner, self.training, {}, exploration_coef=self.exploration_coef)
