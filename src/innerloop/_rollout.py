"""One episode, one round, one trial. The only place where agents meet environments."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from innerloop._agent import Agent
from innerloop._env import Env, EnvState
from innerloop._types import Key, Memory, Task, TimeStep, Transition, Trials


def where(condition: Bool[Array, ""], on_true: Any, on_false: Any) -> Any:
    """`jnp.where` over a pytree, for a scalar condition; PRNG keys and any rank included.

    A leaf that is one and the same on both sides is passed on, so that under `vmap` it is not copied for each condition.
    """

    def choose(a: Array, b: Array) -> Array:
        return a if a is b else jax.lax.select(jnp.broadcast_to(condition, a.shape), a, b)

    return jax.tree.map(choose, on_true, on_false)


class Ring(NamedTuple):
    """The newest rows of a trial: row n, counted from its start, stands in slot n modulo the number of slots.

    The slot of the next row may hold anything: whoever reads has as many rows less one, or writes first.
    """

    rows: Float[Array, "slots width"]
    num_rows: Int[Array, ""]
    """How many rows there were in the trial."""

    @classmethod
    def empty(cls, slots: int, width: int) -> "Ring":
        """Room for rows."""
        return cls(jnp.zeros((slots, width)), jnp.zeros((), jnp.int32))


def remember(valid: Bool[Array, ""], after: Any, before: Any) -> Any:
    """The memory after a step if that is `valid`, else the one before.

    Rings are written in place, since a row that was not counted stands where the next one will: to choose between two of
    them entry by entry would copy both at every step.
    """

    def choose(a: Any, b: Any) -> Any:
        return a._replace(num_rows=where(valid, a.num_rows, b.num_rows)) if isinstance(a, Ring) else where(valid, a, b)

    return jax.tree.map(choose, after, before, is_leaf=lambda x: isinstance(x, Ring))


def interact(
    key: Key,
    env: Env,
    agent: Agent,
    task: Task,
    memory: Memory,
    state: EnvState,
    timestep: TimeStep,
    valid: Bool[Array, ""],
) -> tuple[Memory, EnvState, Transition]:
    """Act, step the env, observe. Nothing is remembered if the step is not `valid`."""
    act_key, step_key, observe_key = jax.random.split(key, 3)
    action, extras = agent.act(act_key, memory, timestep)
    next_state, next_timestep = env.step(step_key, task, state, action)
    transition = Transition(timestep, action, next_timestep, valid, extras)
    next_memory = agent.observe(observe_key, memory, transition)
    return remember(valid, next_memory, memory), next_state, transition


def episode(key: Key, env: Env, agent: Agent, task: Task, memory: Memory) -> tuple[Memory, Transition]:
    """Play one episode: `[time]` transitions of length `max_steps`, those after the end marked not `valid`."""
    reset_key, steps_key = jax.random.split(key)
    state, timestep = env.reset(reset_key, task)

    def step(carry: tuple[Memory, tuple[EnvState, TimeStep, Bool[Array, ""]]], step_key: Key) -> tuple[Any, Transition]:
        memory, (state, timestep, running) = carry
        memory, state, transition = interact(step_key, env, agent, task, memory, state, timestep, running)
        next_timestep = transition.next_timestep
        return (memory, (state, next_timestep, running & ~next_timestep.last)), transition

    carry = (memory, (state, timestep, jnp.ones((), bool)))
    (memory, _), transitions = jax.lax.scan(step, carry, jax.random.split(steps_key, env.spec.max_steps))
    return memory, transitions


def writes(function: Callable[[Memory], Memory], memory: Memory) -> bool:
    """Whether a function gives another memory than it is given, which tracing tells. Costs nothing at run time."""
    written = []

    def look(memory: Memory) -> None:
        leaves = zip(jax.tree.leaves(memory), jax.tree.leaves(function(memory)), strict=True)
        written.append(any(x is not y for x, y in leaves))

    jax.eval_shape(look, memory)
    return written[0]


def writes_while_playing(key: Key, env: Env, agent: Agent, task: Task, memory: Memory) -> bool:
    """Whether `observe` does."""

    def observe(memory: Memory) -> Memory:
        state, timestep = env.reset(key, task)
        action, extras = agent.act(key, memory, timestep)
        _, next_timestep = env.step(key, task, state, action)
        return agent.observe(key, memory, Transition(timestep, action, next_timestep, jnp.ones((), bool), extras))

    return writes(observe, memory)


def play_round(key: Key, env: Env, agent: Agent, task: Task, memory: Memory) -> tuple[Memory, Transition]:
    """Play `agent.episodes_per_adapt` episodes: `[episode time]` transitions.

    If `observe` leaves the memory as it is, the episodes know nothing of each other and are played side by side.
    """
    keys = jax.random.split(key, agent.episodes_per_adapt)
    if not writes_while_playing(key, env, agent, task, memory):
        return memory, jax.vmap(lambda key: episode(key, env, agent, task, memory)[1])(keys)
    return jax.lax.scan(lambda memory, key: episode(key, env, agent, task, memory), memory, keys)


def run_round(key: Key, env: Env, agent: Agent, task: Task, memory: Memory) -> tuple[Memory, Transition]:
    """Play `agent.episodes_per_adapt` episodes, then let the agent adapt: `[episode time]` transitions."""
    episodes_key, adapt_key = jax.random.split(key)
    memory, episodes = play_round(episodes_key, env, agent, task, memory)
    return agent.adapt(adapt_key, memory, episodes), episodes


def trial(key: Key, env: Env, agent: Agent, task: Task, num_rounds: int) -> Trials:
    """Play a whole trial on one task from a fresh memory: `[round episode time]` transitions.

    After the last round the agent does not adapt: nobody would see it.
    """
    init_key, rounds_key = jax.random.split(key)

    def one(memory: Memory, inputs: tuple[Key, Array]) -> tuple[Memory, tuple[Memory, Transition]]:
        episodes_key, adapt_key = jax.random.split(inputs[0])
        played, episodes = play_round(episodes_key, env, agent, task, memory)

        def adapt(memory: Memory) -> Memory:
            return agent.adapt(adapt_key, memory, episodes)

        # The condition is the same for all tasks, so that vmap over tasks leaves it a branch.
        adapted = jax.lax.cond(inputs[1], lambda x: x, adapt, played) if writes(adapt, played) else played
        return adapted, (adapted, episodes)

    is_last = jnp.arange(num_rounds) == num_rounds - 1
    keys = jax.random.split(rounds_key, num_rounds)
    start = agent.init(init_key)
    _, (after, transitions) = jax.lax.scan(one, start, (keys, is_last))
    # A program that reads the first memory only stores no others: it is not among those of the loop.
    memories = jax.tree.map(lambda x, y: jnp.concatenate([x[None], y[:-1]]), start, after)
    return Trials(task, memories, transitions)
