"""Few-shot regression with MAML: how well is a sine known after 0, 1, ... gradient steps on ten of its points?

python examples/few_shot.py [--quick]
"""

import sys
from functools import partial

import jax
import optax

import innerloop as il
from innerloop.agents import AnswerError, FeedForward, Gradient
from innerloop.envs import Regression, sine, sinusoids

QUICK = "--quick" in sys.argv[1:]

env, tasks = Regression(sine, num_points=10), sinusoids()
base = partial(FeedForward, env.spec, widths=(40, 40), activation="relu", is_predictor=True)


def make_agent(key: jax.Array) -> Gradient:
    """A net that adapts by gradient steps of size 0.01 on the squared error at the points it has seen."""
    return Gradient(base(key=key), AnswerError(), episodes_per_round=1, rate=0.01)


learner = il.algorithms.MetaGradient(make_agent, AnswerError(), optimizer=optax.adam(2e-3))
collector = il.JaxCollector(env, tasks, num_tasks=100, num_rounds=2)  # ten points to adapt on, ten to be judged on
state, _ = il.train(jax.random.key(0), learner, collector, num_updates=50 if QUICK else 4000)

curve = -il.few_shot_curve(jax.random.key(1), learner.agent(state), env, Regression(sine, 100), tasks, num_steps=10)
for steps, error in enumerate(curve.mean(axis=0)):
    print(f"{steps:2d} gradient steps: mean squared error {error:.3f}")
