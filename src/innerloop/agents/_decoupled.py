"""An agent that explores with one policy, works out the task from what it saw, and then acts with another."""

from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from innerloop._agent import ActExtras, Agent
from innerloop._env import EnvSpec
from innerloop._rollout import where
from innerloop._types import Key, Memory, TimeStep, Transition
from innerloop.agents._decoders import TrajectoryDecoder
from innerloop.agents._recurrent import Recurrent, RecurrentMemory
from innerloop.nn import Activation, Encoder, Linear, PolicyHead, act_extras


class TaskPolicy(eqx.Module):
    """π(a | s, z) and its value: nets of their own on observation and task vector."""

    policy_net: Encoder
    policy: PolicyHead
    value_net: Encoder
    value: Linear

    def __init__(
        self,
        spec: EnvSpec,
        latent_size: int,
        *,
        key: Key,
        widths: tuple[int, ...] = (64, 64),
        activation: Activation = "relu",
    ):
        if not widths:
            raise ValueError("TaskPolicy(widths=()): observation and task vector meet in a hidden layer; give one.")
        keys = jax.random.split(key, 4)
        self.policy_net = Encoder(keys[0], spec.obs, widths, activation, latent_size)
        self.policy = PolicyHead(keys[1], widths[-1], spec.action)
        self.value_net = Encoder(keys[2], spec.obs, widths, activation, latent_size)
        self.value = Linear(keys[3], widths[-1], 1)

    def value_of(self, obs: Array, z: Float[Array, " latent"]) -> Float[Array, ""]:
        """The value of an observation in a task."""
        return self.value(self.value_net(obs, z))[0]

    def act(self, key: Key, obs: Array, z: Float[Array, " latent"]) -> tuple[Array, ActExtras]:
        """An action in a task."""
        policy = self.policy(self.policy_net(obs, z))
        action = policy.sample(key)
        return action, act_extras(policy, action, self.value_of(obs, z))


class DecoupledMemory(NamedTuple):
    """The explorer's memory, what the decoder has read, the task vector to act on, and episodes played."""

    explorer: RecurrentMemory
    past: Memory
    z: Float[Array, " latent"]
    num_episodes: Int[Array, ""]


class Decoupled(Agent):
    """Explores for `num_exploration_episodes`, then pursues the task that the decoder reads off these (Liu et al. 2021).

    What happens after the exploration is not read: the task vector stays as it is.
    """

    explorer: Recurrent
    decoder: TrajectoryDecoder
    exploiter: TaskPolicy
    num_exploration_episodes: int = eqx.field(static=True, default=1)
    episodes_per_adapt: int = eqx.field(static=True, default=1)

    def init(self, key: Key) -> DecoupledMemory:
        past = self.decoder.start()
        z = self.decoder.guess(past)
        return DecoupledMemory(self.explorer.init(key), past, z, jnp.zeros((), jnp.int32))

    def is_exploring(self, memory: DecoupledMemory) -> Bool[Array, ""]:
        """Whether this is one of the first episodes."""
        return memory.num_episodes < self.num_exploration_episodes

    def act(self, key: Key, memory: DecoupledMemory, timestep: TimeStep) -> tuple[Array, ActExtras]:
        explore_key, exploit_key = jax.random.split(key)
        explored = self.explorer.act(explore_key, memory.explorer, timestep)
        exploited = self.exploiter.act(exploit_key, timestep.obs, memory.z)
        chosen: tuple[Array, ActExtras] = where(self.is_exploring(memory), explored, exploited)
        return chosen

    def observe(self, key: Key, memory: DecoupledMemory, transition: Transition) -> DecoupledMemory:
        written = memory._replace(
            explorer=self.explorer.observe(key, memory.explorer, transition),
            past=self.decoder.read(memory.past, transition),
        )
        seen: DecoupledMemory = where(self.is_exploring(memory), written, memory)
        return seen

    def adapt(self, key: Key, memory: DecoupledMemory, episodes: Transition) -> DecoupledMemory:
        z = self.decoder.guess(memory.past)
        return memory._replace(z=z, num_episodes=memory.num_episodes + 1)
