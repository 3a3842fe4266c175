"""MAESN: meta-reinforcement learning of structured exploration strategies (Gupta et al. 2018).

The policy follows a latent vector for a whole episode. Each training task has a latent distribution of its own, from
which it is played and adapted; the policy, the step sizes and these distributions are meta-learned, and the
distributions are held near the prior, from which test tasks start.
"""

import dataclasses
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Literal, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Bool, Int

from innerloop._agent import Agent, Player
from innerloop._benchmark import Benchmark
from innerloop._env import Env
from innerloop._learner import scheduled
from innerloop._rollout import where
from innerloop._task import Finite
from innerloop._types import Key, Metrics, Task
from innerloop.agents import Gradient, Structured
from innerloop.agents._belief import Latent
from innerloop.agents._structured import LatentGradient
from innerloop.algorithms._inner_loop import InnerLoop, MetaTraining, Net, outer_loop
from innerloop.algorithms._meta_gradient import MetaGradient
from innerloop.algorithms._start import Start
from innerloop.envs.supervised import Supervised
from innerloop.losses import gaussian_kl


class Params(NamedTuple):
    """The agent, whose latent is the prior, and the latents of the training tasks, `[task latent]`."""

    agent: Gradient
    latents: Latent


class KnowsTask(Player):
    """Starts each training task from its own latent."""

    start: "OwnLatents"
    params: Params
    num_updates: Int[Array, ""]
    episodes_per_adapt: int = eqx.field(static=True)

    def on(self, task: Task) -> Agent:
        return self.start.begin(self.params, task, self.num_updates)


class OwnLatents(Start):
    """μ_i and σ_i for each training task i, at the cost of `kl_coef` KL(N(μ_i, σ_i) ‖ N(0, 1)).

    In a share of the updates, spread evenly, tasks begin with the prior instead, as test tasks do, at no cost.
    """

    tasks: Finite
    kl_coef: float | optax.Schedule = eqx.field(static=True)
    prior_share: float = eqx.field(static=True, default=0.0)

    def params(self, agent: Gradient) -> Params:
        prior = latent_of(agent)
        return Params(agent, jax.tree.map(lambda x: jnp.tile(x, (self.tasks.num_tasks, 1)), prior))

    def agent(self, params: Params) -> Gradient:
        return params.agent

    def player(self, params: Params, num_updates: Int[Array, ""]) -> KnowsTask:
        return KnowsTask(self, params, num_updates, params.agent.episodes_per_adapt)

    def has_prior(self, num_updates: Int[Array, ""]) -> Bool[Array, ""]:
        """Whether tasks begin with the prior in the update after so many."""
        done = num_updates.astype(jnp.float32)
        return jnp.floor((done + 1.0) * self.prior_share) > jnp.floor(done * self.prior_share)

    def begin(self, params: Params, task: Task, num_updates: Int[Array, ""]) -> Gradient:
        """The agent at the start of a training task."""
        own = jax.tree.map(lambda x: x[self.tasks.find(task)], params.latents)
        prior = jax.lax.stop_gradient(latent_of(params.agent))
        return eqx.tree_at(latent_of, params.agent, where(self.has_prior(num_updates), prior, own))

    def at(self, params: Params, task: Task, num_updates: Int[Array, ""]) -> tuple[Gradient, Metrics]:
        agent = self.begin(params, task, num_updates)
        return agent, {"latent_term": scheduled(self.kl_coef, num_updates) * gaussian_kl(*latent_of(agent))}


def latent_of(agent: Gradient) -> Latent:
    """The latent distribution that an agent starts from."""
    assert isinstance(agent.base, Structured)
    return agent.base.latent


def faster(factor: float, rate_factor: float) -> optax.GradientTransformation:
    """Larger steps of the training tasks' latents, and of the step sizes with which a latent is adapted."""

    def scale(updates: Params, _: Any) -> Params:
        def by(factor: float, latent: Latent) -> Latent:
            return jax.tree.map(lambda x: factor * x, latent)

        agent = eqx.tree_at(lambda x: x.rates.latent, updates.agent, replace_fn=lambda x: by(rate_factor, x))
        return Params(agent, by(factor, updates.latents))

    return optax.stateless(scale)


class Natural(eqx.Module):
    """The gradients with the natural one of the latent's distribution (Amari 1998): by its inverse Fisher matrix, which
    has σ² for the mean and 2 for log σ². A narrow latent then moves by as many of its deviations as a wide one.

    A class, since an exported agent names the classes of its parts.
    """

    def __call__(self, params: Structured, gradients: Structured) -> Structured:
        variance, (mean, log_variance) = jnp.exp(params.spread()), gradients.latent
        return eqx.tree_at(lambda x: x.latent, gradients, Latent(variance * mean, 2.0 * log_variance))


@dataclass(frozen=True)
class MAESN:
    """Explore by a latent that lasts for an episode; adapt its distribution, and the policy, by gradient steps."""

    latent_size: int = 2
    """Dimensions of the latent."""
    latent_gradient: LatentGradient = "score"
    """Adapt the latent's distribution as the policy of an action, or through the actions that follow from it."""
    latent_rate: float = 50.0
    """Step size α of its mean and log-variance at first; step sizes of all adapted parameters are meta-learned."""
    adapted: Literal["all", "latent"] = "all"
    """What adapts to a task: the latent and the policy, or the latent alone."""
    latent_speed: float = 30.0
    """How much larger than other parameters' the outer steps of the training tasks' latents are."""
    kl_coef: float = 0.002
    """Weight of the KL of each training task's latent to the prior, at the start."""
    final_kl_coef: float = 0.002
    """The same at the end; linear in between."""
    prior_share: float = 0.5
    """Share of the updates in which training tasks start from the prior, as test tasks do, and not from their own."""
    net: Net = field(default_factory=Net)
    """The policy."""
    inner: InnerLoop = field(default_factory=InnerLoop)
    """The inner loop."""
    training: MetaTraining = field(default_factory=lambda: MetaTraining(outer="ppo", num_outer_steps=5))
    """The outer loop."""

    def env(self, benchmark: Benchmark) -> Env:
        """What the agent plays."""
        return benchmark.env

    def learner(self, benchmark: Benchmark) -> MetaGradient:
        """The learner for a benchmark."""
        tasks, training = benchmark.train, self.training
        if not isinstance(tasks, Finite):
            raise ValueError(
                f"benchmark={benchmark.name!r}: its training tasks are not a finite set, so none has a latent of its own."
            )
        if isinstance(benchmark.env, Supervised):
            raise ValueError(f"benchmark={benchmark.name!r}: supervised tasks need no exploration.")
        if self.net.num_context or self.net.start_from is not None:
            raise ValueError(
                "net: the latent is the policy's context, and it starts anew; leave num_context, start_from."
            )
        if not 0 <= self.prior_share <= 1:
            raise ValueError(f"prior_share={self.prior_share}: choose a share of the updates, from 0 to 1.")
        if training.reference == "average":
            raise ValueError('reference="average": averages policies, not latents; choose before or fixed.')
        if training.outer == "trpo" and self.latent_gradient == "score":
            raise ValueError('outer="trpo": its trust region does not see how far latents move; use outer="ppo".')
        annealed = optax.linear_schedule(self.kl_coef, self.final_kl_coef, training.num_updates)
        make_agent = partial(self._agent, benchmark.env, self.inner.rounds(benchmark))
        learner = outer_loop(
            benchmark, make_agent, self.inner, training, start=OwnLatents(tasks, annealed, self.prior_share)
        )
        if learner.optimizer is None:
            return learner
        speeds = faster(self.latent_speed, self.latent_rate / self.inner.inner_rate)
        return dataclasses.replace(learner, optimizer=optax.chain(learner.optimizer, speeds))

    def _agent(self, env: Env, episodes_per_round: int, *, key: Key) -> Gradient:
        """A policy with a latent, and a step size for each parameter that is adapted."""
        base = Structured(
            env.spec,
            key=key,
            latent_size=self.latent_size,
            latent_gradient=self.latent_gradient,
            widths=self.net.widths,
            activation=self.net.activation,
            init=self.net.init,
            has_value=self.inner.baseline == "value",
        )
        adapted = ("latent",) if self.adapted == "latent" else ()
        agent = self.inner.agent(
            env, base, episodes_per_round, learn_rates=True, adapted=adapted, precondition=Natural()
        )
        rates = jax.tree.map(lambda x: jnp.full_like(x, self.latent_rate), base.latent)
        return eqx.tree_at(lambda x: x.rates.latent, agent, rates)
