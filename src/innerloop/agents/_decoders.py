"""From a trajectory to a task vector."""

import abc
from typing import Any, Literal

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from innerloop._env import EnvSpec, encode
from innerloop._rollout import where
from innerloop._types import Key, Memory, Transition
from innerloop.agents._summary import History, HistoryMemory
from innerloop.nn import MLP, CoreName, CoreOptions, Linear, Product

DecoderName = Literal["sum"] | CoreName


class TrajectoryDecoder(eqx.Module):
    """g(τ): the task vector that a trajectory points to, read step by step."""

    @abc.abstractmethod
    def start(self) -> Any:
        """What is known of a trajectory without steps."""

    @abc.abstractmethod
    def read(self, memory: Any, transition: Transition) -> Any:
        """What is known after one more step (s, a, r, s')."""

    @abc.abstractmethod
    def guess(self, memory: Any) -> Float[Array, " latent"]:
        """The task vector, as far as it is known."""


def guesses(decoder: TrajectoryDecoder, transitions: Transition) -> Float[Array, "times latent"]:
    """The guesses before each step of a trajectory `[time]`, and after its last one. Steps that are not valid say nothing."""

    def step(memory: Memory, transition: Transition) -> tuple[Memory, Float[Array, " latent"]]:
        memory = where(transition.valid, decoder.read(memory, transition), memory)
        return memory, decoder.guess(memory)

    start = decoder.start()
    _, after = jax.lax.scan(step, start, transitions)
    return jnp.concatenate([decoder.guess(start)[None], after])


class RecurrentDecoder(TrajectoryDecoder):
    """A recurrent net reads the steps in their order."""

    history: History
    head: Linear

    def __init__(
        self,
        spec: EnvSpec,
        latent_size: int,
        *,
        key: Key,
        core: CoreName = "gru",
        hidden_size: int = 64,
        core_options: CoreOptions | None = None,
        input_widths: tuple[int, ...] = (64,),
    ):
        history_key, head_key = jax.random.split(key)
        self.history = History(
            spec,
            key=history_key,
            core=core,
            hidden_size=hidden_size,
            core_options=core_options,
            input_widths=input_widths,
            feed_prev_obs=True,
        )
        self.head = Linear(head_key, hidden_size, latent_size)

    def start(self) -> HistoryMemory:
        return self.history.start()

    def read(self, memory: HistoryMemory, transition: Transition) -> HistoryMemory:
        return self.history.write(memory, transition)

    def guess(self, memory: HistoryMemory) -> Float[Array, " latent"]:
        return self.head(memory.output)


class SumDecoder(TrajectoryDecoder):
    """The sum of what each step says by itself.

    It cannot tell a task by elimination among those of training: a step that was not made says nothing. So it carries
    what it has learned over to new combinations of what steps show. What a step says is linear in the features of a net
    and in products of where it started with where it led: a net alone does not find such pairs when few steps matter.
    """

    net: MLP
    product: Product
    head: Linear
    bias: Float[Array, " latent"]
    spec: EnvSpec

    def __init__(
        self, spec: EnvSpec, latent_size: int, *, key: Key, widths: tuple[int, ...] = (64,), num_products: int = 256
    ):
        net_key, product_key, head_key = jax.random.split(key, 3)
        num_before, num_after = spec.obs.num_features + spec.action.num_features, spec.obs.num_features + 1
        self.net = MLP(net_key, num_before + num_after, widths, "relu")
        self.product = Product(product_key, num_before, num_after, num_products)
        num_features = widths[-1] if widths else num_before + num_after
        self.head = Linear(head_key, num_features + num_products, latent_size)
        self.bias = jnp.zeros((latent_size,))
        self.spec = spec

    def start(self) -> Float[Array, " latent"]:
        return jnp.zeros_like(self.bias)

    def read(self, memory: Float[Array, " latent"], transition: Transition) -> Float[Array, " latent"]:
        first, step = transition.timestep, transition.next_timestep
        before = jnp.concatenate([encode(self.spec.obs, first.obs), encode(self.spec.action, transition.action)])
        after = jnp.append(encode(self.spec.obs, step.obs), step.reward)
        said = self.net(jnp.concatenate([before, after])), self.product(before, after)
        return memory + self.head(jnp.concatenate(said))

    def guess(self, memory: Float[Array, " latent"]) -> Float[Array, " latent"]:
        return memory + self.bias


def make_trajectory_decoder(
    name: DecoderName,
    spec: EnvSpec,
    latent_size: int,
    *,
    key: Key,
    hidden_size: int,
    input_widths: tuple[int, ...],
    core_options: CoreOptions | None = None,
) -> TrajectoryDecoder:
    """A decoder by name: the "sum" of what steps say, or a recurrent core."""
    if name == "sum":
        return SumDecoder(spec, latent_size, key=key, widths=(*input_widths, hidden_size))
    return RecurrentDecoder(
        spec,
        latent_size,
        key=key,
        core=name,
        hidden_size=hidden_size,
        core_options=core_options,
        input_widths=input_widths,
    )
