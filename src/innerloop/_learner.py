"""The learner contract: how agents are meta-trained."""

import abc
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Bool, Int

from innerloop._agent import Agent, Player
from innerloop._types import Key, Metrics

State = Any


class Learner(eqx.Module):
    """Turns experience into better agents. State is an explicit pytree of arrays."""

    @abc.abstractmethod
    def init(self, key: Key) -> State:
        """Fresh parameters, optimiser state and whatever else training carries along."""

    @abc.abstractmethod
    def agent(self, state: State) -> Agent:
        """The agent as it stands."""

    def player(self, state: State) -> Agent | Player:
        """Who plays in training: the agent, unless experience must come from one who knows the task."""
        return self.agent(state)

    @abc.abstractmethod
    def update(self, key: Key, state: State, experience: Any) -> tuple[State, Metrics]:
        """One update from one batch of experience. Metrics are float scalars."""


def clipped_adam(
    learning_rate: float, final_learning_rate: float, num_steps: int, max_grad_norm: float, eps: float = 1e-8
) -> optax.GradientTransformation:
    """Adam behind a clip of the gradients' global norm, its step size linear over the run.

    Raises ValueError for step sizes below 0, and a norm that is not above.
    """
    check_rates(learning_rate=learning_rate, final_learning_rate=final_learning_rate)
    if not max_grad_norm > 0:
        raise ValueError(f"max_grad_norm={max_grad_norm}: must be above 0.")
    schedule = optax.linear_schedule(learning_rate, final_learning_rate, num_steps)
    return optax.chain(optax.clip_by_global_norm(max_grad_norm), optax.adam(schedule, eps=eps))


def check_rates(**rates: float) -> None:
    """Raises ValueError for a step size below 0."""
    for name, rate in rates.items():
        if not rate >= 0:
            raise ValueError(f"{name}={rate}: must be at least 0.")


def check_shares(**shares: float) -> None:
    """Raises ValueError for one that is not between 0 and 1: discounts, traces."""
    for name, share in shares.items():
        if not 0 <= share <= 1:
            raise ValueError(f"{name}={share}: must be between 0 and 1.")


def apply_gradients(
    optimizer: optax.GradientTransformation, gradients: Any, opt_state: optax.OptState, params: Any
) -> tuple[Any, optax.OptState]:
    """One optimiser step on the array leaves of `params`."""
    # Optax mixes integer counters with floats, which strict promotion would refuse.
    with jax.numpy_dtype_promotion("standard"):
        updates, opt_state = optimizer.update(gradients, opt_state, eqx.filter(params, eqx.is_inexact_array))
    return eqx.apply_updates(params, updates), opt_state


def scheduled(value: float | optax.Schedule, count: Int[Array, ""]) -> Array | float:
    """A hyper-parameter at update `count`, whether it is a number or an Optax schedule."""
    return value(count.astype(jnp.float32)) if callable(value) else value


def all_finite(tree: Any) -> Bool[Array, ""]:
    """Whether every float in `tree` is finite."""
    leaves = [jnp.all(jnp.isfinite(leaf)) for leaf in jax.tree.leaves(eqx.filter(tree, eqx.is_inexact_array))]
    return jnp.all(jnp.stack(leaves)) if leaves else jnp.ones((), bool)
