"""Proximal policy optimisation (Schulman et al. 2017) on whole trials.

With `agents.Recurrent` on trials this is RL² as its authors released it (a clipped surrogate on recurrent trials);
with `agents.FeedForward` it is plain PPO, trained across tasks: domain randomisation.
"""

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Float, Int

from innerloop._agent import ActorCritic
from innerloop._devices import over_tasks, shared
from innerloop._learner import Learner, apply_gradients, scheduled
from innerloop._types import Chunk, Key, Metrics, Trials
from innerloop.algorithms._critic import Auxiliary, TaskCritic
from innerloop.algorithms._sequences import Moments, Returns, Sequences, Targets, as_sequences, cut, earned
from innerloop.losses import (
    clipped_surrogate,
    clipped_value_error,
    explained_variance,
    standardize,
    value_error,
    weights,
)


class Params(NamedTuple):
    """What the optimiser moves: the agent, and the privileged modules if there are any."""

    agent: ActorCritic
    critic: TaskCritic | None
    predictor: Auxiliary | None


class OnPolicyState(NamedTuple):
    """Parameters, optimiser state, moments of the value targets and the number of updates done."""

    params: Params
    opt_state: optax.OptState
    moments: Moments
    num_updates: Int[Array, ""]


class PPO(Learner):
    """Clipped surrogate, GAE, entropy bonus, minibatches over trials, optional truncated back-propagation.

    Args:
        make_agent: builds an `ActorCritic` from `key=`.
        optimizer: an Optax transformation; clip gradients and schedule the learning rate there.
        make_critic: builds a `TaskCritic` from `key=`, whose values then replace the agent's own in the advantages
            (the agent's value head is still trained, on the same targets); None: the agent's own values.
        make_predictor: builds an `Auxiliary`, such as a `TaskPredictor`, from `key=`, whose error is added
            with weight `predict_coef`.
        num_epochs, num_minibatches: passes over the data, and parts of it a pass is made of.
        clip_ratio: ε of the surrogate. value_clip: same for the value, or None.
        gamma, gae_lambda, value_lambda: discount for each step, λ of GAE for advantages and for value targets.
        entropy_coef: weight of the entropy bonus, a number or an Optax schedule over updates. value_coef: of the
            value error.
        across_episodes: whether returns flow over the ends of episodes within a trial.
        num_free_episodes: how many episodes at the start of a trial earn nothing: the agent is fed their rewards, but they
            are left out of the returns (E-RL², Stadie et al. 2018). Needs whole trials.
        bptt_length: cut sequences into windows of this many steps for back-propagation; None: whole trials.
    """

    make_agent: Callable[..., ActorCritic] = eqx.field(static=True)
    optimizer: optax.GradientTransformation = eqx.field(static=True)
    make_critic: Callable[..., TaskCritic] | None = eqx.field(static=True, default=None)
    make_predictor: Callable[..., Auxiliary] | None = eqx.field(static=True, default=None)
    gamma: Float[Array, ""] = eqx.field(converter=jnp.asarray, default=0.99)
    gae_lambda: Float[Array, ""] = eqx.field(converter=jnp.asarray, default=0.3)
    value_lambda: Float[Array, ""] = eqx.field(converter=jnp.asarray, default=1.0)
    clip_ratio: Float[Array, ""] = eqx.field(converter=jnp.asarray, default=0.2)
    value_coef: Float[Array, ""] = eqx.field(converter=jnp.asarray, default=0.5)
    predict_coef: Float[Array, ""] = eqx.field(converter=jnp.asarray, default=1.0)
    entropy_coef: float | optax.Schedule = eqx.field(static=True, default=0.0)
    value_clip: float | None = eqx.field(static=True, default=None)
    num_epochs: int = eqx.field(static=True, default=4)
    num_minibatches: int = eqx.field(static=True, default=4)
    across_episodes: bool = eqx.field(static=True, default=True)
    normalize_advantage: bool = eqx.field(static=True, default=True)
    num_free_episodes: int = eqx.field(static=True, default=0)
    bptt_length: int | None = eqx.field(static=True, default=None)

    def __check_init__(self) -> None:
        for name in ("num_epochs", "num_minibatches"):
            if getattr(self, name) < 1:
                raise ValueError(f"PPO({name}={getattr(self, name)}): must be at least 1.")
        if self.make_critic is not None and self.bptt_length is not None:
            raise ValueError(
                "PPO(make_critic=..., bptt_length=...): a task critic needs whole trials; drop one of them."
            )
        if self.make_critic is not None and not self.across_episodes:
            raise ValueError(
                "PPO(make_critic=..., across_episodes=False): a task critic judges trials as a whole; drop one of them."
            )

    def init(self, key: Key) -> OnPolicyState:
        agent_key, critic_key, predictor_key = jax.random.split(key, 3)
        params = Params(
            agent=self.make_agent(key=agent_key),
            critic=None if self.make_critic is None else self.make_critic(key=critic_key),
            predictor=None if self.make_predictor is None else self.make_predictor(key=predictor_key),
        )
        opt_state = self.optimizer.init(eqx.filter(params, eqx.is_inexact_array))
        return OnPolicyState(params, opt_state, Moments.start(), jnp.zeros((), jnp.int32))

    def agent(self, state: OnPolicyState) -> ActorCritic:
        return state.params.agent

    def update(self, key: Key, state: OnPolicyState, experience: Trials | Chunk) -> tuple[OnPolicyState, Metrics]:
        return self.learn(key, state, experience, self.earned(experience))

    def earned(self, experience: Trials | Chunk) -> Float[Array, "sequence time"]:
        """The rewards that returns are made of."""
        return earned(experience, self.num_free_episodes)

    def learn(
        self, key: Key, state: OnPolicyState, experience: Trials | Chunk, reward: Float[Array, "sequence time"]
    ) -> tuple[OnPolicyState, Metrics]:
        """An update that earns `reward`; what the agent is fed is the experience as it is."""
        target_key, cut_key, epochs_key = jax.random.split(key, 3)
        agent, critic, predictor = state.params
        if isinstance(experience, Chunk) and not (critic is None and predictor is None):
            raise ValueError(
                "stream_steps: a task critic or predictor needs whole trials, since streams do not tell the task; leave "
                "stream_steps out, or drop task_critic and task_prediction."
            )
        sequences = as_sequences(experience)
        returns = Returns(self.gamma, self.gae_lambda, self.value_lambda, self.across_episodes)
        one = partial(returns.estimate, target_key, agent, critic, state.moments)
        targets = jax.vmap(one)(sequences, reward)
        valid = sequences.transitions.valid
        explained = explained_variance(targets.old_value, targets.value, valid)
        state = state._replace(moments=state.moments.include(targets.value, valid))
        targets = Targets(
            advantage=standardize(targets.advantage, valid) if self.normalize_advantage else targets.advantage,
            value=state.moments.normalize(targets.value),
            old_value=state.moments.normalize(targets.old_value),
        )
        if self.bptt_length is not None:
            sequences = cut(cut_key, agent, sequences, self.bptt_length)
            targets = jax.tree.map(lambda x: x.reshape(-1, self.bptt_length), targets)

        def minibatch(state: OnPolicyState, batch: tuple[Sequences, Targets]) -> tuple[OnPolicyState, Metrics]:
            return self._minibatch(state, batch)

        def epoch(state: OnPolicyState, key: Key) -> tuple[OnPolicyState, Metrics]:
            return jax.lax.scan(minibatch, state, self._shuffle(key, (sequences, targets)))

        state, metrics = jax.lax.scan(epoch, state, jax.random.split(epochs_key, self.num_epochs))
        metrics = {name: x.mean() for name, x in metrics.items()} | {"explained_variance": explained}
        return state._replace(num_updates=state.num_updates + 1), metrics

    def _shuffle(self, key: Key, batch: Any) -> Any:
        """Sequences in random order, as `[minibatch sequence ...]`."""
        num_sequences = batch[1].advantage.shape[0]
        if num_sequences % self.num_minibatches:
            raise ValueError(
                f"num_minibatches={self.num_minibatches}: must divide the {num_sequences} sequences of a batch."
            )
        order = jax.random.permutation(key, num_sequences).reshape(self.num_minibatches, -1)
        return shared(jax.tree.map(lambda x: x[order], batch), axis=1)

    def _minibatch(self, state: OnPolicyState, batch: tuple[Sequences, Targets]) -> tuple[OnPolicyState, Metrics]:
        entropy_coef = scheduled(self.entropy_coef, state.num_updates)
        gradients, metrics = eqx.filter_grad(self._loss, has_aux=True)(state.params, *batch, entropy_coef)
        params, opt_state = apply_gradients(self.optimizer, gradients, state.opt_state, state.params)
        metrics["gradient_norm"] = optax.tree.norm(gradients)
        return state._replace(params=params, opt_state=opt_state), metrics

    def _loss(
        self, params: Params, sequences: Sequences, targets: Targets, entropy_coef: Array | float
    ) -> tuple[Float[Array, ""], Metrics]:
        transitions = sequences.transitions
        seen = sequences.memory, transitions, sequences.trial_first
        outputs = over_tasks(lambda agent, *seen: agent.unroll(*seen), params.agent, *seen)
        log_prob, old_log_prob = outputs.log_prob, transitions.extras.log_prob
        weight = weights(transitions.valid)

        def mean(x: Array) -> Array:
            return (weight * x).sum()

        value_loss = mean(self._value_error(outputs.value, targets.old_value, targets.value))
        if params.critic is not None:
            judged = jax.vmap(params.critic)(sequences.tasks, outputs.features)
            value_loss += mean(self._value_error(judged, targets.old_value, targets.value))
        policy_loss = mean(clipped_surrogate(log_prob, old_log_prob, targets.advantage, self.clip_ratio))
        entropy = mean(outputs.entropy)
        loss = policy_loss + self.value_coef * value_loss - entropy_coef * entropy
        metrics = {}
        if params.predictor is not None:
            metrics["prediction_loss"] = mean(jax.vmap(params.predictor.error)(sequences.tasks, outputs.features))
            loss += self.predict_coef * metrics["prediction_loss"]
        ratio = jnp.exp(log_prob - old_log_prob)
        metrics |= {
            "loss": loss,
            "policy_loss": policy_loss,
            "value_loss": value_loss,
            "entropy": entropy,
            "kl": mean(ratio - 1.0 - (log_prob - old_log_prob)),
            "clip_fraction": mean((jnp.abs(ratio - 1.0) > self.clip_ratio).astype(jnp.float32)),
        }
        return loss, metrics

    def _value_error(self, value: Array, old_value: Array, target: Array) -> Array:
        if self.value_clip is None:
            return value_error(value, target)
        return clipped_value_error(value, old_value, target, self.value_clip)
