"""Cores with an external memory: an LSTM that reinstates what it stored, and the Neural Turing Machine."""

from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from innerloop._types import Key
from innerloop.nn._cells import LSTM, LSTMState, gate_kernels, sigmoid
from innerloop.nn._core import Cell
from innerloop.nn._layers import Linear
from innerloop.nn._store import Search, Store, check, noted, read, write

CLOSE, SAME = 0.25, 1e-4
"""Squared distances up to which a key of the episodic core answers a query, and is overwritten by another."""


class ReinstatingLSTM(eqx.Module):
    """An LSTM with one more gate, for what was read from a store: c_t = i ∘ c̃ + f ∘ c_{t-1} + r ∘ c_read; the output is
    o ∘ tanh(c_t) (Ritter et al. 2018). The forget gate's bias starts at 1."""

    inputs: Float[Array, "num_in gates"]
    recurrent: Float[Array, "size gates"]
    bias: Float[Array, " gates"]
    size: int = eqx.field(static=True)

    def __init__(self, key: Key, num_in: int, size: int):
        inputs_key, recurrent_key = jax.random.split(key)
        self.inputs = gate_kernels(inputs_key, num_in, size, 5)
        self.recurrent = gate_kernels(recurrent_key, size, size, 5)
        self.bias = jnp.zeros((5 * size,)).at[size : 2 * size].set(1.0)
        self.size = size

    def initial(self) -> LSTMState:
        """Output and cell at the start."""
        return LSTMState(jnp.zeros((self.size,)), jnp.zeros((self.size,)))

    def project(self, x: Float[Array, " num_in"]) -> Float[Array, " gates"]:
        """What does not depend on the state."""
        return x @ self.inputs + self.bias

    def advance(
        self, state: LSTMState, projected: Float[Array, " gates"], cell_read: Float[Array, " size"]
    ) -> LSTMState:
        """A step."""
        gates = projected + state.output @ self.recurrent
        enter, keep, leave, reinstate = jnp.split(sigmoid(gates[: 4 * self.size]), 4)
        cell = keep * state.cell + enter * jnp.tanh(gates[4 * self.size :]) + reinstate * cell_read
        return LSTMState(leave * jnp.tanh(cell), cell)


class EpisodicState(NamedTuple):
    """The LSTM's state, and cells of earlier steps under the keys of their inputs."""

    lstm: LSTMState
    store: Store


class Episodic(Cell):
    """At every step: query the store with a projection of the input, reinstate what is found, store the new cell under
    the same key. After Ritter et al. 2018, with learned keys and a write at every step."""

    lstm: ReinstatingLSTM
    key: Linear
    size: int = eqx.field(static=True)
    memory_slots: int = eqx.field(static=True)
    num_neighbors: int = eqx.field(static=True)
    search: Search = eqx.field(static=True)

    def __init__(
        self, key: Key, num_in: int, size: int, memory_slots: int, num_neighbors: int, key_size: int, search: Search
    ):
        check(memory_slots, key_size, num_neighbors, search)
        lstm_key, key_key = jax.random.split(key)
        self.lstm = ReinstatingLSTM(lstm_key, num_in, size)
        self.key = Linear(key_key, num_in, key_size)
        self.size = size
        self.memory_slots = memory_slots
        self.num_neighbors = num_neighbors
        self.search = search

    def initial(self) -> EpisodicState:
        return EpisodicState(self.lstm.initial(), Store.empty(self.memory_slots, self.key.bias.shape[0], self.size))

    def project(self, x: Float[Array, " num_in"]) -> Float[Array, " projected"]:
        return jnp.concatenate([self.lstm.project(x), self.key(x)])

    def advance(self, state: EpisodicState, projected: Float[Array, " projected"]) -> tuple[EpisodicState, Array]:
        gates, key = jnp.split(projected, [5 * self.size])
        found = read(state.store, key, self.num_neighbors, self.search)
        lstm = self.lstm.advance(state.lstm, gates, found.value)
        store = write(noted(state.store, found, found.hit(CLOSE)), key, lstm.cell, SAME)
        return EpisodicState(lstm, store), lstm.output


class NTMState(NamedTuple):
    """The controller's state, the memory, where the two heads are, and what was read last."""

    controller: LSTMState
    memory: Float[Array, "slot width"]
    reading: Float[Array, " slot"]
    writing: Float[Array, " slot"]
    found: Float[Array, " width"]


class NTM(Cell):
    """Neural Turing Machine (Graves et al. 2014, section 3): an LSTM that moves one read and one write head over a memory by
    content and by shifts. It writes, reads, and puts out a linear function of its own output and of what it read.

    At first the write head moves on by a slot at every step, and the read head goes by content.
    """

    controller: LSTM
    heads: Linear
    leave: Linear
    size: int = eqx.field(static=True)
    memory_slots: int = eqx.field(static=True)
    width: int = eqx.field(static=True)

    def __init__(self, key: Key, num_in: int, size: int, memory_slots: int, width: int):
        if memory_slots < 3 or width < 1:
            raise ValueError(
                f"memory_slots={memory_slots}, key_size={width}: `ntm` needs at least 3 slots of at least 1 number."
            )
        controller_key, heads_key, leave_key = jax.random.split(key, 3)
        self.controller = LSTM(controller_key, num_in + width, size)
        heads = Linear(heads_key, size, 2 * (width + 6) + 2 * width)
        # Key, strength, gate, three shifts, sharpness; of reading, then of writing.
        reading, writing = jnp.asarray([4.0, 2.0, 0.0, 0.0, 0.0, 0.0]), jnp.asarray([0.0, -2.0, 0.0, 0.0, 3.0, 2.0])
        key_bias = jnp.zeros((width,))
        bias = jnp.concatenate([key_bias, reading, key_bias, writing, key_bias, key_bias])
        self.heads = eqx.tree_at(lambda x: x.bias, heads, bias)
        self.leave = Linear(leave_key, size + width, size)
        self.size = size
        self.memory_slots = memory_slots
        self.width = width

    def initial(self) -> NTMState:
        memory = jnp.full((self.memory_slots, self.width), 1e-6)
        first = (jnp.arange(self.memory_slots) == 0).astype(jnp.float32)
        return NTMState(self.controller.initial(), memory, first, first, jnp.zeros((self.width,)))

    def project(self, x: Float[Array, " num_in"]) -> Float[Array, " gates"]:
        return x @ self.controller.inputs[: -self.width] + self.controller.bias

    def advance(self, state: NTMState, projected: Float[Array, " gates"]) -> tuple[NTMState, Array]:
        from_read = state.found @ self.controller.inputs[-self.width :]
        controller, output = self.controller.advance(state.controller, projected + from_read)
        width = self.width
        to_read, to_write, erase, add = jnp.split(
            self.heads(output), [width + 6, 2 * (width + 6), 3 * width + 12], axis=0
        )
        writing = addressed(state.memory, state.writing, to_write)
        memory = state.memory * (1.0 - writing[:, None] * sigmoid(erase)[None]) + writing[:, None] * jnp.tanh(add)[None]
        reading = addressed(memory, state.reading, to_read)
        found = reading @ memory
        state = NTMState(controller, memory, reading, writing, found)
        return state, self.leave(jnp.concatenate([output, found]))


def addressed(
    memory: Float[Array, "slot width"], before: Float[Array, " slot"], said: Float[Array, " numbers"]
) -> Float[Array, " slot"]:
    """Where a head goes (Graves et al. 2014, section 3.3, equations 5 to 9): content, interpolation, shift, sharpening.

    It is told a key, its strength, a gate, three shifts and a sharpness.
    """
    key, (strength, gate, *shift, sharpness) = jnp.tanh(said[:-6]), tuple(said[-6:])
    lengths = jnp.sqrt(jnp.square(memory).sum(axis=1) * jnp.square(key).sum() + 1e-12)
    by_content = jax.nn.softmax((1.0 + jax.nn.softplus(strength)) * (memory @ key) / lengths)
    mixed = before + sigmoid(gate) * (by_content - before)
    back, stay, forth = jax.nn.softmax(jnp.stack(shift))
    moved = back * jnp.roll(mixed, -1) + stay * mixed + forth * jnp.roll(mixed, 1)
    # A power of zero has no gradient.
    sharp = (moved + 1e-6) ** (1.0 + jax.nn.softplus(sharpness))
    return sharp / sharp.sum()
