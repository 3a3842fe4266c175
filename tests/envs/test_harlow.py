import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jaxtyping import Array

from innerloop._agent import Agent
from innerloop._collect import JaxCollector
from innerloop._task import sample_tasks
from innerloop._types import Trials
from innerloop.benchmarks import benchmark
from innerloop.envs.harlow import (
    FIXATION,
    OTHER,
    PAYING,
    GazeState,
    Harlow,
    HarlowFixation1D,
    ObjectPairs,
    accuracy_metrics,
    object_pairs,
)
from innerloop.references.generic import Random


@eqx.filter_jit
def collect(collector: JaxCollector, agent: Agent) -> Trials:
    return collector.collect(jax.random.key(1), agent, collector.init(jax.random.key(0), agent))[0]


def play(name: str, agent: Agent, num_tasks: int) -> Trials:
    row = benchmark(name)
    return collect(JaxCollector(row.env, row.test, num_tasks, row.num_episodes), agent)


METRICS = accuracy_metrics(6)


@jax.jit
def means(trials: Trials) -> dict[str, Array]:
    return {key: jnp.mean(jax.vmap(metric)(trials)) for key, metric in METRICS.items()}


def scores(name: str, trials: Trials) -> dict[str, float]:
    assert set(benchmark(name).metrics) == set(METRICS)
    return {key: float(value) for key, value in means(trials).items()}


@pytest.mark.parametrize("name", ["harlow", "harlow-pixels", "harlow-1d"])
def test_the_optimal_policy_guesses_once_and_is_right_ever_after(name):
    trials = play(name, benchmark(name).references["bayes_optimal"].agent(), 512)
    result = scores(name, trials)
    assert abs(result["accuracy_1"] - 0.5) < 0.08
    assert all(result[f"accuracy_{i}"] == 1.0 for i in range(2, 7))
    assert result["accuracy_2_to_6"] == 1.0


@pytest.mark.parametrize("name", ["harlow", "harlow-1d"])
def test_the_optimal_return_is_the_known_one(name):
    transitions = play(name, benchmark(name).references["bayes_optimal"].agent(), 512).transitions
    rewards, valid = np.asarray(transitions.next_timestep.reward), np.asarray(transitions.valid)
    returns = np.sum(np.where(valid, rewards, 0.0), axis=(1, 2, 3))
    known = benchmark(name).known["return"]["bayes_optimal"]
    np.testing.assert_allclose(np.unique(returns.round(4)), [known - 1, known + 1], atol=1e-3)
    assert abs(returns.mean() - known) < 4 / np.sqrt(512)


@pytest.mark.parametrize("name", ["harlow", "harlow-pixels"])
def test_random_choices_are_at_chance_throughout(name):
    result = scores(name, play(name, Random(benchmark(name).env.spec), 512))
    assert all(abs(value - 0.5) < 0.1 for value in result.values())


@pytest.mark.parametrize("objects", ["features", "pixels"])
def test_training_and_held_out_objects_are_disjoint_and_pairs_differ(objects):
    train, test = object_pairs(objects).split(0.5)
    assert train.objects.shape[0] == test.objects.shape[0] == 1000
    rows = {leaf.tobytes() for leaf in np.asarray(jnp.concatenate([train.objects, test.objects]))}
    assert len(rows) == 2000
    tasks = sample_tasks(ObjectPairs(train.objects[:3]), jax.random.key(0), 200)
    differ = np.any(np.asarray(tasks.paying != tasks.other).reshape(200, -1), axis=1)
    assert differ.all()
    pairs = {(a.tobytes(), b.tobytes()) for a, b in zip(np.asarray(tasks.paying), np.asarray(tasks.other), strict=True)}
    assert len(pairs) == 6


def test_sides_are_drawn_anew_for_every_choice_and_shown_as_they_are():
    env, task = Harlow("pixels"), object_pairs("pixels").sample(jax.random.key(0))
    seen = set()
    for number in range(8):
        state, timestep = env.reset(jax.random.key(number), task)
        left_pays = bool(state.paying_left)
        seen.add(left_pays)
        pair = (task.paying, task.other) if left_pays else (task.other, task.paying)
        np.testing.assert_array_equal(timestep.obs, np.concatenate(pair, axis=1))
        for action in (0, 1):
            _, after = env.step(jax.random.key(0), task, state, jnp.asarray(action))
            assert float(after.reward) == (1.0 if (action == 0) == left_pays else -1.0)
            assert bool(after.last)
            assert float(after.discount) == 0.0
    assert seen == {False, True}


def numpy_circle(cells: np.ndarray, action: int) -> tuple[np.ndarray, float]:
    """The circle after a move, objects not yet drawn, and the reward; written as positions rather than rolls."""
    moved = np.array([cells[(i + (1 if action else -1)) % 17] for i in range(17)])
    return moved, {0: 0.0, FIXATION: 0.2, PAYING: 1.0, OTHER: -1.0}[int(moved[8])]


def test_the_circle_follows_an_independent_loop():
    env, task = HarlowFixation1D(max_steps=400), object_pairs().sample(jax.random.key(0))
    step = jax.jit(env.step)
    state, _ = env.reset(jax.random.key(0), task)
    assert int(np.sum(state.cells == FIXATION)) == 1
    actions = np.asarray(jax.random.bernoulli(jax.random.key(3), shape=(300,))).astype(int)
    events = 0
    for number, action in enumerate(actions):
        moved, reward = numpy_circle(np.asarray(state.cells), action)
        state, timestep = step(jax.random.key(number), task, state, jnp.asarray(action))
        assert float(timestep.reward) == pytest.approx(reward)
        cells = np.asarray(state.cells)
        events += reward != 0
        if reward == 0.2:
            assert {int(cells[5]), int(cells[11])} == {PAYING, OTHER}
        elif abs(reward) == 1:
            assert cells[8 - 3 if action else 8 + 3] == FIXATION
            assert cells.sum() == FIXATION
        else:
            np.testing.assert_array_equal(cells, moved)
        field = np.asarray(timestep.obs).reshape(9, 9)
        np.testing.assert_array_equal(field[:, 0], cells[4:13] == FIXATION)
        paying = np.where(cells[4:13, None] == PAYING, task.paying, 0.0)
        np.testing.assert_array_equal(field[:, 1:], np.where(cells[4:13, None] == OTHER, task.other, paying))
        if bool(timestep.last):
            break
    assert events > 5


def test_a_gaze_that_runs_out_of_time_is_truncated_and_its_missing_choices_are_wrong():
    agent = benchmark("harlow-1d").references["bayes_optimal"].agent()
    trials = collect(JaxCollector(HarlowFixation1D(max_steps=4), object_pairs(), 16, 1), agent)
    last = trials.transitions.next_timestep
    assert bool(jnp.all(last.last[..., -1]))
    assert bool(jnp.all(last.discount == 1.0))
    assert float(means(trials)["accuracy_2_to_6"]) == 0.0


def test_the_last_choice_terminates():
    env, task = HarlowFixation1D(), object_pairs().sample(jax.random.key(0))
    cells = jnp.zeros((17,), jnp.int32).at[7].set(PAYING).at[13].set(OTHER)
    state = GazeState(cells, jnp.asarray(5), jnp.asarray(30))
    _, left = env.step(jax.random.key(0), task, state, jnp.asarray(0))
    assert (float(left.reward), float(left.discount), bool(left.last)) == (1.0, 0.0, True)
    _, right = env.step(jax.random.key(0), task, state, jnp.asarray(1))
    assert (float(right.reward), float(right.discount), bool(right.last)) == (0.0, 1.0, False)


def test_wrong_arguments_are_named():
    with pytest.raises(ValueError, match="at least 2"):
        object_pairs(num_objects=4).split(0.1)
    with pytest.raises(ValueError, match="at least 2 objects"):
        object_pairs(num_objects=1)
