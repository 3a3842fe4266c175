"""Train, save, and use the agent in an ordinary Python loop that knows nothing of JAX.

The loop at the end could be a robot, a web service or a game: it needs numbers in and numbers out.
"""

import random
import sys
import tempfile
from functools import partial

import jax
import optax

import innerloop as il

QUICK = "--quick" in sys.argv
NUM_PULLS = 20

env = il.envs.BernoulliBandit(num_arms=2)
learner = il.PPO(partial(il.agents.Recurrent, env.spec, hidden_size=32), optax.adam(3e-3))
collector = il.JaxCollector(env, il.envs.uniform_bandits(num_arms=2), num_tasks=256, num_rounds=NUM_PULLS)

with tempfile.TemporaryDirectory() as folder:
    num_updates = 2 if QUICK else 300
    il.train(jax.random.key(0), learner, collector, num_updates, callbacks=[il.Checkpoint(folder, every=num_updates)])
    agent = il.load(folder)

# From here on: plain Python. One session is one trial, so one task; a new task is a new session.
world = random.Random(1)
means = (0.2, 0.8)
session = agent.start(seed=0)
pulls = []
for _ in range(NUM_PULLS):
    arm = int(session.act(0))
    reward = float(world.random() < means[arm])
    session.observe(reward, 0, terminated=True, truncated=False)  # an episode of a bandit is one pull
    pulls.append(arm)
print("arms that pay", means, "were pulled in this order:", *pulls)
