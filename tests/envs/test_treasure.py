import functools

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from innerloop._collect import JaxCollector
from innerloop._task import sample_tasks
from innerloop.benchmarks import benchmark
from innerloop.envs.treasure import TreasureHunt, TreasureTask, treasures
from innerloop.envs.wrappers import RevealTask
from innerloop.references.treasure import best_returns


def rules(position, treasure, action):
    """One step, written down once more: position, reward, what is seen."""
    position = np.clip(position + 0.1 * np.clip(action, -1, 1), -1.5, 1.5)
    away = np.linalg.norm(position)
    if away <= 0.5:
        reward = -5 - (0.5 - away)
    elif np.linalg.norm(position - treasure) <= 0.1:
        reward = 10.0
    else:
        reward = -5 * max(1.0, away)
    return position, reward, treasure if away < 0.1 else np.zeros(2)


def test_steps_follow_an_independent_loop():
    env, treasure = TreasureHunt(), np.array([0.6, 0.8])
    task, step = TreasureTask(jnp.asarray(treasure, jnp.float32)), jax.jit(env.step)
    noise = np.asarray(jax.random.normal(jax.random.key(1), (100, 2)))
    state, timestep = env.reset(jax.random.key(0), task)
    np.testing.assert_array_equal(timestep.obs, [0, -1, 0, 0])
    position, rewards, sights = np.array([0.0, -1.0]), [], 0
    for number in range(100):  # to the mountain, to the treasure, into the corner
        target = (np.zeros(2), treasure, np.array([-2.0, 3.0]))[number * 3 // 100]
        action = 10 * (target - position) + 0.3 * noise[number]
        position, reward, seen = rules(position, treasure, action)
        state, timestep = step(jax.random.key(0), task, state, jnp.asarray(action, jnp.float32))
        np.testing.assert_allclose(timestep.obs, [*position, *seen], atol=1e-4)
        assert float(timestep.reward) == pytest.approx(reward, abs=1e-4)
        assert (float(timestep.discount), bool(timestep.last)) == (1.0, number == 99)
        rewards.append(reward)
        sights += bool(seen.any())
    assert sights > 10
    assert max(rewards) == 10.0
    assert min(rewards) == pytest.approx(-7.5 * np.sqrt(2))


def test_the_treasure_is_seen_from_the_top_only_and_that_takes_ten_steps():
    env, task = TreasureHunt(), TreasureTask(jnp.array([0.6, 0.8]))
    step = jax.jit(env.step)
    state, _ = env.reset(jax.random.key(0), task)
    seen, rewards = [], []
    for _ in range(12):
        state, timestep = step(jax.random.key(0), task, state, jnp.array([0.0, 1.0]))
        seen.append(np.asarray(timestep.obs[2:]).tolist())
        rewards.append(float(timestep.reward))
    expected = [[0.0, 0.0]] * 9 + [np.asarray(task.treasure).tolist()] + [[0.0, 0.0]] * 2
    assert seen == expected
    np.testing.assert_allclose(rewards, [-5.0] * 5 + [-5.1, -5.2, -5.3, -5.4, -5.5, -5.4, -5.3], atol=1e-5)


def test_treasures_are_spread_over_the_circle():
    where = np.asarray(sample_tasks(treasures(), jax.random.key(0), 4000).treasure)
    np.testing.assert_allclose(np.linalg.norm(where, axis=1), 1.0, atol=1e-5)
    counts = np.histogram(np.arctan2(where[:, 1], where[:, 0]), 8, (-np.pi, np.pi))[0]
    assert np.abs(counts - 500).max() < 110


def around(num_tasks):
    angle = 2 * np.pi * (np.arange(num_tasks) + 0.5) / num_tasks
    return np.stack([np.cos(angle), np.sin(angle)], axis=1)


@functools.cache
def played(name):
    """The trials of a reference on 600 treasures all around, which are also returned."""
    row, where = benchmark("treasure"), around(600)
    tasks = TreasureTask(jnp.asarray(where, jnp.float32))
    reference = row.references[name]
    env = RevealTask(row.env, row.train.sample(jax.random.key(0))) if reference.reveals_task else row.env
    play = eqx.filter_jit(JaxCollector(env, row.test, len(where), 1).play)
    return play(jax.random.key(0), reference.agent(), tasks), where


def returns(name):
    return np.asarray(played(name)[0].returns()).reshape(-1)


@pytest.mark.parametrize("name", ["circler", "climber", "oracle"])
def test_references_earn_what_is_known(name):
    assert returns(name).mean() == pytest.approx(benchmark("treasure").known["return"][name], abs=0.4)


def test_the_oracle_reaches_the_bound_wherever_the_treasure_is():
    trials, where = played("oracle")
    np.testing.assert_allclose(trials.returns().reshape(-1), best_returns(TreasureHunt(), where), atol=1e-3)


def test_the_bound_counts_steps():
    where = np.array([[0.0, 1.0], [0.0, -1.0], [1.0, 0.0], [np.sqrt(0.5), -np.sqrt(0.5)]])
    # 2 - 0.1 upwards; none; 1 - 0.1/√2 along both; 0.707 - 0.1 to the right
    np.testing.assert_allclose(best_returns(TreasureHunt(), where), 1015 - 15 * np.array([19, 1, 10, 7]))


@pytest.mark.parametrize(
    ("name", "reached_top", "found", "saw_first"), [("climber", 1, 1, 1), ("circler", 0, 1, 0), ("oracle", 0, 1, 0)]
)
def test_metrics_tell_the_ways_apart(name, reached_top, found, saw_first):
    metrics = benchmark("treasure").metrics
    values = {key: float(jax.jit(jax.vmap(metric))(played(name)[0]).mean()) for key, metric in metrics.items()}
    read = saw_first and found
    assert values == {
        "reached_top": reached_top,
        "found_treasure": found,
        "saw_first": saw_first,
        "read_treasure": read,
    }


def test_who_climbs_and_does_not_find_has_not_read():
    trials, _ = played("climber")
    trial = jax.tree.map(lambda leaf: leaf[100], trials)
    stays = eqx.tree_at(
        lambda t: t.transitions.next_timestep.obs, trial, replace_fn=lambda obs: obs.at[..., 12:, :].set(0.0)
    )
    metrics = benchmark("treasure").metrics
    assert float(metrics["saw_first"](stays)) == 1
    assert float(metrics["read_treasure"](stays)) == 0


def test_a_look_after_the_find_does_not_count():
    trials, _ = played("climber")
    trial = jax.tree.map(lambda leaf: leaf[100], trials)
    backwards = eqx.tree_at(lambda t: t.transitions.next_timestep.obs, trial, replace_fn=lambda obs: obs[..., ::-1, :])
    metrics = benchmark("treasure").metrics
    values = {name: float(jax.jit(metric)(backwards)) for name, metric in metrics.items()}
    assert values == {"reached_top": 1, "found_treasure": 1, "saw_first": 0, "read_treasure": 0}


def test_wrong_arguments_are_named():
    with pytest.raises(ValueError, match=r"treasure_reward=0\.0"):
        TreasureHunt(treasure_reward=0.0)
    with pytest.raises(ValueError, match=r"step_cost=-1\.0"):
        TreasureHunt(step_cost=-1.0)
