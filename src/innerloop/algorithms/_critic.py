"""A critic that knows more than the agent."""

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
