"""Environments so small that their optimum is known: a learner that misses it has a bug, and each probe says which.

Train on `PROBES[name]` for some seconds: the mean return of a trial must exceed `threshold`, which no broken version
reaches. An env does not know how many episodes came before, so what must be remembered is made useful too late
in its own episode, not hidden in later ones.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from innerloop._env import Box, Discrete, Env, EnvSpec, advance, restart
from innerloop._task import Sampled, TaskDistribution
from innerloop._types import Key, TimeStep


class ProbeTask(NamedTuple):
    """What the agent has to find out: an action, a direction, or a point."""

    target: Array


class StepCount(NamedTuple):
    """Steps done so far in this episode."""

    steps: Int[Array, ""]


class Corridor(NamedTuple):
    """Cell the agent stands on, counted from the middle, and steps done so far."""

    cell: Int[Array, ""]
    steps: Int[Array, ""]


def _targets(num_values: int) -> Sampled:
    return Sampled(lambda key: ProbeTask(jax.random.randint(key, (), 0, num_values)))


def _start() -> StepCount:
    return StepCount(jnp.zeros((), jnp.int32))


def _is(action: Array, target: Array) -> Float[Array, ""]:
    return (action == target).astype(jnp.float32)


class ShownTarget(Env):
    """The observation shows the target; the action that equals it earns 1, and the episode ends.

    Optimum: 1 an episode, without memory; an agent that does not use its observation gets 1/2.
    """

    spec: EnvSpec = EnvSpec(Discrete(2), Discrete(2), max_steps=1)

    def reset(self, key: Key, task: ProbeTask) -> tuple[StepCount, TimeStep]:
        return _start(), restart(self.spec, task.target)

    def step(self, key: Key, task: ProbeTask, state: StepCount, action: Array) -> tuple[StepCount, TimeStep]:
        return state, advance(task.target, action, _is(action, task.target), terminated=True)


class TwoArms(Env):
    """Two arms without noise: the target pays 1, the other 0. One pull is one episode.

    Optimum of n episodes: 1/2 + (n - 1). Without the previous action or reward, or with a memory that is cleared at
    episode ends: n/2.
    """

    spec: EnvSpec = EnvSpec(Discrete(1), Discrete(2), max_steps=1)

    def reset(self, key: Key, task: ProbeTask) -> tuple[StepCount, TimeStep]:
        return _start(), restart(self.spec, jnp.zeros((), jnp.int32))

    def step(self, key: Key, task: ProbeTask, state: StepCount, action: Array) -> tuple[StepCount, TimeStep]:
        obs = jnp.zeros((), jnp.int32)
        return state, advance(obs, action, _is(action, task.target), terminated=True)


class ComingBack(Env):
    """`TwoArms` of two kinds, each with a target of its own: an episode, one pull, plays one of them, and the observation is
    which.

    Optimum of n episodes: 1/2 where a kind is new, and 1 where it was met before, that is n - 1 + 2**-n. Who remembers only
    the last episode gets less than 3/4 an episode.
    """

    spec: EnvSpec = EnvSpec(Discrete(2), Discrete(2), max_steps=1)

    def reset(self, key: Key, task: ProbeTask) -> tuple[StepCount, TimeStep]:
        kind = jax.random.randint(key, (), 0, 2)
        return StepCount(kind), restart(self.spec, kind)

    def step(self, key: Key, task: ProbeTask, state: StepCount, action: Array) -> tuple[StepCount, TimeStep]:
        return state, advance(state.steps, action, _is(action, task.target[state.steps]), terminated=True)


class LateCue(Env):
    """Step 1: choose one of four actions, blind (obs 0). Step 2: see which was right (obs 1 + target); nothing pays.

    The choice earns 1 if it was right, and the cue comes too late for it: choosing well in episode 2 takes the cue of
    episode 1. Optimum of 2 episodes: 1/4 + 1. From rewards alone, without the cue: 1/4 + 1/4 + 3/4 * 1/3 = 3/4.
    """

    spec: EnvSpec = EnvSpec(Discrete(5), Discrete(4), max_steps=2)

    def reset(self, key: Key, task: ProbeTask) -> tuple[StepCount, TimeStep]:
        return _start(), restart(self.spec, jnp.zeros((), jnp.int32))

    def step(self, key: Key, task: ProbeTask, state: StepCount, action: Array) -> tuple[StepCount, TimeStep]:
        is_choice = state.steps == 0
        obs = jnp.where(is_choice, 1 + task.target, 0).astype(jnp.int32)
        reward = jnp.where(is_choice, _is(action, task.target), 0.0)
        return StepCount(state.steps + 1), advance(obs, action, reward, terminated=~is_choice)


class FlippingGoal(Env):
    """A corridor of five cells, start in the middle; reaching the goal, one of its ends, earns 1 and ends the episode.

    The task says which end (0 left, 1 right). Truncated after 3 steps, one more than needed, so only one end can be
    tried in an episode. Optimum of n episodes: 1/2 + (n - 1); without memory across episodes n/2.
    """

    spec: EnvSpec = EnvSpec(Discrete(5), Discrete(2), max_steps=3)

    def reset(self, key: Key, task: ProbeTask) -> tuple[Corridor, TimeStep]:
        zero = jnp.zeros((), jnp.int32)
        return Corridor(zero, zero), restart(self.spec, zero + 2)

    def step(self, key: Key, task: ProbeTask, state: Corridor, action: Array) -> tuple[Corridor, TimeStep]:
        cell = jnp.clip(state.cell + 2 * action - 1, -2, 2).astype(jnp.int32)
        state = Corridor(cell, state.steps + 1)
        reached = cell == 4 * task.target - 2
        truncated = ~reached & (state.steps == self.spec.max_steps)
        reward = reached.astype(jnp.float32)
        return state, advance(cell + 2, action, reward, terminated=reached, truncated=truncated)


class LateReward(Env):
    """Step 1: choose one of two actions. Step 2, the last, pays 1 if that was right; its own action has no effect.

    Optimum of 2 episodes: 1/2 + 1. If the transition that ends episode 1 never reaches the memory: 1/2 + 1/2.
    The observation is the number of steps done: it never tells what was chosen.
    """

    spec: EnvSpec = EnvSpec(Discrete(3), Discrete(2), max_steps=2)

    def reset(self, key: Key, task: ProbeTask) -> tuple[Corridor, TimeStep]:
        zero = jnp.zeros((), jnp.int32)
        return Corridor(zero, zero), restart(self.spec, zero)

    def step(self, key: Key, task: ProbeTask, state: Corridor, action: Array) -> tuple[Corridor, TimeStep]:
        is_choice = state.steps == 0
        chosen = jnp.where(is_choice, action, state.cell).astype(jnp.int32)
        state = Corridor(chosen, state.steps + 1)
        reward = jnp.where(is_choice, 0.0, _is(chosen, task.target))
        return state, advance(state.steps, action, reward, terminated=~is_choice)


class CostlyLook(Env):
    """One of four arms pays 1, the others 0; or look (action 4), which costs 1 and shows the target (obs 1 + target).

    A pull ends the episode; a look leaves one step, in which nothing can be gained. In the last episode of two, 1 is possible
    only to who looked in the first: a wrong pull leaves three arms, so not to look earns 1/4 * 1 + 3/4 * 1/3 = 1/2 there.
    Who is paid for both episodes had better not look: 1/4 + 1/2 against -1 + 1.
    """

    spec: EnvSpec = EnvSpec(Discrete(5), Discrete(5), max_steps=2)

    def reset(self, key: Key, task: ProbeTask) -> tuple[StepCount, TimeStep]:
        return _start(), restart(self.spec, jnp.zeros((), jnp.int32))

    def step(self, key: Key, task: ProbeTask, state: StepCount, action: Array) -> tuple[StepCount, TimeStep]:
        looks, is_choice = action == 4, state.steps == 0
        obs = jnp.where(looks & is_choice, 1 + task.target, 0).astype(jnp.int32)
        reward = jnp.where(is_choice, jnp.where(looks, -1.0, _is(action, task.target)), 0.0)
        return StepCount(state.steps + 1), advance(obs, action, reward, terminated=~(looks & is_choice))


class EndKinds(Env):
    """Reward 1 for the only step of an episode, which terminates if the shown target is 1 and is truncated if it is 0.

    All returns are 1; what is known is the value of the observation: `ending_value`. The observation after the step
    is the one before it.
    """

    spec: EnvSpec = EnvSpec(Discrete(2), Discrete(2), max_steps=1)

    def reset(self, key: Key, task: ProbeTask) -> tuple[StepCount, TimeStep]:
        return _start(), restart(self.spec, task.target)

    def step(self, key: Key, task: ProbeTask, state: StepCount, action: Array) -> tuple[StepCount, TimeStep]:
        terminated = task.target == 1
        return state, advance(task.target, action, jnp.ones(()), terminated=terminated, truncated=~terminated)


def ending_value(target: int, discount: float) -> float:
    """Value of `EndKinds`' observation in trials of one episode: 1 for target 1, 1 / (1 - discount) for target 0."""
    return 1.0 if target == 1 else 1.0 / (1.0 - discount)


class HiddenPoint(Env):
    """One continuous action a; the reward is -(a - target)² with a target of -1/2 or 1/2 that only rewards tell.

    One action is one episode. Best of n episodes: -1/4 (an action next to 0, whose reward gives the target away), then
    0. Without memory: -n/4, at a = 0. Exploration noise with standard deviation s costs s² an episode more.
    """

    spec: EnvSpec = EnvSpec(Discrete(1), Box((1,), -1.0, 1.0), max_steps=1)

    def reset(self, key: Key, task: ProbeTask) -> tuple[StepCount, TimeStep]:
        return _start(), restart(self.spec, jnp.zeros((), jnp.int32))

    def step(self, key: Key, task: ProbeTask, state: StepCount, action: Array) -> tuple[StepCount, TimeStep]:
        reward = -((jnp.clip(action[0], -1.0, 1.0) - task.target) ** 2)
        return state, advance(jnp.zeros((), jnp.int32), action, reward, terminated=True)


class Probe(NamedTuple):
    """An env, its tasks, episodes a trial, the best possible mean return of a trial, and what counts as solved."""

    env: Env
    tasks: TaskDistribution
    num_episodes: int
    optimum: float
    threshold: float


PROBES: dict[str, Probe] = {
    "shown-target": Probe(ShownTarget(), _targets(2), 1, 1.0, 0.95),
    "two-arms": Probe(TwoArms(), _targets(2), 5, 4.5, 4.2),
    "coming-back": Probe(
        ComingBack(), Sampled(lambda key: ProbeTask(jax.random.randint(key, (2,), 0, 2))), 6, 5 + 2**-6, 4.7
    ),
    "late-cue": Probe(LateCue(), _targets(4), 2, 1.25, 1.15),
    "flipping-goal": Probe(FlippingGoal(), _targets(2), 3, 2.5, 2.2),
    "late-reward": Probe(LateReward(), _targets(2), 2, 1.5, 1.35),
    "costly-look": Probe(CostlyLook(), _targets(4), 2, 0.75, 0.65),
    "end-kinds": Probe(EndKinds(), _targets(2), 1, 1.0, 1.0),
    "hidden-point": Probe(
        HiddenPoint(), Sampled(lambda key: ProbeTask(jax.random.rademacher(key, (), jnp.float32) / 2)), 5, -0.25, -0.7
    ),
}
