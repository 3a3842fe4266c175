"""What policies and critics are fed with: the present, and what a memory keeps of the past."""

import abc
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from innerloop._env import EnvSpec, encode
from innerloop._types import Key, Memory, TimeStep, Transition
from innerloop.agents._feedforward import NoMemory
from innerloop.nn import MLP, Activation, Core, CoreName, CoreOptions, Encoder, Past, make_core


class Summary(eqx.Module):
    """What policy and critics are fed with: features of the present, and of the past that a memory keeps."""

    @property
    @abc.abstractmethod
    def num_features(self) -> int:
        """How many there are."""

    @abc.abstractmethod
    def init(self, key: Key) -> Memory:
        """The memory at the start of a trial."""

    @abc.abstractmethod
    def see(self, memory: Memory, timestep: TimeStep) -> Float[Array, " features"]:
        """The features before a step."""

    @abc.abstractmethod
    def observe(self, key: Key, memory: Memory, transition: Transition) -> Memory:
        """The memory after a step."""


class Present(Summary):
    """The observation alone: for what is not hidden."""

    encoder: Encoder

    def __init__(self, spec: EnvSpec, *, key: Key):
        self.encoder = Encoder(key, spec.obs)

    @property
    def num_features(self) -> int:
        return self.encoder.num_features

    def init(self, key: Key) -> NoMemory:
        return NoMemory()

    def see(self, memory: NoMemory, timestep: TimeStep) -> Float[Array, " features"]:
        return self.encoder(timestep.obs)

    def observe(self, key: Key, memory: NoMemory, transition: Transition) -> NoMemory:
        return memory


class HistoryMemory(NamedTuple):
    """The core's state and its output."""

    state: Any
    output: Float[Array, " size"]


class History(Summary):
    """The observation, and a recurrent core's summary of all transitions of the trial so far.

    The core is fed (a_t, r_{t+1}, s_{t+1}, episode-end flag), with `feed_prev_obs` s_t as well: a whole transition at once.
    """

    encoder: Encoder
    joint: MLP
    core: Core
    spec: EnvSpec
    feed_prev_obs: bool = eqx.field(static=True)

    def __init__(
        self,
        spec: EnvSpec,
        *,
        key: Key,
        core: CoreName = "gru",
        hidden_size: int = 64,
        core_options: CoreOptions | None = None,
        input_widths: tuple[int, ...] = (32,),
        feed_prev_obs: bool = False,
        activation: Activation = "tanh",
    ):
        encoder_key, joint_key, core_key = jax.random.split(key, 3)
        self.encoder = Encoder(encoder_key, spec.obs)
        num_in = self.encoder.num_features * (2 if feed_prev_obs else 1) + spec.action.num_features + 2
        self.joint = MLP(joint_key, num_in, input_widths, activation)
        self.core = make_core(core, core_key, input_widths[-1] if input_widths else num_in, hidden_size, core_options)
        self.spec = spec
        self.feed_prev_obs = feed_prev_obs

    @property
    def num_features(self) -> int:
        return self.encoder.num_features + self.core.size

    def init(self, key: Key) -> HistoryMemory:
        return self.start()

    def start(self) -> HistoryMemory:
        """The memory of nothing."""
        return HistoryMemory(self.core.initial(), jnp.zeros((self.core.size,)))

    def see(self, memory: HistoryMemory, timestep: TimeStep) -> Float[Array, " features"]:
        return jnp.concatenate([self.encoder(timestep.obs), memory.output])

    def observe(self, key: Key, memory: HistoryMemory, transition: Transition) -> HistoryMemory:
        return self.write(memory, transition)

    def write(self, memory: HistoryMemory, transition: Transition) -> HistoryMemory:
        """The memory after one more transition."""
        return HistoryMemory(*self.core.step(memory.state, self._inputs(transition)))

    def _inputs(self, transition: Transition) -> Float[Array, " inputs"]:
        """What the core is fed of a transition."""
        step = transition.next_timestep
        scalars = jnp.stack([step.reward, step.last.astype(jnp.float32)])
        action = encode(self.spec.action, step.prev_action)
        before = [self.encoder(transition.timestep.obs)] if self.feed_prev_obs else []
        return self.joint(jnp.concatenate([self.encoder(step.obs), *before, action, scalars]))

    def read(self, memory: HistoryMemory, transitions: Transition) -> HistoryMemory:
        """The memory after those of a sequence `[time]` that are valid."""
        none = jnp.zeros(transitions.valid.shape, bool)
        state, outputs, past = self._sequence(memory, transitions, none)
        return HistoryMemory(state, past.last(memory.output, outputs, memory.output))

    def outputs(
        self, memory: HistoryMemory, transitions: Transition, trial_first: Bool[Array, " time"]
    ) -> Float[Array, "times size"]:
        """The core's outputs before each step of a sequence, and after its last one."""
        _, outputs, past = self._sequence(memory, transitions, trial_first)
        nothing = jnp.zeros((self.core.size,))
        before, last = (f(memory.output, outputs, nothing) for f in (past.previous, past.last))
        return jnp.concatenate([before, last[None]])

    def _sequence(
        self, memory: HistoryMemory, transitions: Transition, trial_first: Bool[Array, " time"]
    ) -> tuple[Any, Float[Array, "time size"], Past]:
        """The core's state after a sequence, its output after each step, and what was before each step."""
        inputs, valid = jax.vmap(self._inputs)(transitions), transitions.valid
        state, outputs = self.core.sequence(memory.state, inputs, trial_first, valid)
        return state, outputs, Past.of(jnp.ones((), jnp.int32), trial_first, valid)
