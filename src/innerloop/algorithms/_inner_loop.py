"""The settings that every gradient-based method shares, and the learner they describe."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal

import equinox as eqx
import optax

from innerloop._agent import ActorCritic
from innerloop._arrays import leaves
from innerloop._benchmark import Benchmark
from innerloop._env import Env
from innerloop._learner import check_shares, clipped_adam
from innerloop._types import Key
from innerloop.agents import AnswerError, FeedForward, Gradient, Objective, PolicyObjective
from innerloop.agents._objectives import BaselineName
from innerloop.algorithms._meta_gradient import MetaGradient, ReferenceName
from innerloop.algorithms._trust_region import TrustRegion
from innerloop.envs.supervised import Supervised
from innerloop.losses import SurrogateName
from innerloop.nn import Activation, Init


@dataclass(frozen=True)
class Net:
    """The net that is adapted."""

    widths: tuple[int, ...] = (64, 64)
    """Hidden layers."""
    activation: Activation = "tanh"
    """After each hidden layer."""
    init: Init = "orthogonal"
    """How layers begin: orthogonal with biases 0, or weights and biases uniform."""
    num_context: int = 0
    """Further inputs that are parameters, starting at 0: a bias transformation, or CAVIA's context."""
    start_from: str | None = None
    """A run directory whose trained policy meta-training starts from."""


@dataclass(frozen=True)
class InnerLoop:
    """How an agent adapts to a task: in training and at test time alike."""

    episodes_per_round: int | None = None
    """Episodes between two adaptations; for supervised tasks, sets of examples. By default the benchmark's."""
    inner_rate: float = 0.1
    """Step size α."""
    inner_rate_factors: tuple[float, ...] = (1.0,)
    """Factor of α for the first, second, ... step; the last one holds for all later steps."""
    steps_per_round: int = 1
    """Gradient steps of an adaptation, all on the same episodes."""
    inner_max_grad_norm: float | None = None
    """Inner gradients are scaled down to this norm."""
    surrogate: SurrogateName = "lvc"
    """How the inner return is differentiated: they differ in the second derivative."""
    gamma: float = 0.99
    """Discount for each step, of inner and outer loop."""
    gae_lambda: float = 1.0
    """λ of the advantages, of inner and outer loop."""
    baseline: BaselineName = "linear"
    """What advantages are measured against: features fitted to each round, a value net, or nothing."""
    bootstrap_truncations: bool = False
    """With a value net: a time limit is followed by the value of what came next, instead of nothing."""
    normalize_advantage: bool = True
    """Give the advantages of a round zero mean and unit variance."""
    value_coef: float = 0.5
    """Weight of the value net's error."""
    inner_reward_coef: float = 1.0
    """λ: weight of the return in the inner loss."""
    inner_entropy_coef: float = 0.0
    """η: weight of the entropy in the inner loss."""
    inner_kl_coef: float = 0.0
    """β: weight of KL(π ‖ π_ref) in the inner loss."""
    remat: bool = False
    """Compute inner steps anew in the backward pass: slower, but memory does not grow with their activations."""

    def objective(self, env: Env) -> Objective:
        """The inner loss for an env."""
        if isinstance(env, Supervised):
            return AnswerError()
        return PolicyObjective(
            env.spec.obs,
            surrogate=self.surrogate,
            reward_coef=self.inner_reward_coef,
            entropy_coef=self.inner_entropy_coef,
            kl_coef=self.inner_kl_coef,
            **self.returns(),
        )

    def rounds(self, benchmark: Benchmark) -> int:
        """Episodes of a round."""
        half = max(1, benchmark.num_episodes // 2)
        return self.episodes_per_round or benchmark.episodes_per_round or half

    def agent(self, env: Env, base: ActorCritic, episodes_per_round: int, **options: Any) -> Gradient:
        """The agent that adapts `base`; `options` are further ones of `Gradient`."""
        return Gradient(
            base,
            self.objective(env),
            episodes_per_round=episodes_per_round,
            rate=self.inner_rate,
            rate_factors=self.inner_rate_factors,
            steps_per_round=self.steps_per_round,
            max_grad_norm=self.inner_max_grad_norm,
            remat=self.remat,
            **options,
        )

    def returns(self) -> dict[str, Any]:
        """What inner and outer policy objective share."""
        check_shares(gamma=self.gamma, gae_lambda=self.gae_lambda)
        return {
            "baseline": self.baseline,
            "gamma": self.gamma,
            "gae_lambda": self.gae_lambda,
            "normalize": self.normalize_advantage,
            "value_coef": self.value_coef,
            "bootstrap_truncations": self.bootstrap_truncations,
        }


@dataclass(frozen=True)
class MetaTraining:
    """The outer loop: budget, optimiser and loss."""

    num_updates: int = 500
    """Training length: batches collected and learned from."""
    num_tasks: int = 40
    """Tasks in a batch."""
    inner_adaptation_steps: int = 1
    """Adaptations before the episodes that the outer loss counts. 0 trains the policy on the mixture of tasks."""
    outer: Literal["vpg", "ppo", "trpo"] = "vpg"
    """Outer step: Adam on the plain or on the clipped surrogate, or a trust region. Supervised tasks have one loss."""
    learning_rate: float = 1e-3
    """Adam's step size at the start."""
    final_learning_rate: float = 0.0
    """Adam's step size at the end; linear in between."""
    max_grad_norm: float = 10.0
    """Outer gradients are scaled down to this norm."""
    num_outer_steps: int = 1
    """Adam's steps on each batch."""
    clip_ratio: float = 0.3
    """How far the clipped surrogate follows the ratio of new to old policy."""
    max_kl: float = 0.01
    """The trust region: the most that the mean KL divergence from the old policy may be."""
    fisher_share: float = 1.0
    """Share of the episodes (before and after adaptation) that the trust region's Fisher matrix is computed from: less
    is faster, and noisier."""
    outer_reward_coef: float = 1.0
    """λ: weight of the return in the outer loss."""
    outer_entropy_coef: float = 0.0
    """η: weight of the entropy in the outer loss."""
    outer_kl_coef: float = 0.0
    """β: weight of KL(π ‖ π_ref) in the outer loss."""
    reference: ReferenceName = "before"
    """π_ref: the policy before adaptation, the first policy of all, or a moving average."""
    chunk_size: int | None = None
    """Tasks differentiated at a time; by default all at once."""
    shaped: bool = True
    """Compute the outer loss on the benchmark's denser reward, if it has one; the inner loop never sees it."""

    @property
    def stream_steps(self) -> None:
        """Whole trials only."""
        return None

    def train_rounds(self, benchmark: Benchmark) -> int:
        """Rounds of a trial in training."""
        return self.inner_adaptation_steps + 1

    def objective(self, env: Env, inner: InnerLoop) -> Objective:
        """The outer loss for an env."""
        if isinstance(env, Supervised):
            return AnswerError()
        return PolicyObjective(
            env.spec.obs,
            surrogate="clipped" if self.outer == "ppo" else "lvc",
            clip_ratio=self.clip_ratio,
            reward_coef=self.outer_reward_coef,
            entropy_coef=self.outer_entropy_coef,
            kl_coef=self.outer_kl_coef,
            **inner.returns(),
        )

    def optimizer(self) -> optax.GradientTransformation:
        """Adam behind a gradient clip, its step size linear over the run."""
        num_steps = self.num_updates * self.num_outer_steps
        return clipped_adam(self.learning_rate, self.final_learning_rate, num_steps, self.max_grad_norm)


def make_agent(env: Env, episodes_per_round: int, net: Net, inner: InnerLoop, *, key: Key, **options: Any) -> Gradient:
    """The agent of a gradient-based method; `options` are further ones of `Gradient`."""
    base = FeedForward(
        env.spec,
        key=key,
        widths=net.widths,
        activation=net.activation,
        init=net.init,
        num_context=net.num_context,
        has_value=inner.baseline == "value" and not isinstance(env, Supervised),
        is_predictor=isinstance(env, Supervised),
    )
    if net.start_from is not None:
        base = pretrained(base, net.start_from)
    return inner.agent(env, base, episodes_per_round, **options)


def agent_maker(benchmark: Benchmark, net: Net, inner: InnerLoop, **options: Any) -> Callable[..., Gradient]:
    """Builds agents for a benchmark from `key=`; `options` are further ones of `Gradient`."""
    return partial(make_agent, benchmark.env, inner.rounds(benchmark), net, inner, **options)


def meta_gradient(
    benchmark: Benchmark, net: Net, inner: InnerLoop, training: MetaTraining, agent: dict[str, Any], **options: Any
) -> MetaGradient:
    """The learner of a gradient-based method; `agent` are options of `Gradient`, `options` of `MetaGradient`."""
    return outer_loop(benchmark, agent_maker(benchmark, net, inner, **agent), inner, training, **options)


def outer_loop(
    benchmark: Benchmark, make_agent: Callable[..., Gradient], inner: InnerLoop, training: MetaTraining, **options: Any
) -> MetaGradient:
    """The learner of agents that are built from `key=`; `options` are further ones of `MetaGradient`."""
    env = benchmark.env
    if training.outer not in ("vpg", "ppo", "trpo"):
        raise ValueError(f"outer={training.outer!r}: choose vpg, ppo or trpo.")
    supervised, trusts = isinstance(env, Supervised), training.outer == "trpo"
    if supervised and (trusts or options.get("exploration_coef") or options.get("proximity_coef")):
        raise ValueError(f"outer={training.outer!r}: supervised tasks have no policy to hold near or to explore with.")
    if trusts and training.num_outer_steps != 1:
        raise ValueError(f"num_outer_steps={training.num_outer_steps}: a trust region takes one step on each batch.")
    return MetaGradient(
        make_agent,
        training.objective(env, inner),
        optimizer=None if trusts else training.optimizer(),
        trust_region=TrustRegion(training.max_kl, fisher_share=training.fisher_share) if trusts else None,
        num_steps=training.num_outer_steps,
        reference=training.reference,
        chunk_size=training.chunk_size,
        shaped=benchmark.shaped if training.shaped else None,
        **options,
    )


def pretrained(base: FeedForward, folder: str) -> FeedForward:
    """`base` with the policy of a trained run; its value net and context stay as they are built."""
    from innerloop._export import read_exported

    found: Any = read_exported(folder)
    if found.num_seeds is not None:
        raise ValueError(
            f"start_from={folder!r}: that run holds {found.num_seeds} agents; train one with a single seed."
        )
    source: ActorCritic = found.agent.base if isinstance(found.agent, Gradient) else found.agent
    old = {path: x for path, x in leaves(source).items() if path.startswith(".policy")}
    new = leaves(base)
    nets: list[Any] = [getattr(x, "policy_net", None) for x in (source, base)]
    if nets[0] is not None and nets[0].mlp.activation != nets[1].mlp.activation:
        raise ValueError(
            f"start_from={folder!r}: its policy is a {nets[0].mlp.activation} net, not a {nets[1].mlp.activation} one."
        )
    for path, x in new.items():
        if path.startswith(".policy") and (path not in old or old[path].shape != x.shape):
            there = f"has shape {old[path].shape}" if path in old else "is missing"
            raise ValueError(f"start_from={folder!r}: its policy does not fit: {path[1:]} {there}, need {x.shape}.")
    fits = [old[path] if path in old and old[path].shape == x.shape else x for path, x in new.items()]
    return eqx.tree_at(lambda tree: tuple(leaves(tree).values()), base, tuple(fits))
