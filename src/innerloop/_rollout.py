"""One episode, one round, one trial. The only place where agents meet environments."""

from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool

from innerloop._agent import Agent
from innerloop._env import Env, EnvState
from innerloop._types import Key, Memory, Task, TimeStep, Transition, Trials


def where(condition: Bool[Array, ""], on_true: Any, on_false: Any) -> Any:
    """`jnp.where` over a pytree, for a scalar condition; PRNG keys and any rank included."""
    return jax.tree.map(lambda a, b: jax.lax.select(jnp.broadcast_to(condition, a.shape), a, b), on_true, on_false)


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


def run_round(key: Key, env: Env, agent: Agent, task: Task, memory: Memory) -> tuple[Memory, Transition]:
    """Play `agent.episodes_per_adapt` episodes, then let the agent adapt: `[episode time]` transitions."""
    episodes_key, adapt_key = jax.random.split(key)

    def one(memory: Memory, episode_key: Key) -> tuple[Memory, Transition]:
        return episode(episode_key, env, agent, task, memory)

    memory, episodes = jax.lax.scan(one, memory, jax.random.split(episodes_key, agent.episodes_per_adapt))
    return agent.adapt(adapt_key, memory, episodes), episodes


def trial(key: Key, env: Env, agent: Agent, task: Task, num_rounds: int) -> Trials:
    """Play a whole trial on one task from a fresh memory: `[round episode time]` transitions."""
    init_key, rounds_key = jax.random.split(key)

    def one(memory: Memory, round_key: Key) -> tuple[Memory, tuple[Memory, Transition]]:
        next_memory, episodes = run_round(round_key, env, agent, task, memory)
        return next_memory, (memory, episodes)

    _, (memories, transitions) = jax.lax.scan(one, agent.init(init_key), jax.random.split(rounds_key, num_rounds))
    return Trials(task, memories, transitions)
