"""Several seeds at once: one compiled program trains them all, and evaluation reports each of them."""

import sys
from functools import partial

import jax
import optax

import innerloop as il

QUICK = "--quick" in sys.argv
NUM_SEEDS = 2 if QUICK else 4

env, goals = il.envs.GridNavi(), il.envs.gridnavi_goals()
learner = il.PPO(
    partial(il.agents.Recurrent, env.spec, hidden_size=32), optax.adam(1e-3), gae_lambda=0.95, entropy_coef=0.01
)
collector = il.JaxCollector(env, goals, num_tasks=64 if QUICK else 256, num_rounds=4)
state, metrics = il.train(
    jax.random.key(0), learner, collector, num_updates=2 if QUICK else 100, num_seeds=NUM_SEEDS, log_every=1
)
print("reward of a trial in the last batch, for each seed:", metrics[-1]["trial_return"].round(2))

# The 21 goals are the same in training and test; what the agent is not told is which of them it is.
held_out = il.JaxCollector(env, goals, num_tasks=21, num_rounds=4)
curve = il.evaluate(jax.random.key(1), learner.agent(state), held_out, num_seeds=NUM_SEEDS, label="RL²")
print(curve.summary())
for seed, value in enumerate(curve.score()["per_seed"]):
    print(f"  seed {seed}: {value:.2f}")
