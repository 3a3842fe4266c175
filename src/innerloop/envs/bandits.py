"""Bandits: one pull is one episode of one step (if not said otherwise), so an adaptation curve has a point for each pull.

`BernoulliBandit` serves the independent arms of RL² (Duan et al. 2016, section 3.1) and the dependent arms of Wang et
al. 2016 (section 3.1.2); `InformativeBandit` is the latter's eleven-armed task (3.1.3), `RestlessBandit` the drifting
one (3.1.4). Only in the restless one does a pull count within its task, so there an episode is the whole trial.
"""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from innerloop._env import Discrete, Env, EnvSpec, advance, restart
from innerloop._task import Finite, Sampled
from innerloop._types import Key, TimeStep, Trials

NUM_CANDIDATES = 10
"""Arms of the informative bandit that can be the target; one more arm tells which it is."""


class BanditTask(NamedTuple):
    """`means[i]`: expected reward of arm i (for a Bernoulli arm, the probability that it pays 1)."""

    means: Float[Array, " arms"]


class RestlessTask(NamedTuple):
    """`means[t, i]`: probability that arm i pays 1 at pull t. The task holds its whole walk, so it can be replayed."""

    means: Float[Array, "pulls arms"]


class NoState(NamedTuple):
    """Nothing to carry."""


class PullCount(NamedTuple):
    """Pulls made so far in this episode."""

    pull: Int[Array, ""]


class BernoulliBandit(Env):
    """k arms; arm i pays 1 with probability `task.means[i]`, else 0. The observation is constant.

    An episode has `num_pulls` pulls. Source: Duan et al. 2016 (RL²), section 3.1.
    """

    spec: EnvSpec

    def __init__(self, num_arms: int, num_pulls: int = 1):
        self.spec = EnvSpec(Discrete(1), Discrete(num_arms), max_steps=num_pulls)

    def reset(self, key: Key, task: BanditTask) -> tuple[PullCount, TimeStep]:
        zero = jnp.zeros((), jnp.int32)
        return PullCount(zero), restart(self.spec, zero)

    def step(self, key: Key, task: BanditTask, state: PullCount, action: Array) -> tuple[PullCount, TimeStep]:
        reward = (jax.random.uniform(key) < task.means[action]).astype(jnp.float32)
        ended = state.pull == self.spec.max_steps - 1
        return PullCount(state.pull + 1), advance(jnp.zeros((), jnp.int32), action, reward, terminated=ended)


class InformativeBandit(Env):
    """Eleven arms without noise: the target pays 5, nine others 1, and arm 11 (index 10) 0.1 times the target's number.

    Five pulls a trial. Pulling arm 11 once and the target ever after earns 0.55 + 4 * 5 = 20.55 on average; no policy
    that ignores arm 11 earns more than 11. Tasks come from `informative_bandits`.

    Source: Wang et al. 2016, section 3.1.3.
    """

    spec: EnvSpec

    def __init__(self) -> None:
        self.spec = EnvSpec(Discrete(1), Discrete(NUM_CANDIDATES + 1), max_steps=1)

    def reset(self, key: Key, task: BanditTask) -> tuple[NoState, TimeStep]:
        return NoState(), restart(self.spec, jnp.zeros((), jnp.int32))

    def step(self, key: Key, task: BanditTask, state: NoState, action: Array) -> tuple[NoState, TimeStep]:
        return state, advance(jnp.zeros((), jnp.int32), action, task.means[action], terminated=True)


class RestlessBandit(Env):
    """Two Bernoulli arms whose means drift: arm i pays 1 at pull t with probability `task.means[t, i]`.

    One episode is the whole trial of `num_pulls` pulls: the env must know which pull it is. The observation is
    constant. Tasks come from `restless_bandits`, drawn for the same number of pulls.

    Source: Wang et al. 2016, section 3.1.4.
    """

    spec: EnvSpec

    def __init__(self, num_pulls: int = 100):
        self.spec = EnvSpec(Discrete(1), Discrete(2), max_steps=num_pulls)

    def reset(self, key: Key, task: RestlessTask) -> tuple[PullCount, TimeStep]:
        if task.means.shape[0] != self.spec.max_steps:
            raise ValueError(
                f"RestlessBandit(num_pulls={self.spec.max_steps}): the task's walk has {task.means.shape[0]} pulls; "
                f"draw tasks with restless_bandits(..., num_pulls={self.spec.max_steps})."
            )
        return PullCount(jnp.zeros((), jnp.int32)), restart(self.spec, jnp.zeros((), jnp.int32))

    def step(self, key: Key, task: RestlessTask, state: PullCount, action: Array) -> tuple[PullCount, TimeStep]:
        reward = (jax.random.uniform(key) < task.means[state.pull, action]).astype(jnp.float32)
        ended = state.pull == self.spec.max_steps - 1
        return PullCount(state.pull + 1), advance(jnp.zeros((), jnp.int32), action, reward, terminated=ended)


def uniform_bandits(num_arms: int) -> Sampled:
    """Independent arm means, uniform on [0, 1]."""
    return Sampled(lambda key: BanditTask(jax.random.uniform(key, (num_arms,))))


def one_good_arm(num_arms: int, high: float = 0.9, low: float = 0.1) -> Finite:
    """The tasks in which one arm has mean `high` and all others `low`, in the order of the good arm."""
    if num_arms < 2 or not 0 <= low < high <= 1:
        raise ValueError(
            f"one_good_arm(num_arms={num_arms}, high={high}, low={low}): needs 2 arms and 0 <= low < high <= 1."
        )
    return Finite(BanditTask(jnp.where(jnp.eye(num_arms) > 0, high, low).astype(jnp.float32)))


def dependent_bandits(mean: float) -> Finite:
    """The two tasks with means (`mean`, 1 - `mean`) and the reverse.

    Wang et al. 2016, section 3.1.2: 0.1 is their easy, 0.25 their medium, 0.4 their hard distribution.
    """
    if not 0 <= mean <= 1:
        raise ValueError(f"dependent_bandits(mean={mean}): must be a probability, in [0, 1].")
    return Finite(BanditTask(jnp.asarray([[mean, 1 - mean], [1 - mean, mean]], jnp.float32)))


def _complementary(mean: Float[Array, "*pulls"]) -> Float[Array, "*pulls 2"]:
    return jnp.stack([mean, 1.0 - mean], axis=-1)


def uniform_dependent_bandits() -> Sampled:
    """Means (p, 1 - p) with p uniform on [0, 1]: the uniform distribution of Wang et al. 2016, section 3.1.2."""
    return Sampled(lambda key: BanditTask(_complementary(jax.random.uniform(key))))


def informative_bandits() -> Finite:
    """The ten tasks of `InformativeBandit`, in the order of their target."""
    targets = jnp.eye(NUM_CANDIDATES) * 4.0 + 1.0
    hints = jnp.arange(1, NUM_CANDIDATES + 1, dtype=jnp.float32)[:, None] * 0.1
    return Finite(BanditTask(jnp.concatenate([targets, hints], axis=1)))


def restless_bandits(step_size: float, num_pulls: int = 100) -> Sampled:
    """Tasks of `RestlessBandit`: a Gaussian random walk of p, reflected at 0 and 1, and means (p, 1 - p).

    p starts uniform, which is the walk's stationary distribution, and moves by `step_size` (standard deviation of one
    move) between two pulls. The paper speaks of low and high volatility without giving constants; here 0.02 is slow
    (0.2 in 100 pulls: the better arm mostly stays) and 0.1 is fast (forgotten in about 20 pulls).
    """
    if step_size < 0:
        raise ValueError(f"restless_bandits(step_size={step_size}): a standard deviation cannot be negative.")

    def sample(key: Key) -> RestlessTask:
        start_key, walk_key = jax.random.split(key)
        moves = step_size * jax.random.normal(walk_key, (num_pulls - 1,))
        path = jax.random.uniform(start_key) + jnp.concatenate([jnp.zeros((1,)), jnp.cumsum(moves)])
        return RestlessTask(_complementary(1.0 - jnp.abs(1.0 - path % 2.0)))

    return Sampled(sample)


def total_return(trials: Trials) -> Float[Array, ""]:
    """Undiscounted reward of one task's whole trial (axes `[round episode time]`)."""
    transitions = trials.transitions
    return jnp.sum(transitions.next_timestep.reward * transitions.valid.astype(jnp.float32))


def regret(trials: Trials) -> Float[Array, ""]:
    """Expected cumulative regret of one task's trial: the sum over pulls of max_i means[i] - means[action], in reward.

    Free of the reward's own noise. For bandits without and with drift (then the best arm is that of the pull).
    """
    actions = trials.transitions.action
    task: Any = trials.tasks
    means = jnp.broadcast_to(task.means, (*actions.shape, task.means.shape[-1]))
    chosen = jnp.take_along_axis(means, actions[..., None], axis=-1)[..., 0]
    lost = jnp.max(means, axis=-1) - chosen
    return jnp.sum(lost * trials.transitions.valid.astype(jnp.float32))
