"""An agent beside the policies that it has to be measured by, on the same held-out tasks, in one picture."""

import sys

import jax

import innerloop as il

QUICK = "--quick" in sys.argv

row = il.benchmark("two-arm")
method = il.algorithms.RL2(
    hidden_size=32, training=il.algorithms.OnPolicy(num_updates=2 if QUICK else 100, num_tasks=64 if QUICK else 512)
)
train_key, test_key = jax.random.split(jax.random.key(0))

learner = method.learner(row)
collector = il.JaxCollector(method.env(row), row.train, method.training.num_tasks, row.num_episodes)
state, _ = il.train(train_key, learner, collector, method.training.num_updates)

num_tasks = 64 if QUICK else 4096
held_out = il.JaxCollector(row.env, row.test, num_tasks, row.num_episodes)
curve = il.evaluate(test_key, learner.agent(state), held_out, metrics=row.metrics, label="RL²")
references = [
    il.evaluate(test_key, reference.agent(), held_out, metrics=row.metrics, label=name)
    for name, reference in row.references.items()
    if not reference.reveals_task
]
for each in (curve, *references):
    print(f"{each.label:>15}: regret {each.score('regret')['mean']:6.3f}")
print("known exactly:", row.known["regret"])
il.report.plot_curve([curve], "curve.png", row.summary, references)
il.report.html_curve([curve], "curve.html", row.summary, references)
print("wrote curve.png and curve.html")
