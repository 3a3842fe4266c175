"""What training may know and the agent may not: the task. Neither module is part of the trained agent."""

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
        num_steps = features.shape[0]
        elapsed = jnp.arange(num_steps, dtype=jnp.float32) / num_steps
        told = jnp.broadcast_to(flatten_task(task), (num_steps, flatten_task(task).shape[0]))
        clock = jnp.stack([elapsed, jnp.square(elapsed)], axis=1)
        inputs = jnp.concatenate([jax.lax.stop_gradient(features), told, clock], axis=1)
        return jax.vmap(lambda x: self.head(self.net(x))[0])(inputs)


class TaskPredictor(eqx.Module):
    """Reads the task off the agent's features: an auxiliary loss that teaches the memory to infer (Humplik et al. 2019).

    The squared error against the flattened task makes the features carry its posterior mean. Gradients flow into the
    agent; the predictor itself is thrown away.
    """

    linear: Linear

    def __init__(self, num_features: int, num_task_features: int, *, key: Key):
        self.linear = Linear(key, num_features, num_task_features)

    def error(self, task: Task, features: Float[Array, "time features"]) -> Float[Array, " time"]:
        """½ |prediction - task|² at each step of one trial, mean over the task's entries."""
        difference = jax.vmap(self.linear)(features) - flatten_task(task)[None]
        return 0.5 * jnp.square(difference).mean(axis=1)
