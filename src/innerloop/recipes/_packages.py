"""Recipes on environments of packages that are extras."""

from innerloop.algorithms._on_policy import OnPolicy
from innerloop.algorithms._soft import OffPolicy
from innerloop.algorithms.pearl import PEARL
from innerloop.algorithms.rl2 import RL2
from innerloop.recipes._recipe import Recipe

XLAND = (
    "Budget and outer loop of XLand-MiniGrid's own configuration for CPUs; trials of 3 episodes where it has 736 steps."
)

ML1 = (
    "Settings were chosen on seed 101 by the official evaluation on goals of another seed (seed=1), not on test goals, "
    "where an earlier recipe had come to .80; the pilots are in docs/benchmarks/packages.md. The puck is not looked at, "
    "since its place tells the 50 training goals apart. Eight of ten episodes explore: where the arm rests once it "
    "follows its posterior tells an encoder the goal in training, and only its own guess on goals that are new."
)

ROWS: tuple[Recipe, ...] = (
    Recipe(
        id="xland-r1-9x9",
        method="rl2",
        benchmark="xland-r1-9x9",
        settings=RL2(
            hidden_size=32,
            encoder_widths=(64,),
            head_widths=(16,),
            head_obs=False,
            training=OnPolicy(
                num_updates=506,
                num_tasks=256,
                stream_steps=16,
                num_epochs=1,
                num_minibatches=16,
                learning_rate=1e-3,
                gamma=0.99,
                gae_lambda=0.95,
                value_lambda=0.95,
                value_clip=0.2,
                entropy_coef=0.01,
                final_entropy_coef=0.01,
                max_grad_norm=0.5,
            ),
        ),
        bar=0.8,
        published=0.8,
        source="the package's configuration for CPUs says 0.8 and more, sum of 3 episodes on its own rulesets",
        num_test_tasks=1000,
        notes={"setting": XLAND},
    ),
    Recipe(
        id="ml1-reach-pearl",
        method="pearl",
        benchmark="ml1-reach",
        settings=PEARL(
            latent_size=10,
            encoder_widths=(256, 256),
            ignored=(*range(4, 18), *range(22, 39)),
            kl_coef=1e-3,
            context_steps=128,
            num_prior_episodes=8,
            training=OffPolicy(
                num_updates=40,
                num_tasks=4,
                num_gradient_steps=1000,
                capacity=20_000,
                final_learning_rate=1e-4,
                gamma=0.95,
                initial_alpha=0.02,
                learn_alpha=False,
                widths=(256, 256),
            ),
        ),
        metric="last",
        source="for benchmarks/official.py",
        evaluate_every=0,
        num_test_tasks=20,
        num_seeds=3,
        notes={"choice": ML1},
    ),
)
