"""Reference policies for bandits, and the exact value of the best policy where a computer can find it.

Policies count successes and failures of each arm and start from a Beta(1, 1) prior. Ties between arms are broken at
random: always taking the first of the best costs greedy 0.05 to 0.1 reward in ten pulls.
"""

import functools
from collections.abc import Callable
from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import scipy.stats
from jaxtyping import Array, Bool, Float, Int

from innerloop._agent import Agent
from innerloop._types import Key, TimeStep, Transition
from innerloop.envs.bandits import NUM_CANDIDATES
from innerloop.references.generic import NoExtras, random_argmax


class Counts(NamedTuple):
    """What each arm has paid so far: pulls with a reward above 0, and pulls without."""

    successes: Int[Array, " arms"]
    failures: Int[Array, " arms"]


class CountingAgent(Agent):
    """A policy that remembers `Counts`; the concrete ones add `act`."""

    num_arms: eqx.AbstractVar[int]

    def init(self, key: Key) -> Counts:
        return Counts(jnp.zeros((self.num_arms,), jnp.int32), jnp.zeros((self.num_arms,), jnp.int32))

    def observe(self, key: Key, memory: Counts, transition: Transition) -> Counts:
        pulled = jnp.arange(self.num_arms) == transition.action
        paid = transition.next_timestep.reward > 0
        successes = memory.successes + (pulled & paid).astype(jnp.int32)
        return Counts(successes, memory.failures + (pulled & ~paid).astype(jnp.int32))

    def adapt(self, key: Key, memory: Counts, episodes: Transition) -> Counts:
        return memory


def _beta(memory: Counts) -> tuple[Float[Array, " arms"], Float[Array, " arms"]]:
    """Parameters of each arm's posterior."""
    return 1.0 + memory.successes.astype(jnp.float32), 1.0 + memory.failures.astype(jnp.float32)


def _posterior_mean(memory: Counts) -> Float[Array, " arms"]:
    a, b = _beta(memory)
    return a / (a + b)


class Greedy(CountingAgent):
    """Pulls the arm with the highest posterior mean, a random one if several have it."""

    num_arms: int = eqx.field(static=True)
    episodes_per_adapt: int = eqx.field(static=True, default=1)

    def act(self, key: Key, memory: Counts, timestep: TimeStep) -> tuple[Array, NoExtras]:
        return random_argmax(key, _posterior_mean(memory)), NoExtras()


class EpsilonGreedy(CountingAgent):
    """Greedy, but with probability `epsilon` any arm."""

    num_arms: int = eqx.field(static=True)
    epsilon: float = 0.1
    episodes_per_adapt: int = eqx.field(static=True, default=1)

    def act(self, key: Key, memory: Counts, timestep: TimeStep) -> tuple[Array, NoExtras]:
        coin_key, arm_key, best_key = jax.random.split(key, 3)
        anything = jax.random.randint(arm_key, (), 0, self.num_arms)
        best = random_argmax(best_key, _posterior_mean(memory))
        return jnp.where(jax.random.uniform(coin_key) < self.epsilon, anything, best), NoExtras()


class UCB1(CountingAgent):
    """Pulls the arm that maximises mean_i + c sqrt(2 ln t / T_i), t pulls being made so far.

    Mean and count T_i include one imagined success and failure of each arm, as in the released code of RL²; the
    textbook bonus (Auer, Cesa-Bianchi and Fischer 2002) is c = 1, and smaller values do better here.
    """

    num_arms: int = eqx.field(static=True)
    c: float = 1.0
    episodes_per_adapt: int = eqx.field(static=True, default=1)

    def act(self, key: Key, memory: Counts, timestep: TimeStep) -> tuple[Array, NoExtras]:
        a, b = _beta(memory)
        num_pulls = jnp.sum(memory.successes + memory.failures).astype(jnp.float32)
        bonus = self.c * jnp.sqrt(2.0 * jnp.log(jnp.maximum(num_pulls, 1.0)) / (a + b))
        return random_argmax(key, a / (a + b) + bonus), NoExtras()


class Thompson(CountingAgent):
    """Draws each arm's mean from its Beta posterior and pulls the best of the draws (Thompson 1933)."""

    num_arms: int = eqx.field(static=True)
    episodes_per_adapt: int = eqx.field(static=True, default=1)

    def act(self, key: Key, memory: Counts, timestep: TimeStep) -> tuple[Array, NoExtras]:
        return jnp.argmax(jax.random.beta(key, *_beta(memory))).astype(jnp.int32), NoExtras()


def _evidence(memory: Counts) -> Int[Array, "2"]:
    """Pulls that speak for p and for 1 - p being arm 0's mean: a failure of one arm is a success of the other."""
    return memory.successes + memory.failures[::-1]


class DependentThompson(CountingAgent):
    """Thompson sampling that knows that the means of the two arms sum to 1, p being uniform on [0, 1]."""

    num_arms: int = eqx.field(static=True, default=2)
    episodes_per_adapt: int = eqx.field(static=True, default=1)

    def act(self, key: Key, memory: Counts, timestep: TimeStep) -> tuple[Array, NoExtras]:
        a, b = 1.0 + _evidence(memory).astype(jnp.float32)
        return (jax.random.beta(key, a, b) < 0.5).astype(jnp.int32), NoExtras()


class DependentGreedy(CountingAgent):
    """Pulls the arm that more evidence speaks for, knowing that the means of the two arms sum to 1.

    Bayes-optimal for every prior on p that is symmetric about 1/2 (Wang et al. 2016: easy, medium, hard, uniform):
    each pull says the same about p whichever arm it is, so there is nothing to explore.
    """

    num_arms: int = eqx.field(static=True, default=2)
    episodes_per_adapt: int = eqx.field(static=True, default=1)

    def act(self, key: Key, memory: Counts, timestep: TimeStep) -> tuple[Array, NoExtras]:
        return random_argmax(key, _evidence(memory).astype(jnp.float32)), NoExtras()


class Gittins(CountingAgent):
    """Pulls the arm with the highest finite-horizon Gittins index, from an exact table (`finite_horizon_indices`).

    Not Bayes-optimal, since index theorems need a geometric discount, but close to it. The table has `num_pulls`^3
    entries: 4 MB for 100 pulls; take `ApproximateGittins` for many more. After `num_pulls` pulls it is greedy.

    Source: Kaufmann 2018, "On Bayesian index policies for sequential resource allocation"; Lattimore 2016, "Regret
    analysis of the finite-horizon Gittins index strategy for multi-armed bandits".
    """

    indices: Float[Array, "pulls pulls pulls"]
    num_arms: int = eqx.field(static=True)
    num_pulls: int = eqx.field(static=True)
    episodes_per_adapt: int = eqx.field(static=True)

    def __init__(self, num_arms: int, num_pulls: int):
        if not 1 <= num_pulls <= 200:
            raise ValueError(f"Gittins(num_pulls={num_pulls}): must be in 1 .. 200; use ApproximateGittins for more.")
        self.indices = jnp.asarray(finite_horizon_indices(num_pulls))
        self.num_arms = num_arms
        self.num_pulls = num_pulls
        self.episodes_per_adapt = 1

    def act(self, key: Key, memory: Counts, timestep: TimeStep) -> tuple[Array, NoExtras]:
        num_pulls = jnp.sum(memory.successes + memory.failures)
        scores = self.indices[num_pulls, memory.successes, memory.failures]
        scores = jnp.where(num_pulls < self.num_pulls, scores, _posterior_mean(memory))
        return random_argmax(key, scores), NoExtras()


class ApproximateGittins(CountingAgent):
    """Pulls the arm with the highest approximate Gittins index, in Whittle's closed form:

    mu + mu (1 - mu) / (n sqrt((2 c + 1/n) mu (1 - mu)) + mu - 1/2),  c = ln(1 / discount),

    with posterior mean mu and n the posterior's a + b. Discount 1 is what the released code of RL² uses.

    Source: Chakravorty and Mahajan 2014, "Multi-armed bandits, Gittins index, and its calculation".
    """

    num_arms: int = eqx.field(static=True)
    discount: float = 1.0
    episodes_per_adapt: int = eqx.field(static=True, default=1)

    def act(self, key: Key, memory: Counts, timestep: TimeStep) -> tuple[Array, NoExtras]:
        a, b = _beta(memory)
        n, mu = a + b, a / (a + b)
        variance = mu * (1.0 - mu)
        width = n * jnp.sqrt((2.0 * jnp.log(1.0 / self.discount) + 1.0 / n) * variance) + mu - 0.5
        return random_argmax(key, mu + variance / width), NoExtras()


class Target(NamedTuple):
    """The arm that the informative arm pointed to; -1 until it was pulled."""

    arm: Int[Array, ""]


class AskThenExploit(Agent):
    """Bayes-optimal in `InformativeBandit`: pulls the informative arm once, and then the target."""

    episodes_per_adapt: int = eqx.field(static=True, default=1)

    def init(self, key: Key) -> Target:
        return Target(jnp.full((), -1, jnp.int32))

    def act(self, key: Key, memory: Target, timestep: TimeStep) -> tuple[Array, NoExtras]:
        return jnp.where(memory.arm < 0, NUM_CANDIDATES, memory.arm), NoExtras()

    def observe(self, key: Key, memory: Target, transition: Transition) -> Target:
        told = jnp.round(10.0 * transition.next_timestep.reward).astype(jnp.int32) - 1
        return Target(jnp.where(transition.action == NUM_CANDIDATES, told, memory.arm))

    def adapt(self, key: Key, memory: Target, episodes: Transition) -> Target:
        return memory


class Belief(NamedTuple):
    """Probability of each walk's step size and of each cell of [0, 1] for its p at the coming pull. Sums to 1."""

    weights: Float[Array, "steps cells"]


class RestlessBayes(Agent):
    """Bayes-optimal in `RestlessBandit` for known `step_sizes`, each equally likely, up to the width of a cell.

    A filter over p on a grid, and over the step size. Each pull says the same about p whichever arm it is, so the arm
    that is more likely to pay now is the best choice.
    """

    moves: Float[Array, "steps cells cells"]
    episodes_per_adapt: int = eqx.field(static=True)

    def __init__(self, step_sizes: tuple[float, ...], num_cells: int = 100):
        if not step_sizes or min(step_sizes) <= 0:
            raise ValueError(f"RestlessBayes(step_sizes={step_sizes}): need at least one, all above 0.")
        moves = [_reflected_walk(step_size, num_cells) for step_size in step_sizes]
        self.moves = jnp.asarray(np.stack(moves), jnp.float32)
        self.episodes_per_adapt = 1

    def _cells(self) -> Float[Array, " cells"]:
        num_cells = self.moves.shape[-1]
        return (jnp.arange(num_cells, dtype=jnp.float32) + 0.5) / num_cells

    def init(self, key: Key) -> Belief:
        shape = self.moves.shape[:2]
        return Belief(jnp.full(shape, 1.0 / (shape[0] * shape[1])))

    def act(self, key: Key, memory: Belief, timestep: TimeStep) -> tuple[Array, NoExtras]:
        p = jnp.sum(memory.weights @ self._cells())
        return random_argmax(key, jnp.stack([p, 1.0 - p])), NoExtras()

    def observe(self, key: Key, memory: Belief, transition: Transition) -> Belief:
        for_p: Bool[Array, ""] = (transition.action == 0) == (transition.next_timestep.reward > 0)
        likelihood = jnp.where(for_p, self._cells(), 1.0 - self._cells())
        weights = memory.weights * likelihood[None]
        return Belief(jnp.einsum("sc,scd->sd", weights / jnp.sum(weights), self.moves))

    def adapt(self, key: Key, memory: Belief, episodes: Transition) -> Belief:
        return memory


def _reflected_walk(step_size: float, num_cells: int) -> Float[np.ndarray, "cells cells"]:
    """`[from, to]`: probability of a move between cells of [0, 1] by a Gaussian step reflected at the borders."""
    centres, edges = (np.arange(num_cells) + 0.5) / num_cells, np.arange(num_cells + 1) / num_cells
    most = 1 + int(3 * step_size)
    shifts = 2 * np.arange(-most, most + 1)[:, None]
    images = np.concatenate([shifts + centres, shifts - centres])  # [image, from]
    moves = np.diff(scipy.stats.norm.cdf(edges, images[..., None], step_size), axis=-1).sum(axis=0)
    return moves / moves.sum(axis=1, keepdims=True)


@functools.cache
def finite_horizon_indices(num_pulls: int, num_charges: int = 401) -> Float[np.ndarray, "pulls pulls pulls"]:
    """`[t, s, f]`: index of an arm with s successes and f failures when t of `num_pulls` pulls are made, float32.

    The index is the charge per pull at which a player who may stop after any of the m = num_pulls - t pulls left, and
    has paid for the next one, expects to break even. Backward induction on the net gain of the next pull,

    C_m(s, f) = mu - charge + mu C+_{m-1}(s + 1, f) + (1 - mu) C+_{m-1}(s, f + 1),  C+ = max(C, 0),

    with mu = (1 + s) / (2 + s + f), for all charges on a grid; C falls with the charge, and its zero is interpolated
    (error below 1e-4).
    Entries with s + f > t cannot occur and are 0.
    """
    charges = np.linspace(0.0, 1.0, num_charges, dtype=np.float32)
    indices = np.zeros((num_pulls, num_pulls, num_pulls), np.float32)
    gain = np.zeros((num_pulls + 1, num_pulls + 1, num_charges), np.float32)
    for t in reversed(range(num_pulls)):
        s, f = np.arange(t + 1)[:, None, None], np.arange(t + 1)[None, :, None]
        mean = ((1 + s) / (2 + s + f)).astype(np.float32)
        net = mean - charges + mean * gain[1 : t + 2, : t + 1] + (1 - mean) * gain[: t + 1, 1 : t + 2]
        indices[t, : t + 1, : t + 1] = _zero_crossing(net, charges) * (s + f <= t)[..., 0]
        gain = np.maximum(net, 0)
    return indices


def _zero_crossing(
    falling: Float[np.ndarray, "*states grid"], grid: Float[np.ndarray, " grid"]
) -> Float[np.ndarray, "*states"]:
    """Where rows (last axis) that fall from above 0 to below 0 are 0, by linear interpolation on `grid`."""
    after = np.clip(np.sum(falling > 0, axis=-1), 1, len(grid) - 1)
    right = np.take_along_axis(falling, after[..., None], -1)[..., 0]
    left = np.take_along_axis(falling, after[..., None] - 1, -1)[..., 0]
    return grid[after - 1] + (grid[after] - grid[after - 1]) * left / (left - right)


class Option(NamedTuple):
    """An arm that could be pulled: its posterior mean, the expected reward from then on, how many arms are like it."""

    mean: float
    value: float
    count: int  # type: ignore[assignment]


def _value(num_arms: int, num_pulls: int, pick: Callable[[list[Option]], float]) -> float:
    """Exact expected reward of a policy, by recursion over multisets of (successes, failures) of the pulled arms.

    Arms never pulled are alike, so `num_arms` costs nothing; the states grow fast with `num_pulls`.
    """

    @functools.cache
    def value(seen: tuple[tuple[int, int], ...]) -> float:
        if sum(s + f for s, f in seen) == num_pulls:
            return 0.0
        options = [option(seen[:i] + seen[i + 1 :], *seen[i], 1) for i in range(len(seen))]
        if len(seen) < num_arms:
            options.append(option(seen, 0, 0, num_arms - len(seen)))
        return pick(options)

    def option(others: tuple[tuple[int, int], ...], s: int, f: int, count: int) -> Option:
        mean = (1 + s) / (2 + s + f)
        paid, failed = (value(tuple(sorted((*others, arm)))) for arm in ((s + 1, f), (s, f + 1)))
        return Option(mean, mean * (1.0 + paid) + (1.0 - mean) * failed, count)

    return value(())


def bayes_optimal_bandit(num_arms: int, num_pulls: int) -> float:
    """Expected reward of the best policy for Bernoulli arms with independent uniform means. Exact; for few pulls."""
    return _value(num_arms, num_pulls, lambda options: max(option.value for option in options))


def greedy_bandit(num_arms: int, num_pulls: int) -> float:
    """Expected reward of `Greedy`, random ties included, in the same bandits. Exact; for few pulls."""

    def pick(options: list[Option]) -> float:
        best = max(option.mean for option in options)
        tied = [option for option in options if option.mean == best]
        return sum(option.count * option.value for option in tied) / sum(option.count for option in tied)

    return _value(num_arms, num_pulls, pick)


def bayes_optimal_two_armed(num_pulls: int) -> float:
    """`bayes_optimal_bandit(2, num_pulls)` for many pulls: backward induction over both arms' counts."""
    value = np.zeros((num_pulls + 1,) * 3)
    for t in reversed(range(num_pulls)):
        pulls, s1, s2 = np.ogrid[: t + 1, : t + 1, : t + 1]
        # States with more successes than pulls cannot occur; the cap keeps them finite.
        mean1, mean2 = np.minimum((1 + s1) / (2 + pulls), 1.0), np.minimum((1 + s2) / (2 + t - pulls), 1.0)
        first = mean1 * (1 + value[1:, 1:, :-1]) + (1 - mean1) * value[1:, :-1, :-1]
        second = mean2 * (1 + value[:-1, :-1, 1:]) + (1 - mean2) * value[:-1, :-1, :-1]
        value = np.maximum(first, second)
    return float(value[0, 0, 0])


def bayes_optimal_dependent_regret(means: Float[np.ndarray, " tasks"], num_pulls: int = 100) -> float:
    """Expected regret of `DependentGreedy` on arms with means (p, 1 - p), averaged over p in `means`. Exact.

    Before pull t + 1 the evidence for the better arm is Binomial(t, max(p, 1 - p)), whatever was pulled: regret is
    |2 p - 1| times the probability that it is below t / 2, plus half of that of a tie.
    """
    better = np.maximum(means, 1 - means)[:, None]
    t = np.arange(num_pulls)
    wrong = scipy.stats.binom.cdf(np.ceil(t / 2) - 1, t, better) + 0.5 * scipy.stats.binom.pmf(t / 2, t, better)
    return float(np.mean(np.sum((2 * better - 1) * wrong, axis=1)))
