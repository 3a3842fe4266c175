"""What training may know and the agent may not: the task. Neither module is part of the trained agent."""

from typing import Protocol

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from innerloop._types import Key, Task
from innerloop.envs.wrappers import flatten_task
from innerloop.nn import MLP, Linear


class TaskCritic(eqx.Module):
    """A value that is told the task and the time: an asymmetric critic (Pinto et al. 2018), used only in training.

    It reads the agent's features (no gradient flows into them), so it values what the agent knows *and* what is true.
    Against a value that must average over tasks, it takes the luck of beliefs out of the advantage: what an
    exploring action is worth becomes visible above the noise. The trained agent never sees the task.
    """

    net: MLP
    head: Linear

    def __init__(self, num_features: int, num_task_features: int, *, key: Key, widths: tuple[int, ...] = (64, 64)):
        net_key, head_key = jax.random.split(key)
        self.net = MLP(net_key, num_features + num_task_features + 2, widths, "relu")
        self.head = Linear(head_key, widths[-1], 1)

    def __call__(self, task: Task, features: Float[Array, "time features"]) -> Float[Array, " time"]:
        """The value before each step of one trial, `[time]`."""
        num_steps, num_features = features.shape
        elapsed = jnp.arange(num_steps, dtype=jnp.float32) / num_steps
        clock = jnp.stack([elapsed, jnp.square(elapsed)], axis=1)
        told = flatten_task(task)
        first, *others = self.net.layers  # of [features, task, clock]; the task's share is the same at every step
        of_features, of_task, of_clock = jnp.split(first.weight, (num_features, num_features + told.shape[0]))
        x = jax.lax.stop_gradient(features) @ of_features + clock @ of_clock + (told @ of_task + first.bias)[None]
        x = jax.nn.relu(x)
        for layer in others:
            x = jax.nn.relu(x @ layer.weight + layer.bias[None])
        return (x @ self.head.weight + self.head.bias[None])[:, 0]


class Auxiliary(Protocol):
    """An addition to PPO's loss: an error that may depend on the task and the agent's features."""

    def error(self, task: Task, features: Float[Array, "time features"]) -> Float[Array, " time"]:
        """At each step of one trial."""


class TaskPredictor(eqx.Module):
    """Reads the task off the agent's features: an auxiliary loss that teaches the memory to infer (Humplik et al. 2019).

    The squared error against the flattened task makes the features carry its posterior mean. Gradients flow into the
    agent; the predictor itself is thrown away. With `every` it is asked at every that many steps only, each of which
    then counts for as many: tasks with many entries would cost more than the agent itself.
    """

    linear: Linear
    every: int = eqx.field(static=True)

    def __init__(self, num_features: int, num_task_features: int, every: int = 1, *, key: Key):
        if every < 1:
            raise ValueError(f"TaskPredictor(every={every}): must be at least 1.")
        self.linear = Linear(key, num_features, num_task_features)
        self.every = every

    def error(self, task: Task, features: Float[Array, "time features"]) -> Float[Array, " time"]:
        """½ |prediction - task|² at each step of one trial, mean over the task's entries."""
        asked = slice(self.every - 1, None, self.every)
        difference = jax.vmap(self.linear)(features[asked]) - flatten_task(task)[None]
        error = 0.5 * jnp.square(difference).mean(axis=1)
        return jnp.zeros(features.shape[0]).at[asked].set(self.every * error)
