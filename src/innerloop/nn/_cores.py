"""Recurrent cores: one step of a memory. Kernels are initialised gate by gate."""

import abc
from typing import Any, Literal, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from innerloop._types import Key
from innerloop.nn._layers import orthogonal

CoreName = Literal["gru", "lstm", "rnn"]


def sigmoid(x: Array) -> Array:
    """The logistic function through tanh, which XLA vectorises better on CPU."""
    return 0.5 * jnp.tanh(0.5 * x) + 0.5


def gate_kernels(key: Key, num_in: int, size: int, num_gates: int) -> Float[Array, "num_in gates_times_size"]:
    """One orthogonal block for each gate: one wide orthogonal matrix would shrink each gate's share of it."""
    return jnp.concatenate([orthogonal(k, num_in, size) for k in jax.random.split(key, num_gates)], axis=1)


class Core(eqx.Module):
    """A recurrent memory: `initial()` state, and `step(state, x) -> (state, output)` on one vector."""

    size: eqx.AbstractVar[int]

    @abc.abstractmethod
    def initial(self) -> Any:
        """The state at the start of a trial: zeros."""

    @abc.abstractmethod
    def step(self, state: Any, x: Float[Array, " num_in"]) -> tuple[Any, Float[Array, " size"]]:
        """One step."""


class GRU(Core):
    """r, z = σ(x W + h U + b); n = tanh(x W_n + b_n + r (h U_n)); h' = z h + (1 - z) n (Cho et al. 2014)."""

    inputs: Float[Array, "num_in gates"]
    recurrent: Float[Array, "size gates"]
    bias: Float[Array, " gates"]
    size: int = eqx.field(static=True)

    def __init__(self, key: Key, num_in: int, size: int):
        inputs_key, recurrent_key = jax.random.split(key)
        self.inputs = gate_kernels(inputs_key, num_in, size, 3)
        self.recurrent = gate_kernels(recurrent_key, size, size, 3)
        self.bias = jnp.zeros((3 * size,))
        self.size = size

    def initial(self) -> Float[Array, " size"]:
        return jnp.zeros((self.size,))

    def step(self, state: Float[Array, " size"], x: Float[Array, " num_in"]) -> tuple[Any, Float[Array, " size"]]:
        from_input, from_state = x @ self.inputs + self.bias, state @ self.recurrent
        split = 2 * self.size
        reset, update = jnp.split(sigmoid(from_input[:split] + from_state[:split]), 2)
        new = jnp.tanh(from_input[split:] + reset * from_state[split:])
        state = new + update * (state - new)
        return state, state


class LSTMState(NamedTuple):
    """Output and cell."""

    output: Float[Array, " size"]
    cell: Float[Array, " size"]


class LSTM(Core):
    """Hochreiter & Schmidhuber 1997 with a forget gate whose bias starts at 1 (Jozefowicz et al. 2015)."""

    inputs: Float[Array, "num_in gates"]
    recurrent: Float[Array, "size gates"]
    bias: Float[Array, " gates"]
    size: int = eqx.field(static=True)

    def __init__(self, key: Key, num_in: int, size: int):
        inputs_key, recurrent_key = jax.random.split(key)
        self.inputs = gate_kernels(inputs_key, num_in, size, 4)
        self.recurrent = gate_kernels(recurrent_key, size, size, 4)
        self.bias = jnp.zeros((4 * size,)).at[size : 2 * size].set(1.0)
        self.size = size

    def initial(self) -> LSTMState:
        return LSTMState(jnp.zeros((self.size,)), jnp.zeros((self.size,)))

    def step(self, state: LSTMState, x: Float[Array, " num_in"]) -> tuple[LSTMState, Float[Array, " size"]]:
        gates = x @ self.inputs + state.output @ self.recurrent + self.bias
        write, keep, read = jnp.split(sigmoid(gates[: 3 * self.size]), 3)
        cell = keep * state.cell + write * jnp.tanh(gates[3 * self.size :])
        output = read * jnp.tanh(cell)
        return LSTMState(output, cell), output


class RNN(Core):
    """h' = tanh(x W + h U + b) (Elman 1990)."""

    inputs: Float[Array, "num_in size"]
    recurrent: Float[Array, "size size"]
    bias: Float[Array, " size"]
    size: int = eqx.field(static=True)

    def __init__(self, key: Key, num_in: int, size: int):
        inputs_key, recurrent_key = jax.random.split(key)
        self.inputs = orthogonal(inputs_key, num_in, size)
        self.recurrent = orthogonal(recurrent_key, size, size)
        self.bias = jnp.zeros((size,))
        self.size = size

    def initial(self) -> Float[Array, " size"]:
        return jnp.zeros((self.size,))

    def step(self, state: Float[Array, " size"], x: Float[Array, " num_in"]) -> tuple[Any, Float[Array, " size"]]:
        state = jnp.tanh(x @ self.inputs + state @ self.recurrent + self.bias)
        return state, state


CORES: dict[str, type[GRU] | type[LSTM] | type[RNN]] = {"gru": GRU, "lstm": LSTM, "rnn": RNN}


def make_core(name: CoreName, key: Key, num_in: int, size: int) -> Core:
    """A core by name."""
    if name not in CORES:
        raise ValueError(f"core={name!r}: choose one of {', '.join(CORES)}.")
    if size < 1:
        raise ValueError(f"hidden_size={size}: must be at least 1.")
    return CORES[name](key, num_in, size)
