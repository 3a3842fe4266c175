import jax
import jax.numpy as jnp
import numpy as np
import pytest

from innerloop.envs.gridnavi import GridNavi, GridTask, gridnavi_goals


def play(env, goal, actions):
    task = GridTask(jnp.array(goal, jnp.int32))
    state, timestep = env.reset(jax.random.key(0), task)
    step = jax.jit(env.step)
    seen = []
    for action in actions:
        state, timestep = step(jax.random.key(0), task, state, jnp.asarray(action, jnp.int32))
        seen.append((*np.asarray(env.locate(timestep.obs)).tolist(), round(float(timestep.reward), 6)))
    return seen, timestep


@pytest.mark.parametrize("obs", ["xy", "cell"])
def test_moves_rewards_and_borders(obs):
    env = GridNavi(obs=obs)
    seen, timestep = play(env, (2, 1), [4, 3, 2, 1, 2, 0, 2, 4])
    assert seen == [
        (0, 0, -0.1),
        (0, 0, -0.1),
        (1, 0, -0.1),
        (1, 1, -0.1),
        (2, 1, 1.0),
        (2, 1, 1.0),
        (3, 1, -0.1),
        (2, 1, 1.0),
    ]
    assert not bool(timestep.last)


def test_the_goal_does_not_end_the_episode_but_time_does():
    env = GridNavi()
    _, before = play(env, (2, 0), [2, 2] + [0] * 12)
    _, after = play(env, (2, 0), [2, 2] + [0] * 13)
    assert (bool(before.last), bool(after.last), float(after.discount)) == (False, True, 1.0)


def test_the_far_corner_is_reachable_and_observed():
    seen, timestep = play(GridNavi(), (4, 4), [1, 2] * 4 + [1, 2])
    assert seen[6:] == [(3, 4, -0.1), (4, 4, 1.0), (4, 4, 1.0), (4, 4, 1.0)]
    np.testing.assert_allclose(timestep.obs, [1.0, 1.0])


def test_the_start_cell_may_show_the_goal_whenever_one_stands_there():
    env, task = GridNavi(shows_goal=True), GridTask(jnp.array([4, 2], jnp.int32))
    _, timestep = env.reset(jax.random.key(0), task)
    np.testing.assert_array_equal(env.locate(timestep.obs), [4, 2])
    seen, _ = play(env, (4, 2), [0, 2, 4, 2, 2, 2, 2, 1, 1])
    assert [step[:2] for step in seen] == [(4, 2), (1, 0), (4, 2), (1, 0), (2, 0), (3, 0), (4, 0), (4, 1), (4, 2)]
    assert [step[2] for step in seen] == [-0.1] * 8 + [1.0]


def test_a_dense_reward_says_how_far_the_goal_is():
    seen, _ = play(GridNavi(dense_reward=True), (2, 1), [3, 2, 2, 1, 0, 1])
    assert [step[2] for step in seen] == [-0.6, -0.4, -0.2, 1.0, 1.0, -0.2]


def test_there_are_21_goals_away_from_the_start():
    goals = {tuple(goal) for goal in np.asarray(gridnavi_goals().tasks.goal).tolist()}
    assert len(goals) == 21
    assert goals.isdisjoint({(0, 0), (0, 1), (1, 0), (1, 1)})


def test_bad_arguments_are_named():
    with pytest.raises(ValueError, match="size=2"):
        GridNavi(size=2)
