"""Reptile: on first-order meta-learning algorithms (Nichol et al. 2018).

Adapt to each task by several gradient steps, then move the start towards where they led: no derivative of a derivative.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import optax

from innerloop._benchmark import Benchmark
from innerloop._env import Env
from innerloop._learner import Learner, apply_gradients
from innerloop._types import Key, Metrics, Transition, Trials
from innerloop.agents import Gradient
from innerloop.algorithms._inner_loop import InnerLoop, MetaTraining, Net, agent_maker
from innerloop.algorithms._meta_gradient import MetaState, round_returns


class ReptileLearner(Learner):
    """θ ← θ + ε (1/n) Σ_T (φ_T - θ), φ_T what the task's rounds made of θ.

    Args:
        make_agent: builds a `Gradient` agent from `key=`.
        optimizer: an Optax transformation, given θ - φ_T as if it were a gradient; `optax.sgd(ε)` is the paper's.
    """

    make_agent: Callable[..., Gradient] = eqx.field(static=True)
    optimizer: optax.GradientTransformation = eqx.field(static=True)

    def init(self, key: Key) -> MetaState:
        agent = self.make_agent(key=key)
        opt_state = self.optimizer.init(eqx.filter(agent, eqx.is_inexact_array))
        return MetaState(agent, opt_state, jnp.zeros((), jnp.int32))

    def agent(self, state: MetaState) -> Gradient:
        return state.params

    def update(self, key: Key, state: MetaState, experience: Trials) -> tuple[MetaState, Metrics]:
        agent = state.params

        def adapted(rounds: Transition) -> tuple[Any, Metrics]:
            memory, terms = jax.lax.scan(
                lambda memory, episodes: agent.descend(key, memory, episodes), agent.init(key), rounds
            )
            return eqx.filter(agent.at(memory), eqx.is_inexact_array), {name: x.mean() for name, x in terms.items()}

        ends, terms = jax.vmap(adapted)(experience.transitions)
        gradients = jax.tree.map(jnp.zeros_like, eqx.filter(agent, eqx.is_inexact_array))
        moves = jax.tree.map(lambda x, y: x - y.mean(axis=0), eqx.filter(agent.base, eqx.is_inexact_array), ends)
        gradients = eqx.tree_at(lambda x: x.base, gradients, moves)
        params, opt_state = apply_gradients(self.optimizer, gradients, state.opt_state, agent)
        metrics = {f"inner/{name}": x.mean() for name, x in terms.items()} | round_returns(experience, agent)
        metrics["gradient_norm"] = optax.tree.norm(gradients)
        return MetaState(params, opt_state, state.num_updates + 1), metrics


@dataclass(frozen=True)
class Reptile:
    """Move the start towards the adapted parameters."""

    net: Net = field(default_factory=Net)
    """The policy."""
    inner: InnerLoop = field(default_factory=lambda: InnerLoop(steps_per_round=5))
    """The inner loop."""
    training: MetaTraining = field(default_factory=lambda: MetaTraining(learning_rate=1.0))
    """The outer loop; `learning_rate` is ε, and only budget and ε are used."""

    def env(self, benchmark: Benchmark) -> Env:
        """What the agent plays."""
        return benchmark.env

    def learner(self, benchmark: Benchmark) -> ReptileLearner:
        """The learner for a benchmark."""
        training = self.training
        if training.outer != "vpg" or training.num_outer_steps != 1 or training.chunk_size is not None:
            raise ValueError(
                f"outer={training.outer!r}, num_outer_steps={training.num_outer_steps}, chunk_size={training.chunk_size}: "
                "Reptile has no outer loss; leave these as they are."
            )
        schedule = optax.linear_schedule(training.learning_rate, training.final_learning_rate, training.num_updates)
        return ReptileLearner(agent_maker(benchmark, self.net, self.inner), optax.sgd(schedule))
