"""The contrast that meta-learning has to beat: a policy trained on the mixture of tasks, adapted only when tested."""

from dataclasses import dataclass, field

from innerloop._benchmark import Benchmark
from innerloop._env import Env
from innerloop.algorithms._inner_loop import InnerLoop, MetaTraining, Net, meta_gradient
from innerloop.algorithms._meta_gradient import MetaGradient


@dataclass(frozen=True)
class FineTuning:
    """Train without adaptation, then adapt as MAML does: what the inner loop brings by itself."""

    net: Net = field(default_factory=Net)
    """The policy."""
    inner: InnerLoop = field(default_factory=InnerLoop)
    """The inner loop, used at test time only."""
    training: MetaTraining = field(default_factory=lambda: MetaTraining(inner_adaptation_steps=0))
    """Training on the mixture of tasks."""

    def env(self, benchmark: Benchmark) -> Env:
        """What the agent plays."""
        return benchmark.env

    def learner(self, benchmark: Benchmark) -> MetaGradient:
        """The learner for a benchmark."""
        if self.training.inner_adaptation_steps:
            steps = self.training.inner_adaptation_steps
            raise ValueError(f"inner_adaptation_steps={steps}: fine-tuning adapts at test time only; leave it at 0.")
        return meta_gradient(benchmark, self.net, self.inner, self.training, {})
