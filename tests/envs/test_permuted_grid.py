import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from innerloop import check_env
from innerloop._collect import JaxCollector
from innerloop._evaluate import evaluate
from innerloop.benchmarks import benchmark
from innerloop.envs.gridnavi import MOVES
from innerloop.envs.permuted_grid import CodedTask, GridPlace, PermutedGrid, coded_tasks
from innerloop.envs.wrappers import RevealTask
from innerloop.references.permuted_grid import Guide

KEY = jax.random.key(0)


def test_a_task_has_its_own_goal_and_its_own_actions():
    env, tasks = PermutedGrid(3, max_steps=2), coded_tasks(3).tasks
    step = eqx.filter_jit(env.step)
    for k in range(3):
        goal, moves = np.asarray(env.goals[k]), np.asarray(env.moves[k])
        assert sorted(map(tuple, moves.tolist())) == sorted(MOVES)
        start = goal + np.where(goal < 2, [1, 0], [-1, 0])
        place, task = GridPlace(jnp.asarray(start, jnp.int32), jnp.zeros((), jnp.int32)), CodedTask(tasks.code[k])
        for a in range(5):
            after, timestep = step(KEY, task, place, jnp.asarray(a, jnp.int32))
            expected = np.clip(start + moves[a], 0, 4)
            assert after.position.tolist() == expected.tolist()
            np.testing.assert_allclose(timestep.obs, expected / 2 - 1)
            assert env.locate(timestep.obs).tolist() == expected.tolist()
            assert float(timestep.reward) == float((expected == goal).all())
            assert not bool(timestep.last)
        _, timestep = step(KEY, task, after, jnp.asarray(0, jnp.int32))
        assert (bool(timestep.last), float(timestep.discount)) == (True, 1.0)


def test_tasks_conflict():
    """No two are alike, and no order of actions serves all: the best action of a cell differs between tasks."""
    env = PermutedGrid(100)
    pairs = {(*goal, *np.ravel(moves)) for goal, moves in zip(env.goals.tolist(), env.moves.tolist(), strict=True)}
    assert len(pairs) == 100
    assert len({tuple(np.ravel(moves)) for moves in env.moves[:10].tolist()}) > 5
    check_env(PermutedGrid(4), coded_tasks(4))


@pytest.mark.parametrize("name", ["ten-tasks", "hundred-tasks"])
def test_the_known_values_are_those_of_dynamic_programming(name):
    """Random: every action of a cell leads out of it as often as into it, so all 25 stay equally likely: 10 / 25."""
    row, best, blind = benchmark(name), [], []
    for goal, moves in zip(np.asarray(row.env.goals), np.asarray(row.env.moves), strict=True):
        cells = np.stack(np.meshgrid(range(5), range(5), indexing="ij"), axis=-1).reshape(25, 2)
        after = np.clip(cells[:, None] + moves, 0, 4)
        pays = (after == goal).all(axis=-1).astype(float)
        following = after[..., 0] * 5 + after[..., 1]
        value, average = np.zeros(25), np.zeros(25)
        for _ in range(10):
            value = (pays + value[following]).max(axis=1)
            average = (pays + average[following]).mean(axis=1)
        best.append(value.mean())
        blind.append(average.mean())
    known = row.known["return"]
    np.testing.assert_allclose([np.mean(best), np.mean(blind)], [known["optimal"], known["random"]], atol=5e-4)


def test_the_guide_earns_the_optimum():
    row = benchmark("ten-tasks")
    env = RevealTask(row.env, row.test.sample(KEY))
    curve = evaluate(KEY, Guide(row.env), JaxCollector(env, row.test, 4000, 1))
    assert abs(curve.per_episode()[0] - 7.4) < 4 * curve.returns.std() / 4000**0.5


def test_too_many_tasks_are_refused():
    with pytest.raises(ValueError, match="num_tasks=3001"):
        PermutedGrid(3001)
