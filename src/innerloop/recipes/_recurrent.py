"""Recipes of RL²: bandits, tabular MDPs, grids, Harlow's task, the two-step task."""

import dataclasses
from typing import Any

from innerloop.algorithms._on_policy import OnPolicy
from innerloop.algorithms.rl2 import RL2
from innerloop.nn import CoreName, CoreOptions
from innerloop.recipes._recipe import BASE, Recipe


def _rl2(num_updates: int, hidden_size: int = 64, core: CoreName = "gru", hint: bool = False, **training: Any) -> RL2:
    """RL² with PPO. `hint`: the task critic and the task predictor help in training."""
    return RL2(
        core=core,
        hidden_size=hidden_size,
        task_critic=hint,
        task_prediction=10.0 if hint else 0.0,
        training=OnPolicy(**(BASE | {"num_updates": num_updates} | training)),
    )


HEAD = "Policy and value have a hidden layer of their own, on memory and observation."
LAYERS = "The memory has a hidden layer before it; policy and value have one on memory and observation."
WIDE = (
    "The memory is fed whole transitions through a hidden layer, and policy and value see products of memory and "
    "observation (Jayakumar et al. 2020)."
)
CHOICE = (
    "A shorter training of a smaller net had missed the bar on test tasks (2.20, one seed, GRU 32, 15 M steps); length, "
    "width and entropy bonus were then raised once, without trying others."
)
HINT = "Trained with a critic and an auxiliary loss that know the task; the agent is never told it."


ROWS: tuple[Recipe, ...] = (
    Recipe(
        id="demo",
        method="rl2",
        benchmark="bandit-n10-k5",
        settings=_rl2(800, hidden_size=32, num_tasks=512, num_minibatches=4, learning_rate=3e-3, entropy_coef=0.02),
        num_seeds=1,
        num_test_tasks=2000,
    ),
    Recipe(
        id="two-arm",
        method="rl2",
        benchmark="two-arm",
        settings=_rl2(200, hidden_size=48, hint=True),
        metric="regret",
        better="lower",
        bar=2.79,
        source="Thompson sampling 2.79, Bayes-optimal 1.748 (computed); Wang et al. 2016 print a curve",
        notes={"training": HINT},
    ),
    Recipe(
        id="eleven-arm",
        method="rl2",
        benchmark="eleven-arm",
        settings=_rl2(1000, hint=True, num_minibatches=4, entropy_coef=0.3, gae_lambda=1.0, learning_rate=3e-3),
        bar=19.5,
        source="optimum 20.55; Wang et al. 2016 print a curve",
        notes={"training": HINT},
    ),
    Recipe(
        id="dependent-uniform",
        method="rl2",
        benchmark="dependent-uniform",
        settings=_rl2(400, hidden_size=48, hint=True, num_minibatches=4, entropy_coef=0.08),
        metric="regret",
        better="lower",
        bar=1.8,
        source="optimum 1.221, Thompson sampling with independent arms 2.81 (computed)",
        notes={"training": HINT, "choice": CHOICE},
    ),
    Recipe(
        id="bandit-n100-k5",
        method="rl2",
        benchmark="bandit-n100-k5",
        settings=_rl2(500, hint=True),
        bar=77.7,
        published=78.7,
        source="Duan et al. 2016, table 1",
        num_seeds=3,
        notes={"training": HINT},
    ),
    Recipe(
        id="bandit-n100-k10",
        method="rl2",
        benchmark="bandit-n100-k10",
        settings=_rl2(800, hint=True),
        bar=82.8,
        published=83.5,
        source="Duan et al. 2016, table 1",
        num_seeds=3,
        notes={"training": HINT},
    ),
    Recipe(
        id="mdp-n10",
        method="rl2",
        benchmark="mdp-n10",
        settings=dataclasses.replace(
            _rl2(300, hidden_size=96, hint=True),
            feed_prev_obs=True,
            input_widths=(64,),
            num_products=128,
            task_prediction=20.0,
            prediction_every=5,
        ),
        bar=154.2,
        published=156.2,
        source="Duan et al. 2016, table 2; the bar is a greedy agent with the true prior",
        num_seeds=3,
        notes={"training": HINT, "net": WIDE},
    ),
    Recipe(
        id="mdp-n10-attention",
        method="rl2",
        benchmark="mdp-n10",
        settings=dataclasses.replace(
            _rl2(300, core="snail", hint=True, learning_rate=3e-3),
            core_options=CoreOptions(num_layers=1, context=100),
            feed_prev_obs=True,
            input_widths=(64,),
            num_products=128,
            task_prediction=20.0,
            prediction_every=5,
        ),
        bar=156.7,
        source="the bar is RL²'s GRU in as many steps (mdp-n10); aim 159: .766 of the normaliser, Mishra et al. 2018",
        num_seeds=3,
        notes={"training": HINT, "net": WIDE},
    ),
    Recipe(
        id="gridnavi-rl2",
        method="rl2",
        benchmark="gridnavi",
        settings=_rl2(400, num_minibatches=4),
        bar=35.4,
        source="95 % of the Bayes-optimal 37.21 (computed); Zintgraf et al. 2020 print a curve",
    ),
    Recipe(
        id="ablation-no-reward",
        method="rl2",
        benchmark="bandit-n10-k5",
        settings=dataclasses.replace(_rl2(100), feed_reward=False),
        better="lower",
        bar=5.1,
        source="chance is 5.0: without the previous reward nothing can be learned (Wang et al. 2016)",
    ),
    Recipe(
        id="ablation-reset-memory",
        method="rl2",
        benchmark="gridnavi",
        settings=dataclasses.replace(_rl2(100, num_minibatches=4), reset_at_episodes=True),
        metric="improvement",
        better="lower",
        bar=0.2,
        source="with the memory cleared at episode ends, episode 2 is like episode 1; Bayes-optimal improves by 7.07",
    ),
    Recipe(
        id="start-goal-grid",
        method="rl2",
        benchmark="start-goal-5",
        settings=dataclasses.replace(_rl2(120, num_tasks=512, num_minibatches=16), head_widths=(64,)),
        metric="last_over_shortest",
        better="lower",
        bar=1.15,
        num_test_tasks=2000,
        notes={"net": HEAD},
    ),
    Recipe(
        id="maze-7",
        method="rl2",
        benchmark="maze-7",
        settings=dataclasses.replace(
            _rl2(200, hidden_size=96, num_tasks=512, num_minibatches=16), input_widths=(64,), head_widths=(64,)
        ),
        metric="second_episode_steps",
        better="lower",
        num_seeds=3,
        num_test_tasks=2000,
        notes={"net": LAYERS},
    ),
    Recipe(
        id="harlow",
        method="rl2",
        benchmark="harlow",
        settings=_rl2(500, num_minibatches=4),
        metric="accuracy_2_to_6",
        bar=0.95,
        source="Wang et al. 2016 print a curve: chance on trial 1, ceiling from trial 2 on",
    ),
    Recipe(
        id="two-step-return",
        method="rl2",
        benchmark="two-step",
        settings=_rl2(150, hidden_size=48, core="lstm", num_minibatches=4, gamma=0.9, num_tasks=512),
        num_seeds=8,
        num_test_tasks=1000,
    ),
)
