"""Advantage actor-critic (Mnih et al. 2016), synchronous: what Wang et al. 2016 train their recurrent agents with."""

from collections.abc import Callable
from typing import Any

import optax

from innerloop._agent import ActorCritic
from innerloop.algorithms.ppo import PPO


def a2c(make_agent: Callable[..., ActorCritic], optimizer: optax.GradientTransformation, **options: Any) -> PPO:
    """One gradient step on each batch, never reusing data.

    At the policy that gathered the data the ratio of the clipped surrogate is 1 and its gradient is that of
    -log π(a) A, so A2C is PPO with one epoch of one minibatch. `options` are PPO's others.
    """
    fixed = {"num_epochs", "num_minibatches", "clip_ratio"} & options.keys()
    if fixed:
        raise ValueError(
            f"a2c({', '.join(sorted(fixed))}=...): A2C does one step on the whole batch; use PPO for more."
        )
    return PPO(make_agent, optimizer, num_epochs=1, num_minibatches=1, **options)
