"""State-space cores: a recurrence that is linear in the state, so that a whole sequence can be computed in parallel."""

import math
from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Complex, Float

from innerloop._rollout import Ring
from innerloop._types import Key
from innerloop.nn._cells import sigmoid
from innerloop.nn._core import Block, Past, Window
from innerloop.nn._layers import LayerNorm, Linear


def linear_recurrence(
    start: Array,
    decay: Array,
    inputs: Array,
    first: Bool[Array, " time"],
    valid: Bool[Array, " time"],
    parallel: bool = True,
) -> tuple[Array, Array]:
    """x_t = decay_t x_{t-1} + inputs_t, elementwise: the last state, and the states `[time ...]`.

    Where `first`, x_{t-1} is zero. Where not `valid`, the state stays as it is, though x_t of that step is what it would
    have become. `parallel` takes about log2(time) rounds (Blelloch 1990; with starts inside, Lu et al. 2023), else a loop.
    """

    def along(flags: Bool[Array, " time"]) -> Bool[Array, "time ..."]:
        return flags.reshape(-1, *(1,) * (inputs.ndim - 1))

    kept = jnp.where(along(first), 0.0, 1.0).astype(inputs.dtype)
    factor = jnp.where(along(valid), decay, jnp.ones_like(decay)) * kept
    added = jnp.where(along(valid), inputs, jnp.zeros_like(inputs))
    added = added.at[0].add(factor[0] * start)

    def join(a: tuple[Array, Array], b: tuple[Array, Array]) -> tuple[Array, Array]:
        return a[0] * b[0], b[0] * a[1] + b[1]

    if parallel:
        after = jax.lax.associative_scan(join, (factor, added))[1]
    else:

        def step(x: Array, inputs: tuple[Array, Array]) -> tuple[Array, Array]:
            x = inputs[0] * x + inputs[1]
            return x, x

        after = jax.lax.scan(step, jnp.zeros_like(start), (factor, added))[1]
    before = kept * jnp.concatenate([start[None], after[:-1]])
    return after[-1], decay * before + inputs


class DiagonalBlock(Block):
    """Norm, a linear recurrence with a complex diagonal, and a gated layer, around which the input goes (LRU, Orvieto et
    al. 2023, section 3).

    x' = λ ∘ x + γ ∘ (u B), λ = exp(-exp(ν) + i exp(φ)), γ = sqrt(1 - |λ|²), so that states have the size of their inputs.
    At the start |λ|² is uniform between 0.9² and 0.999², and phases between 0 and π/10.
    """

    norm: LayerNorm
    log_decay: Float[Array, " state"]
    log_phase: Float[Array, " state"]
    write: Float[Array, "size two_states"]
    read: Float[Array, "two_states size"]
    skip: Float[Array, " size"]
    gated: Linear
    parallel: bool = eqx.field(static=True)

    def __init__(self, key: Key, size: int, state_size: int, parallel: bool = True):
        decay_key, phase_key, write_key, read_key, gated_key = jax.random.split(key, 5)
        low, high = 0.9**2, 0.999**2
        radius = jnp.sqrt(jax.random.uniform(decay_key, (state_size,), minval=low, maxval=high))
        self.norm = LayerNorm(size)
        self.log_decay = jnp.log(-jnp.log(radius))
        self.log_phase = jnp.log(jax.random.uniform(phase_key, (state_size,), minval=1e-3, maxval=math.pi / 10))
        self.write = jax.random.normal(write_key, (size, 2 * state_size)) * (2 * size) ** -0.5
        self.read = jax.random.normal(read_key, (2 * state_size, size)) * state_size**-0.5
        self.skip = jnp.ones((size,))
        self.gated = Linear(gated_key, size, 2 * size)
        self.parallel = parallel

    def initial(self) -> Float[Array, " two_states"]:
        return jnp.zeros((2 * self.log_decay.shape[0],))

    def sequence(
        self, state: Float[Array, " two_states"], xs: Float[Array, "time size"], first: Array, valid: Array
    ) -> tuple[Float[Array, " two_states"], Float[Array, "time size"]]:
        """The state is kept as real parts, then imaginary parts."""
        normed = jax.vmap(self.norm)(xs)
        rotation = jax.lax.complex(-jnp.exp(self.log_decay), jnp.exp(self.log_phase))
        size = jnp.sqrt(1.0 - jnp.exp(-2.0 * jnp.exp(self.log_decay)))
        inputs = _as_complex(normed @ (self.write * jnp.concatenate([size, size])[None]))
        decay = jnp.broadcast_to(jnp.exp(rotation)[None], inputs.shape)
        last, states = linear_recurrence(_as_complex(state), decay, inputs, first, valid, self.parallel)
        return _as_real(last), xs + jax.vmap(self._leave)(_as_real(states), normed)

    def _leave(self, state: Float[Array, " two_states"], normed: Float[Array, " size"]) -> Float[Array, " size"]:
        values, gates = jnp.split(self.gated(jax.nn.gelu(state @ self.read + self.skip * normed)), 2)
        return values * sigmoid(gates)


def _as_complex(x: Float[Array, "*axes two_states"]) -> Complex[Array, "*axes state"]:
    return jax.lax.complex(*jnp.split(x, 2, axis=-1))


def _as_real(x: Complex[Array, "*axes state"]) -> Float[Array, "*axes two_states"]:
    return jnp.concatenate([x.real, x.imag], axis=-1)


class SelectiveState(NamedTuple):
    """The last inputs of the convolution, and the states of each channel."""

    inputs: Ring
    states: Float[Array, "channels state"]


class SelectiveBlock(Block):
    """Norm, and a recurrence whose step sizes, inputs and outputs depend on what it is fed (Mamba, Gu & Dao 2023).

    x' = exp(Δ A) x + Δ B u; y = C x + D u, for each channel, with Δ, B and C linear in u, behind a short causal
    convolution; the result is gated. Δ is at first between 0.001 and 0.1.
    """

    norm: LayerNorm
    enter: Linear
    taps: Float[Array, "width channels"]
    taps_bias: Float[Array, " channels"]
    select: Linear
    log_decay: Float[Array, "channels state"]
    skip: Float[Array, " channels"]
    leave: Linear
    state_size: int = eqx.field(static=True)
    parallel: bool = eqx.field(static=True)

    def __init__(self, key: Key, size: int, state_size: int, parallel: bool = True, num_taps: int = 4):
        enter_key, taps_key, select_key, rate_key, leave_key = jax.random.split(key, 5)
        self.norm = LayerNorm(size)
        self.enter = Linear(enter_key, size, 2 * size)
        self.taps = jax.random.uniform(taps_key, (num_taps, size), minval=-1.0, maxval=1.0) * num_taps**-0.5
        self.taps_bias = jnp.zeros((size,))
        select = Linear(select_key, size, size + 2 * state_size)
        rates = jnp.exp(jax.random.uniform(rate_key, (size,), minval=math.log(1e-3), maxval=math.log(0.1)))
        bias = select.bias.at[:size].set(jnp.log(jnp.expm1(rates)))
        self.select = eqx.tree_at(lambda x: x.bias, select, bias)
        self.log_decay = jnp.broadcast_to(jnp.log(jnp.arange(1.0, state_size + 1.0)), (size, state_size))
        self.skip = jnp.ones((size,))
        self.leave = Linear(leave_key, size, size)
        self.state_size = state_size
        self.parallel = parallel

    def initial(self) -> SelectiveState:
        num_taps, size = self.taps.shape
        return SelectiveState(Ring.empty(num_taps, size), jnp.zeros((size, self.state_size)))

    def sequence(
        self, state: SelectiveState, xs: Float[Array, "time size"], first: Array, valid: Array
    ) -> tuple[SelectiveState, Float[Array, "time size"]]:
        fed, gate = jnp.split(jax.vmap(self.enter)(jax.vmap(self.norm)(xs)), 2, axis=-1)
        window = Window.of(Past.of(state.inputs.num_rows, first, valid), state.inputs, fed)
        near = jnp.stack([fed, *(window.lagged(lag) for lag in range(1, self.taps.shape[0]))], axis=1)
        u, decay, inputs, read = jax.vmap(self._select)(near)
        last, states = linear_recurrence(state.states, decay, inputs, first, valid, self.parallel)
        return SelectiveState(window.ring, last), xs + jax.vmap(self._leave)(states, read, u, gate)

    def _select(self, near: Float[Array, "taps channels"]) -> tuple[Array, Array, Array, Array]:
        """What a step makes of the last inputs: u, the decay of each state, what is added to it, and C."""
        u = jax.nn.silu((self.taps * near).sum(0) + self.taps_bias)
        size = u.shape[0]
        rate, b, read = jnp.split(self.select(u), [size, size + self.state_size])
        rate = jax.nn.softplus(rate)[:, None]
        return u, jnp.exp(-rate * jnp.exp(self.log_decay)), rate * u[:, None] * b[None], read

    def _leave(
        self, state: Float[Array, "channels state"], read: Array, u: Array, gate: Array
    ) -> Float[Array, " size"]:
        return self.leave((state @ read + self.skip * u) * jax.nn.silu(gate))
