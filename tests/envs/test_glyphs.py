import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jaxtyping import Array

from innerloop._check import check_env
from innerloop._collect import JaxCollector
from innerloop._task import sample_tasks
from innerloop._types import Key, TimeStep
from innerloop.benchmarks._glyphs import rows
from innerloop.envs import glyphs
from innerloop.envs.glyphs import (
    EDGE,
    PEN,
    POINTS_PER_STROKE,
    Glyphs,
    GlyphState,
    GlyphTask,
    characters,
    handwritten,
    render,
)


def play(env: Glyphs, key: Key, task: GlyphTask, actions: Array) -> tuple[GlyphState, TimeStep]:
    """States and time steps of one episode, those of the reset included."""
    reset_key, steps_key = jax.random.split(key)
    start = env.reset(reset_key, task)

    def step(state: GlyphState, inputs: tuple[Key, Array]) -> tuple[GlyphState, tuple[GlyphState, TimeStep]]:
        state, timestep = env.step(inputs[0], task, state, inputs[1])
        return state, (state, timestep)

    rest = jax.lax.scan(step, start[0], (jax.random.split(steps_key, actions.shape[0]), actions))[1]
    return jax.tree.map(lambda one, more: jnp.concatenate([one[None], more]), start, rest)


def corner_dots(num_ways: int) -> GlyphTask:
    """Characters that no hand can confuse: a dot in each of up to four corners."""
    corners = jnp.asarray([[-0.5, -0.5], [0.5, -0.5], [-0.5, 0.5], [0.5, 0.5]])[:num_ways]
    return GlyphTask(jnp.broadcast_to(corners[:, None, None], (num_ways, 3, 3, 2)))


def drawings(num_characters: int, num_hands: int) -> np.ndarray:
    """Images [character, hand, pixel], every one drawn with another key."""
    strokes = characters(num_characters).sample(jax.random.key(0)).strokes
    keys = jax.random.split(jax.random.key(1), (num_characters, num_hands))
    draw = jax.vmap(jax.vmap(lambda key, strokes: render(handwritten(key, strokes), 16), (0, None)))
    return np.asarray(jax.jit(draw)(keys, strokes)).reshape(num_characters, num_hands, -1)


@pytest.mark.parametrize(("num_ways", "num_shots", "size"), [(5, 1, 16), (3, 4, 9)])
def test_a_set_holds_images_in_range_and_every_class_equally_often(num_ways, num_shots, size):
    env, num_images = Glyphs(num_ways, num_shots, size), num_ways * num_shots
    keys, tasks = jax.random.split(jax.random.key(0), 40), sample_tasks(characters(num_ways), jax.random.key(1), 40)
    actions = jnp.zeros((num_images,), jnp.int32)
    states, steps = jax.jit(jax.vmap(lambda key, task: play(env, key, task, actions)))(keys, tasks)
    assert env.spec.max_steps == num_images
    assert env.spec.action.num_values == num_ways
    assert env.spec.obs.shape == (size, size, 1)
    assert steps.obs.shape == (40, num_images + 1, size, size, 1)
    assert steps.obs.dtype == jnp.float32
    images = np.asarray(steps.obs[:, :-1])
    assert images.min() == 0.0
    assert 0.9 < images.max() <= 1.0
    assert (images.max(axis=(2, 3, 4)) > 0.5).all(), "every image shows something"
    assert (np.asarray(steps.obs[:, -1]) == 0).all(), "after the last image there is nothing to see"
    answers = np.asarray(steps.prev_action[:, 1:])
    for label in range(num_ways):
        assert ((answers == label).sum(axis=1) == num_shots).all()
    classes = np.asarray(states.classes)
    assert (classes == classes[:, :1]).all(), "the order is fixed at reset"
    assert len({order.tobytes() for order in classes[:, 0]}) > 20, "and drawn anew for each episode"


def test_the_right_answer_is_revealed_and_rewarded():
    env, task = Glyphs(4, 5), corner_dots(4)
    actions = jax.random.randint(jax.random.key(1), (20,), 0, 4)
    _, steps = jax.tree.map(np.asarray, jax.jit(play)(env, jax.random.key(0), task, actions))
    ink = steps.obs[:-1, :, :, 0]
    pixels = np.arange(16) - 7.5
    is_right, is_low = (ink.sum(axis=1) @ pixels) > 0, (ink.sum(axis=2) @ pixels) > 0
    seen = is_right + 2 * is_low
    np.testing.assert_array_equal(steps.prev_action[1:], seen)
    np.testing.assert_array_equal(steps.reward[1:], (np.asarray(actions) == seen).astype(np.float32))
    assert 0 < steps.reward.sum() < 20
    np.testing.assert_array_equal(steps.last, [False] * 20 + [True])
    np.testing.assert_array_equal(steps.discount, 1.0)
    _, others = jax.jit(play)(env, jax.random.key(0), task, jnp.zeros((20,), jnp.int32))
    np.testing.assert_array_equal(others.obs, steps.obs)
    np.testing.assert_array_equal(others.prev_action, steps.prev_action)


def test_images_follow_an_independent_loop():
    strokes = np.asarray(characters(2).sample(jax.random.key(0)).strokes[0])
    image = render(jnp.asarray(strokes), 7)
    for row in range(7):
        for column in range(7):
            pixel, distance = np.asarray([2 * column + 1, 2 * row + 1]) / 7 - 1, np.inf
            for start, middle, end in strokes:
                for t in np.linspace(0, 1, POINTS_PER_STROKE):
                    near, far = start + t * (middle - start), middle + t * (end - middle)
                    distance = min(distance, np.linalg.norm(near + t * (far - near) - pixel))
            expected = np.clip((PEN + EDGE - distance) / EDGE, 0, 1)
            assert float(image[row, column, 0]) == pytest.approx(expected, abs=1e-4)


def test_hands_rotate_shear_scale_and_shift_a_little(monkeypatch):
    monkeypatch.setattr(glyphs, "JITTER", 0.0)
    strokes = jnp.asarray([[[0.0, 0.0], [1.0, 0.0], [0.0, 1.0]]])
    written = np.asarray(jax.vmap(handwritten, (0, None))(jax.random.split(jax.random.key(0), 300), strokes))[:, 0]
    shift, x_axis, y_axis = written[:, 0], written[:, 1] - written[:, 0], written[:, 2] - written[:, 0]
    area = x_axis[:, 0] * y_axis[:, 1] - x_axis[:, 1] * y_axis[:, 0]
    for values, largest in (
        (shift, 0.15),
        (np.arctan2(x_axis[:, 1], x_axis[:, 0]), 0.3),
        ((x_axis * y_axis).sum(axis=1) / (x_axis**2).sum(axis=1), 0.3),
        (np.linalg.norm(x_axis, axis=1) - 1, 0.2),
        (np.sqrt(area) - 1, 0.2),
    ):
        assert 0.95 * largest < values.max() <= 1.001 * largest
        assert 0.95 * largest < -values.min() <= 1.001 * largest


def test_a_character_drawn_twice_differs_and_two_characters_differ_more():
    images = drawings(40, 8)
    distance = np.linalg.norm(images[:, :, None, None] - images[None, None], axis=-1)
    same = distance[np.arange(40), :, np.arange(40)][:, ~np.eye(8, dtype=bool)]
    other = distance.swapaxes(1, 2)[~np.eye(40, dtype=bool)]
    assert same.min() > 1.0
    assert other.mean() > 1.1 * same.mean()


def test_the_nearest_image_is_often_of_the_same_character_but_far_from_always():
    images = drawings(500, 2).reshape(100, 5, 2, -1)
    distance = np.linalg.norm(images[:, :, None, 1] - images[:, None, :, 0], axis=-1)
    accuracy = (distance.argmin(axis=2) == np.arange(5)).mean()
    assert 0.5 < accuracy < 0.75


def test_no_two_tasks_or_classes_share_a_character():
    strokes = np.asarray(sample_tasks(characters(3), jax.random.key(0), 100).strokes)
    assert strokes.shape == (100, 3, 3, 3, 2)
    assert np.abs(strokes).max() < 1.0
    flat = strokes.reshape(300, -1)
    distance = np.linalg.norm(flat[:, None] - flat[None], axis=-1) + 10 * np.eye(300)
    assert distance.min() > 0.1


def test_the_contract_is_kept():
    report = check_env(Glyphs(3, 2), characters(3), test=characters(3))
    assert report.obs_differs
    assert not report.reward_differs, "classes come in an order that does not depend on the task"
    assert report.disjoint == "sampled"
    assert report.longest_episode == 6
    assert report.num_truncated == report.num_episodes
    assert report.num_terminated == 0


@pytest.mark.parametrize("name", ["glyphs-5way-1shot", "glyphs-5way-5shot"])
def test_accuracies_are_those_of_the_first_and_the_last_set_and_guesses_are_right_by_chance(name):
    row = rows()[name]()
    assert row.name == name
    assert row.env.spec.max_steps == 5 * int(name[-5])
    agent, tasks = row.references["random"].agent(), sample_tasks(row.test, jax.random.key(0), 200)
    collector = JaxCollector(row.env, row.test, 200, row.num_episodes)
    trials = eqx.filter_jit(collector.play)(jax.random.key(1), agent, tasks)
    reward = np.asarray(trials.transitions.next_timestep.reward)
    for metric, episode in (("accuracy_before", reward[:, 0, 0]), ("accuracy", reward[:, 1, 0])):
        values = jax.vmap(row.metrics[metric])(trials)
        np.testing.assert_allclose(values, episode.mean(axis=1), atol=1e-6)
        assert float(values.mean()) == pytest.approx(row.known["accuracy"]["chance"], abs=0.05)


def test_wrong_arguments_are_named():
    with pytest.raises(ValueError, match=r"Glyphs\(num_ways=1\)"):
        Glyphs(1)
    with pytest.raises(ValueError, match="num_shots=0"):
        Glyphs(num_shots=0)
    with pytest.raises(ValueError, match="size=0"):
        Glyphs(size=0)
    with pytest.raises(ValueError, match=r"characters\(num_ways=1\)"):
        characters(1)
    with pytest.raises(ValueError, match=r"num_ways=5.*3 characters"):
        Glyphs(5).reset(jax.random.key(0), characters(3).sample(jax.random.key(0)))
