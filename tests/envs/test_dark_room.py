import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from innerloop._collect import JaxCollector
from innerloop.benchmarks import benchmark
from innerloop.envs.dark_room import DarkKeyToDoor, DarkRoom, KeyDoorTask, dark_goals, dark_keys_and_doors
from innerloop.envs.gridnavi import GridTask
from innerloop.envs.wrappers import RevealTask
from innerloop.references.dark_room import KeyOracle, Oracle, best_returns

STAY, UP, RIGHT, DOWN, LEFT = range(5)


def cells(*positions):
    return [jnp.array(position, jnp.int32) for position in positions]


def walk(position, action, size):
    dx, dy = {STAY: (0, 0), UP: (0, 1), RIGHT: (1, 0), DOWN: (0, -1), LEFT: (-1, 0)}[action]
    return min(max(position[0] + dx, 0), size - 1), min(max(position[1] + dy, 0), size - 1)


def goal_rules(goal):
    return lambda position: float(position == goal)


def key_rules(key, door):
    """What a step pays, with what has been achieved so far."""
    achieved = []

    def pay(position):
        if "key" not in achieved:
            achieved.extend(["key"] if position == key else [])
            return float(position == key)
        if "door" not in achieved and position == door:
            achieved.append("door")
            return 1.0
        return 0.0

    return pay


@pytest.mark.parametrize(
    ("env", "task", "pay", "total"),
    [
        (DarkRoom(), GridTask(*cells((6, 5))), goal_rules((6, 5)), 1.0),
        (DarkRoom(5, 60), GridTask(*cells((2, 2))), goal_rules((2, 2)), 1.0),
        (DarkKeyToDoor(3), KeyDoorTask(*cells((2, 2), (0, 1))), key_rules((2, 2), (0, 1)), 2.0),
        (DarkKeyToDoor(3), KeyDoorTask(*cells((1, 2), (1, 2))), key_rules((1, 2), (1, 2)), 2.0),
    ],
    ids=["goal", "goal-at-start", "key-to-door", "key-at-door"],
)
def test_steps_follow_an_independent_loop(env, task, pay, total):
    size, rng, step = env.room.size, np.random.default_rng(0), jax.jit(env.step)
    state, timestep = env.reset(jax.random.key(0), task)
    position, earned = (size // 2, size // 2), 0.0
    script = [RIGHT, RIGHT, UP, STAY, LEFT]
    for number in range(env.spec.max_steps):
        assert int(timestep.obs) == position[0] + size * position[1]
        action = script[number] if number < len(script) else int(rng.integers(5))
        position = walk(position, action, size)
        state, timestep = step(jax.random.key(0), task, state, jnp.asarray(action, jnp.int32))
        assert float(timestep.reward) == pay(position)
        assert (float(timestep.discount), bool(timestep.last)) == (1.0, number == env.spec.max_steps - 1)
        earned += float(timestep.reward)
    assert earned >= total


def test_nothing_but_staying_takes_key_and_door_in_the_same_cell():
    env, task = DarkKeyToDoor(3), KeyDoorTask(*cells((1, 1), (1, 1)))
    step = jax.jit(env.step)
    state, timestep = env.reset(jax.random.key(0), task)
    rewards = [float(timestep.reward)]
    for _ in range(4):
        state, timestep = step(jax.random.key(0), task, state, jnp.asarray(STAY, jnp.int32))
        rewards.append(float(timestep.reward))
    assert rewards == [0, 1, 1, 0, 0]


def returns(env, agent, tasks, num_episodes):
    revealed = RevealTask(env, jax.tree.map(lambda leaf: leaf[0], tasks))
    play = eqx.filter_jit(JaxCollector(revealed, dark_goals(), 1, num_episodes).play)
    return np.asarray(play(jax.random.key(0), agent, tasks).returns())[:, :, 0]


def test_knowing_the_goal_is_worth_16_54_of_20():
    env, tasks = DarkRoom(), dark_goals().tasks
    earned = returns(env, Oracle(env), tasks, 1)[:, 0]
    np.testing.assert_array_equal(earned, best_returns(env, np.asarray(tasks.goal)))
    assert earned.mean() == pytest.approx(1340 / 81)
    assert round(1340 / 81, 2) == 16.54


def test_knowing_key_and_door_opens_the_door_in_every_episode():
    env = DarkKeyToDoor()
    tasks = dark_keys_and_doors().take(jnp.arange(0, 6561, 41))
    np.testing.assert_array_equal(returns(env, KeyOracle(env), tasks, 2), 2.0)


@pytest.mark.parametrize(("name", "sizes"), [("dark-room", [64, 17]), ("dark-key-to-door", [5248, 1313])])
def test_all_tasks_are_in_one_part_or_the_other(name, sizes):
    row = benchmark(name)
    parts = [np.concatenate(jax.tree.leaves(part.tasks), axis=1).tolist() for part in (row.train, row.test)]
    assert [len(part) for part in parts] == sizes
    assert len({tuple(task) for part in parts for task in part}) == sum(sizes) == 81 ** (len(parts[0][0]) // 2)


def test_the_known_value_is_that_of_the_test_goals():
    row = benchmark("dark-room")
    away = np.abs(np.asarray(row.test.tasks.goal) - 4).sum(axis=1)
    assert row.known["last"]["oracle"] == pytest.approx((21 - np.where(away == 0, 1, away)).mean())


def test_wrong_sizes_are_named():
    with pytest.raises(ValueError, match="size=4"):
        DarkRoom(4)
