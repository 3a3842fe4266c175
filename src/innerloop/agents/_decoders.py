"""From a trajectory to a task vector."""

import abc
from typing import Any, Literal

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from innerloop._env import EnvSpec
from innerloop._rollout import where
from innerloop._types import Key, Memory, Transition
from innerloop.agents._summary import History, HistoryMemory
from innerloop.envs.wrappers import encode
from innerloop.nn import MLP, CoreName, Linear

DecoderName = Literal["sum", "gru", "lstm", "rnn"]


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
        input_widths: tuple[int, ...] = (64,),
    ):
        history_key, head_key = jax.random.split(key)
        self.history = History(
            spec, key=history_key, core=core, hidden_size=hidden_size, input_widths=input_widths, feed_prev_obs=True
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
    what it has learned over to new combinations of what steps show.
    """

    net: MLP
    head: Linear
    bias: Float[Array, " latent"]
    spec: EnvSpec

    def __init__(self, spec: EnvSpec, latent_size: int, *, key: Key, widths: tuple[int, ...] = (64,)):
        net_key, head_key = jax.random.split(key)
        num_in = 2 * spec.obs.num_features + spec.action.num_features + 1
        self.net = MLP(net_key, num_in, widths, "relu")
        self.head = Linear(head_key, widths[-1] if widths else num_in, latent_size)
        self.bias = jnp.zeros((latent_size,))
        self.spec = spec

    def start(self) -> Float[Array, " latent"]:
        return jnp.zeros_like(self.bias)

    def read(self, memory: Float[Array, " latent"], transition: Transition) -> Float[Array, " latent"]:
        step = transition.next_timestep
        seen = [encode(self.spec.obs, x.obs) for x in (transition.timestep, step)]
        seen += [encode(self.spec.action, transition.action), step.reward[None]]
        return memory + self.head(self.net(jnp.concatenate(seen)))

    def guess(self, memory: Float[Array, " latent"]) -> Float[Array, " latent"]:
        return memory + self.bias


def make_trajectory_decoder(
    name: DecoderName, spec: EnvSpec, latent_size: int, *, key: Key, hidden_size: int, input_widths: tuple[int, ...]
) -> TrajectoryDecoder:
    """A decoder by name: the "sum" of what steps say, or a recurrent core."""
    if name == "sum":
        return SumDecoder(spec, latent_size, key=key, widths=(*input_widths, hidden_size))
    return RecurrentDecoder(spec, latent_size, key=key, core=name, hidden_size=hidden_size, input_widths=input_widths)
