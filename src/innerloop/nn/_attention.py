"""Cores that look back at what they have kept: a gated transformer, and SNAIL."""

import math
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from innerloop._types import Key
from innerloop.nn._cells import sigmoid
from innerloop.nn._core import Block, Kept, Window
from innerloop.nn._layers import LayerNorm, Linear


def rotated(x: Float[Array, "rows heads features"], rank: Int[Array, " rows"]) -> Float[Array, "rows heads features"]:
    """Pairs of features, turned by angles in proportion to the rank: products of two depend on how far they are apart
    (Su et al. 2021, section 3.2)."""
    half = x.shape[-1] // 2
    speed = 10_000.0 ** (-jnp.arange(half, dtype=jnp.float32) / half)
    angle = (rank.astype(jnp.float32)[:, None] * speed[None])[:, None]
    a, b = x[..., :half], x[..., half:]
    return jnp.concatenate([a * jnp.cos(angle) - b * jnp.sin(angle), a * jnp.sin(angle) + b * jnp.cos(angle)], axis=-1)


def attend(
    window: Window,
    queries: Float[Array, "time heads features"],
    keys: Float[Array, "rows heads features"],
    values: Float[Array, "rows heads width"],
    own_keys: Float[Array, "time heads features"],
    own_values: Float[Array, "time heads width"],
) -> Float[Array, "time heads width"]:
    """What each step finds among itself and the rows of the window that it sees."""
    scale = queries.shape[-1] ** -0.5
    scores = jnp.where(window.seen()[None], jnp.einsum("thf,rhf->htr", queries, keys) * scale, -jnp.inf)
    own = jnp.einsum("thf,thf->ht", queries, own_keys)[..., None] * scale
    shares = jax.nn.softmax(jnp.concatenate([scores, own], axis=-1), axis=-1)
    found = jnp.einsum("htr,rhw->thw", shares[..., :-1], values)
    return found + shares[..., -1].T[..., None] * own_values


def checked(context: int) -> int:
    """How many steps a lookup keeps to see `context` with the present one."""
    if context < 2:
        raise ValueError(f"context={context}: must be at least 2.")
    return context - 1


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
        size = old.shape[0]
        from_new = self.from_new(new)
        reset, update = jnp.split(sigmoid(from_new[: 2 * size] + self.from_old(old)), 2)
        candidate = jnp.tanh(from_new[2 * size :] + self.reset(reset * old))
        return old + update * (candidate - old)


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
    num_kept: int = eqx.field(static=True)

    def __init__(self, key: Key, size: int, num_heads: int, context: int):
        if size % (2 * num_heads):
            raise ValueError(f"num_heads={num_heads}: hidden_size={size} must be a multiple of twice as many.")
        self.num_kept = checked(context)
        keys = jax.random.split(key, 6)
        self.norms = LayerNorm(size), LayerNorm(size)
        self.project = Linear(keys[0], size, 3 * size)
        self.mix = Linear(keys[1], size, size)
        self.hidden = Linear(keys[2], size, 2 * size, scale=2**0.5), Linear(keys[3], 2 * size, size)
        self.gates = Gate(keys[4], size), Gate(keys[5], size)
        self.num_heads = num_heads

    def initial(self) -> Kept:
        return Kept.nothing(self.num_kept, 2 * self.mix.bias.shape[0])

    def sequence(
        self, state: Kept, xs: Float[Array, "time size"], first: Bool[Array, " time"], valid: Bool[Array, " time"]
    ) -> tuple[Kept, Float[Array, "time size"]]:
        queries, own = jnp.split(jax.vmap(self.project)(jax.vmap(self.norms[0])(xs)), [xs.shape[1]], axis=-1)
        window = state.extended(own, first, valid)

        def heads(x: Float[Array, "rows width"]) -> Float[Array, "rows heads features"]:
            return x.reshape(x.shape[0], self.num_heads, -1)

        keys, values = (heads(x) for x in jnp.split(window.table, 2, axis=-1))
        own_keys, own_values = (heads(x) for x in jnp.split(own, 2, axis=-1))
        rank = window.past.rank
        queries, own_keys = rotated(heads(queries), rank), rotated(own_keys, rank)
        found = attend(window, queries, rotated(keys, window.rank), values, own_keys, own_values)
        xs = jax.vmap(self.gates[0])(xs, jax.nn.relu(jax.vmap(self.mix)(found.reshape(xs.shape))))
        inner = jax.nn.relu(jax.vmap(self.hidden[0])(jax.vmap(self.norms[1])(xs)))
        xs = jax.vmap(self.gates[1])(xs, jax.nn.relu(jax.vmap(self.hidden[1])(inner)))
        return window.kept(), xs


class ConvolutionBlock(Block):
    """Causal convolutions over 2 steps, 1, 2, 4 ... apart, until they reach back `context` steps; each adds `num_filters`
    features to what it is given (SNAIL's TC block, Mishra et al. 2018, section 3)."""

    layers: tuple[Linear, ...]
    size: int = eqx.field(static=True)

    def __init__(self, key: Key, num_in: int, num_filters: int, context: int):
        num_layers = max(1, math.ceil(math.log2(context)))
        keys = jax.random.split(key, num_layers)
        sizes = [num_in + i * num_filters for i in range(num_layers)]
        self.layers = tuple(Linear(key, 2 * size, 2 * num_filters) for key, size in zip(keys, sizes, strict=True))
        self.size = num_in + num_layers * num_filters

    def initial(self) -> tuple[Kept, ...]:
        return tuple(Kept.nothing(2**i, layer.weight.shape[0] // 2) for i, layer in enumerate(self.layers))

    def sequence(
        self, state: Any, xs: Float[Array, "time size"], first: Bool[Array, " time"], valid: Bool[Array, " time"]
    ) -> tuple[Any, Float[Array, "time size_out"]]:
        kept = []
        for i, (layer, one) in enumerate(zip(self.layers, state, strict=True)):
            window = one.extended(xs, first, valid)
            fed = jnp.concatenate([window.lagged(2**i), xs], axis=-1)
            value, gate = jnp.split(jax.vmap(layer)(fed), 2, axis=-1)
            kept.append(window.kept())
            xs = jnp.concatenate([xs, jnp.tanh(value) * sigmoid(gate)], axis=-1)
        return tuple(kept), xs


class LookupBlock(Block):
    """One head of attention over the last `context` steps of the trial, whose result is added to the features as `num_values`
    more (SNAIL's attention block, Mishra et al. 2018, section 3)."""

    project: Linear
    num_keys: int = eqx.field(static=True)
    num_values: int = eqx.field(static=True)
    num_kept: int = eqx.field(static=True)

    def __init__(self, key: Key, num_in: int, num_keys: int, num_values: int, context: int):
        self.num_kept = checked(context)
        self.project = Linear(key, num_in, 2 * num_keys + num_values)
        self.num_keys = num_keys
        self.num_values = num_values

    def initial(self) -> Kept:
        return Kept.nothing(self.num_kept, self.num_keys + self.num_values)

    def sequence(
        self, state: Kept, xs: Float[Array, "time size"], first: Bool[Array, " time"], valid: Bool[Array, " time"]
    ) -> tuple[Kept, Float[Array, "time size_out"]]:
        queries, own = jnp.split(jax.vmap(self.project)(xs), [self.num_keys], axis=-1)
        window = state.extended(own, first, valid)
        keys, values = (x[:, None] for x in jnp.split(window.table, [self.num_keys], axis=-1))
        own_keys, own_values = (x[:, None] for x in jnp.split(own, [self.num_keys], axis=-1))
        found = attend(window, queries[:, None], keys, values, own_keys, own_values)[:, 0]
        return window.kept(), jnp.concatenate([xs, found], axis=-1)


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
