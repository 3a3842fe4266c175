"""A Gymnasium environment of your own as a benchmark: a cart and a pole, whose length differs from task to task.

    python examples/gymnasium_environment.py
    cd examples && innerloop train rl2 gymnasium_environment:varied_poles

Nothing in the environment knows of innerloop: it has a `set_task`, and that is all. Two processes step the copies.
"""

import sys
from functools import partial
from typing import NamedTuple

import jax
import optax
from gymnasium.envs.classic_control import CartPoleEnv

import innerloop as il
from innerloop.bridges import from_gymnasium

QUICK = "--quick" in sys.argv


class VariedPole(CartPoleEnv):
    """An ordinary Gymnasium environment that can be told its task."""

    def set_task(self, task):
        self.length = task["length"]
        self.polemass_length = self.masspole * self.length


class Pole(NamedTuple):
    """A task: half the pole's length (m)."""

    length: jax.Array


def varied_poles() -> il.Benchmark:
    """Train on poles of 0.25 to 0.75 m, test on others from the same range."""
    tasks = il.Sampled(lambda key: Pole(jax.random.uniform(key, minval=0.25, maxval=0.75)))
    env = from_gymnasium(VariedPole, max_steps=50 if QUICK else 200, tell="set_task", num_workers=2)
    return il.Benchmark("varied-poles", "Poles of many lengths", "this example", env, tasks, tasks, num_episodes=2)


if __name__ == "__main__":
    row = varied_poles()
    print(il.check_env(row.env, row.train, num_tasks=4))
    learner = il.PPO(partial(il.agents.Recurrent, row.env.spec, hidden_size=32), optax.adam(3e-3), num_minibatches=4)
    collector = il.JaxCollector(row.env, row.train, num_tasks=8 if QUICK else 64, num_rounds=row.num_episodes)
    state, _ = il.train(jax.random.key(0), learner, collector, num_updates=2 if QUICK else 40)
    held_out = il.JaxCollector(row.env, row.test, num_tasks=8 if QUICK else 64, num_rounds=row.num_episodes)
    print(il.evaluate(jax.random.key(1), learner.agent(state), held_out).summary())
