"""Gymnasium's environments here: what they see and do, seeds, ends of episodes, and workers that are lost."""

import threading
import time
from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import innerloop as il
from innerloop._collect import NoStream
from innerloop.references.generic import Random

gymnasium = pytest.importorskip("gymnasium")
from counting import Counting, SlowToMake  # noqa: E402
from gymnasium import spaces  # noqa: E402

from innerloop.bridges import _spaces  # noqa: E402
from innerloop.bridges._codes import Decoder, Encoder  # noqa: E402
from innerloop.bridges._gymnasium import ToGymnasium, from_gymnasium, from_vector  # noqa: E402

KEY = jax.random.key(0)
NUM_TASKS, NUM_EPISODES = 6, 2


class Task(NamedTuple):
    length: jax.Array
    gain: jax.Array


TASKS = il.Finite(Task(jnp.array([2, 3, 4, 5]), jnp.array([1.0, 2.0, 3.0, 4.0])))


def collected(env, key=KEY, num_tasks=NUM_TASKS, num_episodes=NUM_EPISODES):
    collector = il.JaxCollector(env, TASKS, num_tasks, num_episodes)

    def collect(key):
        return collector.collect(key, Random(env.spec), NoStream())[0]

    return jax.jit(jax.vmap(collect) if key.ndim else collect)(key)


def same(trials, others):
    jax.tree.map(np.testing.assert_array_equal, trials, others)


@pytest.mark.parametrize("tell", ["options", "set_task", "constructor", lambda env, task: env.set_task(task)])
def test_episodes_are_those_of_the_env_itself(tell):
    """Each is played again by hand, with the task, the actions, and a new seed: all but the random number agrees."""
    trials = collected(from_gymnasium(Counting, 6, tell=tell))
    steps = trials.transitions
    assert len(np.unique(steps.timestep.obs[..., 0, 0])) == NUM_TASKS * NUM_EPISODES
    for i, j in np.ndindex(NUM_TASKS, NUM_EPISODES):
        env = Counting(int(trials.tasks.length[i]), float(trials.tasks.gain[i]))
        env.reset(seed=0)
        episode = jax.tree.map(lambda x: x[i, j, 0], steps)  # noqa: B023
        assert episode.valid.sum() == env.length
        for t in range(env.length):
            obs, reward, terminated, truncated, _ = env.step(int(episode.action[t]) + 1)
            seen = jax.tree.map(lambda x: x[t], episode.next_timestep)  # noqa: B023
            assert seen.obs[1] == obs[1]
            assert seen.obs[0] == episode.timestep.obs[0, 0]
            assert (seen.reward, seen.last, seen.discount == 0) == (reward, terminated or truncated, terminated)


def test_episodes_that_are_too_long_are_truncated():
    ends = collected(from_gymnasium(Counting, 3)).transitions
    assert ends.valid.sum() == sum(
        min(3, int(n)) for n in np.repeat(collected(from_gymnasium(Counting, 3)).tasks.length, 2)
    )
    assert ((ends.next_timestep.discount == 1) & ends.next_timestep.last & ends.valid).any()


def test_the_key_decides_everything():
    env = from_gymnasium(Counting, 6)
    same(collected(env), collected(env))
    same(collected(env), collected(from_gymnasium(Counting, 6)))
    both = collected(env, jnp.stack([KEY, jax.random.key(1)]))  # as over the seeds of a run
    same(jax.tree.map(lambda x: x[0], both), collected(env))
    first, second = both.transitions.timestep.obs
    assert (first != second).any()


def test_check_env_takes_one_and_finds_what_is_not_repeatable():
    assert il.check_env(from_gymnasium(Counting, 6), TASKS, num_tasks=4).num_terminated > 0

    class Forgetful(Counting):
        def reset(self, *, seed=None, options=None):
            return super().reset(options=options)

    with pytest.raises(ValueError, match=r"again|before|depend"):
        il.check_env(from_gymnasium(Forgetful, 6), TASKS, num_tasks=4)


@pytest.mark.parametrize("mode", [*gymnasium.vector.AutoresetMode, None])
@pytest.mark.filterwarnings("ignore")
def test_vector_environments_keep_the_last_observation_however_they_reset(mode, monkeypatch):
    """None is Gymnasium 1.0, which has no modes."""
    default = gymnasium.vector.AutoresetMode.NEXT_STEP
    if mode is None:
        monkeypatch.delattr(gymnasium.vector, "AutoresetMode")

    def make(num_envs):
        vector = gymnasium.vector.SyncVectorEnv([Counting] * num_envs, autoreset_mode=mode or default)
        vector.metadata = vector.metadata if mode else {}
        return vector

    def tell(vector, tasks):
        for env, task in zip(vector.envs, tasks, strict=True):
            env.set_task(task)

    def but_the_random_number(trials):
        """Seeds of vector environments have fewer bits."""
        steps = trials.transitions
        blank = [x._replace(obs=x.obs[..., 1]) for x in (steps.timestep, steps.next_timestep)]
        return jax.tree.map(lambda x: x * steps.valid.astype(x.dtype), (blank, steps.action))

    vector = from_vector(make, 6, tell)
    same(but_the_random_number(collected(vector)), but_the_random_number(collected(from_gymnasium(Counting, 6))))


@pytest.mark.filterwarnings("ignore")
def test_vector_environments_that_take_one_seed_are_seeded_by_all():
    def play(key):
        env = from_vector(lambda num_envs: gymnasium.make_vec("CartPole-v1", num_envs), 5, lambda vector, tasks: None)
        return collected(env, key)

    same(play(KEY), play(KEY))
    first, second = play(KEY).transitions.timestep.obs, play(jax.random.key(1)).transitions.timestep.obs
    assert (first[..., 0, :] != second[..., 0, :]).any()
    assert len(np.unique(first[:, :, 0, 0, 0])) == NUM_TASKS * NUM_EPISODES


def play_for_each_gain(env, key, gains):
    """A trial of three steps on two tasks, with the same keys for all gains, which the actions depend on."""

    def play(key, task, gain):
        def step(state, _):
            state, timestep = env.step(key, task, state, gain)
            return state, timestep

        state, first = env.reset(key, task)
        return first, jax.lax.scan(step, state, None, 3)[1]

    tasks, keys = jax.tree.map(lambda x: x[1:3], TASKS.tasks), jax.random.split(key, 2)
    return jax.jit(jax.vmap(lambda gain: jax.vmap(lambda *x: play(*x, gain))(keys, tasks)))(gains)


def test_agents_that_differ_play_the_same_episodes():
    env, gains = from_gymnasium(Counting, 6), jnp.arange(3)
    together = play_for_each_gain(env, KEY, gains)
    assert len(np.unique(together[1].reward[..., 0])) > 3
    for i in range(3):
        alone = play_for_each_gain(env, KEY, gains[i : i + 1])
        same(jax.tree.map(lambda x: x[i : i + 1], together), alone)  # noqa: B023


@pytest.mark.filterwarnings("ignore")
def test_agents_that_differ_need_episodes_that_start_the_same():
    class Forgetful(Counting):
        def reset(self, *, seed=None, options=None):
            return super().reset(options=options)

    with pytest.raises(jax.errors.JaxRuntimeError, match="started differently"):
        jax.block_until_ready(play_for_each_gain(from_gymnasium(Forgetful, 6), KEY, jnp.arange(3)))


def test_several_devices_are_refused_before_anything_is_played():
    env = from_gymnasium(Counting, 6)
    learner = il.PPO(partial(il.agents.Recurrent, env.spec, hidden_size=4), optax.sgd(0.1), num_minibatches=1)
    with pytest.raises(ValueError, match=r"num_devices=2.*num_workers"):
        il.train(KEY, learner, il.JaxCollector(env, TASKS, 4, 2, mesh=il.task_mesh(2)), 1)


@pytest.mark.parametrize("num_workers", [0, 1])
def test_an_id_of_the_programs_own_is_made_anywhere_and_max_steps_replaces_its_limit(num_workers, monkeypatch):
    registered = gymnasium.envs.registration.EnvSpec("Mine-v0", entry_point=Counting, max_episode_steps=2)
    monkeypatch.setitem(gymnasium.registry, "Mine-v0", registered)
    assert from_gymnasium("Mine-v0").spec.max_steps == 2
    env = from_gymnasium("Mine-v0", 6, num_workers=num_workers)
    same(collected(env), collected(from_gymnasium(Counting, 6)))
    env.host.pool.close()


def test_what_workers_cannot_get_is_said(monkeypatch):
    registered = gymnasium.envs.registration.EnvSpec("Main-v0", entry_point="__main__:Main", max_episode_steps=2)
    monkeypatch.setitem(gymnasium.registry, "Main-v0", registered)
    with pytest.raises(ValueError, match="register the class itself"):
        from_gymnasium("Main-v0", num_workers=1)
    lock = threading.Lock()

    def locked():
        with lock:
            return Counting()

    with pytest.raises(ValueError, match="cannot be sent to other processes"):
        from_gymnasium(locked, 6, num_workers=1)


def test_making_many_copies_may_take_the_timeout_for_each():
    env = from_gymnasium(SlowToMake, 3, num_workers=1, timeout=2.0)
    begun = time.monotonic()
    collected(env, num_tasks=6)
    assert time.monotonic() - begun > 2.0
    assert env.host.pool.num_lost == 0
    env.host.pool.close()


def test_workers_play_the_same_episodes_and_a_second_batch_of_another_size():
    env, serial = from_gymnasium(Counting, 6, num_workers=2), from_gymnasium(Counting, 6)
    same(collected(env), collected(serial))
    same(collected(env, num_tasks=1), collected(serial, num_tasks=1))
    env.host.pool.workers[0].process.kill()
    same(collected(env), collected(serial))
    assert env.host.pool.num_lost == 1
    env.host.pool.close()


@pytest.mark.parametrize("how", ["die", "hang"])
def test_a_worker_that_is_lost_in_an_episode_loses_nothing(tmp_path, capfd, how):
    trouble = tmp_path / "trouble"
    trouble.write_text(how)
    env = from_gymnasium(partial(Counting, trouble=str(trouble)), 6, num_workers=2, timeout=5.0)
    same(collected(env), collected(from_gymnasium(Counting, 6)))
    assert env.host.pool.num_lost == 1
    assert ("died" if how == "die" else "no answer for 5 s") in capfd.readouterr().err
    env.host.pool.close()


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(
    ("how", "num_workers", "told"),
    [
        ("always die", 1, "3 times in a row"),
        ("raise", 1, "the env's own fault"),
        ("raise", 0, "the env's own fault"),
        ("nan", 0, "NaN"),
    ],
)
def test_what_goes_wrong_in_an_env_is_told_and_the_next_run_works(tmp_path, how, num_workers, told):
    trouble = tmp_path / "trouble"
    trouble.write_text(how)
    env = from_gymnasium(partial(Counting, trouble=str(trouble)), 6, num_workers=num_workers)
    with pytest.raises(Exception, match=told):
        jax.block_until_ready(collected(env))
    trouble.unlink(missing_ok=True)
    same(collected(env), collected(from_gymnasium(Counting, 6)))
    env.host.pool.close()


class Stuck(Counting):
    """Cannot be closed while `is_stuck`."""

    is_stuck = False

    def close(self):
        if type(self).is_stuck:
            raise OSError("cannot be closed either")


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("is_vector", [False, True])
def test_an_error_is_told_though_closing_fails_too_and_the_next_run_has_new_copies(tmp_path, monkeypatch, is_vector):
    trouble, made = tmp_path / "trouble", []

    def make():
        made.append(Stuck(trouble=str(trouble)))
        return made[-1]

    env = from_gymnasium(make, 6, tell=None)
    if is_vector:
        env = from_vector(lambda num_envs: gymnasium.vector.SyncVectorEnv([make] * num_envs), 6, lambda *_: None)
    trouble.write_text("raise")
    monkeypatch.setattr(Stuck, "is_stuck", True)
    with pytest.raises(jax.errors.JaxRuntimeError, match="the env's own fault"):
        jax.block_until_ready(collected(env))
    monkeypatch.undo()
    num_made = len(made)
    assert collected(env).transitions.valid.sum() == 5 * NUM_TASKS * NUM_EPISODES
    assert len(made) == num_made + NUM_TASKS


@pytest.mark.filterwarnings("ignore")
def test_a_step_from_an_old_state_is_refused():
    env, task = from_gymnasium(Counting, 6), jax.tree.map(lambda x: x[0], TASKS.tasks)
    state, _ = env.reset(KEY, task)
    env.step(KEY, task, state, jnp.zeros((), jnp.int32))
    with pytest.raises(Exception, match="no longer the newest"):
        jax.block_until_ready(env.step(KEY, task, state, jnp.zeros((), jnp.int32)))


class Keep:
    """Callback that keeps a copy of the run at each update."""

    every = 1

    def __init__(self):
        self.states = []

    def open(self, num_updates):
        pass

    def __call__(self, progress):
        self.states.append(jax.tree.map(jnp.copy, progress.train_state))

    def close(self, error):
        pass


def test_training_goes_on_bit_for_bit():
    env, kept = from_gymnasium(Counting, 6), Keep()
    learner = il.PPO(
        partial(il.agents.Recurrent, env.spec, hidden_size=4), optax.sgd(0.1), num_epochs=1, num_minibatches=1
    )
    collector = il.JaxCollector(env, TASKS, 4, 2)
    whole, _ = il.train(KEY, learner, collector, 2, callbacks=[kept])
    same(il.train(KEY, learner, collector, 2, start=kept.states[1])[0], whole)


OBSERVED = [
    (spaces.Discrete(3, start=2), 4, il.Discrete(3), 2),
    (spaces.Box(0, 255, (2, 2, 3), np.uint8), np.full((2, 2, 3), 255, np.uint8), il.Box((2, 2, 3)), np.ones((2, 2, 3))),
    (spaces.Box(0, 255, (), np.uint8), np.uint8(255), il.Box(()), 1.0),
    (spaces.Box(0, 255, (1,), np.int32), np.array([51]), il.Box((1,)), np.array([0.2], np.float32)),
    (spaces.Box(0, 1, (2,), np.uint8), np.array([0, 1], np.uint8), il.Box((2,)), [0, 1]),
    (spaces.MultiDiscrete([2, 3]), np.array([1, 0]), il.Box((5,)), [0, 1, 1, 0, 0]),
    (spaces.MultiBinary(2), np.array([1, 0], np.int8), il.Box((2,)), [1, 0]),
    (
        spaces.Dict(a=spaces.Discrete(2), b=spaces.Box(-1, 1, (1,))),
        {"a": 1, "b": np.array([0.5], np.float32)},
        il.Box((3,)),
        [0, 1, 0.5],
    ),
    (
        spaces.Dict(
            n=spaces.Discrete(2),
            of=spaces.Tuple([spaces.Box(0, 255, (1, 2), np.uint8), spaces.Box(0, 255, (1,), np.float32)]),
        ),
        {"n": 1, "of": (np.array([[0, 255]], np.uint8), np.array([255.0], np.float32))},
        il.Box((5,)),
        [0, 1, 0, 1, 255],
    ),
]


@pytest.mark.parametrize(("space", "seen", "ours", "encoded"), OBSERVED)
def test_observations(space, seen, ours, encoded):
    assert _spaces.observations(space) == ours
    np.testing.assert_array_equal(Encoder(space)(seen), encoded)


ACTED = [
    (spaces.Discrete(3, start=2), il.Discrete(3), 1, 3),
    (spaces.MultiDiscrete([2, 3]), il.Discrete(6), 5, [1, 2]),
    (spaces.MultiBinary(3), il.Discrete(8), 5, [1, 0, 1]),
    (spaces.Box(-2, 2, (1,)), il.Box((1,), -2.0, 2.0), np.array([3.0]), [2.0]),
    (spaces.Box(np.array([0, -1]), np.array([4, 1])), il.Box((2,), -1.0, 1.0), np.array([-1.0, 0.5]), [0, 0.5]),
]


@pytest.mark.parametrize(("space", "ours", "choice", "action"), ACTED)
def test_actions(space, ours, choice, action):
    assert _spaces.actions(space) == ours
    np.testing.assert_allclose(Decoder(space)(np.asarray(choice)), action)


@pytest.mark.parametrize(
    ("space", "values"),
    [
        (spaces.Box(0, 1, (1,), np.int64), [[0], [1]]),
        (spaces.Box(-2, 2, (1,), np.int8), [[-2], [-1], [0], [1], [2]]),
        (spaces.Box(np.array([3, 0]), np.array([5, 2]), dtype=np.int64), [[3, 0], [4, 1], [5, 2]]),
    ],
)
def test_whole_numbers_are_all_as_likely(space, values):
    ours = _spaces.actions(space)
    shares = (np.arange(600) + 0.5) / 600
    choices = np.float32(ours.low + shares * (ours.high - ours.low))
    decoded = np.stack([Decoder(space)(np.full(space.shape, x)) for x in choices])
    assert decoded.dtype == space.dtype
    found, counts = np.unique(decoded, axis=0, return_counts=True)
    np.testing.assert_array_equal(found, values)
    np.testing.assert_array_equal(counts, 600 // len(values))
    ends = [Decoder(space)(np.full(space.shape, x, np.float32)) for x in (ours.low, ours.high)]
    np.testing.assert_array_equal(ends, [values[0], values[-1]])


@pytest.mark.parametrize(
    ("build", "told"),
    [
        (lambda: _spaces.observations(spaces.Text(3)), "Text"),
        (lambda: _spaces.observations(spaces.Dict(a=spaces.Sequence(spaces.Discrete(2)))), "Sequence"),
        (lambda: _spaces.actions(spaces.Dict(a=spaces.Discrete(2))), "cannot be acted in"),
        (lambda: _spaces.actions(spaces.MultiBinary(20)), "too many"),
        (lambda: _spaces.actions(spaces.Box(-1, 1, (0,))), "no entries"),
        (lambda: _spaces.actions(spaces.Box(0, np.inf, (2,), np.int64)), "need bounds"),
        (lambda: from_gymnasium(lambda length: Counting(length), 5, tell="constructor"), "defaults"),
        (lambda: from_gymnasium(Counting), "max_steps"),
        (lambda: from_gymnasium("NoSuchEnv-v0"), "NoSuchEnv"),
        (lambda: from_gymnasium(Counting, 5, tell="telepathy"), "telepathy"),
        (lambda: from_gymnasium(Counting, 5, num_workers=-1), "num_workers=-1"),
    ],
)
def test_what_cannot_be_is_said(build, told):
    with pytest.raises(ValueError, match=told):
        build()


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", ["gridnavi", "pendulum-mass", "two-arm"])
def test_ours_pass_gymnasiums_own_check_and_come_back_the_same(name):
    from gymnasium.utils.env_checker import check_env

    row = il.benchmark(name)
    env = ToGymnasium(row.env, row.train)
    check_env(env, skip_render_check=True)
    task = env.sample_tasks(1)[0]
    _, info = env.reset(seed=1, options={"task": task})
    jax.tree.map(np.testing.assert_array_equal, info["task"], task)
    back = from_gymnasium(partial(ToGymnasium, row.env, row.train), row.env.spec.max_steps)
    assert back.spec.obs.shape == row.env.spec.obs.shape
    assert back.spec.action == row.env.spec.action
