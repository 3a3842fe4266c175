"""Does an env keep the contract? `check_env` plays it and says what it saw, or raises with the reason and the fix."""

import functools
import math
from collections.abc import Callable
from typing import Any, Literal, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool

from innerloop._env import Discrete, Env, Space
from innerloop._task import Finite, TaskDistribution, sample_tasks
from innerloop._types import Key, Task, TimeStep
from innerloop.envs.supervised import Supervised

MIN_EPISODES, MIN_STEPS = 8, 256
NUM_HAND_STEPS = 3


class CheckReport(NamedTuple):
    """What `check_env` looked at. `reward_differs` and `obs_differs`: between tasks, under the same keys and actions.

    `disjoint`: test tasks are not among the training tasks; "all" if every task was compared, "sampled" if
    draws were, "not checked" without `test`.
    """

    num_tasks: int
    num_episodes: int
    num_terminated: int
    num_truncated: int
    longest_episode: int
    reward_differs: bool
    obs_differs: bool
    disjoint: Literal["all", "sampled", "not checked"]


def check_env(
    env: Env,
    tasks: TaskDistribution,
    *,
    test: TaskDistribution | None = None,
    key: Key | None = None,
    num_tasks: int = 8,
) -> CheckReport:
    """Play random actions on each of `num_tasks` tasks (at least 8 episodes and 256 steps) and check the contract.

    Checked, in this order: observations, rewards, flags and state have the shapes and dtypes of `env.spec`; `reset` and
    `step` leave the task as it was; compiled anew and stepped by hand they do what they did before, in one program for
    all tasks and steps (so they depend on nothing but their arguments); `first`, `last`, `discount` and `prev_action`
    are coherent; every episode ends by `max_steps`; values lie in their spaces; with the same keys and actions the
    tasks differ in reward, ending or observation; and no task of `test`, if given, is among `tasks`.

    With `num_tasks=1`, for families of a single task, there is nothing to tell apart and that check is left out.
    `key` defaults to `jax.random.key(0)`. Raises ValueError with the reason and what to change.
    """
    if num_tasks < 1:
        raise ValueError(f"check_env(num_tasks={num_tasks}): must be at least 1.")
    key = jax.random.key(0) if key is None else key
    tasks_key, actions_key, play_key, disjoint_key = jax.random.split(key, 4)
    batch = _draw_tasks(tasks, tasks_key, num_tasks)
    _check_shapes(env, jax.tree.map(lambda leaf: leaf[0], batch))
    num_sequences = max(MIN_EPISODES, MIN_STEPS // env.spec.max_steps)
    actions = _draw_actions(actions_key, env.spec.action, (num_sequences, env.spec.max_steps))
    keys = jax.random.split(play_key, num_sequences)
    over_sequences = jax.vmap(lambda key, task, actions: _play(env, key, task, actions), (0, None, 0))
    played = jax.jit(jax.vmap(over_sequences, (None, 0, None)))(keys, batch, actions)
    steps = jax.tree.map(np.asarray, played)
    _check_by_hand(env, keys[0], batch, actions[0], steps)
    valid = _valid(steps.last)
    _check_flags(steps, valid, None if isinstance(env, Supervised) else np.asarray(actions))
    _check_values(env, steps, valid)
    reward_differs = _differs(steps.reward, valid) or _differs(steps.discount, valid) or _differs(steps.last, valid)
    obs_differs = _differs(steps.obs, valid)
    if num_tasks > 1:
        _check_tasks_differ(batch, reward_differs or obs_differs)
    ends = steps.last & valid
    return CheckReport(
        num_tasks=num_tasks,
        num_episodes=num_tasks * num_sequences,
        num_terminated=int(np.sum(ends & (steps.discount == 0))),
        num_truncated=int(np.sum(ends & (steps.discount == 1))),
        longest_episode=int(valid.sum(axis=-1).max()) - 1,
        reward_differs=reward_differs,
        obs_differs=obs_differs,
        disjoint=_check_disjoint(tasks, test, disjoint_key, num_tasks),
    )


def _draw_tasks(tasks: TaskDistribution, key: Key, num_tasks: int) -> Task:
    return jax.jit(lambda key: sample_tasks(tasks, key, num_tasks))(key)


def _draw_actions(key: Key, space: Space, shape: tuple[int, ...]) -> Array:
    if isinstance(space, Discrete):
        return jax.random.randint(key, shape, 0, space.num_values)
    if math.isfinite(space.high - space.low):
        return jax.random.uniform(key, (*shape, *space.shape), minval=space.low, maxval=space.high)
    return jnp.clip(jax.random.normal(key, (*shape, *space.shape)), space.low, space.high)


def _play(env: Env, key: Key, task: Task, actions: Array) -> TimeStep:
    """The time steps of one episode, the one after the reset included, and whatever the env does after its end."""
    reset_key, step_keys = _split(key, actions)
    state, first = env.reset(reset_key, task)

    def step(state: Any, inputs: tuple[Key, Array]) -> tuple[Any, TimeStep]:
        return env.step(inputs[0], task, state, inputs[1])

    _, rest = jax.lax.scan(step, state, (step_keys, actions))
    return jax.tree.map(lambda one, more: jnp.concatenate([one[None], more]), first, rest)


def _split(key: Key, actions: Array) -> tuple[Key, Array]:
    reset_key, steps_key = jax.random.split(key)
    return reset_key, jax.random.split(steps_key, actions.shape[0])


def _check_shapes(env: Env, task: Task) -> None:
    spec, key = env.spec, jax.random.key(0)
    action = jnp.zeros(spec.action.shape, spec.action.dtype)
    state, timestep = jax.eval_shape(functools.partial(_keep_task, "reset", env.reset), key, task)
    step = functools.partial(_keep_task, "step", env.step)
    next_state, next_timestep = jax.eval_shape(step, key, task, state, action)
    expected = {
        "obs": (spec.obs.shape, spec.obs.dtype),
        "prev_action": (spec.action.shape, spec.action.dtype),
        "reward": ((), jnp.float32),
        "discount": ((), jnp.float32),
        "first": ((), jnp.bool_),
        "last": ((), jnp.bool_),
    }
    for method, result in (("reset", timestep), ("step", next_timestep)):
        for name, (shape, dtype) in expected.items():
            leaf = getattr(result, name)
            if leaf.shape != shape or leaf.dtype != dtype:
                raise ValueError(
                    f"{method}() returns {name} with shape {leaf.shape} and dtype {leaf.dtype}, but the spec says "
                    f"{shape} and {np.dtype(dtype)}; change one of them."
                )
    if _describe(state) != _describe(next_state):
        raise ValueError(
            f"the state of reset() is {_describe(state)}, that of step() {_describe(next_state)}; "
            f"both must have the same structure, shapes and dtypes."
        )


def _keep_task(method: str, function: Callable, key: Key, task: Task, *args: Any) -> Any:
    """Call a method of the env, and see that the task still holds the very arrays that it held before."""
    structure: Any
    before, structure = jax.tree.flatten(task)
    result = function(key, task, *args)
    same = structure == jax.tree.structure(task)
    if not same or any(a is not b for a, b in zip(before, jax.tree.leaves(task), strict=True)):
        raise ValueError(f"{method}() changes the task it is given; keep what changes in the state.")
    return result


def _describe(tree: Any) -> tuple[str, list[str]]:
    return str(jax.tree.structure(tree)), [f"{leaf.dtype}{list(leaf.shape)}" for leaf in jax.tree.leaves(tree)]


def _check_by_hand(env: Env, key: Key, tasks: Task, actions: Array, played: TimeStep) -> None:
    """Step the first tasks by hand with `reset` and `step` traced anew: one trace each, and the results of `played`."""
    num_traces = {"reset": 0, "step": 0}

    def reset(key: Key, task: Task) -> tuple[Any, TimeStep]:
        num_traces["reset"] += 1
        return env.reset(key, task)

    def step(key: Key, task: Task, state: Any, action: Array) -> tuple[Any, TimeStep]:
        num_traces["step"] += 1
        return env.step(key, task, state, action)

    jitted_reset, jitted_step = jax.jit(reset), jax.jit(step)
    reset_key, step_keys = _split(key, actions)
    for number in range(min(2, jax.tree.leaves(tasks)[0].shape[0])):
        task = jax.tree.map(lambda leaf, number=number: leaf[number], tasks)
        state, timestep = jitted_reset(reset_key, task)
        _compare("reset", timestep, jax.tree.map(lambda leaf, number=number: leaf[number, 0, 0], played))
        for time in range(min(NUM_HAND_STEPS, actions.shape[0])):
            if timestep.last:
                break
            state, timestep = jitted_step(step_keys[time], task, state, actions[time])
            expected = jax.tree.map(lambda leaf, at=(number, 0, time + 1): leaf[at], played)
            _compare("step", timestep, expected)
    for method, count in num_traces.items():
        if count > 1:
            raise ValueError(
                f"{method}() was traced {count} times for one env; give every array of the state an explicit dtype in "
                f"reset() (jnp.zeros((), jnp.int32), not jnp.where(x, 0, 1)) so that types never change."
            )


def _compare(method: str, timestep: TimeStep, expected: TimeStep) -> None:
    for name, want in expected._asdict().items():
        got = np.asarray(getattr(timestep, name))
        if not np.allclose(got, want, rtol=1e-3, atol=1e-4, equal_nan=True):
            raise ValueError(
                f"{method}() gives {name}={got} where it gave {want} for the same key, task, state and action; it must "
                f"depend on its arguments alone: draw random numbers from the key, and keep nothing on the env."
            )


def _valid(last: Bool[np.ndarray, "task sequence time"]) -> Bool[np.ndarray, "task sequence time"]:
    """The time steps up to the end of the episode, that one included."""
    ended_before = np.cumsum(last, axis=-1) - last
    return ended_before == 0


def _check_flags(steps: TimeStep, valid: Bool[np.ndarray, "task sequence time"], actions: np.ndarray | None) -> None:
    """`actions` are those that were taken; None if the env shows right answers in their place."""
    first, last, discount = steps.first, steps.last, steps.discount
    same: Any = np.ones(first[..., 1:].shape, bool)
    if actions is not None:
        took = np.broadcast_to(actions, (first.shape[0], *actions.shape))
        same = (steps.prev_action[:, :, 1:] == took).reshape(*took.shape[:3], -1).all(axis=-1)
    ends = last[..., 1:].any(axis=-1)
    for broken, reason in (
        (~first[..., 0], "first is False after reset(); build its time step with restart()"),
        (first[..., 1:] & valid[..., 1:], "first is True after step(); build its time step with advance()"),
        (last[..., 0], "last is True after reset(); an episode needs at least one step"),
        (steps.reward[..., 0] != 0, "reward is not 0 after reset(); build its time step with restart()"),
        (discount[..., 0] != 1, "discount is not 1 after reset(); build its time step with restart()"),
        (valid & (discount != 0) & (discount != 1), "discount is neither 0 nor 1; leave discounting to the learner"),
        (valid & (discount == 0) & ~last, "discount is 0 (terminated) but last is False; a terminated episode is over"),
        (~same & valid[..., 1:], "prev_action is not the action that step() was given; pass it to advance()"),
        (~ends, "no episode end within max_steps; pass truncated=True to advance() at the last step"),
    ):
        if broken.any():
            task, sequence = np.argwhere(broken)[0][:2]
            raise ValueError(f"{reason} (task {task}, episode {sequence} of {broken.shape[1]}).")


def _check_values(env: Env, steps: TimeStep, valid: Bool[np.ndarray, "task sequence time"]) -> None:
    obs, space = steps.obs[valid], env.spec.obs
    if not np.isfinite(obs).all() or not np.isfinite(steps.reward[valid]).all():
        raise ValueError("an observation or a reward is NaN or infinite; look for divisions by zero and overflows.")
    if not np.isfinite(steps.obs).all() or not np.isfinite(steps.reward).all():
        raise ValueError(
            "an observation or a reward is NaN or infinite after an episode's end, where step() is still called. Such steps "
            "do not count, but 0 times NaN is NaN: keep them finite."
        )
    low, high = (0, space.num_values - 1) if isinstance(space, Discrete) else (space.low, space.high)
    margin = 0 if isinstance(space, Discrete) else 1e-5
    if obs.min() < low - margin or obs.max() > high + margin:
        raise ValueError(f"observations lie in [{obs.min()}, {obs.max()}], outside {space}; change spec.obs.")


def _differs(values: np.ndarray, valid: Bool[np.ndarray, "task sequence time"]) -> bool:
    """Is something unlike the first task, where an episode of either runs?"""
    both = (valid | valid[:1]).reshape(*valid.shape, *([1] * (values.ndim - valid.ndim)))
    return not bool(np.all(np.isclose(values, values[:1], atol=1e-5) | ~both))


def _check_tasks_differ(tasks: Task, behave_differently: bool) -> None:
    leaves = [np.asarray(leaf) for leaf in jax.tree.leaves(tasks)]
    if all((leaf == leaf[:1]).all() for leaf in leaves):
        raise ValueError(f"all {leaves[0].shape[0]} draws gave the same task; if there is only one, pass num_tasks=1.")
    if not behave_differently:
        raise ValueError(
            "all tasks gave the same observations, rewards and endings for the same keys and actions; read the task in "
            "reset() and step() (and if random actions seldom find the difference, pass a larger num_tasks)."
        )


def _check_disjoint(
    train: TaskDistribution, test: TaskDistribution | None, key: Key, num_tasks: int
) -> Literal["all", "sampled", "not checked"]:
    if test is None:
        return "not checked"
    train_key, test_key = jax.random.split(key)
    shared = _fingerprints(train, train_key, num_tasks) & _fingerprints(test, test_key, num_tasks)
    if shared:
        raise ValueError(f"{len(shared)} test tasks are also training tasks; use parts of tasks.split(...).")
    return "all" if isinstance(train, Finite) and isinstance(test, Finite) else "sampled"


def _fingerprints(tasks: TaskDistribution, key: Key, num_tasks: int) -> set[bytes]:
    batch = tasks.tasks if isinstance(tasks, Finite) else _draw_tasks(tasks, key, num_tasks)
    leaves = [np.asarray(leaf) for leaf in jax.tree.leaves(batch)]
    return {b"".join(leaf[index].tobytes() for leaf in leaves) for index in range(leaves[0].shape[0])}
