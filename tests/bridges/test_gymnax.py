import jax
import jax.numpy as jnp
import numpy as np
import pytest

from innerloop import bridges
from innerloop._env import Box, Discrete
from playing import end, only, play, run

gym = pytest.importorskip("gymnax")


def theirs(package, params, key, step_keys, actions):
    """What the package's own `step` says, before it resets; `step` splits its keys."""

    def one(key, step_keys, actions):
        obs, state = package.reset_env(key, params)

        def step(state, inputs):
            _, state, reward, terminated, truncated, info = package.step(inputs[0], state, inputs[1], params)
            return state, (info["final_observation"], reward, terminated, truncated)

        return obs, jax.lax.scan(step, jax.tree.map(jnp.asarray, state), (step_keys, actions))[1]

    return only(run(one, key[None], step_keys[None], actions[None]))


def ours(env, task, key, step_keys, actions):
    inner = jax.vmap(lambda key: jax.random.split(key)[0])(step_keys)
    return only(play(env, jax.tree.map(lambda x: x[None], task), key[None], inner[None], actions[None]))


@pytest.mark.parametrize(("name", "ends"), [("CartPole-v1", "terminated"), ("Pendulum-v1", "truncated")])
def test_every_step_is_the_packages(name, ends):
    num_steps = 60
    made, (package, params) = bridges.gymnax(name, params={"max_steps_in_episode": num_steps}), gym.make(name)
    params, space = params.replace(max_steps_in_episode=num_steps), made.env.spec.action
    actions = (
        jax.random.randint(jax.random.key(1), (num_steps,), 0, space.num_values)
        if isinstance(space, Discrete)
        else jax.random.uniform(jax.random.key(1), (num_steps, 1), minval=-2.0, maxval=2.0)
    )
    key, step_keys = jax.random.key(2), jax.random.split(jax.random.key(0), num_steps)
    found = ours(made.env, made.train.sample(key), key, step_keys, actions)
    first, (obs, reward, terminated, truncated) = theirs(package, params, key, step_keys, actions)
    last = end(terminated | truncated)
    assert {"terminated": terminated, "truncated": truncated}[ends][last]
    np.testing.assert_allclose(found.obs[0], first, rtol=1e-6)
    np.testing.assert_allclose(found.obs[1 : last + 2], obs[: last + 1], rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(found.reward[1 : last + 2], reward[: last + 1], rtol=1e-3, atol=1e-4)
    np.testing.assert_array_equal(found.last[1 : last + 2], np.arange(last + 1) == last)
    np.testing.assert_array_equal(found.discount[1 : last + 2], 1.0 - terminated[: last + 1])


def test_what_varies_is_what_the_package_is_given():
    made = bridges.gymnax("CartPole-v1", vary={"gravity": (5.0, 15.0), "force_mag": (20.0, 30.0)})
    task = made.train.sample(jax.random.key(0))
    assert 5 < task.params[0] < 15
    assert 20 < task.params[1] < 30
    package, standard = gym.make("CartPole-v1")
    params = standard.replace(gravity=float(task.params[0]), force_mag=float(task.params[1]))
    keys, actions = jax.random.split(jax.random.key(1), 5), jnp.asarray([1, 0, 1, 1, 0])
    found = ours(made.env, task, keys[0], keys, actions)
    np.testing.assert_allclose(
        found.obs[1:], theirs(package, params, keys[0], keys, actions)[1][0], rtol=1e-4, atol=1e-5
    )
    assert not np.allclose(found.obs[1:], theirs(package, standard, keys[0], keys, actions)[1][0])


def test_what_is_held_stays_for_all_episodes_of_a_task():
    """Arms of a bandit: without holding, each reset would draw them anew."""
    made = bridges.gymnax("BernoulliBandit-misc", hold=("reward_probs", "exp_reward_best"))
    tasks = jax.vmap(made.train.sample)(jax.random.split(jax.random.key(0), 20))
    probs, best = tasks.held
    assert {round(float(x), 1) for x in probs[:, 0]} == {0.1, 0.9}
    np.testing.assert_allclose(best, 0.9, rtol=1e-6)
    states, first = jax.vmap(made.env.reset, (0, None))(
        jax.random.split(jax.random.key(1), 20), jax.tree.map(lambda x: x[0], tasks)
    )
    np.testing.assert_array_equal(states.reward_probs, jnp.broadcast_to(probs[0], (20, 2)))
    np.testing.assert_allclose(first.obs, np.tile([0, 1, 0, -1], (20, 1)))  # reward, action, time


def test_draws_that_are_made_once_are_split():
    params = {"resample_goal_pos": True}
    made = bridges.gymnax("FourRooms-misc", hold=("goal",), num_draws=2000, params=params, use_visual_obs=True)
    assert made.env.spec.obs == Box((13 * 13 * 2,))
    train, test = ({tuple(goal) for goal in np.asarray(part.tasks.held[0]).tolist()} for part in made[1:])
    assert len(train) == made.train.num_tasks
    assert len(train | test) == 104
    assert not train & test
    assert len(test) == 21


def test_wrong_names_and_spaces_are_named():
    for call, message in (
        (lambda: bridges.gymnax("CartPole-v2"), r"name='CartPole-v2'\): choose one of CartPole-v1"),
        (lambda: bridges.gymnax("CartPole-v1", vary={"mass": (0.0, 1.0)}), r"vary=mass\): choose among .*gravity"),
        (lambda: bridges.gymnax("CartPole-v1", vary={"gravity": (2.0, 1.0)}), r"gravity: \(2.0, 1.0\)\): low must"),
        (lambda: bridges.gymnax("CartPole-v1", hold=("goal",)), r"hold=goal\): choose among"),
        (lambda: bridges.gymnax("CartPole-v1", params={"goal": 1}), r"params=goal\): choose among"),
        (lambda: bridges.gymnax("CartPole-v1", num_draws=3), r"num_draws=3\): nothing to draw"),
    ):
        with pytest.raises(ValueError, match=message):
            call()
