"""An agent that samples a task from its posterior for each episode, and acts as if it were that one."""

import abc
from typing import Any, Literal, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from innerloop._agent import ActExtras, Agent
from innerloop._env import EnvSpec, encode
from innerloop._types import Key, Memory, TimeStep, Transition
from innerloop.agents._belief import Latent
from innerloop.agents._soft import SoftPolicy
from innerloop.agents._summary import History, HistoryMemory
from innerloop.losses import gaussian_product
from innerloop.nn import MLP, CoreName, CoreOptions, Linear

EncoderName = Literal["product"] | CoreName
MIN_LOG_VARIANCE, MAX_LOG_VARIANCE = -8.0, 8.0


class ContextEncoder(eqx.Module):
    """q(z | c): from the transitions of a trial to a Gaussian over task vectors. Without any: the standard normal."""

    @abc.abstractmethod
    def empty(self) -> Any:
        """The context without transitions."""

    @abc.abstractmethod
    def write(self, context: Any, transitions: Transition) -> Any:
        """The context with those of a sequence `[time]` that are valid, too."""

    @abc.abstractmethod
    def posterior(self, context: Any) -> Latent:
        """What it says of the task."""


class Factors(NamedTuple):
    """Natural parameters of a product of Gaussians (Σ 1/σ² and Σ μ/σ²) and how many there are; all 0 without any."""

    precision: Float[Array, " latent"]
    weighted: Float[Array, " latent"]
    num: Float[Array, ""]


class ProductOfGaussians(ContextEncoder):
    """Every transition (s, a, r, and s' if `next_obs`) is a Gaussian factor; their order does not matter (Rakelly et
    al. 2019, section 4.1). The prior is one more factor: transitions that say nothing leave it as it is.

    With `most`, transitions beyond that number count as so many of them would: 5000 factors learned on samples of 100 would
    make a posterior that the policy has never seen.
    """

    net: MLP
    head: Linear
    spec: EnvSpec
    latent_size: int = eqx.field(static=True)
    next_obs: bool = eqx.field(static=True)
    most: int | None = eqx.field(static=True)

    def __init__(
        self,
        spec: EnvSpec,
        latent_size: int,
        *,
        key: Key,
        widths: tuple[int, ...],
        next_obs: bool = False,
        most: int | None = None,
    ):
        net_key, head_key = jax.random.split(key)
        num_in = spec.obs.num_features * (2 if next_obs else 1) + spec.action.num_features + 1
        self.net = MLP(net_key, num_in, widths, "relu")
        self.head = Linear(head_key, widths[-1] if widths else num_in, 2 * latent_size)
        self.spec = spec
        self.latent_size = latent_size
        self.next_obs = next_obs
        self.most = most

    def empty(self) -> Factors:
        return Factors(jnp.zeros((self.latent_size,)), jnp.zeros((self.latent_size,)), jnp.zeros(()))

    def write(self, context: Factors, transitions: Transition) -> Factors:
        mean, log_variance = jax.vmap(self._factor)(transitions)
        precision, weighted = gaussian_product(mean, log_variance, transitions.valid)
        num = transitions.valid.astype(jnp.float32).sum()
        return Factors(context.precision + precision, context.weighted + weighted, context.num + num)

    def _factor(self, step: Transition) -> tuple[Array, Array]:
        seen = [encode(self.spec.obs, step.timestep.obs), encode(self.spec.action, step.action)]
        seen.append(step.next_timestep.reward[None])
        if self.next_obs:
            seen.append(encode(self.spec.obs, step.next_timestep.obs))
        mean, raw = jnp.split(self.head(self.net(jnp.concatenate(seen))), 2)
        return mean, jnp.clip(raw, MIN_LOG_VARIANCE, MAX_LOG_VARIANCE)

    def posterior(self, context: Factors) -> Latent:
        share = 1.0 if self.most is None else self.most / jnp.maximum(context.num, self.most)
        precision = 1.0 + share * context.precision
        return Latent(share * context.weighted / precision, -jnp.log(precision))


class RecurrentContext(NamedTuple):
    """A core's memory, and how many transitions it has seen."""

    past: HistoryMemory
    num: Float[Array, ""]


class RecurrentEncoder(ContextEncoder):
    """A recurrent net reads the transitions in the order in which they happened."""

    history: History
    head: Linear
    latent_size: int = eqx.field(static=True)

    def __init__(
        self,
        spec: EnvSpec,
        latent_size: int,
        *,
        key: Key,
        widths: tuple[int, ...],
        core: CoreName,
        core_options: CoreOptions | None = None,
    ):
        history_key, head_key = jax.random.split(key)
        size = widths[-1] if widths else 64
        self.history = History(
            spec, key=history_key, core=core, hidden_size=size, core_options=core_options, input_widths=widths[:-1]
        )
        self.head = Linear(head_key, size, 2 * latent_size)
        self.latent_size = latent_size

    def empty(self) -> RecurrentContext:
        return RecurrentContext(self.history.start(), jnp.zeros(()))

    def write(self, context: RecurrentContext, transitions: Transition) -> RecurrentContext:
        past = self.history.read(context.past, transitions)
        return RecurrentContext(past, context.num + transitions.valid.astype(jnp.float32).sum())

    def posterior(self, context: RecurrentContext) -> Latent:
        mean, raw = jnp.split(self.head(context.past.output), 2)
        known = (context.num > 0).astype(jnp.float32)
        return Latent(known * mean, known * jnp.clip(raw, MIN_LOG_VARIANCE, MAX_LOG_VARIANCE))


def make_encoder(
    name: EncoderName,
    spec: EnvSpec,
    latent_size: int,
    *,
    key: Key,
    widths: tuple[int, ...],
    core_options: CoreOptions | None = None,
    next_obs: bool = False,
    most: int | None = None,
) -> ContextEncoder:
    """An encoder by name: a "product" of Gaussians, or a recurrent core, which always sees next observations."""
    if latent_size < 1:
        raise ValueError(f"make_encoder(latent_size={latent_size}): must be at least 1.")
    if name == "product":
        return ProductOfGaussians(spec, latent_size, key=key, widths=widths, next_obs=next_obs, most=most)
    return RecurrentEncoder(spec, latent_size, key=key, widths=widths, core=name, core_options=core_options)


class PosteriorMemory(NamedTuple):
    """What the trial has shown, the task vector of the present episode, and episodes played before it."""

    context: Any
    z: Float[Array, " latent"]
    num_episodes: Int[Array, ""]


class Posterior(Agent):
    """Posterior sampling (Rakelly et al. 2019, section 5): each episode pursues one task vector, drawn from what the
    agent itself has experienced in this trial; in the first `num_prior_episodes`, from the prior."""

    encoder: ContextEncoder
    policy: SoftPolicy
    spec: EnvSpec
    num_prior_episodes: int = eqx.field(static=True, default=1)
    episodes_per_adapt: int = eqx.field(static=True, default=1)

    def init(self, key: Key) -> PosteriorMemory:
        context = self.encoder.empty()
        return PosteriorMemory(context, self.encoder.posterior(context).draw(key), jnp.zeros((), jnp.int32))

    def belief(self, memory: PosteriorMemory) -> Latent:
        """What the agent believes now."""
        return self.encoder.posterior(memory.context)

    def policy_inputs(self, memory: PosteriorMemory, timestep: TimeStep) -> tuple[Array, Array]:
        """Context and input of the policy's net before a step."""
        return memory.z, encode(self.spec.obs, timestep.obs)

    def act(self, key: Key, memory: PosteriorMemory, timestep: TimeStep) -> tuple[Array, ActExtras]:
        z, x = self.policy_inputs(memory, timestep)
        return self.policy.act(key, jnp.concatenate([x, z]))

    def observe(self, key: Key, memory: Memory, transition: Transition) -> Memory:
        return memory

    def adapt(self, key: Key, memory: PosteriorMemory, episodes: Transition) -> PosteriorMemory:
        played = jax.tree.map(lambda x: x.reshape(-1, *x.shape[2:]), episodes._replace(extras=None))
        context, num_episodes = self.encoder.write(memory.context, played), memory.num_episodes + 1
        prior, posterior = (self.encoder.posterior(x).draw(key) for x in (self.encoder.empty(), context))
        z = jnp.where(num_episodes < self.num_prior_episodes, prior, posterior)
        return PosteriorMemory(context, z, num_episodes)
