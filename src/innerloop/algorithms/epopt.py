"""EPOpt-ε: robust policies from ensembles of models (Rajeswaran et al. 2017).

A policy without memory plays many models, and learns only from the share ε of its trajectories that went worst: policy
search for the conditional value at risk (CVaR) of the return. Nothing adapts when it is tested.
"""

from dataclasses import dataclass, field
from functools import partial

import equinox as eqx
import jax.numpy as jnp
import optax
from jaxtyping import Array, Bool, Float

from innerloop._agent import ActorCritic
from innerloop._benchmark import Benchmark
from innerloop._env import Env
from innerloop._learner import Learner, scheduled
from innerloop._types import Key, Metrics, Trials
from innerloop.agents import FeedForward
from innerloop.algorithms._on_policy import OnPolicy
from innerloop.algorithms.ppo import PPO, OnPolicyState


def worst(returns: Float[Array, "*shape"], epsilon: Array | float) -> Bool[Array, "*shape"]:
    """Which of n entries are the ⌈ε n⌉ lowest; of equal ones, those that come first."""
    flat = returns.reshape(-1)
    # ε is a float32: .15 of 100 must not become 16.
    wanted = jnp.ceil(epsilon * flat.size - 1e-3)
    rank = jnp.argsort(jnp.argsort(flat))
    return (rank.astype(jnp.float32) < wanted).reshape(returns.shape)


class WorstCase(Learner):
    """PPO that sees only the share `epsilon` of a batch's episodes with the lowest returns, a number or a schedule.

    To PPO the other episodes are padding: policy, values, their moments and the scale of advantages come from the worst
    episodes alone. ε is traced, so that a schedule recompiles nothing.
    """

    ppo: PPO
    epsilon: float | optax.Schedule = eqx.field(static=True)

    def init(self, key: Key) -> OnPolicyState:
        return self.ppo.init(key)

    def agent(self, state: OnPolicyState) -> ActorCritic:
        return self.ppo.agent(state)

    def update(self, key: Key, state: OnPolicyState, experience: Trials) -> tuple[OnPolicyState, Metrics]:
        epsilon = jnp.asarray(scheduled(self.epsilon, state.num_updates), jnp.float32)
        returns = experience.returns()
        chosen = worst(returns, epsilon)
        transitions = experience.transitions
        transitions = transitions._replace(valid=transitions.valid & chosen[..., None])
        state, metrics = self.ppo.update(key, state, experience._replace(transitions=transitions))
        worst_return = jnp.where(chosen, returns, 0.0).sum() / chosen.sum().astype(jnp.float32)
        return state, metrics | {"epsilon": epsilon, "worst_return": worst_return}


@dataclass(frozen=True)
class EPOpt:
    """One policy for all tasks, trained on the episodes that go worst."""

    epsilon: float = 0.1
    """The share of a batch's episodes, those with the lowest returns, that an update learns from."""
    epsilon_anneal: float = 0.25
    """The share of the run over which ε falls from 1 to its value; linear."""
    widths: tuple[int, ...] = (64, 64)
    """Hidden layers of policy and value."""
    training: OnPolicy = field(default_factory=lambda: OnPolicy(num_tasks=240, across_episodes=False))
    """The outer loop."""

    def env(self, benchmark: Benchmark) -> Env:
        """What the agent plays."""
        return benchmark.env

    def learner(self, benchmark: Benchmark) -> WorstCase:
        """The learner for a benchmark."""
        self._check()
        ppo = self.training.learner(partial(FeedForward, self.env(benchmark).spec, widths=self.widths))
        num_updates = int(self.epsilon_anneal * self.training.num_updates)
        return WorstCase(ppo, optax.linear_schedule(1.0, self.epsilon, num_updates) if num_updates else self.epsilon)

    def _check(self) -> None:
        if not 0 < self.epsilon <= 1:
            raise ValueError(f"epsilon={self.epsilon}: choose a share of the episodes, above 0 and at most 1.")
        if not 0 <= self.epsilon_anneal <= 1:
            raise ValueError(f"epsilon_anneal={self.epsilon_anneal}: choose a share of the run, from 0 to 1.")
        if self.training.across_episodes:
            raise ValueError("across_episodes=True: episodes are selected one by one; set it to False.")
        if self.training.stream_steps is not None:
            raise ValueError(
                f"stream_steps={self.training.stream_steps}: needs the returns of whole episodes; drop it."
            )
