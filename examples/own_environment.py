"""An environment of your own: describe it, check it, train on it, and see that the agent adapts.

A treasure lies in one of several rooms. Opening a room ends the episode, so the agent has to remember over episodes
where it has been: the best it can do is to open each room at most once, and the right one ever after.
"""

import sys
from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import optax

import innerloop as il

QUICK = "--quick" in sys.argv
NUM_ROOMS = 4


class TreasureTask(NamedTuple):
    """Which room holds the treasure."""

    room: jax.Array


class NoState(NamedTuple):
    """An episode is one step: nothing to carry."""


class Rooms(il.Env):
    """Action i opens room i: 1 if the treasure is there, else 0, and the episode ends."""

    spec: il.EnvSpec = il.EnvSpec(il.Discrete(1), il.Discrete(NUM_ROOMS), max_steps=1)

    def reset(self, key, task):
        return NoState(), il.restart(self.spec, jnp.zeros((), jnp.int32))

    def step(self, key, task, state, action):
        reward = (action == task.room).astype(jnp.float32)
        return state, il.advance(jnp.zeros((), jnp.int32), action, reward, terminated=True)


env = Rooms()
tasks = il.Finite(TreasureTask(jnp.arange(NUM_ROOMS)))
print(il.check_env(env, tasks))

train_key, test_key = jax.random.split(jax.random.key(0))
learner = il.PPO(partial(il.agents.Recurrent, env.spec, hidden_size=32), optax.adam(3e-3), entropy_coef=0.01)
collector = il.JaxCollector(env, tasks, num_tasks=256, num_rounds=6)
state, _ = il.train(train_key, learner, collector, num_updates=2 if QUICK else 200)

# There are only four tasks, so the agent is tested on those that it was trained on, and the output says so.
curve = il.evaluate(test_key, learner.agent(state), collector, tasks="training")
print(curve.summary())
print("best possible:", "  ".join(f"{min(1.0, (i + 1) / NUM_ROOMS):.2f}" for i in range(6)))
