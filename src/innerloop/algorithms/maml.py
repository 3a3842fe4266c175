"""MAML: model-agnostic meta-learning (Finn et al. 2017).

The inner loop is gradient descent; the outer loop differentiates through it, second derivatives included (advantages
count as constants). The outer step is plain policy gradient with Adam, PPO, or TRPO (as in the paper).
"""

from dataclasses import dataclass, field

from innerloop._benchmark import Benchmark
from innerloop._env import Env
from innerloop.algorithms._inner_loop import InnerLoop, MetaTraining, Net, meta_gradient
from innerloop.algorithms._meta_gradient import MetaGradient


@dataclass(frozen=True)
class MAML:
    """Meta-learn the parameters from which gradient steps adapt best."""

    first_order: bool = False
    """Treat inner gradients as constants (FOMAML): cheaper, and biased."""
    adapted: tuple[str, ...] = ()
    """Adapt only these parts of the policy, e.g. policy for the last layer. By default everything."""
    learn_rates: bool = False
    """Meta-learn a step size for each parameter, too."""
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
        agent = {"first_order": self.first_order, "adapted": self.adapted, "learn_rates": self.learn_rates}
        return meta_gradient(benchmark, self.net, self.inner, self.training, agent)
