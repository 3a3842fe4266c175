"""The evidence lower bound by which beliefs are learned: decoders of rewards and states, and a trial's terms of it."""

from typing import Literal

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from innerloop._env import Discrete, EnvSpec, encode
from innerloop._types import Key, Metrics, Transition
from innerloop.agents import Belief
from innerloop.agents._belief import Latent
from innerloop.losses import bernoulli_log_prob, gaussian_kl, gaussian_log_prob, weights
from innerloop.nn import MLP, Linear

RewardName = Literal["gaussian", "bernoulli"]
PriorName = Literal["previous", "standard"]


class RewardDecoder(eqx.Module):
    """log p(r | m, s'): of the reward itself (Gaussian), or of whether it is above `threshold` (Bernoulli).

    With `per_state` a discrete observation s' picks one of as many outputs, which is then a map of rewards that m
    alone is decoded into; otherwise s' is an input. A Gaussian has unit variance in units of `scale`.
    """

    net: MLP
    head: Linear
    spec: EnvSpec
    kind: RewardName = eqx.field(static=True)
    per_state: bool = eqx.field(static=True)
    threshold: float = eqx.field(static=True)
    scale: float = eqx.field(static=True)

    def __init__(
        self,
        spec: EnvSpec,
        latent_size: int,
        *,
        key: Key,
        widths: tuple[int, ...] = (32, 32),
        kind: RewardName = "gaussian",
        per_state: bool = False,
        threshold: float = 0.0,
        scale: float = 1.0,
    ):
        if kind not in ("gaussian", "bernoulli"):
            raise ValueError(f"RewardDecoder(kind={kind!r}): choose gaussian or bernoulli.")
        if per_state and not isinstance(spec.obs, Discrete):
            raise ValueError(f"RewardDecoder(per_state=True): needs discrete observations, got {spec.obs}.")
        if scale <= 0:
            raise ValueError(f"RewardDecoder(scale={scale}): must be above 0.")
        net_key, head_key = jax.random.split(key)
        num_in = latent_size if per_state else latent_size + spec.obs.num_features
        self.net = MLP(net_key, num_in, widths, "relu")
        self.head = Linear(head_key, widths[-1] if widths else num_in, spec.obs.num_features if per_state else 1)
        self.spec = spec
        self.kind = kind
        self.per_state = per_state
        self.threshold = threshold
        self.scale = scale

    def log_probs(self, latents: Float[Array, "term latent"], steps: Transition) -> Float[Array, "term time"]:
        """Of each of the rewards `[time]` under each of the task vectors."""
        seen = jax.vmap(lambda obs: encode(self.spec.obs, obs))(steps.next_timestep.obs)
        if self.per_state:
            predicted = jax.vmap(lambda m: self.head(self.net(m)))(latents) @ seen.T
        else:
            pairs = jax.vmap(lambda m: jax.vmap(lambda x: self.head(self.net(jnp.concatenate([m, x])))[0])(seen))
            predicted = pairs(latents)
        reward = steps.next_timestep.reward[None]
        if self.kind == "bernoulli":
            return bernoulli_log_prob(predicted, (reward > self.threshold).astype(jnp.float32))
        return gaussian_log_prob(predicted, reward / self.scale)


class StateDecoder(eqx.Module):
    """log p(s' | m, s, a): Gaussian with unit variance for boxes, categorical for discrete observations."""

    net: MLP
    head: Linear
    spec: EnvSpec

    def __init__(self, spec: EnvSpec, latent_size: int, *, key: Key, widths: tuple[int, ...] = (32, 32)):
        net_key, head_key = jax.random.split(key)
        num_in = latent_size + spec.obs.num_features + spec.action.num_features
        self.net = MLP(net_key, num_in, widths, "relu")
        self.head = Linear(head_key, widths[-1] if widths else num_in, spec.obs.num_features)
        self.spec = spec

    def log_probs(self, latents: Float[Array, "term latent"], steps: Transition) -> Float[Array, "term time"]:
        """Of each of the next states `[time]` under each of the task vectors."""

        def one(m: Array, step: Transition) -> Float[Array, ""]:
            inputs = [m, encode(self.spec.obs, step.timestep.obs), encode(self.spec.action, step.action)]
            predicted = self.head(self.net(jnp.concatenate(inputs)))
            truth = encode(self.spec.obs, step.next_timestep.obs)
            if isinstance(self.spec.obs, Discrete):
                return (jax.nn.log_softmax(predicted) * truth).sum()
            return gaussian_log_prob(predicted, truth).sum()

        return jax.vmap(lambda m: jax.vmap(lambda step: one(m, step))(steps))(latents)


class Inference(eqx.Module):
    """The negative evidence lower bound of a trial, whose terms are drawn at random so that training stays fast.

    At a time t of the trial a task vector m is drawn from q_t, and all rewards (and states) of the trial are decoded
    from it: those before t and those after (Zintgraf et al. 2020, equation 8). The bound is the sum over t; here, the
    mean over `num_terms` times, of the sum over steps, estimated from `num_decoded` of them. None: all.

    `kl_to`: KL(q_t ‖ q_{t-1}), as in the paper, or KL(q_t ‖ N(0, 1)). q_0's is always to the standard normal.
    """

    reward: RewardDecoder
    state: StateDecoder | None
    num_terms: int | None = eqx.field(static=True)
    num_decoded: int | None = eqx.field(static=True)
    kl_coef: float = eqx.field(static=True)
    state_coef: float = eqx.field(static=True)
    kl_to: PriorName = eqx.field(static=True)

    def loss(self, key: Key, agent: Belief, transitions: Transition) -> tuple[Float[Array, ""], Metrics]:
        """Of one trial `[time]`."""
        terms_key, steps_key, noise_key, memory_key = jax.random.split(key, 4)
        num_steps = transitions.valid.shape[0]
        latents = agent.infer(agent.init(memory_key), transitions, jnp.zeros((num_steps,), bool))
        terms = _some(terms_key, num_steps + 1, self.num_terms)
        m = jax.tree.map(lambda x: x[terms], latents).draw(noise_key)
        decoded = _some(steps_key, num_steps, self.num_decoded)
        steps = jax.tree.map(lambda x: x[decoded], transitions)
        weight = weights(steps.valid) * transitions.valid.astype(jnp.float32).sum()
        reward_loss = -(self.reward.log_probs(m, steps) * weight[None]).sum(axis=1).mean()
        divergence = self._divergences(latents)[terms].mean()
        metrics = {"reward_loss": reward_loss, "belief_kl": divergence}
        loss = reward_loss + self.kl_coef * divergence
        if self.state is not None:
            metrics["state_loss"] = -(self.state.log_probs(m, steps) * weight[None]).sum(axis=1).mean()
            loss += self.state_coef * metrics["state_loss"]
        return loss, metrics | {"elbo_loss": loss}

    def _divergences(self, latents: Latent) -> Float[Array, " time"]:
        if self.kl_to == "standard":
            return jax.vmap(gaussian_kl)(*latents)
        standard = jax.tree.map(lambda x: jnp.zeros_like(x[:1]), latents)
        before = jax.tree.map(lambda x, y: jnp.concatenate([x, y[:-1]]), standard, latents)
        return jax.vmap(gaussian_kl)(*latents, *before)


def _some(key: Key, num: int, wanted: int | None) -> Int[Array, " some"]:
    """`wanted` of the numbers below `num`, without repetition; all of them if there are no more."""
    if wanted is None or wanted >= num:
        return jnp.arange(num)
    return jax.random.choice(key, num, (wanted,), replace=False)
