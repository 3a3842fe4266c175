"""Cores that look back at what they have kept: a gated transformer, and SNAIL."""

import math
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int

from innerloop._rollout import Ring
from innerloop._types import Key
from innerloop.nn._cells import sigmoid
from innerloop.nn._core import Block, Past, Window
from innerloop.nn._layers import LayerNorm, Linear


def rotated(x: Float[Array, "rows heads features"], rank: Int[Array, " rows"]) -> Float[Array, "rows heads features"]:
    """Pairs of features, turned by angles in proportion to the rank: products of two depend on how far they are apart
    (Su et al. 2021, section 3.2)."""
    half = x.shape[-1] // 2
    # A constant: were it computed, acting and observing would each keep one, and no longer be seen to do the same.
    speed = jnp.asarray(10_000.0 ** (-np.arange(half) / half), jnp.float32)
    angle = (rank.astype(jnp.float32)[:, None] * speed[None])[:, None]
    a, b = x[..., :half], x[..., half:]
    return jnp.concatenate([a * jnp.cos(angle) - b * jnp.sin(angle), a * jnp.sin(angle) + b * jnp.cos(angle)], axis=-1)


@jax.custom_batching.custom_vmap
def anywhere(flag: Bool[Array, ""]) -> Bool[Array, ""]:
    """Whether a flag holds anywhere in a batch: one answer for all, so that what hangs on it stays a branch."""
    return flag


@anywhere.def_vmap
def _(axis_size: int, in_batched: list[bool], flag: Array) -> tuple[Array, bool]:
    return anywhere(flag.any(axis=0) if in_batched[0] else flag), False


def attend(window: Window, queries: Float[Array, "time heads features"]) -> Float[Array, "time found"]:
    """What each step finds among the rows that it sees, each a key for every head and then as many values.

    Where all trials begin with the sequence, no time is spent on what the rings keep.
    """
    num_steps, num_heads, size = queries.shape

    def found(table: Float[Array, "rows width"], seen: Bool[Array, "time rows"]) -> Float[Array, "time found"]:
        keys, values = jnp.split(table, [num_heads * size], axis=-1)
        keys, values = (x.reshape(x.shape[0], num_heads, -1) for x in (keys, values))
        scores = jnp.where(seen[None], jnp.einsum("thf,rhf->htr", queries * size**-0.5, keys), -jnp.inf)
        weight = jnp.exp(scores - jax.lax.stop_gradient(scores.max(axis=-1, keepdims=True)))
        # Sums are divided, not weights, of which there are more.
        sums = jnp.einsum("htr,rhw->htw", weight, values) / weight.sum(axis=-1, keepdims=True)
        return jnp.swapaxes(sums, 0, 1).reshape(num_steps, -1)

    table, seen, own = window.table, window.seen(), slice(-num_steps, None)
    if num_steps == 1:
        return found(table, seen)
    # A branch that is not taken would fill what its gradient needs with zeros: it is computed again instead.
    found = jax.checkpoint(found)
    return jax.lax.cond(
        anywhere(window.before > 0), lambda: found(table, seen), lambda: found(table[own], seen[:, own])
    )


def checked(context: int) -> int:
    """How many steps a lookup sees, the present one included."""
    if context < 2:
        raise ValueError(f"context={context}: must be at least 2.")
    return context


class Gate(eqx.Module):
    """A GRU in the place of a residual: (1 - z) x + z tanh(W y + U (r x)), z small at the start (Parisotto et al. 2020,
    section 3.2), so that at first the block passes on what it was given."""

    from_new: Linear
    from_old: Linear
    reset: Linear

    def __init__(self, key: Key, size: int, bias: float = 2.0):
        new_key, old_key, reset_key = jax.random.split(key, 3)
        new = Linear(new_key, size, 3 * size)
        self.from_new = eqx.tree_at(lambda x: x.bias, new, new.bias.at[size : 2 * size].set(-bias))
        self.from_old = Linear(old_key, size, 2 * size)
        self.reset = Linear(reset_key, size, size)

    def __call__(self, old: Float[Array, " size"], new: Float[Array, " size"]) -> Float[Array, " size"]:
        resets, updates, candidates = jnp.split(self.from_new(new), 3)
        more_resets, more_updates = jnp.split(self.from_old(old), 2)
        candidate = jnp.tanh(candidates + self.reset(sigmoid(resets + more_resets) * old))
        return old + sigmoid(updates + more_updates) * (candidate - old)


class AttentionBlock(Block):
    """Attention over the last `context` steps of the trial, and two layers, each behind a norm and a gate (GTrXL, Parisotto
    et al. 2020). Positions are relative: keys and queries are turned by their rank.

    A trial may be longer than `context`: older steps are forgotten, layer by layer.
    """

    norms: tuple[LayerNorm, LayerNorm]
    project: Linear
    mix: Linear
    hidden: tuple[Linear, Linear]
    gates: tuple[Gate, Gate]
    num_heads: int = eqx.field(static=True)
    context: int = eqx.field(static=True)

    def __init__(self, key: Key, size: int, num_heads: int, context: int):
        if size % (2 * num_heads):
            raise ValueError(f"num_heads={num_heads}: hidden_size={size} must be a multiple of twice as many.")
        self.context = checked(context)
        keys = jax.random.split(key, 6)
        self.norms = LayerNorm(size), LayerNorm(size)
        self.project = Linear(keys[0], size, 3 * size)
        self.mix = Linear(keys[1], size, size)
        self.hidden = Linear(keys[2], size, 2 * size, scale=2**0.5), Linear(keys[3], 2 * size, size)
        self.gates = Gate(keys[4], size), Gate(keys[5], size)
        self.num_heads = num_heads

    def initial(self) -> Ring:
        return Ring.empty(self.context, 2 * self.mix.bias.shape[0])

    def sequence(
        self, state: Ring, xs: Float[Array, "time size"], first: Bool[Array, " time"], valid: Bool[Array, " time"]
    ) -> tuple[Ring, Float[Array, "time size"]]:
        past = Past.of(state.num_rows, first, valid)
        queries, keys, values = jnp.split(jax.vmap(self.project)(jax.vmap(self.norms[0])(xs)), 3, axis=-1)
        queries, keys = (rotated(x.reshape(len(xs), self.num_heads, -1), past.age) for x in (queries, keys))
        window = Window.of(past, state, jnp.concatenate([keys.reshape(values.shape), values], axis=-1))
        found = attend(window, queries)
        xs = jax.vmap(self.gates[0])(xs, jax.nn.relu(jax.vmap(self.mix)(found)))
        inner = jax.nn.relu(jax.vmap(self.hidden[0])(jax.vmap(self.norms[1])(xs)))
        xs = jax.vmap(self.gates[1])(xs, jax.nn.relu(jax.vmap(self.hidden[1])(inner)))
        return window.ring, xs


class ConvolutionBlock(Block):
    """Causal convolutions over 2 steps, 1, 2, 4 ... apart, until they reach back `context` steps; each adds `num_filters`
    features to what it is given (SNAIL's TC block, Mishra et al. 2018, section 3)."""

    layers: tuple[Linear, ...]
    size: int = eqx.field(static=True)

    def __init__(self, key: Key, num_in: int, num_filters: int, context: int):
        num_layers = max(1, math.ceil(math.log2(context)))
        keys = jax.random.split(key, num_layers)
        sizes = [num_in + i * num_filters for i in range(num_layers)]
        scale = 0.5**0.5
        self.layers = tuple(Linear(key, size, 4 * num_filters, scale) for key, size in zip(keys, sizes, strict=True))
        self.size = num_in + num_layers * num_filters

    def initial(self) -> tuple[Ring, ...]:
        return tuple(Ring.empty(2**i + 1, layer.bias.shape[0] // 2) for i, layer in enumerate(self.layers))

    def sequence(
        self, state: Any, xs: Float[Array, "time size"], first: Bool[Array, " time"], valid: Bool[Array, " time"]
    ) -> tuple[Any, Float[Array, "time size_out"]]:
        """What is kept of a step is what it adds to a later one."""
        kept = []
        for i, (layer, ring) in enumerate(zip(self.layers, state, strict=True)):
            now, later = jnp.split(jax.vmap(layer)(xs), 2, axis=-1)
            window = Window.of(Past.of(ring.num_rows, first, valid), ring, later)
            value, gate = jnp.split(now + window.lagged(2**i), 2, axis=-1)
            kept.append(window.ring)
            xs = jnp.concatenate([xs, jnp.tanh(value) * sigmoid(gate)], axis=-1)
        return tuple(kept), xs


KEY_SCALE, VALUE_SCALE = 2.0, 4.0
"""What a lookup starts with, where 1 is orthogonal. An average over many steps differs little from one task to another, which
larger values make up for: it starts to learn sooner."""


class LookupBlock(Block):
    """One head of attention over the last `context` steps of the trial, whose result is added to the features as `num_values`
    more (SNAIL's attention block, Mishra et al. 2018, section 3)."""

    project: Linear
    num_keys: int = eqx.field(static=True)
    num_values: int = eqx.field(static=True)
    context: int = eqx.field(static=True)

    def __init__(self, key: Key, num_in: int, num_keys: int, num_values: int, context: int):
        self.context = checked(context)
        project = Linear(key, num_in, 2 * num_keys + num_values)
        scale = np.repeat(np.asarray([KEY_SCALE, VALUE_SCALE], np.float32), [2 * num_keys, num_values])
        self.project = eqx.tree_at(lambda x: x.weight, project, project.weight * scale[None])
        self.num_keys = num_keys
        self.num_values = num_values

    def initial(self) -> Ring:
        return Ring.empty(self.context, self.num_keys + self.num_values)

    def sequence(
        self, state: Ring, xs: Float[Array, "time size"], first: Bool[Array, " time"], valid: Bool[Array, " time"]
    ) -> tuple[Ring, Float[Array, "time size_out"]]:
        queries, own = jnp.split(jax.vmap(self.project)(xs), [self.num_keys], axis=-1)
        window = Window.of(Past.of(state.num_rows, first, valid), state, own)
        return window.ring, jnp.concatenate([xs, attend(window, queries[:, None])], axis=-1)


def snail_blocks(key: Key, size: int, context: int, num_layers: int) -> tuple[tuple[Block, ...], int]:
    """Convolutions and a lookup, `num_layers` times, and how many features come out (Mishra et al. 2018, section 5.2: two
    times, with 32 filters, keys and values; here half of `size` of each)."""
    blocks: list[Block] = []
    num_features, width = size, max(size // 2, 1)
    for one in jax.random.split(key, num_layers):
        convolution_key, lookup_key = jax.random.split(one)
        convolution = ConvolutionBlock(convolution_key, num_features, width, context)
        blocks += [convolution, LookupBlock(lookup_key, convolution.size, width, width, context)]
        num_features = convolution.size + width
    return tuple(blocks), num_features
