"""Few-shot learning by gradient steps, step by step: errors and fitted functions after 0, 1, 2, ... of them."""

from collections.abc import Callable
from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from innerloop._env import restart
from innerloop._rollout import play_round
from innerloop._task import TaskDistribution, sample_tasks
from innerloop._types import Key, Task, Transition
from innerloop.agents import Gradient
from innerloop.agents._gradient import GradientMemory
from innerloop.envs.regression import Regression
from innerloop.envs.supervised import Supervised


def few_shot_curve(
    key: Key,
    agent: Gradient,
    support: Supervised,
    query: Supervised,
    tasks: TaskDistribution,
    *,
    num_tasks: int = 1000,
    num_steps: int = 10,
) -> Float[np.ndarray, "task steps"]:
    """The mean reward of an answer after 0, 1, ..., `num_steps` gradient steps, all on the same examples.

    Args:
        support, query: the env that the examples come from, and the one that the adapted agent is asked in; they differ
            at most in how many points an episode has. For regression the reward is minus the squared error.

    Returns:
        An array with axes `[task steps]`; every number of steps is asked the same questions.
    """
    tasks_key, play_key = jax.random.split(key)
    drawn = sample_tasks(tasks, tasks_key, num_tasks)
    return np.asarray(_curve(play_key, agent, support, query, drawn, num_steps))


@eqx.filter_jit
def _curve(
    key: Key, agent: Gradient, support: Supervised, query: Supervised, tasks: Task, num_steps: int
) -> Float[Array, "task steps"]:
    def of_task(key: Key, task: Task) -> Float[Array, " steps"]:
        init_key, support_key, query_key, adapt_key = jax.random.split(key, 4)
        start = agent.init(init_key)
        _, examples = play_round(support_key, support, agent, task, start)

        def answered(memory: GradientMemory) -> Float[Array, ""]:
            return play_round(query_key, query, agent, task, memory)[1].next_timestep.reward.mean()

        return _by_steps(adapt_key, agent, start, examples, num_steps, answered)

    num_tasks = jax.tree.leaves(tasks)[0].shape[0]
    return jax.vmap(of_task)(jax.random.split(key, num_tasks), tasks)


def _by_steps(
    key: Key,
    agent: Gradient,
    memory: GradientMemory,
    examples: Transition,
    num_steps: int,
    measure: Callable[[GradientMemory], Array],
) -> Float[Array, " steps *measure"]:
    """What `measure` says of the memory after 0, 1, ..., `num_steps` gradient steps on the same examples."""

    def step(memory: GradientMemory, _: None) -> tuple[GradientMemory, Array]:
        memory = agent.descend_once(key, memory, examples)[0]
        return memory, measure(memory)

    _, after = jax.lax.scan(step, memory, None, length=num_steps)
    return jnp.concatenate([measure(memory)[None], after])


class Fits(NamedTuple):
    """Functions of some tasks as an agent sees them: the examples it was shown, the truth, and its guesses on a grid."""

    examples: Float[Array, "task example"]
    answers: Float[Array, "task example"]
    grid: Float[Array, " point"]
    truth: Float[Array, "task point"]
    guesses: Float[Array, "task steps point"]


@eqx.filter_jit
def fitted_functions(
    key: Key, agent: Gradient, env: Regression, tasks: TaskDistribution, num_tasks: int, num_steps: int
) -> Fits:
    """What the agent answers on a grid of 200 points after 0, 1, ..., `num_steps` gradient steps on a few examples."""
    grid = jnp.linspace(env.low, env.high, 200)

    def of_task(key: Key, task: Task) -> Fits:
        start = agent.init(key)
        _, examples = play_round(key, env, agent, task, start)

        def answer(memory: GradientMemory) -> Float[Array, " point"]:
            return jax.vmap(lambda x: agent.act(key, memory, restart(env.spec, x[None]))[0][0])(grid)

        return Fits(
            examples.timestep.obs.reshape(-1),
            examples.next_timestep.prev_action.reshape(-1),
            grid,
            jax.vmap(lambda x: env.function(task, x[None])[0])(grid),
            _by_steps(key, agent, start, examples, num_steps, answer),
        )

    tasks_key, play_key = jax.random.split(key)
    drawn = sample_tasks(tasks, tasks_key, num_tasks)
    fits = jax.vmap(of_task)(jax.random.split(play_key, num_tasks), drawn)
    return fits._replace(grid=grid)
