"""What an inner loop descends on: a loss of an actor-critic on the episodes of a round."""

import abc
from typing import Any, Literal, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from innerloop._agent import ActorCritic, Outputs
from innerloop._env import Space, encode
from innerloop._rollout import where
from innerloop._types import Key, Memory, Metrics, Transition
from innerloop.losses import (
    SURROGATES,
    SurrogateName,
    answer_error,
    clipped_surrogate,
    discounted_returns,
    explained_variance,
    following_value,
    generalized_advantage,
    kl_divergence,
    linear_baseline,
    standardize,
    value_error,
    weights,
)

BaselineName = Literal["linear", "value", "none"]


class Judged(NamedTuple):
    """A loss, its terms by name, and the policy it is the loss of, `[episode time]`."""

    loss: Float[Array, ""]
    terms: Metrics
    policy: Any


class Objective(eqx.Module):
    """A loss of `agent` on episodes `[episode time]` of one task, each begun with `memory`.

    `reference` is a policy to stay near to, for objectives that have such a term.
    """

    @abc.abstractmethod
    def __call__(
        self, key: Key, agent: ActorCritic, reference: ActorCritic | None, memory: Memory, episodes: Transition
    ) -> Judged:
        """The loss, and what it is made of."""


class AnswerError(Objective):
    """Supervised learning: the mean error of the agent's policy at the answers that the env reveals.

    Envs whose actions are answers reveal the right one as `next_timestep.prev_action` (see `envs.Regression`).
    """

    def __call__(
        self, key: Key, agent: ActorCritic, reference: ActorCritic | None, memory: Memory, episodes: Transition
    ) -> Judged:
        outputs = replay(agent, memory, episodes)
        errors = jax.vmap(jax.vmap(answer_error))(outputs.policy, episodes.next_timestep.prev_action)
        loss = (weights(episodes.valid) * errors).sum()
        return Judged(loss, {"error": loss}, outputs.policy)


class PolicyObjective(Objective):
    """-J(π), J = λ E[Σ r] + η H(π) - β KL(π ‖ π_ref), estimated from episodes of an older policy, per step.

    Args:
        obs: the space of observations.
        surrogate: how the return is differentiated (`losses.SURROGATES`), or "clipped" as in PPO.
        baseline: "linear" is fitted to the episodes at hand, "value" is the agent's value net, whose error is then a
            term of the loss with weight `value_coef`.
        gamma, gae_lambda: discount and λ of the advantages. Returns end with their episode, at a time limit, too:
            what is left of an episode is a matter of time, which the linear baseline knows. With
            `bootstrap_truncations` (baseline "value" only) a time limit is followed by the value of what came next.
        normalize: give advantages zero mean and unit variance.
        reward_coef, entropy_coef, kl_coef: λ, η and β.
    """

    obs: Space
    surrogate: SurrogateName | Literal["clipped"] = eqx.field(static=True, default="lvc")
    baseline: BaselineName = eqx.field(static=True, default="linear")
    gamma: float = eqx.field(static=True, default=0.99)
    gae_lambda: float = eqx.field(static=True, default=1.0)
    normalize: bool = eqx.field(static=True, default=True)
    reward_coef: float = eqx.field(static=True, default=1.0)
    entropy_coef: float = eqx.field(static=True, default=0.0)
    kl_coef: float = eqx.field(static=True, default=0.0)
    value_coef: float = eqx.field(static=True, default=0.5)
    clip_ratio: float = eqx.field(static=True, default=0.3)
    bootstrap_truncations: bool = eqx.field(static=True, default=False)

    def __check_init__(self) -> None:
        names = {"surrogate": (*SURROGATES, "clipped"), "baseline": ("linear", "value", "none")}
        for name, known in names.items():
            if getattr(self, name) not in known:
                raise ValueError(f"PolicyObjective({name}={getattr(self, name)!r}): choose one of {', '.join(known)}.")
        if self.bootstrap_truncations and self.baseline != "value":
            raise ValueError(
                f"PolicyObjective(bootstrap_truncations=True, baseline={self.baseline!r}): needs baseline='value'."
            )

    def __call__(
        self, key: Key, agent: ActorCritic, reference: ActorCritic | None, memory: Memory, episodes: Transition
    ) -> Judged:
        outputs, weight = replay(agent, memory, episodes), weights(episodes.valid)
        advantage, value_target = self.advantages(key, agent, memory, episodes, outputs.value)
        reward = (weight * self._surrogate(outputs.log_prob, advantage, episodes)).sum()
        entropy = (weight * outputs.entropy).sum()
        terms = {"reward_term": self.reward_coef * reward, "entropy_term": self.entropy_coef * entropy}
        loss = -terms["reward_term"] - terms["entropy_term"]
        if reference is not None and self.kl_coef:
            anchor = replay(reference, memory, episodes).policy
            divergence = (weight * divergences(outputs.policy, anchor)).sum()
            terms |= {"kl_term": self.kl_coef * divergence}
            loss += terms["kl_term"]
        if self.baseline == "value":
            terms["value_term"] = self.value_coef * (weight * value_error(outputs.value, value_target)).sum()
            terms["explained_variance"] = explained_variance(outputs.value, value_target, episodes.valid)
            loss += terms["value_term"]
        return Judged(loss, terms | {"entropy": entropy}, outputs.policy)

    def _surrogate(self, log_prob: Array, advantage: Array, episodes: Transition) -> Array:
        old = episodes.extras.log_prob
        if self.surrogate == "clipped":
            return -clipped_surrogate(log_prob, old, advantage, self.clip_ratio)
        return jax.vmap(SURROGATES[self.surrogate])(log_prob, old, advantage, episodes.valid)

    def advantages(
        self, key: Key, agent: ActorCritic, memory: Memory, episodes: Transition, value: Float[Array, "episode time"]
    ) -> tuple[Float[Array, "episode time"], Float[Array, "episode time"]]:
        """Advantages and value targets: constants, whatever the policy."""
        step, valid = episodes.next_timestep, episodes.valid
        goes_on = self.gamma * (1.0 - step.last.astype(jnp.float32))
        bootstrap = jnp.zeros(valid.shape[:1])
        if self.baseline == "linear":
            returns = jax.vmap(discounted_returns)(step.reward, goes_on, valid)
            obs = jax.vmap(jax.vmap(lambda obs: encode(self.obs, obs)))(episodes.timestep.obs)
            value = linear_baseline(obs, returns, valid)
        elif self.baseline == "none":
            value = jnp.zeros_like(value)
        elif self.bootstrap_truncations:
            bootstrap = jax.vmap(lambda episode: _value_after(key, agent, memory, episode))(episodes)
            goes_on = self.gamma * step.discount
        value = jax.lax.stop_gradient(value)
        next_value = jax.vmap(following_value)(value, jax.lax.stop_gradient(bootstrap), valid)
        trace = self.gamma * self.gae_lambda * (1.0 - step.last.astype(jnp.float32))
        advantage = jax.vmap(generalized_advantage)(step.reward, value, next_value, goes_on, trace, valid)
        target = advantage + value
        if self.normalize:
            advantage = standardize(advantage, valid)
        return advantage, target


def replay(agent: ActorCritic, memory: Memory, episodes: Transition) -> Outputs:
    """What the agent computes in each of the episodes, `[episode time]`."""
    from_start = jnp.zeros(episodes.valid.shape[1:], bool)
    return jax.vmap(lambda episode: agent.unroll(memory, episode, from_start))(episodes)


def divergences(policy: Any, anchor: Any) -> Float[Array, "episode time"]:
    """KL(policy ‖ anchor) at each step."""
    return jax.vmap(jax.vmap(kl_divergence))(policy, anchor)


def _value_after(key: Key, agent: ActorCritic, memory: Memory, episode: Transition) -> Float[Array, ""]:
    """The value of what an episode's last step led to, before any reset."""

    def step(memory: Memory, transition: Transition) -> tuple[Memory, None]:
        return where(transition.valid, agent.observe(key, memory, transition), memory), None

    memory, _ = jax.lax.scan(step, memory, episode)
    final = jnp.maximum(episode.valid.sum() - 1, 0)
    return agent.act(key, memory, jax.tree.map(lambda x: x[final], episode.next_timestep))[1].value
