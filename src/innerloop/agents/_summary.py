"""What policies and critics are fed with: the present, and what a memory keeps of the past."""

import abc
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from innerloop._env import EnvSpec
from innerloop._rollout import where
from innerloop._types import Key, Memory, TimeStep, Transition
from innerloop.agents._feedforward import NoMemory
from innerloop.envs.wrappers import encode
from innerloop.nn import MLP, Activation, Core, CoreName, Encoder, make_core


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
        input_widths: tuple[int, ...] = (32,),
        feed_prev_obs: bool = False,
        activation: Activation = "tanh",
    ):
        encoder_key, joint_key, core_key = jax.random.split(key, 3)
        self.encoder = Encoder(encoder_key, spec.obs)
        num_in = self.encoder.num_features * (2 if feed_prev_obs else 1) + spec.action.num_features + 2
        self.joint = MLP(joint_key, num_in, input_widths, activation)
        self.core = make_core(core, core_key, input_widths[-1] if input_widths else num_in, hidden_size)
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
        return self._advance(memory, self._inputs(transition))

    def _advance(self, memory: HistoryMemory, inputs: Float[Array, " inputs"]) -> HistoryMemory:
        """One step of the core."""
        return HistoryMemory(*self.core.step(memory.state, inputs))

    def _inputs(self, transition: Transition) -> Float[Array, " inputs"]:
        """What the core is fed of a transition."""
        step = transition.next_timestep
        scalars = jnp.stack([step.reward, step.last.astype(jnp.float32)])
        action = encode(self.spec.action, step.prev_action)
        before = [self.encoder(transition.timestep.obs)] if self.feed_prev_obs else []
        return self.joint(jnp.concatenate([self.encoder(step.obs), *before, action, scalars]))

    def read(self, memory: HistoryMemory, transitions: Transition) -> HistoryMemory:
        """The memory after those of a sequence `[time]` that are valid."""

        def step(memory: HistoryMemory, inputs: tuple[Array, Array]) -> tuple[HistoryMemory, None]:
            x, valid = inputs
            return where(valid, self._advance(memory, x), memory), None

        return jax.lax.scan(step, memory, (jax.vmap(self._inputs)(transitions), transitions.valid))[0]

    def outputs(
        self, memory: HistoryMemory, transitions: Transition, trial_first: Bool[Array, " time"]
    ) -> Float[Array, "times size"]:
        """The core's outputs before each step of a sequence, and after its last one."""
        start = self.start()

        def step(memory: HistoryMemory, inputs: tuple[Array, Array, Array]) -> tuple[HistoryMemory, Array]:
            x, valid, first = inputs
            memory = where(first, start, memory)
            return where(valid, self._advance(memory, x), memory), memory.output

        inputs = (jax.vmap(self._inputs)(transitions), transitions.valid, trial_first)
        last, outputs = jax.lax.scan(step, memory, inputs)
        return jnp.concatenate([outputs, last.output[None]])
