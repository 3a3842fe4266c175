"""Learning by differentiating through the inner loop: what MAML and all its line share.

A batch of trials holds, for each task, K rounds before and one round after K adaptations. The learner replays the
adaptations from its parameters by `Gradient.adapt`, the very code that agents adapt with, and differentiates the loss
of the adapted policy on the last round.
"""

from collections.abc import Callable
from functools import partial
from typing import Any, Literal, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Float, Int

from innerloop._agent import ActorCritic, Player
from innerloop._learner import Learner, apply_gradients
from innerloop._types import Key, Metrics, Task, Transition, Trials
from innerloop.agents import Gradient, Objective, PolicyObjective
from innerloop.agents._objectives import divergences, replay
from innerloop.algorithms._start import SharedStart, Start
from innerloop.algorithms._trust_region import TrustRegion
from innerloop.losses import weights

ReferenceName = Literal["before", "fixed", "average"]


class MetaState(NamedTuple):
    """`params` are θ and what else of the inner loop is learned: the agent, and what `Start` adds to it."""

    params: Any
    opt_state: optax.OptState | None
    num_updates: Int[Array, ""]


class MetaGradient(Learner):
    """θ ← θ - β ∇_θ Σ_T L_T(φ_K(θ)), φ_K the parameters after K adaptations (Finn et al. 2017, algorithm 3).

    Args:
        make_agent: builds a `Gradient` agent from `key=`.
        objective: the outer loss L_T, on the episodes of the last round.
        optimizer: an Optax transformation; or
        trust_region: a `TrustRegion` step instead.
        num_steps: optimiser steps on each batch of trials.
        exploration_coef: weight of the credit that experience before adaptation gets for what comes after it
            (E-MAML, Stadie et al. 2018); 0 leaves it out.
        proximity_coef: η, weight of KL(π_old ‖ π_θ) on the episodes before each adaptation (ProMP, Rothfuss et al.
            2019), its mean over adaptations.
        reference: what the KL terms of inner and outer objective hold the policy near: the policy "before"
            adaptation, a "fixed" one (the first), or a moving "average" of the policies before adaptation.
        reference_rate: how far the average moves in an update.
        chunk_size: tasks differentiated at a time; None: all at once. Less memory, the same result.
        shaped: a denser reward of a task's steps, which the outer loss then counts; the inner loop never sees it.
        start: where adaptation to a training task begins, and what of it is meta-learned.
    """

    make_agent: Callable[..., Gradient] = eqx.field(static=True)
    objective: Objective
    optimizer: optax.GradientTransformation | None = eqx.field(static=True, default=None)
    trust_region: TrustRegion | None = None
    num_steps: int = eqx.field(static=True, default=1)
    exploration_coef: float = eqx.field(static=True, default=0.0)
    proximity_coef: float = eqx.field(static=True, default=0.0)
    reference: ReferenceName = eqx.field(static=True, default="before")
    reference_rate: float = eqx.field(static=True, default=0.01)
    chunk_size: int | None = eqx.field(static=True, default=None)
    shaped: Callable[[Task, Transition], Array] | None = eqx.field(static=True, default=None)
    start: Start = SharedStart()

    def __check_init__(self) -> None:
        if (self.optimizer is None) == (self.trust_region is None):
            raise ValueError("MetaGradient(optimizer=..., trust_region=...): give exactly one of the two.")
        valued = isinstance(self.objective, PolicyObjective) and self.objective.baseline == "value"
        if self.trust_region is not None and valued:
            raise ValueError(
                'MetaGradient(trust_region=...), baseline="value": no divergence bounds the step of a value net; choose '
                'baseline="linear", or outer="ppo".'
            )
        if self.num_steps < 1:
            raise ValueError(f"MetaGradient(num_steps={self.num_steps}): must be at least 1.")
        if self.reference not in ("before", "fixed", "average"):
            raise ValueError(f"MetaGradient(reference={self.reference!r}): choose before, fixed or average.")

    def init(self, key: Key) -> MetaState:
        agent = self.make_agent(key=key)
        if self.reference != "before":
            agent = eqx.tree_at(lambda x: x.reference, agent, agent.base, is_leaf=lambda x: x is None)
        params = self.start.params(agent)
        trained = eqx.filter(params, eqx.is_inexact_array)
        opt_state = None if self.optimizer is None else self.optimizer.init(trained)
        return MetaState(params, opt_state, jnp.zeros((), jnp.int32))

    def agent(self, state: MetaState) -> Gradient:
        return self.start.agent(state.params)

    def player(self, state: MetaState) -> Gradient | Player:
        return self.start.player(state.params, state.num_updates)

    def update(self, key: Key, state: MetaState, experience: Trials) -> tuple[MetaState, Metrics]:
        state, metrics = (self._descend if self.trust_region is None else self._move)(key, state, experience)
        if self.reference == "average":
            state = state._replace(params=follow(state.params, self.reference_rate))
        shown = {**metrics, **round_returns(experience, self.agent(state))}
        return state._replace(num_updates=state.num_updates + 1), shown

    def _descend(self, key: Key, state: MetaState, trials: Trials) -> tuple[MetaState, Metrics]:
        """`num_steps` steps of the optimiser; the agent that has played stays what the new one is compared with."""
        optimizer, played = self.optimizer, state.params
        assert optimizer is not None

        def step(state: MetaState, _: None) -> tuple[MetaState, Metrics]:
            loss = eqx.filter_grad(self.loss, has_aux=True)
            gradients, told = loss(state.params, key, played, trials, state.num_updates)
            params, opt_state = apply_gradients(optimizer, gradients, state.opt_state, state.params)
            metrics = means(told) | {"gradient_norm": optax.tree.norm(gradients)}
            return state._replace(params=params, opt_state=opt_state), metrics

        if self.num_steps == 1:
            return step(state, None)
        state, metrics = jax.lax.scan(step, state, None, length=self.num_steps)
        return state, {name: x.mean() for name, x in metrics.items()}

    def _move(self, key: Key, state: MetaState, trials: Trials) -> tuple[MetaState, Metrics]:
        """One trust-region step."""
        assert self.trust_region is not None
        played = state.params
        params, static = eqx.partition(played, eqx.is_inexact_array)

        def loss(params: Any, trials: Trials) -> tuple[Float[Array, ""], Told]:
            return self.loss(eqx.combine(params, static), key, played, trials, state.num_updates)

        def divergence(trials: Trials, old: Any, new: Any) -> Float[Array, ""]:
            return (weights(trials.transitions.valid[:, -1]) * jax.vmap(divergences)(old, new)).sum()

        def judge(params: Any) -> tuple[Float[Array, ""], Float[Array, ""]]:
            value, told = loss(params, trials)
            return value, divergence(trials, before, told.policy)

        gradients, told = jax.grad(loss, has_aux=True)(params, trials)
        before = jax.lax.stop_gradient(told.policy)
        some = thinned(trials, self.trust_region.fisher_share)
        params, moved = self.trust_region.step(
            params, gradients, lambda params: loss(params, some)[1].policy, partial(divergence, some), judge
        )
        return state._replace(params=eqx.combine(params, static)), means(told) | moved

    def loss(
        self, params: Any, key: Key, played: Any, trials: Trials, num_updates: Int[Array, ""] | int = 0
    ) -> tuple[Float[Array, ""], "Told"]:
        """The mean over tasks of the loss after adaptation, and what each task tells."""

        def one(trial: Trials) -> Told:
            task, memories, rounds = trial
            (mine, costs), (theirs, _) = (self.start.at(x, task, jnp.asarray(num_updates)) for x in (params, played))
            told = self._task(mine, key, theirs, memories, self._counted(task, rounds))
            return told._replace(loss=told.loss + sum(costs.values()), terms=told.terms | costs)

        if self.chunk_size is None:
            told = jax.vmap(one)(trials)
        else:
            told = jax.lax.map(jax.checkpoint(one), trials, batch_size=self.chunk_size)
        loss = told.loss.mean()
        if self.exploration_coef:
            loss += self.exploration_coef * self._exploration(told, trials)
        return loss, told

    def _counted(self, task: Task, rounds: Transition) -> Transition:
        """The rounds `[round episode time]` with the rewards that the outer loss counts in the last one."""
        if self.shaped is None:
            return rounds
        last = jax.tree.map(lambda x: x[-1], rounds)
        dense = jax.vmap(jax.vmap(partial(self.shaped, task)))(last)
        reward = rounds.next_timestep.reward.at[-1].set(dense)
        return rounds._replace(next_timestep=rounds.next_timestep._replace(reward=reward))

    def _task(self, agent: Gradient, key: Key, played: Gradient, memories: Any, rounds: Transition) -> "Told":
        """Adapt on all rounds `[round episode time]` but the last, and judge the adapted policy on that."""

        def before(memory: Any, inputs: tuple[Any, Transition]) -> tuple[Any, tuple[Metrics, Before]]:
            memory_then, episodes = inputs
            first = self._before(key, agent.at(memory), played.at(memory_then), episodes)
            memory, terms = agent.descend(key, memory, episodes)
            return memory, (terms, first)

        memory, inner = agent.init(key), {}
        seen = Before(jnp.zeros(()), jnp.zeros(()))
        if rounds.valid.shape[0] > 1:
            earlier = jax.tree.map(lambda x: x[:-1], (memories, rounds))
            memory, (terms, befores) = jax.lax.scan(before, memory, earlier)
            inner = {f"inner/{name}": x.mean() for name, x in terms.items()}
            seen = Before(befores.ratio.sum(), befores.divergence.mean())
        last = jax.tree.map(lambda x: x[-1], rounds)
        loss, terms, policy = self.objective(key, agent.at(memory), agent.held_near(), agent.base.init(key), last)
        loss += self.proximity_coef * seen.divergence
        return Told(loss, terms | inner, policy, seen.ratio)

    def _before(self, key: Key, agent: ActorCritic, played: ActorCritic, episodes: Transition) -> "Before":
        """What the exploration and proximity terms need of a round before adaptation."""
        if not (self.exploration_coef or self.proximity_coef):
            return Before(jnp.zeros(()), jnp.zeros(()))
        start = agent.init(key)
        outputs, weight = replay(agent, start, episodes), weights(episodes.valid)
        old = jax.lax.stop_gradient(replay(played, start, episodes).policy)
        divergence = (weight * divergences(old, outputs.policy)).sum()
        ratio = jnp.where(episodes.valid, jnp.exp(outputs.log_prob - episodes.extras.log_prob), 0.0)
        return Before(ratio.sum(), divergence)

    def _exploration(self, told: "Told", trials: Trials) -> Float[Array, ""]:
        """-Σ log π(τ) R(τ') per step of τ', with the mean return of the other tasks as a baseline.

        R(τ') is of the rewards that the outer loss counts.

        If the objective's advantages are normalised, so are the returns, and the sum over τ becomes a mean: then both
        parts of the loss are in units of standard deviations.
        """
        num_tasks = told.loss.shape[0]
        if num_tasks < 2:
            raise ValueError(f"exploration_coef={self.exploration_coef}: needs at least 2 tasks in a batch.")
        valid = trials.transitions.valid.astype(jnp.float32)
        counted = trials._replace(transitions=jax.vmap(self._counted)(trials.tasks, trials.transitions))
        returns = counted.returns()[:, -1].mean(axis=1)
        credit = (returns - returns.mean()) * num_tasks / (num_tasks - 1)
        if isinstance(self.objective, PolicyObjective) and self.objective.normalize:
            credit = credit / (returns.std() + 1e-8)
            steps = valid[:, :-1].sum(axis=(1, 2, 3))
        else:
            steps = valid[:, -1].sum(axis=(1, 2)) / valid.shape[2]
        return -(credit * told.ratio / jnp.maximum(steps, 1.0)).mean()


class Told(NamedTuple):
    """What tasks tell of an agent: loss and terms, the adapted policy on the last round, Σ π/π_old before it."""

    loss: Float[Array, "*task"]
    terms: Metrics
    policy: Any
    ratio: Float[Array, "*task"]


class Before(NamedTuple):
    """Of a round before adaptation: Σ π/π_old over its steps, and KL(π_old ‖ π)."""

    ratio: Float[Array, "*round"]
    divergence: Float[Array, "*round"]


def thinned(trials: Trials, share: float) -> Trials:
    """The first episodes of each round, that share of them, at least one."""
    keep = max(1, round(share * trials.transitions.valid.shape[2]))
    return trials._replace(transitions=jax.tree.map(lambda x: x[:, :, :keep], trials.transitions))


def means(told: Told) -> Metrics:
    """Metrics of a batch."""
    return {"loss": told.loss.mean()} | {name: x.mean() for name, x in told.terms.items()}


def follow(agent: Gradient, rate: float) -> Gradient:
    """The agent with its reference moved towards its policy before adaptation."""
    old, static = eqx.partition(agent.reference, eqx.is_inexact_array)
    new = eqx.filter(agent.base, eqx.is_inexact_array)
    moved = jax.tree.map(lambda x, y: x + rate * (y - x), old, new)
    return eqx.tree_at(lambda x: x.reference, agent, eqx.combine(moved, static))


def round_returns(trials: Trials, agent: Gradient) -> Metrics:
    """`episode_reward_mean` before adaptation, and `episode_reward_mean_adapt_N` after N gradient steps."""
    returns = trials.returns().mean(axis=(0, 2))
    return {adapted_name(i * agent.steps_per_round): returns[i] for i in range(returns.shape[0])}


def adapted_name(num_steps: int) -> str:
    """The metric's name after that many gradient steps."""
    return f"episode_reward_mean_adapt_{num_steps}" if num_steps else "episode_reward_mean"
