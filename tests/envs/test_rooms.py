import functools

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from innerloop._collect import JaxCollector
from innerloop.benchmarks import benchmark
from innerloop.envs.rooms import Rooms, RoomsTask, rooms_tasks
from innerloop.envs.wrappers import RevealTask

MOVES = [(0, 0), (0, 1), (1, 0), (0, -1), (-1, 0)]
ROOMS = {(x, y) for middle in (-6, 0, 6) for x in range(middle - 1, middle + 2) for y in (-1, 0, 1)}
CELLS = ROOMS | {(x, 0) for x in range(-7, 8)}
PAY = (1.0, 10.0, 100.0)


def rules(goals, position, stage, action):
    """One step, written down once more: position, goals reached, reward."""
    target = (position[0] + MOVES[action][0], position[1] + MOVES[action][1])
    position = target if target in CELLS else position
    for number, goal in enumerate(goals):
        if position == goal and stage >= number:
            return position, max(stage, number + 1), PAY[number]
    return position, stage, -0.1


def tuples(goals):
    return [tuple(goal) for goal in np.asarray(goals).tolist()]


def test_steps_follow_an_independent_loop():
    env, goals = Rooms(300), [(1, 1), (5, -1), (1, -1)]
    task, step = RoomsTask(jnp.array(goals, jnp.int32)), jax.jit(env.step)
    state, timestep = env.reset(jax.random.key(0), task)
    position, stage, pays, rng = (0, 0), 0, set(), np.random.default_rng(0)
    too_early = [3, 2, 1, 1, 4, 1]
    in_turn = [2, 3, 2, 2, 1, 2, 2, 3, 0, 4, 1, 4, 4, 4, 4, 3, 0, 1, 1, 3, 3]
    for number in range(300):
        np.testing.assert_allclose(timestep.obs, [position[0] / 7, position[1]], atol=1e-6)
        script = too_early + in_turn
        action = script[number] if number < len(script) else int(rng.choice([0, 1, 2, 2, 2, 3, 4]))
        position, stage, reward = rules(goals, position, stage, action)
        state, timestep = step(jax.random.key(0), task, state, jnp.asarray(action, jnp.int32))
        assert float(timestep.reward) == pytest.approx(reward)
        assert (float(timestep.discount), bool(timestep.last)) == (1.0, number == 299)
        pays.add(reward)
    assert pays == {-0.1, *PAY}
    assert position[0] > 1  # the walk to the right meets walls


def test_there_are_48_tasks_of_the_right_kind():
    tasks = [tuple(tuples(goals)) for goals in rooms_tasks().tasks.goals]
    assert len(set(tasks)) == 48
    for first, second, third in tasks:
        assert {abs(x) for x in (*first, *third)} == {1}
        assert first != third
        assert (second[0] * first[0], abs(second[1])) in {(5, 1), (7, 1)}


@functools.cache
def best_return(goals):
    """By backward induction over cell and stage."""
    value = {(cell, stage): 0.0 for cell in CELLS for stage in range(4)}
    for _ in range(50):
        outcomes = {key: [rules(goals, *key, action) for action in range(5)] for key in value}
        value = {key: max(r + value[cell, stage] for cell, stage, r in ends) for key, ends in outcomes.items()}
    return value[(0, 0), 0]


def test_the_oracle_is_optimal_on_every_task():
    row = benchmark("rooms")
    env = RevealTask(row.env, row.test.take(jnp.asarray(0)))
    play = eqx.filter_jit(JaxCollector(env, row.test, 48, 2).play)
    trials = play(jax.random.key(0), row.references["oracle"].agent(), row.test.tasks)
    best = [best_return(tuple(tuples(goals))) for goals in row.test.tasks.goals]
    np.testing.assert_allclose(trials.returns()[:, :, 0], np.tile(np.array(best)[:, None], (1, 2)), rtol=1e-5)
    assert np.mean(best) == pytest.approx(row.known["return"]["oracle"], abs=0.05)
    one = jax.tree.map(lambda leaf: leaf[0], trials)
    assert float(row.metrics["goals_reached"](one)) == 3.0
