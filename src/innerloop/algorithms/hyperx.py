"""HyperX: exploration in approximate hyper-state space for meta-RL (Zintgraf et al. 2021).

VariBAD's policy is paid, in training only, for hyper-states (an observation and a belief) that it has rarely seen, and
where beliefs fail to hold what just happened: so it meets what beliefs must be learned from. Both bonuses fade out.
"""

import math
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Bool, Float, Int

from innerloop._benchmark import Benchmark
from innerloop._env import Env, EnvSpec, encode
from innerloop._learner import Learner, apply_gradients, scheduled
from innerloop._types import Key, Metrics, Transition, Trials
from innerloop.agents import Belief
from innerloop.algorithms._inference import Inference
from innerloop.algorithms._on_policy import OnPolicy
from innerloop.algorithms._sequences import Moments, as_sequences
from innerloop.algorithms.varibad import BeliefSettings, VariBADLearner, VariBADState
from innerloop.losses import discounted_returns, weights
from innerloop.nn import MLP, Linear

NUM_BATCHES = 10
"""Over how many batches bonuses are measured while beliefs are pretrained: decoders that know nothing err so much that
bonuses measured on all of that would stay small for ever."""


class Distillation(eqx.Module):
    """A fixed random net and one that learns to give the same: they differ where little was seen (Burda et al. 2019).

    With weights `scale` times as large the random net is harder to learn, and what was seen in one place says less of others.
    """

    target: tuple[MLP, Linear]
    learned: tuple[MLP, Linear]

    def __init__(self, key: Key, num_in: int, widths: tuple[int, ...], num_out: int, scale: float = 1.0):
        def make(key: Key) -> tuple[MLP, Linear]:
            net_key, head_key = jax.random.split(key)
            net = MLP(net_key, num_in, widths, "relu", "uniform")
            return net, Linear(head_key, widths[-1] if widths else num_in, num_out, init="uniform")

        target_key, learned_key = jax.random.split(key)
        self.target = jax.tree.map(lambda x: scale * x if eqx.is_inexact_array(x) else x, make(target_key))
        self.learned = make(learned_key)

    def error(self, x: Float[Array, " features"]) -> Float[Array, ""]:
        """The mean squared difference at x."""
        truth, guess = (head(net(x)) for net, head in (self.target, self.learned))
        return jnp.square(jax.lax.stop_gradient(truth) - guess).mean()


class HyperXParams(NamedTuple):
    """What is trained: VariBAD's parameters, and the net that learns what was seen."""

    varibad: tuple[object, Inference]
    seen: tuple[MLP, Linear]


class HyperXState(NamedTuple):
    """VariBAD's state; the nets that tell the new from the known, and their optimiser; the moments of discounted returns
    of rewards and of both bonuses."""

    varibad: VariBADState
    distillation: Distillation
    opt_state: optax.OptState
    reward: Moments
    novelty: Moments
    surprise: Moments

    @property
    def params(self) -> HyperXParams:
        """All that is trained."""
        return HyperXParams(self.varibad.params, self.distillation.learned)


class HyperXLearner(Learner):
    """VariBAD whose policy earns bonuses as well; beliefs are trained on rewards as they are.

    Args:
        varibad: what learns.
        optimizer: of the net that learns what it has seen. widths, num_out: its layers, and the random net's,
            whose weights are `scale` times as large. num_distillation_steps: into how many parts, with an optimiser step
            for each, the trials of an update are split for it.
        novelty_coef, surprise_coef: weights of the bonuses; with 1 the discounted returns of a bonus are as large as those
            of the rewards vary. Numbers, or functions of the number of updates done. max_bonus: the most that either of
            them pays for a step.
    """

    varibad: VariBADLearner
    optimizer: optax.GradientTransformation = eqx.field(static=True)
    spec: EnvSpec
    latent_size: int = eqx.field(static=True)
    novelty_coef: float | optax.Schedule = eqx.field(static=True)
    surprise_coef: float | optax.Schedule = eqx.field(static=True)
    widths: tuple[int, ...] = eqx.field(static=True, default=(64,))
    num_out: int = eqx.field(static=True, default=32)
    scale: float = eqx.field(static=True, default=1.0)
    num_distillation_steps: int = eqx.field(static=True, default=8)
    max_bonus: float = eqx.field(static=True, default=math.inf)

    def init(self, key: Key) -> HyperXState:
        varibad_key, distillation_key = jax.random.split(key)
        num_in = self.spec.obs.num_features + 2 * self.latent_size
        distillation = Distillation(distillation_key, num_in, self.widths, self.num_out, self.scale)
        opt_state = self.optimizer.init(eqx.filter(distillation, eqx.is_inexact_array))
        varibad = self.varibad.init(varibad_key)
        return HyperXState(varibad, distillation, opt_state, Moments.start(), Moments.start(), Moments.start())

    def agent(self, state: HyperXState) -> Belief:
        return self.varibad.agent(state.varibad)

    def update(self, key: Key, state: HyperXState, experience: Trials) -> tuple[HyperXState, Metrics]:
        learn_key, bonus_key, distil_key = jax.random.split(key, 3)
        steps = as_sequences(experience).transitions._replace(extras=None)
        keys = jax.random.split(bonus_key, steps.valid.shape[0])
        seen, surprise = jax.vmap(lambda key, steps: self._look(key, state, steps))(keys, steps)
        novelty = jax.vmap(jax.vmap(state.distillation.error))(seen)
        reward = self.varibad.policy.earned(experience)
        state = state._replace(
            reward=self._include(state.reward, reward, steps.valid),
            novelty=self._include(state.novelty, novelty, steps.valid),
            surprise=self._include(state.surprise, surprise, steps.valid),
        )
        count = state.varibad.policy.num_updates
        new = scheduled(self.novelty_coef, count) * _in_units_of(state.reward, state.novelty) * novelty
        surprising = scheduled(self.surprise_coef, count) * _in_units_of(state.reward, state.surprise) * surprise
        bonus = jnp.minimum(new, self.max_bonus) + jnp.minimum(surprising, self.max_bonus)
        varibad, metrics = self.varibad.learn(learn_key, state.varibad, experience, reward + bonus)
        distillation, opt_state = self._distill(distil_key, state, seen, steps.valid)
        weight = weights(steps.valid)
        told = {"novelty": (weight * novelty).sum(), "surprise": (weight * surprise).sum()}
        state = state._replace(varibad=varibad, distillation=distillation, opt_state=opt_state)
        return state, metrics | told | {"bonus": (weight * bonus).sum()}

    def _include(
        self, moments: Moments, reward: Float[Array, "trial time"], valid: Bool[Array, "trial time"]
    ) -> Moments:
        """Moments that have also seen the discounted returns of this reward: over all since the policy began to learn."""
        discount = jnp.broadcast_to(self.varibad.policy.gamma, reward.shape)
        since = NUM_BATCHES + jnp.maximum(moments.count - self.varibad.num_pretraining, 0.0)
        return moments.include(jax.vmap(discounted_returns)(reward, discount, valid), valid, since)

    def _look(self, key: Key, state: HyperXState, steps: Transition) -> tuple[Array, Float[Array, " time"]]:
        """Of one trial `[time]`: the hyper-state after each step, and how unlikely its belief holds what the step brought."""
        agent = self.agent(state)
        init_key, draw_key = jax.random.split(key)
        latents = agent.infer(agent.init(init_key), steps, jnp.zeros(steps.valid.shape, bool))
        after = jax.tree.map(lambda x: x[1:], latents)
        obs = jax.vmap(lambda obs: encode(self.spec.obs, obs))(steps.next_timestep.obs)
        seen = jnp.concatenate([obs, after.mean, after.log_variance], axis=1)
        inference = state.varibad.inference

        def unlikely(m: Float[Array, " latent"], step: Transition) -> Float[Array, ""]:
            one = jax.tree.map(lambda x: x[None], step)
            log_prob = inference.reward.log_probs(m[None], one)[0, 0]
            if inference.state is not None:
                log_prob += inference.state_coef * inference.state.log_probs(m[None], one)[0, 0]
            return -log_prob

        return seen, jax.vmap(unlikely)(after.draw(draw_key), steps)

    def _distill(
        self, key: Key, state: HyperXState, seen: Float[Array, "trial time features"], valid: Bool[Array, "trial time"]
    ) -> tuple[Distillation, optax.OptState]:
        """One pass over what was seen, in some steps."""
        num_trials = seen.shape[0]
        num_steps = min(self.num_distillation_steps, num_trials)
        parts = jax.random.permutation(key, num_trials)[: num_trials - num_trials % num_steps].reshape(num_steps, -1)

        def error(distillation: Distillation, part: Int[Array, " trials"]) -> Float[Array, ""]:
            return (weights(valid[part]) * jax.vmap(jax.vmap(distillation.error))(seen[part])).sum()

        def step(carry: tuple[Distillation, Any], part: Int[Array, " trials"]) -> tuple[Any, None]:
            gradients = eqx.filter_grad(error)(carry[0], part)
            return apply_gradients(self.optimizer, gradients, carry[1], carry[0]), None

        return jax.lax.scan(step, (state.distillation, state.opt_state), parts)[0]


def _in_units_of(reward: Moments, bonus: Moments) -> Float[Array, ""]:
    """What makes the returns of a bonus as large as those of the rewards vary."""
    return jnp.sqrt(reward.variance) * jax.lax.rsqrt(bonus.variance + jnp.square(bonus.mean) + 1e-12)


@dataclass(frozen=True)
class HyperX:
    """VariBAD with bonuses for new hyper-states and for failing predictions, which fade out."""

    novelty_coef: float = 1.0
    """Weight at the start of the bonus for hyper-states that were rarely seen. With 1 its returns are as large as those of
    the rewards vary."""
    surprise_coef: float = 1.0
    """Weight at the start of the bonus where beliefs hold unlikely what just happened, in the same units."""
    max_bonus: float | None = None
    """The most that either bonus pays for a step, in the rewards' units; none: no bound. A place that is rarely met at first
    and surprises at every step otherwise holds the agent fast."""
    bonus_share: float = 0.5
    """The share of training after which there are no bonuses any more; linear before."""
    distillation_rate: float = 1e-3
    """Adam's step size for the net that learns what was seen."""
    num_distillation_steps: int = 8
    """Optimiser steps of that net in an update. Too few, and places stay new that are visited all the time."""
    distillation_widths: tuple[int, ...] = (64,)
    """Its hidden layers."""
    distillation_scale: float = 1.0
    """How much larger the random net's weights are: with 10 (Zintgraf et al. 2021, released code) places stay new longer."""
    belief: BeliefSettings = field(default_factory=lambda: BeliefSettings(pretraining_share=0.05))
    """The belief and how it is learned. Without pretraining, bonuses are measured by what decoders that know nothing err."""
    training: OnPolicy = field(default_factory=OnPolicy)
    """PPO and the budget."""

    def env(self, benchmark: Benchmark) -> Env:
        """What the agent plays."""
        return benchmark.env

    def learner(self, benchmark: Benchmark) -> HyperXLearner:
        """The learner for a benchmark."""
        if self.num_distillation_steps < 1:
            raise ValueError(f"num_distillation_steps={self.num_distillation_steps}: must be at least 1.")
        if not 0 < self.bonus_share <= 1:
            raise ValueError(f"bonus_share={self.bonus_share}: must be above 0 and at most 1.")
        if self.max_bonus is not None and self.max_bonus <= 0:
            raise ValueError(f"max_bonus={self.max_bonus}: must be positive, or none.")
        num_updates = max(1, int(self.bonus_share * self.training.num_updates))
        return HyperXLearner(
            self.belief.learner(benchmark, self.training),
            optax.adam(self.distillation_rate),
            benchmark.env.spec,
            self.belief.latent_size,
            optax.linear_schedule(self.novelty_coef, 0.0, num_updates),
            optax.linear_schedule(self.surprise_coef, 0.0, num_updates),
            self.distillation_widths,
            scale=self.distillation_scale,
            num_distillation_steps=self.num_distillation_steps,
            max_bonus=math.inf if self.max_bonus is None else self.max_bonus,
        )
