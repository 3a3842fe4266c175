"""Recurrent cells. Kernels are initialised gate by gate."""

from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from innerloop._types import Key
from innerloop.nn._core import Cell
from innerloop.nn._layers import orthogonal


def sigmoid(x: Array) -> Array:
    """The logistic function through tanh, which XLA vectorises better on CPU."""
    return 0.5 * jnp.tanh(0.5 * x) + 0.5


def gate_kernels(key: Key, num_in: int, size: int, num_gates: int) -> Float[Array, "num_in gates_times_size"]:
    """One orthogonal block for each gate: one wide orthogonal matrix would shrink each gate's share of it."""
    return jnp.concatenate([orthogonal(k, num_in, size) for k in jax.random.split(key, num_gates)], axis=1)


class Gated(Cell):
    """Kernels from input and state to some gates of `size` each, and a bias."""

    inputs: Float[Array, "num_in gates"]
    recurrent: Float[Array, "size gates"]
    bias: Float[Array, " gates"]
    size: int = eqx.field(static=True)

    def __init__(self, key: Key, num_in: int, size: int, num_gates: int):
        inputs_key, recurrent_key = jax.random.split(key)
        self.inputs = gate_kernels(inputs_key, num_in, size, num_gates)
        self.recurrent = gate_kernels(recurrent_key, size, size, num_gates)
        self.bias = jnp.zeros((num_gates * size,))
        self.size = size

    def initial(self) -> Any:
        return jnp.zeros((self.size,))

    def project(self, x: Float[Array, " num_in"]) -> Float[Array, " gates"]:
        return x @ self.inputs + self.bias


class GRU(Gated):
    """r, z = σ(x W + h U + b); n = tanh(x W_n + b_n + r (h U_n)); h' = z h + (1 - z) n (Cho et al. 2014)."""

    def __init__(self, key: Key, num_in: int, size: int):
        super().__init__(key, num_in, size, num_gates=3)

    def advance(self, state: Float[Array, " size"], projected: Float[Array, " gates"]) -> tuple[Any, Array]:
        from_state = state @ self.recurrent
        split = 2 * self.size
        reset, update = jnp.split(sigmoid(projected[:split] + from_state[:split]), 2)
        new = jnp.tanh(projected[split:] + reset * from_state[split:])
        state = new + update * (state - new)
        return state, state


class LSTMState(NamedTuple):
    """Output and cell."""

    output: Float[Array, " size"]
    cell: Float[Array, " size"]


class LSTM(Gated):
    """Hochreiter & Schmidhuber 1997 with a forget gate whose bias starts at 1 (Jozefowicz et al. 2015)."""

    def __init__(self, key: Key, num_in: int, size: int):
        super().__init__(key, num_in, size, num_gates=4)
        self.bias = self.bias.at[size : 2 * size].set(1.0)

    def initial(self) -> LSTMState:
        return LSTMState(jnp.zeros((self.size,)), jnp.zeros((self.size,)))

    def advance(self, state: LSTMState, projected: Float[Array, " gates"]) -> tuple[LSTMState, Array]:
        gates = projected + state.output @ self.recurrent
        write, keep, read = jnp.split(sigmoid(gates[: 3 * self.size]), 3)
        cell = keep * state.cell + write * jnp.tanh(gates[3 * self.size :])
        output = read * jnp.tanh(cell)
        return LSTMState(output, cell), output


class RNN(Gated):
    """h' = tanh(x W + h U + b) (Elman 1990)."""

    def __init__(self, key: Key, num_in: int, size: int):
        super().__init__(key, num_in, size, num_gates=1)

    def advance(self, state: Float[Array, " size"], projected: Float[Array, " size"]) -> tuple[Any, Array]:
        state = jnp.tanh(projected + state @ self.recurrent)
        return state, state


class HebbianState(NamedTuple):
    """Output, and the plastic part of each recurrent weight."""

    output: Float[Array, " size"]
    trace: Float[Array, "size size"]


class Hebbian(Gated):
    """h' = tanh(x W + h (U + α ∘ T) + b); T' = T + m (h ⊗ h' - T): weights that change while acting.

    Differentiable plasticity (Miconi et al. 2018, equations 1 and 2). The rate m = σ(h' v + c) is said by the net itself at
    every step, after Miconi et al. 2019.
    """

    plasticity: Float[Array, "size size"]
    rate: Float[Array, " size"]
    rate_bias: Float[Array, ""]

    def __init__(self, key: Key, num_in: int, size: int):
        gates_key, plasticity_key = jax.random.split(key)
        super().__init__(gates_key, num_in, size, num_gates=1)
        self.plasticity = 0.01 * jax.random.normal(plasticity_key, (size, size))
        self.rate = jnp.zeros((size,))
        self.rate_bias = jnp.asarray(-2.0)

    def initial(self) -> HebbianState:
        return HebbianState(jnp.zeros((self.size,)), jnp.zeros((self.size, self.size)))

    def advance(self, state: HebbianState, projected: Float[Array, " size"]) -> tuple[HebbianState, Array]:
        output = jnp.tanh(projected + state.output @ (self.recurrent + self.plasticity * state.trace))
        rate = sigmoid(output @ self.rate + self.rate_bias)
        trace = state.trace + rate * (state.output[:, None] * output[None] - state.trace)
        return HebbianState(output, trace), output
