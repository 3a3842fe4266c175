import re

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from innerloop._agent import Agent
from innerloop._collect import JaxCollector
from innerloop._task import sample_tasks
from innerloop._types import TimeStep, Transition, Trials
from innerloop.benchmarks import REGISTRY, benchmark
from innerloop.envs.bandits import (
    BanditTask,
    BernoulliBandit,
    InformativeBandit,
    NoState,
    RestlessBandit,
    RestlessTask,
    dependent_bandits,
    informative_bandits,
    regret,
    restless_bandits,
    total_return,
    uniform_bandits,
    uniform_dependent_bandits,
)

BANDITS = [name for name in REGISTRY if name.startswith(("bandit-", "two-arm", "dependent-", "eleven-", "restless-"))]


@eqx.filter_jit
def play(collector: JaxCollector, agent: Agent) -> Trials:
    return collector.collect(jax.random.key(1), agent, collector.init(jax.random.key(0), agent))[0]


def pull_many(env, task, action, num_pulls):
    def pull(key):
        reset_key, step_key = jax.random.split(key)
        state, _ = env.reset(reset_key, task)
        return env.step(step_key, task, state, jnp.asarray(action, jnp.int32))[1]

    return jax.vmap(pull)(jax.random.split(jax.random.key(0), num_pulls))


@pytest.mark.parametrize("action", [0, 1, 2])
def test_an_arm_pays_1_as_often_as_its_mean_says(action):
    means = jnp.asarray([0.0, 0.3, 1.0])
    timestep = pull_many(BernoulliBandit(3), BanditTask(means), action, 4000)
    assert set(np.unique(timestep.reward)) <= {0.0, 1.0}
    assert abs(float(timestep.reward.mean()) - float(means[action])) < 4 * 0.46 / 4000**0.5
    assert bool(timestep.last.all())
    assert not timestep.discount.any()


@pytest.mark.parametrize("target", [0, 9])
def test_the_informative_arm_pays_a_tenth_of_the_targets_number(target):
    task = informative_bandits().take(jnp.asarray(target))
    step = jax.jit(lambda action: InformativeBandit().step(jax.random.key(0), task, NoState(), action)[1].reward)
    paid = [float(step(jnp.asarray(action, jnp.int32))) for action in range(11)]
    expected = [5.0 if action == target else 1.0 for action in range(10)] + [0.1 * (target + 1)]
    np.testing.assert_allclose(paid, expected, rtol=1e-6)


def test_dependent_arms_sum_to_1_and_both_orders_occur():
    np.testing.assert_allclose(dependent_bandits(0.1).tasks.means, [[0.1, 0.9], [0.9, 0.1]], rtol=1e-6)
    means = np.asarray(sample_tasks(uniform_dependent_bandits(), jax.random.key(0), 2000).means)
    np.testing.assert_allclose(means.sum(axis=1), 1.0, rtol=1e-6)
    np.testing.assert_allclose(np.quantile(means[:, 0], [0.1, 0.5, 0.9]), [0.1, 0.5, 0.9], atol=0.05)


def test_independent_arms_are_uniform():
    means = np.asarray(sample_tasks(uniform_bandits(2), jax.random.key(0), 2000).means)
    np.testing.assert_allclose(
        np.quantile(means, [0.1, 0.5, 0.9], axis=0), [[0.1] * 2, [0.5] * 2, [0.9] * 2], atol=0.05
    )
    assert abs(np.corrcoef(means.T)[0, 1]) < 0.1


@pytest.mark.parametrize("step_size", [0.02, 0.1])
def test_a_restless_walk_stays_in_bounds_and_moves_as_it_says(step_size):
    means = np.asarray(sample_tasks(restless_bandits(step_size, 100), jax.random.key(0), 1000).means)
    assert means.shape == (1000, 100, 2)
    assert means.min() >= 0.0
    assert means.max() <= 1.0
    np.testing.assert_allclose(means.sum(axis=-1), 1.0, rtol=1e-6)
    p = means[..., 0]
    inside = (p[:, :-1] > 4 * step_size) & (p[:, :-1] < 1 - 4 * step_size)
    assert np.diff(p)[inside].std() == pytest.approx(step_size, rel=0.03)
    for t in (0, 50, 99):
        np.testing.assert_allclose(np.quantile(p[:, t], [0.25, 0.5, 0.75]), [0.25, 0.5, 0.75], atol=0.07)


def test_a_restless_episode_follows_the_walk_and_ends_with_it():
    means = jnp.stack([jnp.asarray([0.0, 1.0, 1.0, 0.0]), jnp.asarray([1.0, 0.0, 0.0, 1.0])], axis=-1)
    env, task = RestlessBandit(4), RestlessTask(means)
    state, _ = env.reset(jax.random.key(0), task)
    rewards, lasts, discounts = [], [], []
    for key in jax.random.split(jax.random.key(1), 4):
        state, timestep = env.step(key, task, state, jnp.zeros((), jnp.int32))
        rewards.append(float(timestep.reward))
        lasts.append(bool(timestep.last))
        discounts.append(float(timestep.discount))
    assert rewards == [0.0, 1.0, 1.0, 0.0]
    assert lasts == [False, False, False, True]
    assert discounts == [1.0, 1.0, 1.0, 0.0]


def trial_of(actions, rewards, task, valid=None):
    """Trials of one task with axes `[round episode time]`."""
    shape = (len(actions), 1, 1)
    reward = jnp.asarray(rewards, jnp.float32).reshape(shape)
    nothing, no = jnp.zeros(shape), jnp.zeros(shape, bool)
    valid = jnp.ones(shape, bool) if valid is None else jnp.asarray(valid).reshape(shape)
    action = jnp.asarray(actions, jnp.int32).reshape(shape)
    timestep = TimeStep(nothing, action, reward, nothing, no, no)
    return Trials(task, (), Transition(timestep, action, timestep, valid, ()))


def test_regret_and_return_count_valid_pulls_only():
    task = BanditTask(jnp.asarray([0.2, 0.9, 0.5]))
    trials = trial_of([0, 1, 2, 0], [1.0, 0.0, 1.0, 1.0], task, [True, True, True, False])
    assert regret(trials) == pytest.approx(0.7 + 0.0 + 0.4)
    assert total_return(trials) == 2.0


def test_regret_of_drifting_arms_is_against_the_best_arm_of_each_pull():
    task = RestlessTask(jnp.asarray([[0.2, 0.8], [0.9, 0.1]]))
    trials = trial_of([0, 0], [0.0, 0.0], task)
    drifting = trials._replace(transitions=jax.tree.map(lambda leaf: leaf.reshape(1, 1, 2), trials.transitions))
    assert regret(drifting) == pytest.approx(0.6)


@pytest.mark.parametrize("name", BANDITS)
def test_a_row_fits_its_name_and_its_references_fit_it(name):
    row = benchmark(name)
    assert row.name == name
    numbers = re.fullmatch(r"bandit-n(\d+)-k(\d+)", name)
    num_pulls, num_arms = map(int, numbers.groups()) if numbers else (5, 11) if name == "eleven-arm" else (100, 2)
    assert row.num_episodes * row.env.spec.max_steps == num_pulls
    assert row.env.spec.action.num_values == num_arms
    for distribution in (row.train, row.test):
        task = jax.eval_shape(distribution.sample, jax.random.key(0))
        assert task.means.shape[-1] == num_arms
    assert "random" in row.references
    assert all(values for values in row.known.values())


@pytest.mark.parametrize("name", ["bandit-n10-k5", "dependent-uniform", "eleven-arm", "restless-slow"])
def test_random_scores_what_is_known(name):
    row = benchmark(name)
    trials = play(JaxCollector(row.env, row.test, 1000, row.num_episodes), row.references["random"].agent())
    scores = {"return": np.asarray(jax.vmap(total_return)(trials)), "regret": np.asarray(jax.vmap(regret)(trials))}
    expected = {metric: values["random"] for metric, values in row.known.items() if "random" in values}
    if name == "bandit-n10-k5":
        expected = {"return": 5.0, "regret": 10 * (5 / 6 - 0.5)}
    assert expected
    for metric, value in expected.items():
        assert abs(scores[metric].mean() - value) < 4 * scores[metric].std() / 1000**0.5, metric


def test_an_unknown_benchmark_names_the_nearest():
    with pytest.raises(ValueError, match="dependent-easy"):
        benchmark("dependant-easy")


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: dependent_bandits(1.5), "mean=1.5"),
        (lambda: restless_bandits(-0.1), "step_size=-0.1"),
        (lambda: BernoulliBandit(0), "num_values=0"),
        (lambda: RestlessBandit(5).reset(jax.random.key(0), RestlessTask(jnp.zeros((4, 2)))), "num_pulls=5"),
    ],
)
def test_bad_arguments_are_named(build, message):
    with pytest.raises(ValueError, match=message):
        build()
