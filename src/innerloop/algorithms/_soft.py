"""What off-policy methods share: twin critics, a soft policy and its temperature, their losses, and the settings."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Bool, Float, Int

from innerloop._benchmark import Benchmark
from innerloop._env import Discrete, Space
from innerloop._learner import check_rates, check_shares, clipped_adam
from innerloop._types import Key, Metrics
from innerloop.agents._soft import SoftPolicy
from innerloop.nn import MLP, Linear, PolicyName, PolicyOptions


class Critic(eqx.Module):
    """Q(x, a): of one action as the policy's `Choice.features` give it, or of all discrete ones at once."""

    net: MLP
    head: Linear
    space: Space

    def __init__(self, key: Key, num_in: int, space: Space, widths: tuple[int, ...]):
        net_key, head_key = jax.random.split(key)
        is_discrete = isinstance(space, Discrete)
        num_in += 0 if is_discrete else space.num_features
        self.net = MLP(net_key, num_in, widths, "relu")
        self.head = Linear(head_key, widths[-1] if widths else num_in, space.num_features if is_discrete else 1)
        self.space = space

    def all(self, x: Float[Array, " features"]) -> Float[Array, " actions"]:
        """Of every discrete action."""
        return self.head(self.net(x))

    def __call__(self, x: Float[Array, " features"], action: Float[Array, " width"]) -> Float[Array, ""]:
        if isinstance(self.space, Discrete):
            return self.all(x) @ action
        return self.head(self.net(jnp.concatenate([x, action])))[0]


class SoftNets(eqx.Module):
    """A policy, two critics and the temperature α: what soft actor-critics train, and the losses that train them."""

    policy: SoftPolicy
    critics: tuple[Critic, Critic]
    log_alpha: Float[Array, ""]

    def lowest(self, x: Float[Array, " features"], action: Float[Array, " width"]) -> Float[Array, ""]:
        """The lower of the two critics' values."""
        first, second = self.critics
        return jnp.minimum(first(x, action), second(x, action))

    def soft_value(
        self, key: Key, nets: "SoftNets", x: Float[Array, " features"], judged: Float[Array, " features"]
    ) -> Float[Array, ""]:
        """E_a[min Q(judged, a) - α log π(a|x)], with these critics and the policy and temperature of `nets`.

        `x` and `judged` are the same situation as the policy's summary and as these critics' summary show it.
        """
        alpha = jnp.exp(nets.log_alpha)
        if isinstance(nets.policy.space, Discrete):
            logits = nets.policy.logits(x)
            lowest = jnp.minimum(self.critics[0].all(judged), self.critics[1].all(judged))
            return (jnp.exp(logits) * (lowest - alpha * logits)).sum()
        choice = nets.policy.sample(key, x)
        return self.lowest(judged, choice.features) - alpha * choice.log_prob

    def critic_error(
        self, x: Float[Array, " features"], action: Float[Array, " width"], target: Float[Array, ""]
    ) -> Float[Array, ""]:
        """½ Σ (Q - target)²."""
        first, second = (jnp.square(critic(x, action) - target) for critic in self.critics)
        return 0.5 * (first + second)

    def policy_loss(self, key: Key, x: Float[Array, " features"]) -> tuple[Float[Array, ""], Float[Array, ""]]:
        """-E[min Q - α log π], with constant critics and temperature; and the entropy of the policy."""
        fixed = jax.lax.stop_gradient(self)
        mixed = eqx.tree_at(lambda nets: nets.policy, fixed, self.policy)
        if isinstance(self.policy.space, Discrete):
            logits = self.policy.logits(x)
            entropy = -(jnp.exp(logits) * logits).sum()
            return -fixed.soft_value(key, mixed, x, x), entropy
        choice = self.policy.sample(key, x)
        alpha = jnp.exp(fixed.log_alpha)
        return alpha * choice.log_prob - fixed.lowest(x, choice.features), -choice.log_prob

    def temperature_loss(self, entropy: Float[Array, ""], target: float) -> Float[Array, ""]:
        """log α (H - target): raises α where the entropy is below its target."""
        return self.log_alpha * jax.lax.stop_gradient(entropy - target)


def target_entropy(space: Space) -> float:
    """Haarnoja et al. 2018b: minus the number of dimensions. Discrete: 0.3 of the uniform policy's entropy."""
    return 0.3 * math.log(space.num_values) if isinstance(space, Discrete) else -float(space.num_features)


def follow(slow: Any, fast: Any, rate: float) -> Any:
    """Target networks: slow + rate (fast - slow)."""
    return jax.tree.map(lambda x, y: x + rate * (y - x) if eqx.is_inexact_array(x) else x, slow, fast)


def after_warmup(
    is_ready: Bool[Array, ""], key: Key, step: Callable[[Any, Key], tuple[Any, Metrics]], state: Any, num_steps: int
) -> tuple[Any, Metrics]:
    """`num_steps` gradient steps and the means of their metrics; none, and zeros, if not `is_ready`."""

    def learn(state: Any) -> tuple[Any, Metrics]:
        return jax.lax.scan(step, state, jax.random.split(key, num_steps))

    def wait(state: Any) -> tuple[Any, Metrics]:
        told = jax.eval_shape(learn, state)[1]
        return state, jax.tree.map(lambda x: jnp.zeros(x.shape, x.dtype), told)

    state, told = jax.lax.cond(is_ready, learn, wait, state)
    return state, {name: x.mean() for name, x in told.items()}


class Views(NamedTuple):
    """Features of a batch of steps: before each, for critics and policy; after each, where its return goes on from, for
    the policy and, made by the slow copy, for the slow critics."""

    now: Float[Array, "step features"]
    after: Float[Array, "step features"]
    slow_after: Float[Array, "step features"]


class Played(NamedTuple):
    """What was done at a batch of steps, what it earned, whether the return goes on (1, or 0), and the steps' weights,
    whose sum is 1 if all steps count alike."""

    action: Array
    reward: Float[Array, " step"]
    goes_on: Float[Array, " step"]
    weight: Float[Array, " step"]


class SoftObjective(eqx.Module):
    """The losses of a soft actor-critic and what they need to know.

    Args:
        space: of actions. widths: hidden layers of policy and critics. gamma: discount for each step. rate: how far
            slow copies move in a gradient step. initial_alpha, learn_alpha: the temperature, and whether it is
            adjusted until the policy has the target entropy. final_alpha: the temperature at the end of `num_updates`
            updates, its logarithm linear in between; None: it stays.
    """

    space: Space
    widths: tuple[int, ...] = eqx.field(static=True, default=(256, 256))
    gamma: float = eqx.field(static=True, default=0.99)
    rate: float = eqx.field(static=True, default=0.005)
    initial_alpha: float = eqx.field(static=True, default=1.0)
    learn_alpha: bool = eqx.field(static=True, default=True)
    final_alpha: float | None = eqx.field(static=True, default=None)
    num_updates: int = eqx.field(static=True, default=1)
    num_context: int = eqx.field(static=True, default=0)
    policy: PolicyName = eqx.field(static=True, default="mlp")
    policy_options: PolicyOptions | None = eqx.field(static=True, default=None)

    def __check_init__(self) -> None:
        for name in ("initial_alpha", "final_alpha"):
            value = getattr(self, name)
            if value is not None and value <= 0:
                raise ValueError(f"{name}={value}: must be positive.")
        if self.learn_alpha and self.final_alpha is not None:
            raise ValueError(
                f"final_alpha={self.final_alpha}: a learned temperature has no schedule; learn_alpha=False."
            )

    def cooled(self, nets: SoftNets, count: Int[Array, ""]) -> SoftNets:
        """With the temperature of update `count`, if it has a schedule."""
        if self.final_alpha is None:
            return nets
        share = jnp.minimum(count.astype(jnp.float32) / self.num_updates, 1.0)
        log_alpha = (1.0 - share) * math.log(self.initial_alpha) + share * math.log(self.final_alpha)
        return eqx.tree_at(lambda nets: nets.log_alpha, nets, log_alpha)

    def init(self, key: Key, num_features: int) -> SoftNets:
        """Fresh nets."""
        policy_key, first_key, second_key = jax.random.split(key, 3)
        first = Critic(first_key, num_features, self.space, self.widths)
        second = Critic(second_key, num_features, self.space, self.widths)
        policy = SoftPolicy(
            policy_key, num_features, self.space, self.widths, self.num_context, self.policy, self.policy_options
        )
        return SoftNets(policy, (first, second), jnp.asarray(math.log(self.initial_alpha)))

    def __call__(
        self, key: Key, nets: SoftNets, slow: SoftNets, views: Views, played: Played
    ) -> tuple[Float[Array, ""], tuple[Metrics, Float[Array, " step"]]]:
        """The sum of all losses; metrics, and by how much the critics were wrong at each step.

        Of the views, only `now` gets a gradient, from the critics' error alone.
        """
        value_key, policy_key = jax.random.split(key)
        num_steps = played.weight.shape[0]
        fixed = jax.lax.stop_gradient(nets)

        def target(key: Key, after: Array, slow_after: Array, reward: Array, goes_on: Array) -> Array:
            return reward + self.gamma * goes_on * slow.soft_value(key, fixed, after, slow_after)

        keys = jax.random.split(value_key, num_steps)
        aims = jax.vmap(target)(keys, views.after, views.slow_after, played.reward, played.goes_on)
        aims = jax.lax.stop_gradient(aims)
        actions = jax.vmap(nets.policy.features_of)(played.action)
        errors = jax.vmap(nets.critic_error)(views.now, actions, aims)
        keys = jax.random.split(policy_key, num_steps)
        losses, entropies = jax.vmap(nets.policy_loss)(keys, jax.lax.stop_gradient(views.now))
        critic_loss, policy_loss = played.weight @ errors, played.weight @ losses
        share = played.weight / jnp.maximum(played.weight.sum(), 1e-30)
        entropy = share @ entropies
        loss = critic_loss + policy_loss
        if self.learn_alpha:
            loss += nets.temperature_loss(entropy, target_entropy(self.space))
        metrics = {
            "critic_loss": critic_loss,
            "policy_loss": policy_loss,
            "entropy": entropy,
            "alpha": jnp.exp(nets.log_alpha),
            "value": share @ aims,
        }
        return loss, (metrics, jnp.sqrt(errors))


@dataclass(frozen=True)
class OffPolicy:
    """How a soft actor-critic is trained: budget, replay, optimiser, returns."""

    num_updates: int = 500
    """Training length: batches collected, each followed by `num_gradient_steps`."""
    num_tasks: int = 8
    """Trials in a batch, each on a task of its own."""
    num_gradient_steps: int = 50
    """Gradient steps after each batch of trials."""
    batch_size: int = 256
    """Windows in each of them."""
    window: int = 1
    """Steps of a window. 1 for policies without memory; the length of an episode or trial for recurrent ones."""
    burn_in: int = 0
    """Steps at the start of a window that only bring the memory up to date."""
    capacity: int = 100_000
    """Windows that are kept for replay."""
    priority: float = 0.0
    """How much more often windows are replayed where the critics were wrong: 0 not at all, 1 in proportion."""
    priority_correction: float = 0.4
    """How far their weights in the loss make up for it: 0 not at all, 1 entirely."""
    num_warmup: int = 1
    """Batches that only fill the replay."""
    learning_rate: float = 1e-3
    """Adam's step size at the start."""
    final_learning_rate: float | None = None
    """Adam's step size at the end, linear in between; none: that of the start."""
    max_grad_norm: float = 10.0
    """Gradients are scaled down to this global norm."""
    gamma: float = 0.99
    """Discount for each step."""
    target_rate: float = 0.005
    """How far target networks move in a gradient step."""
    initial_alpha: float = 0.1
    """Temperature at the start."""
    learn_alpha: bool = True
    """Adjust the temperature until the policy has the target entropy."""
    final_alpha: float | None = None
    """Temperature at the end of training, if it is not learned; none: that of the start."""
    widths: tuple[int, ...] = (128, 128)
    """Hidden layers of policy and critics."""

    @property
    def stream_steps(self) -> None:
        """Whole trials only."""
        return None

    def train_rounds(self, benchmark: Benchmark) -> int:
        """Rounds of a trial in training."""
        return benchmark.num_episodes

    def optimizer(self) -> optax.GradientTransformation:
        """Adam behind a clip, its step size constant, or linear over the gradient steps of the run."""
        if self.final_learning_rate is not None:
            num_steps = (self.num_updates - self.num_warmup) * self.num_gradient_steps
            return clipped_adam(self.learning_rate, self.final_learning_rate, num_steps, self.max_grad_norm)
        check_rates(learning_rate=self.learning_rate)
        return optax.chain(optax.clip_by_global_norm(self.max_grad_norm), optax.adam(self.learning_rate))

    def objective(self, space: Space) -> "SoftObjective":
        """What is minimised, for actions of a space."""
        check_shares(gamma=self.gamma, target_rate=self.target_rate)
        return SoftObjective(
            space,
            self.widths,
            self.gamma,
            self.target_rate,
            self.initial_alpha,
            self.learn_alpha,
            self.final_alpha,
            self.num_updates,
        )
