"""Few-shot classification: a task is a few characters never seen before, drawn by hand again and again.

A stand-in for Omniglot (Lake et al. 2015) that needs no data: characters are a few strokes, images are drawn on demand.
"""

from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from innerloop._env import Box, Discrete, EnvSpec, advance, restart
from innerloop._task import Sampled
from innerloop._types import Key, TimeStep
from innerloop.envs.supervised import Supervised

NUM_STROKES, POINTS_PER_STROKE = 3, 13
EXTENT = 0.9
"""Control points of a character lie in a square of this half-width; the picture's is 1."""
PEN, EDGE = 0.04, 0.12
"""Ink is full up to this distance from a stroke, and fades out over that one."""
ROTATION, SHEAR, SCALE, SHIFT, JITTER = 0.3, 0.3, 0.2, 0.15, 0.1
"""How hands differ: largest angle, shear, relative change of size and shift; deviation of control points."""


class GlyphTask(NamedTuple):
    """Characters, one for each class: three strokes with three control points (x, y) each."""

    strokes: Float[Array, "*batch ways strokes 3 2"]


class GlyphState(NamedTuple):
    """The classes of all images of the set, and images done so far."""

    classes: Int[Array, " images"]
    steps: Int[Array, ""]


def handwritten(key: Key, strokes: Float[Array, "strokes 3 2"]) -> Float[Array, "strokes 3 2"]:
    """A character as one hand writes it once: control points jittered, then rotated, sheared, scaled and shifted."""
    jitter_key, frame_key, shift_key = jax.random.split(key, 3)
    angle, shear, scale = jax.random.uniform(frame_key, (3,), minval=-1.0, maxval=1.0)
    shift = jax.random.uniform(shift_key, (1, 1, 2), minval=-SHIFT, maxval=SHIFT)
    cos, sin = jnp.cos(ROTATION * angle), jnp.sin(ROTATION * angle)
    one, zero = jnp.ones(()), jnp.zeros(())
    rotation = jnp.stack([jnp.stack([cos, sin]), jnp.stack([-sin, cos])])
    slant = jnp.stack([jnp.stack([one, zero]), jnp.stack([SHEAR * shear, one])])
    jittered = strokes + JITTER * jax.random.normal(jitter_key, strokes.shape)
    return (1.0 + SCALE * scale) * (jittered @ slant @ rotation) + shift


def render(strokes: Float[Array, "strokes 3 2"], size: int) -> Float[Array, "{size} {size} 1"]:
    """Quadratic Bézier strokes on [-1, 1] x [-1, 1] as a grey image: 1 on a stroke, 0 away from all."""
    t = jnp.linspace(0.0, 1.0, POINTS_PER_STROKE)
    bernstein = jnp.stack([(1 - t) ** 2, 2 * t * (1 - t), t**2], axis=1)
    x, y = jnp.einsum("tc,scd->dst", bernstein, strokes).reshape(2, -1, 1)
    pixels = jnp.linspace(-1 + 1 / size, 1 - 1 / size, size)[None]
    squares = jnp.square(pixels - y)[:, :, None] + jnp.square(pixels - x)[:, None, :]
    distance = jnp.sqrt(squares.min(axis=0))
    return jnp.clip(1.0 - (distance - PEN) / EDGE, 0.0, 1.0)[:, :, None]


class Glyphs(Supervised):
    """Shows images of `num_ways` characters, `num_shots` of each in random order, and asks which character it is.

    An episode is one such set, truncated after the last image, which an empty one follows; every image is drawn anew.
    The reward is 1 for the right class, else 0. Images have the shape (`size`, `size`, 1).

    Since sets are balanced, a learner that sees the answers as it goes can rule classes out: counting alone is right
    46 % of the time in 5-way 1-shot. One that only learns between episodes is right 20 % of the time without looking.
    """

    spec: EnvSpec
    num_ways: int = eqx.field(static=True)
    num_shots: int = eqx.field(static=True)

    def __init__(self, num_ways: int = 5, num_shots: int = 1, size: int = 16):
        _check_ways("Glyphs", num_ways)
        for name, value in (("num_shots", num_shots), ("size", size)):
            if value < 1:
                raise ValueError(f"Glyphs({name}={value}): must be at least 1.")
        self.spec = EnvSpec(Box((size, size, 1), 0.0, 1.0), Discrete(num_ways), num_ways * num_shots)
        self.num_ways = num_ways
        self.num_shots = num_shots

    def _show(self, key: Key, task: GlyphTask, state: GlyphState) -> Float[Array, "size size 1"]:
        over = state.steps >= self.spec.max_steps
        strokes = task.strokes[state.classes[jnp.minimum(state.steps, self.spec.max_steps - 1)]]
        return jnp.where(over, 0.0, render(handwritten(key, strokes), self.spec.obs.shape[0]))

    def reset(self, key: Key, task: GlyphTask) -> tuple[GlyphState, TimeStep]:
        if task.strokes.shape[0] != self.num_ways:
            raise ValueError(
                f"Glyphs(num_ways={self.num_ways}): the task has {task.strokes.shape[0]} characters; "
                f"draw tasks from characters({self.num_ways})."
            )
        order_key, image_key = jax.random.split(key)
        classes = jnp.repeat(jnp.arange(self.num_ways, dtype=jnp.int32), self.num_shots)
        state = GlyphState(jax.random.permutation(order_key, classes), jnp.zeros((), jnp.int32))
        return state, restart(self.spec, self._show(image_key, task, state))

    def step(self, key: Key, task: GlyphTask, state: GlyphState, action: Array) -> tuple[GlyphState, TimeStep]:
        answer = state.classes[state.steps]
        reward = (action == answer).astype(jnp.float32)
        state = GlyphState(state.classes, state.steps + 1)
        truncated = state.steps == self.spec.max_steps
        return state, advance(self._show(key, task, state), answer, reward, truncated=truncated)


def characters(num_ways: int = 5) -> Sampled:
    """`num_ways` new characters for every task, with control points uniform on a square: none occurs twice."""
    _check_ways("characters", num_ways)

    def sample(key: Key) -> GlyphTask:
        shape = (num_ways, NUM_STROKES, 3, 2)
        return GlyphTask(jax.random.uniform(key, shape, minval=-EXTENT, maxval=EXTENT))

    return Sampled(sample)


def _check_ways(name: str, num_ways: int) -> None:
    if num_ways < 2:
        raise ValueError(f"{name}(num_ways={num_ways}): there must be at least 2 characters to tell apart.")
