"""The two-step task, which tells model-based from model-free choice, and its stay-probability analysis.

A first-stage action leads to one of two second-stage states, commonly to its own and rarely to the other's. One
second-stage state (the good one) pays often, the other rarely; which is good may reverse. Who knows the transitions
repeats an action after a reward on a common transition, but not after a reward on a rare one.
Source: Daw et al. 2011; Wang et al. 2016, section 3.2.1; Wang et al. 2018, simulation 4.
"""

import functools
from collections.abc import Callable, Mapping
from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import scipy.stats
from jaxtyping import Array, Float, Int

from innerloop._env import Discrete, Env, EnvSpec, advance, restart
from innerloop._task import Sampled
from innerloop._types import Key, TimeStep, Trials


class TwoStepTask(NamedTuple):
    """`good[t]`: the second-stage state (0 or 1) that pays often at trial t. With all reversals, for replay."""

    good: Int[Array, " trials"]


class TwoStepState(NamedTuple):
    """Trials done, and where the agent is: 0 at the first stage, 1 + s in second-stage state s."""

    trial: Int[Array, ""]
    place: Int[Array, ""]


class TwoStep(Env):
    """Action a leads to second-stage state a with probability `common`; the good state pays 1 with probability `high`.

    The other state pays 1 with probability 1 - `high`. One episode is a block of `num_trials` trials, and it is the
    whole meta-trial: the good state reverses within it. Observations are 0 (first stage) or 1 + s.

    `stages=1`: one env step a trial, which feeds the agent with the first-stage action, the second-stage state and its
    reward, as in Wang et al. 2018. `stages=2`: a second step, whose action has no effect, brings the reward.
    The paper's constants of 2018 are the defaults; those of 2016 are `common=0.75` and tasks without reversals.
    """

    spec: EnvSpec
    num_trials: int = eqx.field(static=True)
    common: float = eqx.field(static=True)
    high: float = eqx.field(static=True)
    stages: int = eqx.field(static=True)

    def __init__(self, num_trials: int = 100, common: float = 0.8, high: float = 0.9, stages: int = 1):
        for name, value in (("common", common), ("high", high)):
            if not 0 <= value <= 1:
                raise ValueError(f"TwoStep({name}={value}): must be a probability, in [0, 1].")
        if stages not in (1, 2):
            raise ValueError(f"TwoStep(stages={stages}): must be 1 or 2 env steps a trial.")
        self.spec = EnvSpec(Discrete(3), Discrete(2), max_steps=num_trials * stages)
        self.num_trials = num_trials
        self.common = common
        self.high = high
        self.stages = stages

    def reset(self, key: Key, task: TwoStepTask) -> tuple[TwoStepState, TimeStep]:
        if task.good.shape[0] != self.num_trials:
            raise ValueError(
                f"TwoStep(num_trials={self.num_trials}): the task has {task.good.shape[0]} trials; "
                f"draw tasks with two_step_tasks(..., num_trials={self.num_trials})."
            )
        zero = jnp.zeros((), jnp.int32)
        return TwoStepState(zero, zero), restart(self.spec, zero)

    def _move(self, key: Key, action: Array) -> Int[Array, ""]:
        is_common = jax.random.uniform(key) < self.common
        return 1 + jnp.where(is_common, action, 1 - action).astype(jnp.int32)

    def _pay(self, key: Key, task: TwoStepTask, trial: Int[Array, ""], place: Int[Array, ""]) -> Float[Array, ""]:
        is_good = place == 1 + task.good[trial]
        return (jax.random.uniform(key) < jnp.where(is_good, self.high, 1.0 - self.high)).astype(jnp.float32)

    def step(self, key: Key, task: TwoStepTask, state: TwoStepState, action: Array) -> tuple[TwoStepState, TimeStep]:
        move_key, pay_key = jax.random.split(key)
        reached = self._move(move_key, action)
        if self.stages == 1:
            place, reward, done = reached, self._pay(pay_key, task, state.trial, reached), jnp.ones((), bool)
        else:
            done = state.place > 0
            place = jnp.where(done, 0, reached)
            reward = jnp.where(done, self._pay(pay_key, task, state.trial, state.place), 0.0)
        trial = state.trial + done.astype(jnp.int32)
        return TwoStepState(trial, place), advance(place, action, reward, terminated=trial == self.num_trials)


def two_step_tasks(reversal: float = 0.025, num_trials: int = 100) -> Sampled:
    """The good state starts at random and reverses with probability `reversal` before each trial.

    With `reversal=0` (Wang et al. 2016) only two tasks exist; what differs between episodes is their noise.
    """
    if not 0 <= reversal <= 1:
        raise ValueError(f"two_step_tasks(reversal={reversal}): must be a probability, in [0, 1].")

    def sample(key: Key) -> TwoStepTask:
        start_key, reversal_key = jax.random.split(key)
        start = jax.random.bernoulli(start_key).astype(jnp.int32)
        reversals = jax.random.bernoulli(reversal_key, reversal, (num_trials,)).astype(jnp.int32)
        return TwoStepTask((start + jnp.cumsum(reversals)) % 2)

    return Sampled(sample)


class StayCounts(NamedTuple):
    """Pairs of successive trials by what the first brought, `[rewarded, common]` (0 no, 1 yes), and how many repeated.

    Add up the counts of many tasks (and seeds, where wanted) before taking ratios: a single block of 100 trials often
    has no case of a cell, and ratios of small counts are biased by how small they are.
    """

    stays: Float[Array, "*batch 2 2"]
    totals: Float[Array, "*batch 2 2"]


def stay_counts(trials: Trials, stages: int = 1) -> StayCounts:
    """Counts of one task's trials (axes `[round episode time]`) in an env with `stages`, or in `RevealTask` of it."""
    transitions = trials.transitions
    obs = transitions.next_timestep.obs
    # A revealed task follows the one-hot code of the place.
    places = obs if obs.ndim == transitions.valid.ndim else jnp.argmax(obs[..., :3], axis=-1).astype(jnp.int32)
    num_steps = transitions.valid.shape[-1]

    def rows(x: Array, start: int) -> Array:
        return x.reshape(-1, num_steps)[:, start::stages]

    action, place = rows(transitions.action, 0), rows(places, 0)
    rewarded = rows(transitions.next_timestep.reward, stages - 1) > 0
    valid = rows(transitions.valid, stages - 1)
    cell = 2 * rewarded.astype(jnp.int32) + (place == 1 + action).astype(jnp.int32)
    counted = (valid[:, :-1] & valid[:, 1:]).astype(jnp.float32)
    stayed = counted * (action[:, :-1] == action[:, 1:]).astype(jnp.float32)
    codes = jax.nn.one_hot(cell[:, :-1], 4)
    return StayCounts(*(jnp.einsum("etc,et->c", codes, weight).reshape(2, 2) for weight in (stayed, counted)))


def stay_probabilities(counts: StayCounts) -> Float[Array, "*batch 2 2"]:
    """Probability to repeat the first-stage action, `[rewarded, common]`; NaN where there was no case."""
    return counts.stays / counts.totals


def reward_transition_interaction(counts: StayCounts) -> Float[Array, "*batch"]:
    """How much more a reward counts after a common than after a rare transition; positive for model-based choice.

    (stay[rewarded, common] - stay[rewarded, rare]) - (stay[unrewarded, common] - stay[unrewarded, rare]).
    """
    stay = stay_probabilities(counts)
    return (stay[..., 1, 1] - stay[..., 1, 0]) - (stay[..., 0, 1] - stay[..., 0, 0])


class InteractionTest(NamedTuple):
    """Mean interaction over seeds, Student's t, and the one-sided p value of "not above 0"."""

    mean: float
    t: float
    p: float


def interaction_test(interactions: Float[Array | np.ndarray, " seeds"]) -> InteractionTest:
    """One-sided one-sample t-test that the interaction is above 0; a seed is one observation."""
    values = np.asarray(interactions, np.float64)
    if values.ndim != 1 or values.shape[0] < 2:
        raise ValueError(
            f"interaction_test(interactions=...): need a value for each of >= 2 seeds, got {values.shape}."
        )
    result = scipy.stats.ttest_1samp(values, 0.0, alternative="greater")
    return InteractionTest(float(values.mean()), float(result.statistic), float(result.pvalue))


CELLS = {
    "unrewarded_rare": (0, 0),
    "unrewarded_common": (0, 1),
    "rewarded_rare": (1, 0),
    "rewarded_common": (1, 1),
}


def _count(trials: Trials, field: str, cell: tuple[int, int], stages: int) -> Float[Array, ""]:
    return getattr(stay_counts(trials, stages), field)[cell]


def stay_metrics(stages: int = 1) -> dict[str, Callable[[Trials], Float[Array, ""]]]:
    """The eight counts as metrics, `stays_<cell>` and `totals_<cell>`; `gather_counts` puts them together again."""
    return {
        f"{field}_{name}": functools.partial(_count, field=field, cell=cell, stages=stages)
        for field in StayCounts._fields
        for name, cell in CELLS.items()
    }


def gather_counts(metrics: Mapping[str, Float[Array | np.ndarray, "*batch tasks"]]) -> StayCounts:
    """From the values of `stay_metrics` for many tasks (the last axis) to their summed counts `[*batch 2 2]`."""

    def table(field: str) -> Array:
        sums = [jnp.sum(jnp.asarray(metrics[f"{field}_{name}"]), axis=-1) for name in CELLS]
        return jnp.stack(sums, axis=-1).reshape(*sums[0].shape, 2, 2)

    return StayCounts(table("stays"), table("totals"))
