import jax
import jax.numpy as jnp
import numpy as np
import pytest

from innerloop._collect import JaxCollector
from innerloop._evaluate import evaluate
from innerloop.envs.recall import Recall, RecallTask, recall_tasks
from innerloop.references.recall import Recaller

KEY = jax.random.key(0)


def whole_episode(env, task, answers):
    step = jax.jit(env.step)
    state, timestep = env.reset(KEY, task)
    seen, rewards, lasts = [np.asarray(timestep.obs)], [], []
    for answer in answers:
        state, timestep = step(KEY, task, state, jnp.asarray(answer, jnp.int32))
        seen.append(np.asarray(timestep.obs))
        rewards.append(float(timestep.reward))
        lasts.append(bool(timestep.last))
    return seen[:-1], rewards, lasts


def test_pairs_are_shown_then_keys_are_asked_in_their_order():
    env = Recall(max_items=3, num_keys=4, num_symbols=2)
    numbers = ([3, 0, 1], [1, 0, 1], [1, 0, 2])
    task = RecallTask(*(jnp.asarray(x, jnp.int32) for x in numbers), jnp.asarray(2, jnp.int32))
    seen, rewards, lasts = whole_episode(env, task, [0, 1, 0, 0])
    expected = [
        [0, 0, 0, 1, 0, 1, 0],
        [1, 0, 0, 0, 1, 0, 0],
        [1, 0, 0, 0, 0, 0, 1],
        [0, 0, 0, 1, 0, 0, 1],
    ]
    np.testing.assert_array_equal(seen, expected)
    assert rewards == [0.0, 0.0, 0.5, 0.0]
    assert lasts == [False, False, False, True]


def test_copy_has_no_keys_and_asks_in_the_order_shown():
    env = Recall(max_items=2, num_keys=0, num_symbols=3)
    task = jax.tree.map(lambda x: x, recall_tasks(env, 2, 2).sample(KEY))
    first, second = np.asarray(task.symbols)
    seen, rewards, lasts = whole_episode(env, task, [0, 0, first, second])
    np.testing.assert_array_equal([x[-1] for x in seen], [0, 0, 1, 1])
    np.testing.assert_array_equal([np.argmax(x[:3]) for x in seen[:2]], [first, second])
    np.testing.assert_array_equal(seen[2][:3], 0)
    assert (rewards, lasts[-1]) == ([0.0, 0.0, 0.5, 0.5], True)


def test_tasks_have_as_many_items_as_asked_for_and_no_key_twice():
    env = Recall(max_items=6, num_keys=9, num_symbols=4)
    tasks = jax.vmap(recall_tasks(env, 2, 5).sample)(jax.random.split(KEY, 300))
    assert set(np.unique(tasks.length).tolist()) == {2, 3, 4, 5}
    for keys, order, length in zip(
        np.asarray(tasks.keys), np.asarray(tasks.order), np.asarray(tasks.length), strict=True
    ):
        assert len(set(keys.tolist())) == 6
        assert sorted(order[:length].tolist()) == list(range(length))


@pytest.mark.parametrize("num_keys", [0, 32])
def test_who_notes_everything_is_always_right(num_keys):
    env = Recall(num_keys=num_keys)
    collector = JaxCollector(env, recall_tasks(env, 1, 16), 64, 2)
    np.testing.assert_allclose(evaluate(KEY, Recaller(env), collector).per_episode(), 1.0, rtol=1e-5)


def test_bad_arguments_are_named():
    with pytest.raises(ValueError, match=r"Recall\(max_items=9, num_keys=8"):
        Recall(max_items=9, num_keys=8)
    with pytest.raises(ValueError, match=r"recall_tasks\(shortest=3, longest=20\)"):
        recall_tasks(Recall(), 3, 20)
