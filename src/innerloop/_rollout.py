"""One episode, one round, one trial. The only place where agents meet environments."""

from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool

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
    return where(valid, next_memory, memory), next_state, transition


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


def writes_while_playing(key: Key, env: Env, agent: Agent, task: Task, memory: Memory) -> bool:
    """Whether `observe` changes the memory, which tracing tells. Costs nothing at run time."""
    written = []

    def look(memory: Memory) -> None:
        state, timestep = env.reset(key, task)
        action, extras = agent.act(key, memory, timestep)
        _, next_timestep = env.step(key, task, state, action)
        transition = Transition(timestep, action, next_timestep, jnp.ones((), bool), extras)
        after = agent.observe(key, memory, transition)
        leaves = zip(jax.tree.leaves(memory), jax.tree.leaves(after), strict=True)
        written.append(any(x is not y for x, y in leaves))

    jax.eval_shape(look, memory)
    return written[0]


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
        # The condition is the same for all tasks, so that vmap over tasks leaves it a branch.
        adapted = jax.lax.cond(inputs[1], lambda: played, lambda: agent.adapt(adapt_key, played, episodes))
        return adapted, (memory, episodes)

    is_last = jnp.arange(num_rounds) == num_rounds - 1
    keys = jax.random.split(rounds_key, num_rounds)
    _, (memories, transitions) = jax.lax.scan(one, agent.init(init_key), (keys, is_last))
    return Trials(task, memories, transitions)
