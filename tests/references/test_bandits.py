"""Golden values come from an independent computation or the literature; tolerances are 4 standard errors or more."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from innerloop._agent import Agent
from innerloop._collect import JaxCollector
from innerloop._env import Box, Discrete, Env, EnvSpec, restart
from innerloop._task import sample_tasks
from innerloop._types import Task, Trials
from innerloop.envs import bandits
from innerloop.references.bandits import (
    UCB1,
    ApproximateGittins,
    AskThenExploit,
    Counts,
    DependentGreedy,
    DependentThompson,
    EpsilonGreedy,
    Gittins,
    Greedy,
    RestlessBayes,
    Thompson,
    bayes_optimal_bandit,
    bayes_optimal_dependent_regret,
    bayes_optimal_two_armed,
    finite_horizon_indices,
    greedy_bandit,
)
from innerloop.references.generic import NoMemory, Random, random_argmax


@eqx.filter_jit
def play(env: Env, agent: Agent, tasks: Task, num_pulls: int) -> Trials:
    """One trial a task. Compiling is what costs here, so tests share agents, numbers of tasks and of pulls."""
    num_tasks = jax.tree.leaves(tasks)[0].shape[0]
    collector = JaxCollector(env, bandits.uniform_bandits(2), num_tasks, num_pulls // env.spec.max_steps)
    return collector.play(jax.random.key(2), agent, tasks)


def mean_regret(trials: Trials) -> float:
    return float(jnp.mean(jax.vmap(bandits.regret)(trials)))


def independent(agent, num_pulls: int, num_tasks: int) -> Trials:
    tasks = sample_tasks(bandits.uniform_bandits(agent.num_arms), jax.random.key(1), num_tasks)
    return play(bandits.BernoulliBandit(agent.num_arms), agent, tasks, num_pulls)


@eqx.filter_jit
def choices(agent: Agent, memory, num_draws: int = 2000):
    """Actions drawn again and again from one memory."""
    timestep = restart(EnvSpec(Discrete(1), Discrete(2), 1), jnp.zeros((), jnp.int32))
    return jax.vmap(lambda key: agent.act(key, memory, timestep)[0])(jax.random.split(jax.random.key(3), num_draws))


def counts(successes, failures) -> Counts:
    return Counts(jnp.asarray(successes, jnp.int32), jnp.asarray(failures, jnp.int32))


# --- exact values ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("num_arms", "optimal", "greedy"),
    [(2, 6.0218, 6.0058), (5, 6.6600, 6.6262), (10, 6.7140, 6.6931), (50, 6.7140, 6.7080)],
)
def test_ten_pulls_are_worth_what_the_recursion_over_multisets_says(num_arms, optimal, greedy):
    assert bayes_optimal_bandit(num_arms, 10) == pytest.approx(optimal, abs=5e-5)
    assert greedy_bandit(num_arms, 10) == pytest.approx(greedy, abs=5e-5)


def test_two_arms_are_worth_the_same_by_both_recursions():
    assert bayes_optimal_two_armed(100) == pytest.approx(64.918, abs=5e-4)
    assert bayes_optimal_two_armed(10) == pytest.approx(bayes_optimal_bandit(2, 10), rel=1e-12)


def test_one_pull_is_worth_half_and_two_pulls_by_hand():
    assert bayes_optimal_bandit(3, 1) == 0.5
    assert bayes_optimal_bandit(3, 2) == pytest.approx(0.5 + 0.5 * 2 / 3 + 0.5 * 0.5)  # stay on success, else a new arm


@pytest.mark.parametrize(("mean", "regret"), [(0.1, 0.625), (0.75, 1.000), (0.4, 2.312), (0.5, 0.0)])
def test_dependent_arms_cost_a_binomial_sum(mean, regret):
    assert bayes_optimal_dependent_regret(np.asarray([mean])) == pytest.approx(regret, abs=6e-4)


def test_uniform_dependent_arms_cost_its_mean():
    assert bayes_optimal_dependent_regret((np.arange(4000) + 0.5) / 4000) == pytest.approx(1.221, abs=6e-4)


def test_finite_horizon_indices_of_short_horizons():
    indices = finite_horizon_indices(3)
    assert indices[2, 0, 0] == pytest.approx(1 / 2, abs=1e-4)
    assert indices[2, 2, 0] == pytest.approx(3 / 4, abs=1e-4)
    # Two pulls left: pull, and go on after a success only: (1/2 + 1/2 * 2/3) / (1 + 1/2).
    assert indices[1, 0, 0] == pytest.approx(5 / 9, abs=1e-4)
    # Three left: go on until the first failure, since even after one success a failure leaves a mean of 1/2 only.
    stop_after_failure = (1 / 2 + 1 / 2 * (2 / 3) + 1 / 3 * (3 / 4)) / (1 + 1 / 2 + 1 / 3)
    assert indices[0, 0, 0] == pytest.approx(stop_after_failure, abs=1e-4)


# --- policies --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("agent", "expected"),
    [
        (Greedy(5), 6.6262),  # exact; with ties to the first arm it would be 6.570
        (UCB1(5, 0.2), 6.640),
    ],
)
def test_ten_pulls_on_five_arms_earn_the_known_return(agent, expected):
    assert abs(10 * 5 / 6 - mean_regret(independent(agent, 10, 20_000)) - expected) < 4 * 0.01


@pytest.mark.parametrize(
    ("agent", "num_tasks", "expected", "error"),
    [
        (Thompson(2), 1500, 2.79, 0.23),
        (Gittins(2, 100), 5000, 1.748, 0.16),  # the Bayes-optimal regret; greedy has 2.7
    ],
)
def test_a_hundred_pulls_on_two_arms_cost_the_known_regret(agent, num_tasks, expected, error):
    assert abs(mean_regret(independent(agent, 100, num_tasks)) - expected) < error


@pytest.mark.parametrize(
    ("agent", "tasks", "expected", "error"),
    [
        (DependentGreedy(), bandits.dependent_bandits(0.1), 0.625, 0.06),
        (DependentGreedy(), bandits.uniform_dependent_bandits(), 1.221, 0.16),
        (DependentThompson(), bandits.dependent_bandits(0.1), 1.23, 0.10),  # independent Thompson: 2.13
    ],
)
def test_dependent_arms_cost_the_known_regret(agent, tasks, expected, error):
    drawn = sample_tasks(tasks, jax.random.key(1), 3000)
    assert abs(mean_regret(play(bandits.BernoulliBandit(2), agent, drawn, 100)) - expected) < error


def test_asking_first_earns_the_optimum_of_the_eleven_arms():
    trials = play(bandits.InformativeBandit(), AskThenExploit(), bandits.informative_bandits().tasks, 5)
    returns = jax.vmap(bandits.total_return)(trials)
    np.testing.assert_allclose(returns, 20.0 + 0.1 * np.arange(1, 11), rtol=1e-6)
    assert trials.transitions.action[:, 0].ravel().tolist() == [10] * 10


def test_the_restless_filter_follows_fast_drift():
    tasks = sample_tasks(bandits.restless_bandits(0.1), jax.random.key(1), 300)
    regret = mean_regret(play(bandits.RestlessBandit(), RestlessBayes((0.02, 0.1)), tasks, 100))
    assert regret == pytest.approx(5.57, abs=0.7)  # policies that count without forgetting: 11 and more


def test_the_restless_filter_moves_like_the_walk():
    agent = RestlessBayes((0.02, 0.5), num_cells=50)
    np.testing.assert_allclose(agent.moves.sum(axis=2), 1.0, rtol=1e-5)
    np.testing.assert_allclose(agent.moves.sum(axis=1), 1.0, rtol=1e-5)  # uniform is stationary
    walked = 0.05 + 0.5 * np.asarray(jax.random.normal(jax.random.key(0), (20_000,)))
    walked = 1 - np.abs(1 - walked % 2)
    expected = np.histogram(walked, 5, (0, 1))[0] / 20_000
    np.testing.assert_allclose(agent.moves[1, 2].reshape(5, 10).sum(axis=1), expected, atol=0.02)


def test_epsilon_greedy_explores_as_often_as_it_says():
    picked = choices(EpsilonGreedy(4, 0.4), counts([0, 9, 0, 0], [9, 0, 9, 9]))
    np.testing.assert_allclose(np.bincount(picked, minlength=4) / 2000, [0.1, 0.7, 0.1, 0.1], atol=0.045)


def test_thompson_picks_an_arm_as_often_as_it_is_probably_best():
    picked = choices(Thompson(2), counts([1, 0], [0, 0]))  # P(Beta(2, 1) > U) = 2/3
    assert float(jnp.mean(picked == 0)) == pytest.approx(2 / 3, abs=0.045)


def test_dependent_thompson_learns_from_the_other_arm():
    picked = choices(DependentThompson(), counts([0, 0], [0, 1]))  # a failure of arm 1 speaks for p: P(Beta(2,1) > 1/2)
    assert float(jnp.mean(picked == 0)) == pytest.approx(3 / 4, abs=0.04)


@pytest.mark.parametrize(
    ("successes", "discount", "choice"),
    [
        (3, 1.0, 1),  # by hand: indices 0.8348 of the arm with 3 successes and a failure, 0.8536 of the new one
        (4, 1.0, 0),  # 0.8591 and 0.8536
        (3, 0.5, 0),  # 0.7269 and 0.6820
    ],
)
def test_whittles_closed_form_orders_arms_as_by_hand(successes, discount, choice):
    memory = counts([successes, 0], [1, 0])
    assert set(choices(ApproximateGittins(2, discount), memory).tolist()) == {choice}


def test_ucb1_weighs_mean_and_bonus():
    memory = counts([6, 1], [2, 1])  # means 0.7 and 0.5, bonuses c sqrt(2 ln 10 / 10) and c sqrt(2 ln 10 / 4)
    boundary = 0.2 / (np.sqrt(2 * np.log(10) / 4) - np.sqrt(2 * np.log(10) / 10))
    assert set(choices(UCB1(2, 0.98 * boundary), memory).tolist()) == {0}
    assert set(choices(UCB1(2, 1.02 * boundary), memory).tolist()) == {1}


@pytest.mark.parametrize("agent", [Greedy(3), UCB1(3), Gittins(3, 10), ApproximateGittins(3)])
def test_ties_are_broken_evenly(agent):
    picked = choices(agent, counts([1, 1, 0], [0, 0, 3]))
    np.testing.assert_allclose(np.bincount(picked, minlength=3) / 2000, [0.5, 0.5, 0.0], atol=0.05)


def test_gittins_is_greedy_beyond_its_horizon():
    memory = counts([5, 0], [2, 1])  # eight pulls made
    assert set(choices(Gittins(2, 4), memory).tolist()) == {0}


def test_a_trial_is_a_function_of_its_key_and_counts_every_pull():
    trials, again = independent(Thompson(2), 100, 1500), independent(Thompson(2), 100, 1500)
    assert eqx.tree_equal(trials, again)
    assert all(eqx.is_array(leaf) for leaf in jax.tree.leaves(trials.memories))
    successes, failures = trials.memories
    np.testing.assert_array_equal((successes + failures).sum(axis=-1), np.tile(np.arange(100), (1500, 1)))
    rewards = np.asarray(trials.transitions.next_timestep.reward).reshape(1500, 100)
    np.testing.assert_array_equal(successes.sum(axis=-1)[:, 1:], rewards.cumsum(axis=1)[:, :-1])
    assert set(np.unique(trials.transitions.action)) == {0, 1}


def test_random_covers_discrete_and_boxed_actions():
    discrete = choices(Random(EnvSpec(Discrete(1), Discrete(4), 1)), NoMemory())
    np.testing.assert_allclose(np.bincount(discrete, minlength=4) / 2000, 0.25, atol=0.05)
    boxed = np.asarray(choices(Random(EnvSpec(Discrete(1), Box((2,), -1.0, 3.0), 1)), NoMemory()))
    assert boxed.shape == (2000, 2)
    np.testing.assert_allclose(np.quantile(boxed, [0.0, 0.5, 1.0], axis=0), [[-1] * 2, [1] * 2, [3] * 2], atol=0.2)


def test_random_argmax_draws_among_the_best():
    keys = jax.random.split(jax.random.key(0), 3000)
    scores = jnp.asarray([2.0, 1.0, 2.0, 2.0])
    picked = jax.vmap(lambda key: random_argmax(key, scores))(keys)
    np.testing.assert_allclose(np.bincount(picked, minlength=4) / 3000, [1 / 3, 0, 1 / 3, 1 / 3], atol=0.04)


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: Gittins(2, 0), "num_pulls=0"),
        (lambda: Gittins(2, 500), "ApproximateGittins"),
        (lambda: RestlessBayes(()), "step_sizes"),
        (lambda: RestlessBayes((0.0,)), "step_sizes"),
        (lambda: Random(EnvSpec(Discrete(1), Box((2,)), 1)), "finite bounds"),
    ],
)
def test_bad_arguments_are_named(build, message):
    with pytest.raises(ValueError, match=message):
        build()
