"""Harlow's learning set: two objects never seen before, one of them pays, and one look is enough to know which.

`Harlow` is the task without a body: a choice is one episode of one step, so an adaptation curve has a point for each
choice. `HarlowFixation1D` adds a gaze that has to be moved to a fixation cross and then to an object.
Source: Harlow 1949; Wang et al. 2016, section 3.2.2, and 2018, simulation 5.
"""

import functools
from collections.abc import Callable
from typing import Literal, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from innerloop._env import Box, Discrete, Env, EnvSpec, advance, restart
from innerloop._task import TaskDistribution
from innerloop._types import Key, TimeStep, Trials

ObjectKind = Literal["features", "pixels"]


class HarlowTask(NamedTuple):
    """Two objects: vectors of features, or images (height, width, colour)."""

    paying: Float[Array, "*object"]
    other: Float[Array, "*object"]


def object_shape(objects: ObjectKind, num_features: int = 8) -> tuple[int, ...]:
    """(num_features,) for feature vectors, (8, 8, 3) for pixel patterns. Raises ValueError for another kind."""
    if objects not in ("features", "pixels"):
        raise ValueError(f"objects={objects!r}: must be 'features' or 'pixels'.")
    return (num_features,) if objects == "features" else (8, 8, 3)


class ObjectPairs(TaskDistribution):
    """Two different objects of a bank, in random order: the first pays."""

    objects: Float[Array, " num *object"]

    def __check_init__(self) -> None:
        if self.objects.shape[0] < 2:
            raise ValueError(f"ObjectPairs(objects=...): a pair needs at least 2 objects, got {self.objects.shape[0]}.")

    def sample(self, key: Key) -> HarlowTask:
        first_key, step_key = jax.random.split(key)
        num = self.objects.shape[0]
        first = jax.random.randint(first_key, (), 0, num)
        second = (first + jax.random.randint(step_key, (), 1, num)) % num
        return HarlowTask(self.objects[first], self.objects[second])

    def split(self, fraction: float) -> tuple["ObjectPairs", "ObjectPairs"]:
        """Pairs of the first `fraction` of the bank, and pairs of the rest: no object is in both."""
        cut = round(fraction * self.objects.shape[0])
        if not 2 <= cut <= self.objects.shape[0] - 2:
            raise ValueError(f"split({fraction}): each part of {self.objects.shape[0]} objects needs at least 2.")
        return ObjectPairs(self.objects[:cut]), ObjectPairs(self.objects[cut:])


def object_pairs(objects: ObjectKind = "features", num_objects: int = 2000, num_features: int = 8) -> ObjectPairs:
    """Pairs from a bank that is always the same; `split(0.5)` gives 1000 training and 1000 held-out objects.

    Features are uniform on [-1, 1]. Pixel patterns are 4x4 blocks of 2x2 pixels, each block one of eight colours.
    """
    shape = object_shape(objects, num_features)
    key = jax.random.key(1949)
    if objects == "features":
        return ObjectPairs(jax.random.uniform(key, (num_objects, *shape), minval=-1.0, maxval=1.0))
    blocks = jax.random.bernoulli(key, shape=(num_objects, 4, 4, 3)).astype(jnp.float32)
    return ObjectPairs(jnp.repeat(jnp.repeat(blocks, 2, axis=1), 2, axis=2))


class HarlowState(NamedTuple):
    """Which side the paying object is on."""

    paying_left: Bool[Array, ""]


class Harlow(Env):
    """Two objects side by side, sides drawn anew for each choice; action 0 takes the left one, 1 the right one.

    One episode is one choice: +1 for the paying object, -1 for the other. Six of them make a trial. The observation
    holds the left object, then the right one: (2 * num_features,), or an image (8, 16, 3).
    The best policy guesses once and is right ever after: 0.5 * 0 + 5 = 5 for six choices.
    """

    spec: EnvSpec

    def __init__(self, objects: ObjectKind = "features", num_features: int = 8):
        if objects == "features":
            obs = Box((2 * object_shape(objects, num_features)[0],), -1.0, 1.0)
        else:
            height, width, depth = object_shape(objects)
            obs = Box((height, 2 * width, depth), 0.0, 1.0)
        self.spec = EnvSpec(obs, Discrete(2), max_steps=1)

    def _show(self, task: HarlowTask, state: HarlowState) -> Array:
        left = jnp.where(state.paying_left, task.paying, task.other)
        right = jnp.where(state.paying_left, task.other, task.paying)
        return jnp.concatenate([left, right], axis=max(left.ndim - 2, 0))

    def reset(self, key: Key, task: HarlowTask) -> tuple[HarlowState, TimeStep]:
        state = HarlowState(jax.random.bernoulli(key))
        return state, restart(self.spec, self._show(task, state))

    def step(self, key: Key, task: HarlowTask, state: HarlowState, action: Array) -> tuple[HarlowState, TimeStep]:
        correct = (action == 0) == state.paying_left
        reward = jnp.where(correct, 1.0, -1.0)
        return state, advance(self._show(task, state), action, reward, terminated=True)


EMPTY, FIXATION, PAYING, OTHER = 0, 1, 2, 3
NUM_CELLS, CENTRE, OBJECT_OFFSET, REACH = 17, 8, 3, 4


class GazeState(NamedTuple):
    """What lies on the circle, seen from the gaze (which is at `CENTRE`), and choices and steps done so far."""

    cells: Int[Array, "17"]
    choices: Int[Array, ""]
    steps: Int[Array, ""]


def _cells(**contents: Array) -> Int[Array, "17"]:
    """A circle with something three cells to the left and to the right of the gaze."""
    cells = jnp.zeros((NUM_CELLS,), jnp.int32)
    return cells.at[CENTRE - OBJECT_OFFSET].set(contents["left"]).at[CENTRE + OBJECT_OFFSET].set(contents["right"])


class HarlowFixation1D(Env):
    """The gaze walks on a circle of 17 cells: first to a fixation cross (+0.2), then to an object (+1 or -1).

    Action 0 moves the gaze one cell to the left, 1 to the right. On the cross, two objects appear three cells to
    either side, sides drawn at random; on an object, the choice is made and the cross appears three cells back.
    All `num_trials` choices are ONE episode, truncated after `max_steps`; no policy earns more than
    0.2 * 6 + 0 + 5 = 6.2 on average.

    The variant is that of a public re-implementation for CPU tests, whose text leaves room; chosen here: the gaze
    sees its own cell and four on each side (that program's field is described as 8 cells and holds 9); a cell shows
    a cross flag and the object's features, not one number in [0, 1], so (9 * (1 + num_features),) in all; the
    first cross is one to three cells away, to either side with equal chance; the two objects of a task differ.
    """

    spec: EnvSpec
    num_trials: int = eqx.field(static=True)

    def __init__(self, num_trials: int = 6, max_steps: int = 250, num_features: int = 8):
        self.spec = EnvSpec(Box(((2 * REACH + 1) * (1 + num_features),), -1.0, 1.0), Discrete(2), max_steps)
        self.num_trials = num_trials

    def _show(self, task: HarlowTask, cells: Int[Array, "17"]) -> Float[Array, " features"]:
        contents = jnp.stack([jnp.zeros_like(task.paying), jnp.zeros_like(task.paying), task.paying, task.other])
        visible = cells[CENTRE - REACH : CENTRE + REACH + 1]
        cross = (visible == FIXATION).astype(jnp.float32)[:, None]
        return jnp.concatenate([cross, contents[visible]], axis=1).reshape(-1)

    def reset(self, key: Key, task: HarlowTask) -> tuple[GazeState, TimeStep]:
        distance_key, side_key = jax.random.split(key)
        distance = jax.random.randint(distance_key, (), 1, OBJECT_OFFSET + 1)
        offset = jnp.where(jax.random.bernoulli(side_key), distance, -distance)
        cells = jnp.zeros((NUM_CELLS,), jnp.int32).at[CENTRE + offset].set(FIXATION)
        zero = jnp.zeros((), jnp.int32)
        return GazeState(cells, zero, zero), restart(self.spec, self._show(task, cells))

    def step(self, key: Key, task: HarlowTask, state: GazeState, action: Array) -> tuple[GazeState, TimeStep]:
        left = action == 0
        moved = jnp.where(left, jnp.roll(state.cells, 1), jnp.roll(state.cells, -1))
        seen = moved[CENTRE]
        chosen = seen >= PAYING
        paying_left = jax.random.bernoulli(key)
        objects = _cells(left=jnp.where(paying_left, PAYING, OTHER), right=jnp.where(paying_left, OTHER, PAYING))
        cross = _cells(left=jnp.where(left, EMPTY, FIXATION), right=jnp.where(left, FIXATION, EMPTY))
        cells = jnp.where(seen == FIXATION, objects, jnp.where(chosen, cross, moved))
        state = GazeState(cells, state.choices + chosen.astype(jnp.int32), state.steps + 1)
        reward = jnp.array([0.0, 0.2, 1.0, -1.0])[seen]
        terminated = state.choices == self.num_trials
        truncated = ~terminated & (state.steps == self.spec.max_steps)
        obs = self._show(task, cells)
        return state, advance(obs, action, reward, terminated=terminated, truncated=truncated)


def accuracy(trials: Trials, first: int, last: int) -> Float[Array, ""]:
    """Share of the choices `first` to `last` (counted from 1) of one task that were right; one not made is wrong.

    Works for both variants: a reward of +1 or -1 is a choice, a smaller one is not.
    """
    reward = trials.transitions.next_timestep.reward.reshape(-1)
    made = (jnp.abs(reward) > 0.5) & trials.transitions.valid.reshape(-1)
    number = jnp.cumsum(made.astype(jnp.int32))
    right = made & (reward > 0) & (number >= first) & (number <= last)
    return jnp.sum(right.astype(jnp.float32)) / (last - first + 1)


def accuracy_metrics(num_choices: int = 6) -> dict[str, Callable[[Trials], Float[Array, ""]]]:
    """`accuracy_i` for each choice i, and `accuracy_2_to_n`, the mean over all but the first."""
    ranges = {f"accuracy_{i}": (i, i) for i in range(1, num_choices + 1)}
    ranges[f"accuracy_2_to_{num_choices}"] = (2, num_choices)
    return {name: functools.partial(accuracy, first=first, last=last) for name, (first, last) in ranges.items()}
