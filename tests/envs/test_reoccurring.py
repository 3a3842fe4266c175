import functools
from types import SimpleNamespace

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from innerloop._check import check_env
from innerloop._collect import JaxCollector
from innerloop._env import encode
from innerloop._evaluate import evaluate
from innerloop._types import Trials
from innerloop.benchmarks import benchmark
from innerloop.envs.bandits import BernoulliBandit, one_good_arm
from innerloop.envs.gridnavi import GridNavi, gridnavi_goals
from innerloop.envs.reoccurring import (
    Reoccurring,
    ReoccurringTask,
    regret_metrics,
    reoccurring_tasks,
    return_metrics,
    take,
)
from innerloop.envs.wrappers import RevealTask
from innerloop.references.reoccurring import most_likely_arm_regret

KEY = jax.random.key(0)


def test_barcodes_are_signs_of_which_no_two_are_equal():
    tasks = jax.vmap(reoccurring_tasks(one_good_arm(3), 7, 3).sample)(jax.random.split(KEY, 200))
    barcodes = np.asarray(tasks.barcodes)
    assert set(np.unique(barcodes)) == {-1.0, 1.0}
    assert all(len(np.unique(codes, axis=0)) == 7 for codes in barcodes)
    assert abs(barcodes.mean()) < 0.05
    assert tasks.tasks.means.shape == (200, 7, 3)


@pytest.mark.parametrize(
    ("inner", "drawn"), [(GridNavi(obs="cell"), gridnavi_goals()), (BernoulliBandit(5, 6), one_good_arm(5))]
)
def test_an_episode_is_one_of_the_inner_env(inner, drawn):
    env, tasks, cut = Reoccurring(inner, 4, 5), reoccurring_tasks(drawn, 4, 5), inner.spec.obs.num_features
    task = tasks.sample(KEY)
    step, inner_step = jax.jit(env.step), jax.jit(inner.step)
    played = set()
    for seed in range(16):
        reset_key, step_key = jax.random.split(jax.random.key(seed))
        _, inner_key = jax.random.split(reset_key)
        state, timestep = env.reset(reset_key, task)
        which = int(state.which)
        played.add(which)
        alone = take(task.tasks, state.which)
        inner_state, expected = inner.reset(inner_key, alone)
        for action in (1, 2, 1, 2, 2, 4):
            np.testing.assert_array_equal(timestep.obs[:cut], encode(inner.spec.obs, expected.obs))
            np.testing.assert_array_equal(timestep.obs[cut:], task.barcodes[which])
            assert (timestep.reward, timestep.last) == (expected.reward, expected.last)
            state, timestep = step(step_key, task, state, jnp.asarray(action, jnp.int32))
            inner_state, expected = inner_step(step_key, alone, inner_state, jnp.asarray(action, jnp.int32))
    assert played == {0, 1, 2, 3}
    check_env(env, tasks, test=tasks)


def test_metrics_are_those_of_a_trial_worked_out_by_hand():
    env = Reoccurring(BernoulliBandit(2, 2), 3, 2)
    means = np.array([[0.9, 0.1], [0.2, 0.5], [0.3, 0.7]], np.float32)
    barcodes = np.array([[1, 1], [-1, 1], [1, -1]], np.float32)
    which, actions = np.array([1, 0, 1, 1]), np.array([[0, 0], [1, 0], [0, 1], [1, 1]], np.int32)
    rewards = np.array([[0, 1], [0, 1], [1, 1], [0, 0]], np.float32)
    obs = np.concatenate([np.ones((4, 2, 1), np.float32), np.repeat(barcodes[which][:, None], 2, axis=1)], axis=-1)
    valid = np.ones((4, 2), bool)
    valid[3, 1] = False
    split = [jnp.asarray(x.reshape(2, 2, *x.shape[1:])) for x in (obs, actions, rewards, valid)]  # two rounds
    transitions = SimpleNamespace(
        timestep=SimpleNamespace(obs=split[0]),
        action=split[1],
        next_timestep=SimpleNamespace(reward=split[2]),
        valid=split[3],
    )
    task = ReoccurringTask(SimpleNamespace(means=jnp.asarray(means)), jnp.asarray(barcodes))
    metrics = {**regret_metrics(env, 2.0), **return_metrics(env)}
    found = {name: float(metric(Trials(task, None, transitions))) for name, metric in metrics.items()}
    expected = {
        "regret_first": (0.6 + 0.8) / 2,
        "regret_again": (0.3 + 0.0) / 2,
        "again_over_first": 0.075,
        "return_first": (1 + 1) / 2,
        "return_again": (2 + 0) / 2,
    }
    assert found == pytest.approx(expected)


@functools.cache
def scores(name, reference):
    row = benchmark(name)
    reveals = row.references[reference].reveals_task
    env = RevealTask(row.env, row.test.sample(KEY)) if reveals else row.env
    collector = JaxCollector(env, row.test, 100, row.num_episodes)
    curve = evaluate(KEY, row.references[reference].agent(), collector, metrics=row.metrics)
    return {metric: float(np.mean(values)) for metric, values in curve.scores().items()}


def test_who_remembers_bandits_by_their_barcode_pays_once():
    known = benchmark("reoccurring-bandits").known
    remembering, forgetful = (scores("reoccurring-bandits", name) for name in ("remembering", "forgetful"))
    for found in (remembering, forgetful):
        np.testing.assert_allclose(found["regret_first"], known["regret_first"]["forgetful"], atol=0.25)
    assert remembering["again_over_first"] < 0.03
    np.testing.assert_allclose(forgetful["again_over_first"], 1.0, atol=0.1)
    assert scores("reoccurring-bandits", "oracle")["regret_again"] == 0.0


@pytest.mark.slow
def test_who_remembers_goals_by_their_barcode_goes_straight_there():
    remembering, forgetful, oracle = (
        scores("reoccurring-grid", name) for name in ("remembering", "forgetful", "oracle")
    )
    assert remembering["return_again"] == pytest.approx(oracle["return_again"], abs=0.1)
    assert remembering["return_first"] < 5.0
    assert forgetful["return_again"] == pytest.approx(forgetful["return_first"], abs=1.0)


def test_no_agent_earns_more_in_a_first_episode_than_who_pulls_the_most_likely_arm():
    num_arms, num_pulls, high = 4, 7, 0.9

    @functools.cache
    def lost(net, pulls):
        if pulls == 0:
            return 0.0
        odds = np.array([(high / (1 - high)) ** score for score in net])
        good = odds / odds.sum()
        values = []
        for i, share in enumerate(good):
            won = share * high + (1 - share) * (1 - high)
            after = [lost(tuple(sorted((*net[:i], net[i] + d, *net[i + 1 :]))), pulls - 1) for d in (1, -1)]
            values.append((2 * high - 1) * (1 - share) + won * after[0] + (1 - won) * after[1])
        return min(values)

    assert most_likely_arm_regret(num_arms, num_pulls, high) == pytest.approx(lost((0,) * num_arms, num_pulls))


def test_bad_arguments_are_named():
    with pytest.raises(ValueError, match=r"Reoccurring\(num_tasks=5, num_bits=2\)"):
        Reoccurring(BernoulliBandit(2), 5, 2)
    with pytest.raises(ValueError, match=r"reoccurring_tasks\(num_tasks=2, num_bits=17\)"):
        reoccurring_tasks(one_good_arm(2), 2, 17)
    with pytest.raises(ValueError, match=r"barcodes of shape \(4, 3\)"):
        Reoccurring(BernoulliBandit(2), 4, 2).reset(KEY, reoccurring_tasks(one_good_arm(2), 4, 3).sample(KEY))
    with pytest.raises(ValueError, match=r"one_good_arm\(num_arms=2, high=0.1, low=0.9\)"):
        one_good_arm(2, 0.1, 0.9)
