import jax
import jax.numpy as jnp
import numpy as np
import pytest

from innerloop import bridges
from innerloop._extras import package
from playing import end, only, ordinary, play, run

pytest.importorskip("brax")
pytestmark = pytest.mark.filterwarnings("ignore:Brax System:UserWarning")


def theirs(name, num_steps, key, actions, **settings):
    """The package with its own clock, which does not reset."""
    with ordinary():
        env = package("brax", "envs").create(
            name, episode_length=num_steps, auto_reset=False, backend="spring", **settings
        )

    def one(key, actions):
        def step(state, action):
            state = env.step(state, action)
            return state, (state.obs, state.reward, state.done, state.info["truncation"], state.metrics)

        first = env.reset(key)
        return first.obs, jax.lax.scan(step, first, actions)[1]

    return only(run(one, key[None], actions[None]))


def ours(env, targets, key, actions):
    """The same episode of several tasks."""

    def repeat(x):
        return jnp.broadcast_to(x, (len(targets), *x.shape))

    tasks = bridges.BraxTask(jnp.asarray(targets))
    return play(env, tasks, repeat(key), repeat(jax.random.split(key, len(actions))), repeat(actions))


def test_the_cheetah_is_the_packages_but_for_what_it_is_asked():
    num_steps, key = 6, jax.random.key(0)
    actions = jax.random.uniform(jax.random.key(1), (num_steps, 6), minval=-1.0, maxval=1.0)
    first, (obs, reward, done, truncation, metrics) = theirs(
        "halfcheetah", num_steps, key, actions, ctrl_cost_weight=0.05
    )
    made = bridges.brax("halfcheetah", "direction", max_steps=num_steps, ctrl_cost_weight=0.05)
    assert made.env.spec.obs.shape == (17,)
    np.testing.assert_array_equal(made.train.tasks.target, [1.0, -1.0])
    found = ours(made.env, [1.0, -1.0], key, actions)
    for obs_here in found.obs:
        np.testing.assert_allclose(obs_here, np.concatenate([first[None], obs]), rtol=1e-2, atol=2e-3)
    costs = 0.05 * np.square(np.asarray(actions)).sum(axis=1)
    np.testing.assert_allclose(found.reward[0, 1:], reward, rtol=1e-2, atol=2e-3)
    np.testing.assert_allclose(found.reward[1, 1:], -metrics["x_velocity"] - costs, rtol=1e-2, atol=2e-3)
    assert end(found.last[0]) == num_steps
    assert done[-1] == truncation[-1] == found.discount[0, -1] == 1.0  # time ran out
    swift = bridges.brax("halfcheetah", "velocity", max_steps=num_steps, ctrl_cost_weight=0.05)
    targets = jax.vmap(swift.train.sample)(jax.random.split(jax.random.key(0), 500)).target
    assert 0 <= targets.min() < 0.1 < 2.9 < targets.max() < 3
    found = ours(swift.env, [2.0], key, actions)
    np.testing.assert_allclose(found.reward[0, 1:], -np.abs(metrics["x_velocity"] - 2.0) - costs, rtol=1e-2, atol=2e-3)


def test_a_fall_terminates():
    num_steps, key = 30, jax.random.key(0)
    actions = jnp.ones((num_steps, 1))
    _, (_, reward, done, truncation, _) = theirs("inverted_pendulum", num_steps, key, actions)
    found = only(ours(bridges.brax("inverted_pendulum", max_steps=num_steps).env, [0.0], key, actions))
    last = end(done == 1)
    assert last < num_steps - 1
    assert end(found.last) == last + 1
    assert found.discount[last + 1] == truncation[last] == 0.0
    np.testing.assert_allclose(found.reward[1 : last + 2], reward[: last + 1], rtol=1e-4)


def test_wrong_names_are_named():
    for call, message in (
        (lambda: bridges.brax("cheetah"), r"name='cheetah'\): choose one of .*halfcheetah"),
        (lambda: bridges.brax("inverted_pendulum", "velocity"), r"no term for running; try halfcheetah"),
        (lambda: bridges.brax(max_velocity=0.0), r"max_velocity=0.0\): must be positive"),
    ):
        with pytest.raises(ValueError, match=message):
            call()
