"""The agent contract: everything that is used at test time."""

import abc
from typing import TYPE_CHECKING, Any, NamedTuple

import equinox as eqx
from jaxtyping import Array, Bool, Float

from innerloop._types import Key, Memory, Task, TimeStep, Transition


class ActExtras(NamedTuple):
    """What an actor-critic says beside its action: `log_prob` and `value` before the step, and the greedy action with
    its log-probability."""

    log_prob: Float[Array, ""]
    value: Float[Array, ""]
    greedy_action: Array
    greedy_log_prob: Float[Array, ""]


class Agent(eqx.Module):
    """Acts, remembers and adapts on one task. All methods are pure; the memory is explicit.

    `act` reads the memory, `observe` writes it after every step (the step that ends an episode included), `adapt`
    writes it once every `episodes_per_adapt` episodes. Methods see one task; callers vmap.
    """

    if TYPE_CHECKING:  # which would take an AbstractVar for the first argument of every agent

        @property
        def episodes_per_adapt(self) -> int: ...

    else:
        episodes_per_adapt: eqx.AbstractVar[int]

    @abc.abstractmethod
    def init(self, key: Key) -> Memory:
        """The memory at the start of a trial."""

    @abc.abstractmethod
    def act(self, key: Key, memory: Memory, timestep: TimeStep) -> tuple[Array, Any]:
        """An action, and extras that a learner may want to find in the transition."""

    @abc.abstractmethod
    def observe(self, key: Key, memory: Memory, transition: Transition) -> Memory:
        """The memory after a step."""

    @abc.abstractmethod
    def adapt(self, key: Key, memory: Memory, episodes: Transition) -> Memory:
        """The memory after a round; `episodes` has axes `[episode time]`."""


class Player(eqx.Module):
    """Plays training tasks knowing which one it plays: for learners whose experience must come from more than the agent
    may know at test time. Collectors of whole trials take one in an agent's place; evaluation never does."""

    if TYPE_CHECKING:

        @property
        def episodes_per_adapt(self) -> int: ...

    else:
        episodes_per_adapt: eqx.AbstractVar[int]

    @abc.abstractmethod
    def on(self, task: Task) -> Agent:
        """Who plays this task."""


class Outputs(NamedTuple):
    """What an actor-critic computes for a sequence, axes `[time]`.

    `log_prob` of the actions that were taken, `entropy` of the policy there; `features` is what its heads read, and
    `policy` the distribution over actions at each step (of `numpyro.distributions`, a pytree).
    """

    log_prob: Float[Array, " time"]
    entropy: Float[Array, " time"]
    value: Float[Array, " time"]
    features: Float[Array, "time features"]
    policy: Any


class ActorCritic(Agent):
    """An agent with a differentiable policy and value, trained on sequences by PPO or A2C. Its `act` gives `ActExtras`."""

    @abc.abstractmethod
    def unroll(self, memory: Memory, transitions: Transition, trial_first: Bool[Array, " time"]) -> Outputs:
        """Replay a sequence `[time]` from `memory`: what `act` would have computed at each step.

        `trial_first` clears the memory before a step; steps that are not `valid` are not remembered.
        """
