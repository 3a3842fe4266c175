"""A policy that follows one latent vector for a whole episode: exploration that is consistent in time."""

from typing import Literal, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpyro.distributions as dist
from jaxtyping import Array, Bool, Float

from innerloop._agent import ActorCritic, Outputs
from innerloop._env import EnvSpec
from innerloop._types import Key, Memory, TimeStep, Transition
from innerloop.agents._belief import Latent
from innerloop.nn import Activation, Encoder, Init, Linear, PolicyHead, act_extras

LatentGradient = Literal["score", "pathwise"]
MIN_LOG_VARIANCE, MAX_LOG_VARIANCE = -4.0, 1.0


class EpisodeNoise(NamedTuple):
    """The standard normal noise that the episode's latent is made of."""

    noise: Float[Array, " latent"]


class StructuredExtras(NamedTuple):
    """`ActExtras`, and what was drawn for the episode: the latent ("score") or its noise ("pathwise").

    `log_prob` and `greedy_log_prob` of an episode's first step are those of the latent and the action, if the latent
    counts as an action.
    """

    log_prob: Float[Array, ""]
    value: Float[Array, ""]
    greedy_action: Array
    greedy_log_prob: Float[Array, ""]
    drawn: Float[Array, " latent"]


class Structured(ActorCritic):
    """π(a | s, z), z ~ N(μ, σ) drawn once an episode (Gupta et al. 2018, section 4). μ and σ are parameters.

    Its memory must be made anew for each episode, as `Gradient` does.

    Args:
        latent_size: dimensions of z. μ starts at 0 and σ at 1, the prior; log σ² counts as -4 below that and as 1 above.
        latent_gradient: how μ and σ come to a gradient: "score" counts z as an action of the episode's first step,
            whose log-probability they change; "pathwise" sees z as μ + σ ε, which the probabilities of all actions of
            the episode depend on. Both have the same mean. Where few episodes are paid, the first moves μ to the
            latents of those that were.
        widths, activation, init, has_value: as in `FeedForward`. The value net does not see z.
    """

    policy_net: Encoder
    policy: PolicyHead
    latent: Latent
    value_net: Encoder | None
    value: Linear | None
    latent_gradient: LatentGradient = eqx.field(static=True)
    episodes_per_adapt: int = eqx.field(static=True)

    def __init__(
        self,
        spec: EnvSpec,
        *,
        key: Key,
        latent_size: int = 2,
        latent_gradient: LatentGradient = "score",
        widths: tuple[int, ...] = (64, 64),
        activation: Activation = "tanh",
        init: Init = "orthogonal",
        has_value: bool = False,
    ):
        if latent_size < 1 or not widths:
            raise ValueError(f"Structured(latent_size={latent_size}): must be at least 1, and needs a hidden layer.")
        if latent_gradient not in ("score", "pathwise"):
            raise ValueError(f"Structured(latent_gradient={latent_gradient!r}): choose score or pathwise.")
        policy_net_key, value_net_key, policy_key, value_key = jax.random.split(key, 4)
        self.policy_net = Encoder(policy_net_key, spec.obs, widths, activation, latent_size, init)
        self.policy = PolicyHead(policy_key, self.policy_net.num_features, spec.action, init)
        self.latent = Latent(jnp.zeros((latent_size,)), jnp.zeros((latent_size,)))
        self.value_net = Encoder(value_net_key, spec.obs, widths, activation, init=init) if has_value else None
        self.value = None if self.value_net is None else Linear(value_key, self.value_net.num_features, 1)
        self.latent_gradient = latent_gradient
        self.episodes_per_adapt = 1

    def init(self, key: Key) -> EpisodeNoise:
        return EpisodeNoise(jax.random.normal(key, self.latent.mean.shape))

    def spread(self) -> Float[Array, " latent"]:
        """log σ², within its bounds."""
        return jnp.clip(self.latent.log_variance, MIN_LOG_VARIANCE, MAX_LOG_VARIANCE)

    def _drawn_from(self, noise: Float[Array, " latent"]) -> Float[Array, " latent"]:
        """μ + σ noise."""
        return Latent(self.latent.mean, self.spread()).at(noise)

    def _value_of(self, obs: Array) -> Float[Array, ""]:
        if self.value_net is None or self.value is None:
            return jnp.zeros(())
        return self.value(self.value_net(obs))[0]

    def _followed(self, drawn: Float[Array, " latent"]) -> Float[Array, " latent"]:
        """The latent that an episode follows."""
        return drawn if self.latent_gradient == "score" else self._drawn_from(drawn)

    def _log_prob_of(self, drawn: Float[Array, " latent"], first: Bool[Array, ""]) -> Float[Array, ""]:
        """What the choice of the latent adds to the log-probability of a step."""
        if self.latent_gradient == "pathwise":
            return jnp.zeros(())
        chosen = dist.Normal(self.latent.mean, jnp.exp(0.5 * self.spread())).log_prob(drawn).sum()
        return jnp.where(first, chosen, 0.0)

    def act(self, key: Key, memory: EpisodeNoise, timestep: TimeStep) -> tuple[Array, StructuredExtras]:
        drawn = self._drawn_from(memory.noise) if self.latent_gradient == "score" else memory.noise
        policy = self.policy(self.policy_net(timestep.obs, self._followed(drawn)))
        action = policy.sample(key)
        extras, chosen = (
            act_extras(policy, action, self._value_of(timestep.obs)),
            self._log_prob_of(drawn, timestep.first),
        )
        extras = extras._replace(log_prob=extras.log_prob + chosen, greedy_log_prob=extras.greedy_log_prob + chosen)
        return action, StructuredExtras(*extras, drawn)

    def observe(self, key: Key, memory: EpisodeNoise, transition: Transition) -> EpisodeNoise:
        return memory

    def adapt(self, key: Key, memory: Memory, episodes: Transition) -> Memory:
        return memory

    def unroll(self, memory: Memory, transitions: Transition, trial_first: Bool[Array, " time"]) -> Outputs:
        obs, drawn = transitions.timestep.obs, transitions.extras.drawn
        features = jax.vmap(lambda obs, drawn: self.policy_net(obs, self._followed(drawn)))(obs, drawn)
        log_prob, entropy, policy = jax.vmap(self.policy.judge)(features, transitions.action)
        log_prob += jax.vmap(self._log_prob_of)(drawn, transitions.timestep.first)
        return Outputs(log_prob, entropy, jax.vmap(self._value_of)(obs), features, policy)
