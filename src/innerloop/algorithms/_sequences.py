"""Experience as sequences `[sequence time]`: what on-policy learners of any kind train on."""

from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from innerloop._agent import ActorCritic, Agent
from innerloop._rollout import where
from innerloop._types import Chunk, Key, Memory, Task, TimeStep, Transition, Trials
from innerloop.algorithms._critic import TaskCritic
from innerloop.losses import following_value, generalized_advantage, moments_of


class Sequences(NamedTuple):
    """`memory` at the first step; flags as in `Chunk`.

    `tasks` is None for chunks, which may hold several. `following` is what the agent sees after the last step, None
    for whole trials, which nothing follows.
    """

    tasks: Task | None
    memory: Memory
    transitions: Transition
    following: TimeStep | None
    trial_first: Bool[Array, "sequence time"]
    trial_last: Bool[Array, "sequence time"]


def as_sequences(experience: Trials | Chunk) -> Sequences:
    """Trials become one sequence each, `[round episode time]` flattened; chunks stay as they are."""
    if isinstance(experience, Chunk):
        return Sequences(None, *experience)
    transitions = jax.tree.map(lambda x: x.reshape(x.shape[0], -1, *x.shape[4:]), experience.transitions)
    first = jnp.zeros(transitions.valid.shape, bool)
    return Sequences(
        tasks=experience.tasks,
        memory=jax.tree.map(lambda x: x[:, 0], experience.memories),
        transitions=transitions,
        following=None,
        trial_first=first,
        trial_last=first.at[:, -1].set(True),
    )


def earned(experience: Trials | Chunk, num_free_episodes: int) -> Float[Array, "sequence time"]:
    """The rewards that count, of sequences as above: 0 in the first `num_free_episodes` episodes of a trial."""
    reward = experience.transitions.next_timestep.reward
    if isinstance(experience, Chunk):
        if num_free_episodes:
            raise ValueError(f"num_free_episodes={num_free_episodes}: needs whole trials; drop it or stream_steps.")
        return reward
    num_tasks, num_rounds, per_round, _ = reward.shape
    if num_free_episodes >= num_rounds * per_round:
        raise ValueError(f"num_free_episodes={num_free_episodes}: a trial has {num_rounds * per_round} episodes only.")
    counts = (jnp.arange(num_rounds * per_round) >= num_free_episodes).astype(reward.dtype)
    return (reward * counts.reshape(1, num_rounds, per_round, 1)).reshape(num_tasks, -1)


def replay(key: Key, agent: Agent, sequence: Sequences) -> tuple[Memory, Memory]:
    """The memory of one sequence before each step `[time]`, by `observe`, and at the end."""
    init = agent.init(key)

    def step(memory: Memory, inputs: tuple[Transition, Array, Key]) -> tuple[Memory, Memory]:
        transition, first, step_key = inputs
        memory = where(first, init, memory)
        return where(transition.valid, agent.observe(step_key, memory, transition), memory), memory

    keys = jax.random.split(key, sequence.trial_first.shape[0])
    last, before = jax.lax.scan(step, sequence.memory, (sequence.transitions, sequence.trial_first, keys))
    return before, last


def values_after(key: Key, agent: Agent, sequence: Sequences) -> Float[Array, " time"]:
    """The value of `next_timestep[t]`, what the env showed before any reset, to an agent for whom the episode goes on.

    So an agent that clears its memory where an episode ends still knows this one.
    """
    before, _ = replay(key, agent, sequence)

    def value(memory: Memory, transition: Transition) -> Float[Array, ""]:
        step = transition.next_timestep
        step = step._replace(last=jnp.zeros_like(step.last))
        after = agent.observe(key, memory, transition._replace(next_timestep=step))
        return agent.act(key, where(transition.valid, after, memory), step)[1].value

    return jax.vmap(value)(before, sequence.transitions)


def bootstrap_value(key: Key, agent: Agent, sequence: Sequences) -> Float[Array, ""]:
    """The value of what follows the sequence, in normalised units."""
    _, last = replay(key, agent, sequence)
    assert sequence.following is not None
    return agent.act(key, last, sequence.following)[1].value


def cut(key: Key, agent: Agent, sequences: Sequences, length: int) -> Sequences:
    """Windows of `length` steps, each with the memory the agent has at its start: truncated back-propagation.

    For losses only: what follows a window is no longer known, so returns are computed before.
    """
    num_steps = sequences.trial_first.shape[1]
    if num_steps % length:
        raise ValueError(f"bptt_length={length}: must divide the {num_steps} steps of a sequence.")
    before, _ = jax.vmap(lambda sequence: replay(key, agent, sequence))(sequences)

    def windows(x: Array) -> Array:
        return x.reshape(-1, length, *x.shape[2:])

    return Sequences(
        tasks=jax.tree.map(lambda x: jnp.repeat(x, num_steps // length, axis=0), sequences.tasks),
        memory=jax.tree.map(lambda x: windows(x)[:, 0], before),
        transitions=jax.tree.map(windows, sequences.transitions),
        following=None,
        trial_first=windows(sequences.trial_first),
        trial_last=windows(sequences.trial_last),
    )


class Targets(NamedTuple):
    """What an update aims at, fixed while it lasts; axes `[sequence time]`. Values are in normalised units."""

    advantage: Float[Array, "*sequence time"]
    value: Float[Array, "*sequence time"]
    old_value: Float[Array, "*sequence time"]


class Moments(NamedTuple):
    """Running mean and variance of value targets: value heads predict (v - mean) / std (van Hasselt et al. 2016)."""

    mean: Float[Array, ""]
    variance: Float[Array, ""]
    count: Float[Array, ""]  # type: ignore[assignment]

    @classmethod
    def start(cls) -> "Moments":
        """Mean 0, variance 1, nothing seen."""
        return cls(jnp.zeros(()), jnp.ones(()), jnp.zeros(()))

    def include(
        self, x: Float[Array, "..."], valid: Bool[Array, "..."], num_batches: float | Float[Array, ""] = 100.0
    ) -> "Moments":
        """Those of the first batch, then a mean over about the last `num_batches`."""
        mean, variance = moments_of(x, valid)
        rate = jnp.maximum(1.0 / (self.count + 1.0), 1.0 / num_batches)
        shift = mean - self.mean
        spread = (1.0 - rate) * self.variance + rate * (variance + (1.0 - rate) * jnp.square(shift))
        return Moments(self.mean + rate * shift, spread, self.count + 1.0)

    def normalize(self, x: Array) -> Array:
        return (x - self.mean) * jax.lax.rsqrt(self.variance + 1e-6)

    def restore(self, x: Array) -> Array:
        return x * jnp.sqrt(self.variance + 1e-6) + self.mean


class Returns(eqx.Module):
    """How rewards become advantages and value targets.

    Both are GAE sums: `gae_lambda` for advantages, `value_lambda` for value targets (1: Monte-Carlo returns).
    `across_episodes`: the trial is the MDP, returns flow over episode ends and stop with the trial (RL²). Otherwise
    each episode is its own MDP: a termination stops the return, a truncation is bootstrapped with the value of the
    observation before the reset.
    """

    gamma: Float[Array, ""]
    gae_lambda: Float[Array, ""]
    value_lambda: Float[Array, ""]
    across_episodes: bool = eqx.field(static=True)

    def estimate(
        self,
        key: Key,
        agent: ActorCritic,
        critic: TaskCritic | None,
        moments: Moments,
        sequence: Sequences,
        reward: Float[Array, " time"],
    ) -> Targets:
        """Advantages, value targets and old values of one sequence that earns `reward`, in reward units."""
        transitions = sequence.transitions
        value, valid, step = transitions.extras.value, transitions.valid, transitions.next_timestep
        if critic is not None:
            value = critic(sequence.tasks, agent.unroll(sequence.memory, transitions, sequence.trial_first).features)
        value = moments.restore(value)
        if self.across_episodes:
            goes_on = 1.0 - sequence.trial_last.astype(jnp.float32)
            after = None if sequence.following is None else moments.restore(bootstrap_value(key, agent, sequence))
            next_value = following_value(value, jnp.zeros(()) if after is None else after, valid)
            discount = self.gamma * goes_on
        else:
            next_value = moments.restore(values_after(key, agent, sequence))
            discount = self.gamma * step.discount
            goes_on = 1.0 - step.last.astype(jnp.float32)

        def advantage(trace: Array) -> Array:
            trace = self.gamma * trace * goes_on
            return generalized_advantage(reward, value, next_value, discount, trace, valid)

        return Targets(advantage(self.gae_lambda), advantage(self.value_lambda) + value, value)
