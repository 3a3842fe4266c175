"""RL² on a two-armed bandit: the smallest agent that learns to learn.

A trial is 20 pulls on one bandit. The agent that comes out tries both arms and then prefers the better one, and nobody
told it how. `--quick` is only a check that everything runs.
"""

import sys
from functools import partial

import jax
import optax

import innerloop as il

QUICK = "--quick" in sys.argv
NUM_PULLS = 20

train_key, test_key = jax.random.split(jax.random.key(0))
env = il.envs.BernoulliBandit(num_arms=2)
tasks = il.envs.uniform_bandits(num_arms=2)

learner = il.PPO(
    partial(il.agents.Recurrent, env.spec, hidden_size=32),
    optax.chain(optax.clip_by_global_norm(1.0), optax.adam(3e-3)),
    entropy_coef=optax.linear_schedule(0.02, 0.0, 200),
)
collector = il.JaxCollector(env, tasks, num_tasks=64 if QUICK else 1024, num_rounds=NUM_PULLS)
state, metrics = il.train(train_key, learner, collector, num_updates=2 if QUICK else 300)
for row in metrics[:: max(1, len(metrics) // 5)]:
    print(f"update {row['update']:4d}: reward of a trial {float(row['trial_return']):.2f}")

# Every trial of this evaluation is played on a bandit that no trial of the training was played on.
held_out = il.JaxCollector(env, tasks, num_tasks=256 if QUICK else 8192, num_rounds=NUM_PULLS)
curve = il.evaluate(test_key, learner.agent(state), held_out, label="RL²")
print(curve.summary())
