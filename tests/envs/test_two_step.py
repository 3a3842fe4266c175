import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from innerloop._agent import Agent
from innerloop._collect import JaxCollector
from innerloop._env import Env
from innerloop._task import TaskDistribution
from innerloop._types import Key, Trials
from innerloop.benchmarks import benchmark
from innerloop.envs.two_step import (
    CELLS,
    StayCounts,
    TwoStep,
    gather_counts,
    interaction_test,
    reward_transition_interaction,
    stay_counts,
    stay_metrics,
    stay_probabilities,
    two_step_tasks,
)
from innerloop.envs.wrappers import RevealTask
from innerloop.references.generic import Random
from innerloop.references.two_step import KnownGoodState, ModelBasedBayes, ModelFreeWinStay

TASKS, NUM_TASKS = benchmark("two-step").test, 400


@eqx.filter_jit
def collect(key: Key, collector: JaxCollector, agent: Agent) -> Trials:
    return collector.collect(key, agent, collector.init(key, agent))[0]


def play(env: Env, agent: Agent, seed: int = 0, tasks: TaskDistribution = TASKS) -> Trials:
    return collect(jax.random.key(seed), JaxCollector(env, tasks, NUM_TASKS, 1), agent)


def returns(trials: Trials) -> np.ndarray:
    return np.asarray(jnp.sum(trials.transitions.next_timestep.reward, axis=(1, 2, 3)))


@eqx.filter_jit
def summed_counts(trials: Trials, stages: int = 1) -> StayCounts:
    return jax.tree.map(lambda x: jnp.sum(x, axis=0), jax.vmap(lambda one: stay_counts(one, stages))(trials))


def counts_by_loop(actions: np.ndarray, places: np.ndarray, rewards: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    stays, totals = np.zeros((2, 2)), np.zeros((2, 2))
    for action, place, reward in zip(actions, places, rewards, strict=True):
        for t in range(len(action) - 1):
            cell = int(reward[t] > 0), int(place[t] == action[t] + 1)
            totals[cell] += 1
            stays[cell] += action[t] == action[t + 1]
    return stays, totals


@pytest.mark.parametrize("stages", [1, 2])
def test_probabilities_of_transitions_and_rewards(stages):
    trials = play(TwoStep(stages=stages), Random(TwoStep().spec))
    steps = trials.transitions
    action = np.asarray(steps.action)[:, 0, 0, 0::stages]
    place = np.asarray(steps.next_timestep.obs)[:, 0, 0, 0::stages] - 1
    reward = np.asarray(steps.next_timestep.reward)[:, 0, 0, stages - 1 :: stages]
    good = np.asarray(trials.tasks.good)
    assert action.shape == good.shape == (400, 100)
    assert abs(np.mean(place == action) - 0.8) < 0.012
    assert abs(np.mean(reward[place == good]) - 0.9) < 0.012
    assert abs(np.mean(reward[place != good]) - 0.1) < 0.012
    assert abs(np.mean(good[:, 1:] != good[:, :-1]) - 0.025) < 0.005
    assert abs(np.mean(good[:, 0]) - 0.5) < 0.15
    last = np.asarray(steps.next_timestep.last)[:, 0, 0]
    assert last[:, -1].all()
    assert not last[:, :-1].any()
    if stages == 2:
        assert not np.asarray(steps.next_timestep.reward)[:, 0, 0, 0::2].any()
        assert not np.asarray(steps.next_timestep.obs)[:, 0, 0, 1::2].any()


@pytest.mark.parametrize("stages", [1, 2])
def test_counts_follow_an_independent_loop(stages):
    trials = play(TwoStep(stages=stages), Random(TwoStep().spec))
    steps = trials.transitions
    stays, totals = counts_by_loop(
        np.asarray(steps.action)[:, 0, 0, 0::stages],
        np.asarray(steps.next_timestep.obs)[:, 0, 0, 0::stages],
        np.asarray(steps.next_timestep.reward)[:, 0, 0, stages - 1 :: stages],
    )
    counts = summed_counts(trials, stages)
    np.testing.assert_array_equal(counts.stays, stays)
    np.testing.assert_array_equal(counts.totals, totals)
    metrics = stay_metrics(stages)
    assert len(metrics) == 2 * len(CELLS)
    values = jax.jit(lambda trials: {name: jax.vmap(metric)(trials) for name, metric in metrics.items()})(trials)
    gathered = gather_counts(values)
    np.testing.assert_array_equal(gathered.stays, stays)
    np.testing.assert_array_equal(gathered.totals, totals)


def test_interaction_from_probabilities():
    counts = StayCounts(jnp.asarray([[6.0, 2.0], [3.0, 9.0]]), jnp.full((2, 2), 10.0))
    np.testing.assert_allclose(stay_probabilities(counts), [[0.6, 0.2], [0.3, 0.9]], rtol=1e-6)
    assert float(reward_transition_interaction(counts)) == pytest.approx((0.9 - 0.3) - (0.2 - 0.6))


def interactions(agent: Agent) -> np.ndarray:
    """One value for each of eight seeds, 400 blocks each."""
    trials = [play(TwoStep(), agent, seed) for seed in range(8)]
    return np.asarray([float(reward_transition_interaction(summed_counts(one))) for one in trials])


def test_the_analysis_tells_model_based_from_model_free():
    model_based = interaction_test(interactions(ModelBasedBayes()))
    assert model_based.mean > 0.5
    assert model_based.p < 1e-6
    model_free = interactions(ModelFreeWinStay())
    np.testing.assert_array_equal(model_free, 0.0)
    chance = interaction_test(interactions(Random(TwoStep().spec)))
    assert abs(chance.mean) < 0.05
    assert chance.p > 0.01


def test_the_model_based_agent_repeats_by_reward_and_transition():
    stay = stay_probabilities(summed_counts(play(TwoStep(), ModelBasedBayes())))
    unrewarded_rare, unrewarded_common, rewarded_rare, rewarded_common = np.asarray(stay).ravel()
    assert rewarded_common > 0.95
    assert rewarded_rare < rewarded_common - 0.2
    assert unrewarded_common < unrewarded_rare - 0.2


@pytest.mark.parametrize("name", ["two-step", "two-step-2016"])
def test_reference_returns_are_the_known_ones(name):
    row = benchmark(name)
    for policy, known in row.known["return"].items():
        reference = row.references[policy]
        env = RevealTask(row.env, row.test.sample(jax.random.key(0))) if reference.reveals_task else row.env
        result = returns(play(env, reference.agent(), tasks=row.test))
        assert abs(result.mean() - known) < 4 * result.std() / np.sqrt(NUM_TASKS), policy


def test_known_optimum_without_reversals_is_exact():
    """Without reversals the belief is the count of evidence for each state, of which 0.9 speaks the truth."""
    total, distribution = 0.0, {0: 1.0}
    for _ in range(100):
        right = sum(p * (1.0 if d > 0 else 0.5 if d == 0 else 0.0) for d, p in distribution.items())
        total += right * 0.7 + (1 - right) * 0.3
        moved: dict[int, float] = {}
        for d, p in distribution.items():
            moved[d + 1] = moved.get(d + 1, 0.0) + 0.9 * p
            moved[d - 1] = moved.get(d - 1, 0.0) + 0.1 * p
        distribution = moved
    assert benchmark("two-step-2016").known["return"]["bayes_optimal"] == pytest.approx(total, abs=1e-3)


def test_model_free_loses_to_model_based_and_the_oracle_is_best():
    env = TwoStep()
    free = returns(play(env, ModelFreeWinStay())).mean()
    based = returns(play(env, ModelBasedBayes())).mean()
    trials = play(RevealTask(env, TASKS.sample(jax.random.key(0))), KnownGoodState())
    assert 50 < free < based - 3 < returns(trials).mean() - 5
    good, counts = np.asarray(trials.tasks.good), summed_counts(trials)
    assert float(counts.totals.sum()) == NUM_TASKS * 99
    assert float(counts.stays.sum()) == np.sum(good[:, 1:] == good[:, :-1])


def test_wrong_arguments_are_named():
    with pytest.raises(ValueError, match=r"common=1\.5"):
        TwoStep(common=1.5)
    with pytest.raises(ValueError, match="stages=3"):
        TwoStep(stages=3)
    with pytest.raises(ValueError, match="reversal=-1"):
        two_step_tasks(-1.0)
    with pytest.raises(ValueError, match="num_trials=50"):
        TwoStep(num_trials=50).reset(jax.random.key(0), TASKS.sample(jax.random.key(0)))
    with pytest.raises(ValueError, match="2 seeds"):
        interaction_test(np.asarray([0.1]))
