"""VariBAD: a method for Bayes-adaptive deep RL via meta-learning (Zintgraf et al. 2020).

A recurrent net infers a latent task vector; decoders that predict rewards (and states) of the whole trial from it, past
and future, teach it to; a policy acts on the observation and the belief. PPO trains the policy, the evidence lower
bound trains inference and decoders on replayed trials.
"""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Float

from innerloop._benchmark import Benchmark
from innerloop._buffer import Replay, empty_replay
from innerloop._devices import over_tasks
from innerloop._env import Env, EnvSpec, blank_transition
from innerloop._learner import Learner, apply_gradients, clipped_adam
from innerloop._rollout import where
from innerloop._types import Key, Metrics, Trials
from innerloop.agents import Belief
from innerloop.agents._belief import BeliefInput
from innerloop.algorithms._inference import Inference, PriorName, RewardDecoder, RewardName, StateDecoder
from innerloop.algorithms._on_policy import OnPolicy
from innerloop.algorithms._sequences import as_sequences
from innerloop.algorithms.ppo import PPO, OnPolicyState
from innerloop.nn import CoreName, CoreOptions, PolicyName, PolicyOptions


class VariBADState(NamedTuple):
    """PPO's state (which holds the agent), decoders, the optimiser of inference and decoders, and replayed trials."""

    policy: OnPolicyState
    inference: Inference
    opt_state: optax.OptState
    replay: Replay

    @property
    def params(self) -> tuple[Any, Inference]:
        """All that is trained."""
        return self.policy.params, self.inference


class VariBADLearner(Learner):
    """PPO for the policy on beliefs; the evidence lower bound for the beliefs, on replayed trials.

    Args:
        policy: PPO, whose agent is a `Belief`.
        make_inference: builds the decoders and their loss from `key=`.
        optimizer: of inference net and decoders.
        spec, num_steps: what a trial is made of, and how long it is.
        capacity: trials that are kept. num_steps_per_update, batch_size: steps of the optimiser in an update, and
            trials in each. stored_share: of the trials played, how many go to replay.
        num_pretraining: updates at the start that train beliefs only.
    """

    policy: PPO
    make_inference: Callable[..., Inference] = eqx.field(static=True)
    optimizer: optax.GradientTransformation = eqx.field(static=True)
    spec: EnvSpec = eqx.field(static=True)
    num_steps: int = eqx.field(static=True)
    capacity: int = eqx.field(static=True, default=10_000)
    num_steps_per_update: int = eqx.field(static=True, default=3)
    batch_size: int = eqx.field(static=True, default=64)
    stored_share: float = eqx.field(static=True, default=1.0)
    num_pretraining: int = eqx.field(static=True, default=0)

    def init(self, key: Key) -> VariBADState:
        policy_key, inference_key = jax.random.split(key)
        policy = self.policy.init(policy_key)
        inference = self.make_inference(key=inference_key)
        trained = eqx.filter((policy.params.agent, inference), eqx.is_inexact_array)
        trial = jax.tree.map(lambda x: jnp.broadcast_to(x, (self.num_steps, *x.shape)), blank_transition(self.spec))
        return VariBADState(policy, inference, self.optimizer.init(trained), empty_replay(trial, self.capacity))

    def agent(self, state: VariBADState) -> Belief:
        return self._belief(state)

    def _belief(self, state: VariBADState) -> Belief:
        agent = state.policy.params.agent
        assert isinstance(agent, Belief)
        return agent

    def update(self, key: Key, state: VariBADState, experience: Trials) -> tuple[VariBADState, Metrics]:
        return self.learn(key, state, experience, self.policy.earned(experience))

    def learn(
        self, key: Key, state: VariBADState, experience: Trials, reward: Float[Array, "task time"]
    ) -> tuple[VariBADState, Metrics]:
        """An update whose policy earns `reward`; beliefs are fed with, and must predict, those of the experience."""
        policy_key, infer_key, store_key = jax.random.split(key, 3)
        learned, metrics = self.policy.learn(policy_key, state.policy, experience, reward)
        waits = state.policy.num_updates < self.num_pretraining
        policy = where(waits, state.policy._replace(num_updates=learned.num_updates), learned)
        played = as_sequences(experience).transitions._replace(extras=None)
        num_played = played.valid.shape[0]
        stored = jax.random.permutation(store_key, num_played) < max(1, round(self.stored_share * num_played))
        state = state._replace(policy=policy, replay=state.replay.insert(played, stored))

        def step(state: VariBADState, key: Key) -> tuple[VariBADState, Metrics]:
            return self._infer(key, state)

        state, told = jax.lax.scan(step, state, jax.random.split(infer_key, self.num_steps_per_update))
        return state, metrics | {name: x.mean() for name, x in told.items()}

    def _infer(self, key: Key, state: VariBADState) -> tuple[VariBADState, Metrics]:
        """One optimiser step on the bound of some replayed trials."""
        sample_key, loss_key = jax.random.split(key)
        trials = state.replay.sample(sample_key, self.batch_size)
        keys = jax.random.split(loss_key, self.batch_size)

        def loss(trained: tuple[Belief, Inference]) -> tuple[Float[Array, ""], Metrics]:
            losses, told = over_tasks(lambda nets, key, trial: nets[1].loss(key, nets[0], trial), trained, keys, trials)
            return losses.mean(), {name: x.mean() for name, x in told.items()}

        trained = (self._belief(state), state.inference)
        gradients, told = eqx.filter_grad(loss, has_aux=True)(trained)
        (agent, inference), opt_state = apply_gradients(self.optimizer, gradients, state.opt_state, trained)
        params = state.policy.params._replace(agent=agent)
        return state._replace(
            policy=state.policy._replace(params=params), inference=inference, opt_state=opt_state
        ), told


@dataclass(frozen=True)
class BeliefSettings:
    """The agent that keeps a belief, and how it learns to predict."""

    latent_size: int = 5
    """Dimensions of the task vector."""
    core: CoreName = "gru"
    """Kind of memory of the inference net."""
    hidden_size: int = 64
    """Its width."""
    core_options: CoreOptions = field(default_factory=CoreOptions)
    """What it has beside its width."""
    input_widths: tuple[int, ...] = (32,)
    """Hidden layers on what it is fed."""
    policy_widths: tuple[int, ...] = (64,)
    """Hidden layers of policy and of value, on observation and belief."""
    policy: PolicyName = "mlp"
    """How the belief shapes both; with `mlp` it is one more input."""
    policy_options: PolicyOptions = field(default_factory=PolicyOptions)
    """What these have beside their layers."""
    belief_input: BeliefInput = "moments"
    """What policy and value see of the belief: mean and log-variance, or a sample with noise drawn once a trial."""
    rl_gradient: bool = False
    """Whether the policy's loss trains the inference net, too."""
    reward_decoder: RewardName = "gaussian"
    """Predict the reward, or whether it is above `reward_threshold`."""
    reward_threshold: float = 0.0
    """See `reward_decoder`."""
    reward_scale: float = 1.0
    """A predicted reward's standard deviation. Where rewards are large (`treasure`: up to 10), errors of 1 otherwise weigh
    so much that beliefs give up their prior."""
    per_state: bool = False
    """Decode the task vector into a reward for each state (discrete observations only)."""
    decoder_widths: tuple[int, ...] = (32, 32)
    """Hidden layers of the decoders."""
    state_coef: float = 0.0
    """Weight of predicting states, for tasks that differ in dynamics; 0: no such decoder."""
    kl_coef: float = 0.01
    """Weight of the KL term."""
    kl_to: PriorName = "previous"
    """Hold each belief near the previous one, or near the standard normal."""
    num_elbo_terms: int | None = 8
    """Times of a trial whose term of the bound is computed, drawn at random; none: all."""
    num_decoded_steps: int | None = None
    """Steps of a trial that are decoded for each of them, drawn at random; none: all."""
    num_inference_steps: int = 3
    """Optimiser steps of inference net and decoders in an update."""
    inference_batch: int = 64
    """Replayed trials in each of them."""
    inference_rate: float = 1e-3
    """Adam's step size for them at the start; 0 at the end, linear in between."""
    capacity: int = 10_000
    """Trials that are kept for replay."""
    stored_share: float = 1.0
    """Share of the trials played that go to replay: with a small one it reaches back to when the policy was random, and
    beliefs stay right about what the policy no longer visits."""
    pretraining_share: float = 0.0
    """The share of training, at its start, in which only beliefs learn, from what an untrained policy plays."""

    def learner(self, benchmark: Benchmark, training: OnPolicy) -> VariBADLearner:
        """PPO with these beliefs."""
        if not 0 < self.stored_share <= 1:
            raise ValueError(f"stored_share={self.stored_share}: choose a share of the trials, above 0 and up to 1.")
        if not 0 <= self.pretraining_share < 1:
            raise ValueError(f"pretraining_share={self.pretraining_share}: choose a share from 0 up to, but not, 1.")
        if training.stream_steps is not None:
            raise ValueError(f"stream_steps={training.stream_steps}: beliefs are learned on whole trials; drop it.")
        if self.kl_to not in ("previous", "standard"):
            raise ValueError(f"kl_to={self.kl_to!r}: choose previous or standard.")
        spec = benchmark.env.spec
        make_agent = partial(
            Belief,
            spec,
            latent_size=self.latent_size,
            core=self.core,
            hidden_size=self.hidden_size,
            core_options=self.core_options,
            input_widths=self.input_widths,
            policy_widths=self.policy_widths,
            policy=self.policy,
            policy_options=self.policy_options,
            belief_input=self.belief_input,
            rl_gradient=self.rl_gradient,
        )
        num_steps = training.num_updates * self.num_inference_steps
        num_pretraining = int(self.pretraining_share * training.num_updates)
        policy = replace(training, num_updates=training.num_updates - num_pretraining).learner(make_agent)
        coef = policy.entropy_coef
        if callable(coef):  # By the run's updates, of which it is not told the first ones.
            policy = replace(policy, entropy_coef=lambda count: coef(count - num_pretraining))
        return VariBADLearner(
            policy,
            self._inference(spec),
            clipped_adam(self.inference_rate, 0.0, num_steps, 10.0),
            spec,
            benchmark.num_episodes * spec.max_steps,
            self.capacity,
            self.num_inference_steps,
            self.inference_batch,
            self.stored_share,
            num_pretraining,
        )

    def _inference(self, spec: EnvSpec) -> Callable[..., Inference]:
        def make(*, key: Key) -> Inference:
            reward_key, state_key = jax.random.split(key)
            options: dict[str, Any] = {"widths": self.decoder_widths}
            reward = RewardDecoder(
                spec,
                self.latent_size,
                key=reward_key,
                kind=self.reward_decoder,
                per_state=self.per_state,
                threshold=self.reward_threshold,
                scale=self.reward_scale,
                **options,
            )
            state = StateDecoder(spec, self.latent_size, key=state_key, **options) if self.state_coef else None
            return Inference(
                reward,
                state,
                self.num_elbo_terms,
                self.num_decoded_steps,
                self.kl_coef,
                self.state_coef,
                self.kl_to,
            )

        return make


@dataclass(frozen=True)
class VariBAD:
    """Act on a belief over tasks, which is learned by predicting the rewards of whole trials."""

    belief: BeliefSettings = field(default_factory=BeliefSettings)
    """The belief and how it is learned."""
    training: OnPolicy = field(default_factory=OnPolicy)
    """PPO and the budget."""

    def env(self, benchmark: Benchmark) -> Env:
        """What the agent plays."""
        return benchmark.env

    def learner(self, benchmark: Benchmark) -> VariBADLearner:
        """The learner for a benchmark."""
        return self.belief.learner(benchmark, self.training)
