"""Copy and associative recall (Graves et al. 2014, sections 4.1 and 4.3) as environments whose actions are answers.

Items are shown one after the other, then asked for one after the other. The answer is one symbol; a right one pays
1 / (number of items), so that the return is the share of right answers.
"""

from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from innerloop._env import Box, Discrete, Env, EnvSpec, advance, restart
from innerloop._task import Sampled
from innerloop._types import Key, TimeStep


class RecallTask(NamedTuple):
    """What is shown: a key (a number; of no meaning in `Copy`) and a symbol for each item; the order in which the first
    `length` of them are asked for."""

    keys: Int[Array, " items"]
    symbols: Int[Array, " items"]
    order: Int[Array, " items"]
    length: Int[Array, ""]


class RecallState(NamedTuple):
    """Steps done."""

    time: Int[Array, ""]


class Recall(Env):
    """`length` pairs of a key and a symbol are shown, one a step; then keys are shown, and their symbols are the answers.

    The observation: the key one-hot, the symbol one-hot (zeros while answers are asked for), and 1 while they are. Actions
    before that are ignored. With `num_keys` = 0 there is nothing but the order to tell items apart: the copy task.
    """

    spec: EnvSpec
    max_items: int = eqx.field(static=True)
    num_keys: int = eqx.field(static=True)
    num_symbols: int = eqx.field(static=True)

    def __init__(self, max_items: int = 16, num_keys: int = 32, num_symbols: int = 8):
        if max_items < 1 or num_symbols < 2 or 0 < num_keys < max_items or num_keys < 0:
            raise ValueError(
                f"Recall(max_items={max_items}, num_keys={num_keys}, num_symbols={num_symbols}): needs an item, two "
                "symbols, and as many keys as items (or none: then they are asked for in the order shown)."
            )
        self.spec = EnvSpec(Box((num_keys + num_symbols + 1,), 0.0, 1.0), Discrete(num_symbols), 2 * max_items)
        self.max_items = max_items
        self.num_keys = num_keys
        self.num_symbols = num_symbols

    def _item(self, task: RecallTask, time: Int[Array, ""]) -> tuple[Int[Array, ""], Array]:
        """The item that is shown or asked for at a time, and whether it is asked for."""
        asked = time >= task.length
        place = jnp.where(asked, time - task.length, time) % self.max_items
        return jnp.where(asked, task.order[place], place), asked

    def _see(self, task: RecallTask, time: Int[Array, ""]) -> Float[Array, " features"]:
        item, asked = self._item(task, time)
        key = (jnp.arange(self.num_keys) == task.keys[item]).astype(jnp.float32)
        symbol = jnp.where(asked, 0.0, jax.nn.one_hot(task.symbols[item], self.num_symbols))
        return jnp.concatenate([key, symbol, asked.astype(jnp.float32)[None]])

    def reset(self, key: Key, task: RecallTask) -> tuple[RecallState, TimeStep]:
        time = jnp.zeros((), jnp.int32)
        return RecallState(time), restart(self.spec, self._see(task, time))

    def step(self, key: Key, task: RecallTask, state: RecallState, action: Array) -> tuple[RecallState, TimeStep]:
        item, asked = self._item(task, state.time)
        is_right = asked & (action == task.symbols[item])
        reward = is_right.astype(jnp.float32) / task.length.astype(jnp.float32)
        time = state.time + 1
        over = time >= 2 * task.length
        return RecallState(time), advance(self._see(task, time), action, reward, terminated=over)


def recall_tasks(env: Recall, shortest: int, longest: int) -> Sampled:
    """Items drawn at random, `shortest` to `longest` of them: keys without repetition, asked for in a random order; without
    keys, in the order shown."""
    if not 1 <= shortest <= longest <= env.max_items:
        raise ValueError(
            f"recall_tasks(shortest={shortest}, longest={longest}): choose numbers of items from 1 to {env.max_items}."
        )

    def draw(key: Key) -> RecallTask:
        length_key, keys_key, symbols_key, order_key = jax.random.split(key, 4)
        length = jax.random.randint(length_key, (), shortest, longest + 1)
        places = jnp.arange(env.max_items)
        symbols = jax.random.randint(symbols_key, (env.max_items,), 0, env.num_symbols)
        if env.num_keys == 0:
            return RecallTask(places, symbols, places, length)
        keys = jax.random.permutation(keys_key, env.num_keys)[: env.max_items]
        ranks = jnp.where(places < length, jax.random.uniform(order_key, (env.max_items,)), 2.0)
        return RecallTask(keys, symbols, jnp.argsort(ranks).astype(jnp.int32), length)

    return Sampled(draw)
