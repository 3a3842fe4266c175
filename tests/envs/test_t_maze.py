import jax
import jax.numpy as jnp
import numpy as np
import pytest

from innerloop._collect import JaxCollector
from innerloop._evaluate import evaluate
from innerloop.envs.t_maze import BACK, DOWN, FORWARD, UP, TMaze, TMazeTask, sides
from innerloop.references.t_maze import Walker

KEY = jax.random.key(0)


def play(side, actions, length=3):
    env, task = TMaze(length), TMazeTask(jnp.asarray(side, jnp.int32))
    step = jax.jit(env.step)
    state, timestep = env.reset(KEY, task)
    seen = [int(timestep.obs)]
    rewards = []
    for action in actions:
        state, timestep = step(KEY, task, state, jnp.asarray(action, jnp.int32))
        seen.append(int(timestep.obs))
        rewards.append(round(float(timestep.reward), 4))
    return seen, rewards, bool(timestep.last), float(timestep.discount)


@pytest.mark.parametrize(("side", "turn", "paid"), [(0, UP, 1.0), (0, DOWN, 0.0), (1, DOWN, 1.0), (1, UP, 0.0)])
def test_the_cue_is_shown_once_and_says_which_turn_pays(side, turn, paid):
    seen, rewards, last, discount = play(side, [FORWARD] * 3 + [turn])
    assert seen[:4] == [2 + side, 0, 0, 1]
    assert rewards == [0.0, 0.0, 0.0, paid]
    assert (last, discount) == (True, 0.0)


def test_who_falls_behind_pays_for_every_step_and_misses_the_turn():
    _, rewards, last, _ = play(0, [BACK, FORWARD, FORWARD, UP])
    assert (rewards, last) == ([-0.3333] * 3 + [0.0], True)


def test_walls_stop_and_turns_in_the_corridor_do_nothing():
    seen, rewards, *_ = play(0, [UP, FORWARD, DOWN, FORWARD])
    assert seen == [2, 0, 0, 0, 0]
    assert rewards[:3] == [-0.3333] * 3


@pytest.mark.parametrize(("forgetful", "expected"), [(False, 1.0), (True, 0.5)])
def test_references_earn_what_is_known(forgetful, expected):
    collector = JaxCollector(TMaze(7), sides(), 400, 1)
    returns = np.asarray(evaluate(KEY, Walker(forgetful), collector).per_episode())
    np.testing.assert_allclose(returns.mean(), expected, atol=0.0 if not forgetful else 0.1)


def test_a_maze_without_corridor_is_refused():
    with pytest.raises(ValueError, match="length=0"):
        TMaze(0)
