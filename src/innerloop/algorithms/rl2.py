"""RL²: fast reinforcement learning via slow reinforcement learning (Duan et al. 2016; Wang et al. 2016).

The inner loop is the recurrent net's own dynamics, kept for a whole trial; the outer loop is PPO (as in the authors'
released launchers) or A2C (as in Wang et al.).
"""

from dataclasses import dataclass, field
from functools import partial

import jax

from innerloop._benchmark import Benchmark
from innerloop._env import Env
from innerloop.agents import Recurrent
from innerloop.algorithms._critic import TaskCritic, TaskPredictor
from innerloop.algorithms._on_policy import OnPolicy
from innerloop.algorithms.ppo import PPO
from innerloop.envs.wrappers import flatten_task
from innerloop.nn import CoreName, CoreOptions, PolicyName, PolicyOptions


@dataclass(frozen=True)
class RL2:
    """Recurrent meta-reinforcement learning."""

    core: CoreName = "gru"
    """Kind of memory."""
    hidden_size: int = 64
    """Width of the memory."""
    core_options: CoreOptions = field(default_factory=CoreOptions)
    """What the memory has beside its width."""
    encoder_widths: tuple[int, ...] = ()
    """Hidden layers between observation and memory."""
    input_widths: tuple[int, ...] = ()
    """Hidden layers on all that the memory is fed with."""
    head_widths: tuple[int, ...] = ()
    """Hidden layers on memory and observation, before policy and value."""
    head_obs: bool = True
    """Whether these layers see the observation (ablation: without it they see the memory alone)."""
    num_products: int = 0
    """Products of memory and observation, each projected, that policy and value see."""
    policy: PolicyName = "mlp"
    """How the memory shapes policy and value; other than `mlp`: nets on the observation, with layers of `head_widths`."""
    policy_options: PolicyOptions = field(default_factory=PolicyOptions)
    """What these have beside their layers."""
    feed_action: bool = True
    """Whether the memory is fed the previous action."""
    feed_reward: bool = True
    """Whether the memory is fed the previous reward (ablation: without it nothing can be learned from reward)."""
    feed_prev_obs: bool = False
    """Whether the memory is fed the previous observation too, so that it sees whole transitions."""
    reset_at_episodes: bool = False
    """Clear the memory when an episode ends (ablation: nothing is carried from episode to episode)."""
    task_critic: bool = False
    """Compute advantages with a critic that is told the task. The agent never is."""
    task_prediction: float = 0.0
    """Weight of an auxiliary loss that asks the memory for the task. The agent is never told it."""
    prediction_every: int = 1
    """Steps from one such question to the next; more is cheaper where tasks have many entries."""
    training: OnPolicy = field(default_factory=OnPolicy)
    """The outer loop."""

    def env(self, benchmark: Benchmark) -> Env:
        """What the agent plays."""
        return benchmark.env

    def learner(self, benchmark: Benchmark) -> PPO:
        """The learner for a benchmark."""
        if not self.head_obs and self.policy != "mlp":
            raise ValueError(f"head_obs=False: only policy='mlp' can do without the observation, not {self.policy!r}.")
        make_agent = partial(
            Recurrent,
            benchmark.env.spec,
            core=self.core,
            hidden_size=self.hidden_size,
            core_options=self.core_options,
            encoder_widths=self.encoder_widths,
            input_widths=self.input_widths,
            head_widths=self.head_widths,
            head_obs=self.head_obs,
            num_products=self.num_products,
            policy=self.policy,
            policy_options=self.policy_options,
            feed_action=self.feed_action,
            feed_reward=self.feed_reward,
            feed_prev_obs=self.feed_prev_obs,
            reset_at_episodes=self.reset_at_episodes,
        )
        sizes = (self.hidden_size, num_task_features(benchmark))
        privileged = {
            "make_critic": partial(TaskCritic, *sizes) if self.task_critic else None,
            "make_predictor": partial(TaskPredictor, *sizes, self.prediction_every) if self.task_prediction else None,
            "predict_coef": self.task_prediction,
        }
        return self.training.learner(make_agent, **privileged)


def num_task_features(benchmark: Benchmark) -> int:
    """Length of a flattened task."""
    return jax.eval_shape(lambda key: flatten_task(benchmark.train.sample(key)), jax.random.key(0)).shape[0]
