"""Who knows the task in DREAM's training: its encoder, the exploitation policy that reads it, and the player."""

import math
from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from innerloop._agent import ActExtras, ActorCritic, Agent, Outputs, Player
from innerloop._types import Key, Memory, Task, TimeStep, Transition
from innerloop.agents._decoupled import Decoupled, DecoupledMemory, TaskPolicy
from innerloop.algorithms._task_code import TaskCode
from innerloop.losses import gaussian_kl
from innerloop.nn import MLP, Linear


class TaskEncoder(eqx.Module):
    """f(μ), the mean of F(z | μ) = N(f(μ), ρ² I): what there is to know about task μ."""

    net: MLP
    head: Linear

    def __init__(self, num_task_features: int, latent_size: int, *, key: Key, widths: tuple[int, ...] = ()):
        net_key, head_key = jax.random.split(key)
        self.net = MLP(net_key, num_task_features, widths, "relu")
        num_features = widths[-1] if widths else num_task_features
        self.head = Linear(head_key, num_features, latent_size, scale=2.0)

    def __call__(self, code: Float[Array, " features"]) -> Float[Array, " latent"]:
        return self.head(self.net(code))


class InformedMemory(NamedTuple):
    """The task in code, the noise of z = f(μ) + ρ noise; and z itself if it is the decoder's (`is_told` is false)."""

    code: Float[Array, "*trial features"]
    noise: Float[Array, "*trial latent"]
    z: Float[Array, "*trial latent"]
    is_told: Bool[Array, "*trial"]


class Informed(ActorCritic):
    """π(a | s, z) with z from the encoder: who is trained to exploit. Of its `Outputs`, `features` is f(μ)."""

    encoder: TaskEncoder
    policy: TaskPolicy
    num_task_features: int = eqx.field(static=True)
    latent_size: int = eqx.field(static=True)
    deviation: float = eqx.field(static=True)
    episodes_per_adapt: int = eqx.field(static=True, default=1)

    def init(self, key: Key) -> InformedMemory:
        nothing = jnp.zeros((self.latent_size,))
        return InformedMemory(jnp.zeros((self.num_task_features,)), nothing, nothing, jnp.ones((), bool))

    def z(self, memory: InformedMemory) -> Float[Array, " latent"]:
        """The task vector of the trial; gradients flow into the encoder."""
        told = self.encoder(memory.code) + self.deviation * memory.noise
        return jnp.where(memory.is_told, told, memory.z)

    def act(self, key: Key, memory: InformedMemory, timestep: TimeStep) -> tuple[Array, ActExtras]:
        return self.policy.act(key, timestep.obs, self.z(memory))

    def observe(self, key: Key, memory: Memory, transition: Transition) -> Memory:
        return memory

    def adapt(self, key: Key, memory: Memory, episodes: Transition) -> Memory:
        return memory

    def unroll(self, memory: Memory, transitions: Transition, trial_first: Bool[Array, " time"]) -> Outputs:
        policy, z, obs = self.policy, self.z(memory), transitions.timestep.obs
        hidden = jax.vmap(lambda obs: policy.policy_net(obs, z))(obs)
        log_prob, entropy, actions = jax.vmap(policy.policy.judge)(hidden, transitions.action)
        value = jax.vmap(lambda obs: policy.value_of(obs, z))(obs)
        mean = self.encoder(memory.code)
        return Outputs(log_prob, entropy, value, jnp.broadcast_to(mean, (*value.shape, *mean.shape)), actions)


class Bottleneck(eqx.Module):
    """KL(F(z | μ) ‖ N(0, I)): how much the encoder says of the task. PPO adds it to the loss of `Informed`."""

    deviation: float = eqx.field(static=True)

    def error(self, task: Task, features: Float[Array, "time latent"]) -> Float[Array, " time"]:
        """At each step of a trial, where `features` is f(μ)."""
        log_variance = jnp.full(features.shape, 2.0 * math.log(self.deviation))
        return jax.vmap(gaussian_kl)(features, log_variance)


class ToldMemory(NamedTuple):
    """The agent's memory, and where the task vector of the trial comes from: see `InformedMemory`."""

    agent: DecoupledMemory
    noise: Float[Array, "*trial latent"]
    is_told: Bool[Array, "*trial"]


class Told(Agent):
    """The agent, given z ~ N(mean, deviation² I) to act on, instead of what it decodes; but for a share of the trials."""

    agent: Decoupled
    mean: Float[Array, " latent"]
    deviation: float = eqx.field(static=True)
    decoded_share: float = eqx.field(static=True)
    episodes_per_adapt: int = eqx.field(static=True, default=1)

    def init(self, key: Key) -> ToldMemory:
        agent_key, noise_key, share_key = jax.random.split(key, 3)
        noise = jax.random.normal(noise_key, self.mean.shape)
        is_told = ~jax.random.bernoulli(share_key, self.decoded_share)
        return self._tell(ToldMemory(self.agent.init(agent_key), noise, is_told))

    def _tell(self, memory: ToldMemory) -> ToldMemory:
        told = self.mean + self.deviation * memory.noise
        return memory._replace(agent=memory.agent._replace(z=jnp.where(memory.is_told, told, memory.agent.z)))

    def act(self, key: Key, memory: ToldMemory, timestep: TimeStep) -> tuple[Array, ActExtras]:
        return self.agent.act(key, memory.agent, timestep)

    def observe(self, key: Key, memory: ToldMemory, transition: Transition) -> ToldMemory:
        return memory._replace(agent=self.agent.observe(key, memory.agent, transition))

    def adapt(self, key: Key, memory: ToldMemory, episodes: Transition) -> ToldMemory:
        return self._tell(memory._replace(agent=self.agent.adapt(key, memory.agent, episodes)))


class Insider(Player):
    """Plays training tasks knowing them: explores as the agent does, exploits with z from the encoder."""

    agent: Decoupled
    encoder: TaskEncoder
    code: TaskCode
    deviation: float = eqx.field(static=True)
    decoded_share: float = eqx.field(static=True)
    episodes_per_adapt: int = eqx.field(static=True, default=1)

    def on(self, task: Task) -> Told:
        return Told(self.agent, self.encoder(self.code(task)), self.deviation, self.decoded_share)
