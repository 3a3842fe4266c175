"""Meta-World: robot arms that open drawers and push pucks; needs `pip install innerloop[metaworld]`.

Tasks are Meta-World's own, of its own splits (ML1, ML10, ML45, MT1, MT10, MT50; Yu et al. 2019, McLean et al. 2025). Its
function that makes training environments is not used: released versions serve test tasks there. `variants` proves instead
that no test task is a training task. `official_evaluation` has Meta-World's own code judge one of our agents, on every goal.
"""

import hashlib
import pickle
from dataclasses import replace
from functools import cache, partial
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Int

from innerloop._agent import Agent
from innerloop._env import Box, EnvSpec, advance, restart
from innerloop._extras import package
from innerloop._machine import usable_cores
from innerloop._task import Finite
from innerloop._types import TimeStep, Transition
from innerloop.bridges._bridge import Bridged

NUM_TEST_GOALS, META_BATCH = 40, 20
"""Goals of a test skill, and environments side by side, in the official evaluation."""
ORIGIN, UNIT = (0.0, 0.75, 0.2), 0.1
"""What places in observations are told from, and the length that is 1 (m), for whoever learns from them."""
GRIP = (0.0, 0.0, -0.045)
"""From the hand, whose place is seen, to between its fingers (m)."""


class Variant(NamedTuple):
    """A skill and where things stand: the number of one of Meta-World's tasks."""

    variant: Int[Array, ""]


def metaworld(name: str, seed: int = 0) -> Bridged:
    """One of Meta-World's benchmarks: ML10, ML45, MT10, MT50, or one skill: "ML1 reach-v3" and the like.

    In the MT benchmarks, which have no test tasks, those are the training tasks; goals are seen there, and which skill it is.
    Raises ValueError for an unknown name, or if test tasks are among the training tasks.
    """
    from innerloop.bridges._gymnasium import from_gymnasium
    from innerloop.bridges._skills import MAX_STEPS, Skills

    train, test = variants(name, seed)
    skills = tuple(dict.fromkeys(variant.env_name for variant in train)) if name.startswith("MT") else ()
    every = [*train, *test]
    num_cores = usable_cores()
    make = partial(Skills, every, skills)
    env = from_gymnasium(make, MAX_STEPS, tell="set_task", num_workers=num_cores if num_cores > 1 else 0)
    env = replace(env, spec=replace(env.spec, obs=_seen(env.spec.obs.shape[0])))
    indices = jnp.arange(len(every), dtype=jnp.int32)
    held_out = indices[len(train) :] if test else indices
    return Bridged(env, Finite(Variant(indices[: len(train)])), Finite(Variant(held_out)))


def variants(name: str, seed: int = 0) -> tuple[list[Any], list[Any]]:
    """Training and test tasks as Meta-World's `Task`s. Raises ValueError as `metaworld` does."""
    found: Any = package("metaworld")
    kind, _, skill = name.partition(" ")
    if not kind.startswith(("ML", "MT")) or not hasattr(found, kind) or bool(skill) != (kind in ("ML1", "MT1")):
        raise ValueError(
            f"metaworld(name={name!r}): choose ML10, ML45, MT10, MT50, or ML1 and MT1 with a skill (ML1 reach-v3)."
        )
    try:
        found = getattr(found, kind)(*([skill] if skill else []), seed=seed)
    except ValueError as error:
        raise ValueError(f"metaworld(name={name!r}): {error}") from error
    both = fingerprints(found.train_tasks) & fingerprints(found.test_tasks)
    if both:
        raise ValueError(
            f"metaworld(name={name!r}, seed={seed}): {len(both)} of {len(found.test_tasks)} test tasks are training tasks; "
            "this release of Meta-World splits wrongly. Use another seed or release."
        )
    return list(found.train_tasks), list(found.test_tasks)


@cache
def places(name: str, seed: int = 0) -> np.ndarray:
    """Where the goals are, `[task 3]` (m), in the order of `Variant`. Raises ValueError as `metaworld` does."""
    train, test = variants(name, seed)
    return np.stack([pickle.loads(task.data)["rand_vec"][-3:] for task in (*train, *test)])


def _seen(num_entries: int) -> Box:
    """What is observed: hand, opening, place and turn of two objects, now and a step ago, and the goal. Places vary by a few
    centimetres in numbers like .8 m."""
    origin, unit = np.zeros(num_entries), np.ones(num_entries)
    for first in (*(frame + part for frame in (0, 18) for part in (0, 4, 11)), 36):
        origin[first : first + 3], unit[first : first + 3] = ORIGIN, UNIT
    return Box((num_entries,), origin=tuple(origin.tolist()), unit=tuple(unit.tolist()))


def fingerprints(tasks: list[Any]) -> set[str]:
    """What tells tasks apart: skill and pickled parameters, hashed."""
    return {hashlib.sha256(task.env_name.encode() + b"\0" + task.data).hexdigest() for task in tasks}


class OfficialAgent:
    """One of our agents as Meta-World's `MetaLearningAgent`: a trial on each of several environments, side by side.

    The environments tell the previous reward in their observations (`recurrent_info_in_obs`). At the end of an episode they
    show the first observation of the next one; the last one of an episode, which they do not show, is taken to be the one
    before.
    """

    def __init__(self, agent: Agent, spec: EnvSpec, num_envs: int, seed: int = 0):
        self._agent, self._spec, self._num_envs = agent, spec, num_envs
        self._key = jax.random.key(seed)
        self.init()

    def init(self) -> None:
        """New tasks: forget everything."""
        self._memory = _init(self._agent, self._keys())
        self._timestep: TimeStep | None = None
        self._pending: tuple[Any, Any] | None = None
        self._episodes: list[list[Transition]] = [[]]
        self._adapting = True

    def reset(self, env_mask: np.ndarray) -> None:
        """Episodes are over where the mask is true, which observations tell, too."""

    def adapt_action(self, observations: np.ndarray) -> tuple[np.ndarray, dict[str, np.ndarray]]:
        """Actions while it may adapt."""
        return self._act(observations), {}

    def eval_action(self, observations: np.ndarray) -> np.ndarray:
        """Actions that are judged. It goes on remembering, and does not adapt by anything else."""
        self._adapting = False
        return self._act(observations)

    def step(self, timestep: Any) -> None:
        """What came of an action is read from the next observation instead, which is told in evaluation, too."""

    def adapt(self) -> None:
        """It has adapted as it went along."""

    def _act(self, observations: np.ndarray) -> np.ndarray:
        size = self._spec.obs.shape[0]
        obs = jnp.asarray(observations[:, :size], jnp.float32)
        reward, done = observations[:, -2].astype(np.float32), observations[:, -1] > 0
        # An environment that has just been reset tells neither action nor reward.
        fresh = ~np.any(observations[:, size:], axis=1)
        if self._timestep is None:
            self._timestep = jax.vmap(partial(restart, self._spec))(obs)
        else:
            self._observe(obs, reward, fresh, done)
        action, extras = _act(self._agent, self._keys(), self._memory, self._timestep)
        self._pending = action, extras
        return np.clip(np.asarray(action, np.float64), -1.0, 1.0)

    def _observe(self, obs: Array, reward: np.ndarray, fresh: np.ndarray, done: np.ndarray) -> None:
        assert self._pending is not None
        assert self._timestep is not None
        ended = fresh | done
        action, extras = self._pending
        last_obs = jnp.where(ended[:, None], self._timestep.obs, obs)
        after = jax.vmap(lambda obs, action, reward, ended: advance(obs, action, reward, truncated=ended))(
            last_obs, action, jnp.asarray(reward), jnp.asarray(ended)
        )
        valid = jnp.ones(self._num_envs, bool)
        transition = Transition(self._timestep, action, after, valid, extras)
        self._memory = _observe(self._agent, self._keys(), self._memory, transition)
        if self._adapting:
            self._keep(transition, bool(ended.all()))
        again = jax.vmap(partial(restart, self._spec))(obs)
        choose = jnp.asarray(ended)
        self._timestep = jax.tree.map(
            lambda x, y: jnp.where(choose.reshape(-1, *(1,) * (x.ndim - 1)), x, y), again, after
        )

    def _keep(self, transition: Transition, ended: bool) -> None:
        """For agents that adapt between episodes."""
        self._episodes[-1].append(transition)
        if not ended:
            return
        if len(self._episodes) < self._agent.episodes_per_adapt:
            self._episodes.append([])
            return
        stacked = [jax.tree.map(lambda *x: jnp.stack(x, axis=1), *episode) for episode in self._episodes]
        episodes = jax.tree.map(lambda *x: jnp.stack(x, axis=1), *stacked)
        self._memory = _adapt(self._agent, self._keys(), self._memory, episodes)
        self._episodes = [[]]

    def _keys(self) -> Array:
        self._key, key = jax.random.split(self._key)
        return jax.random.split(key, self._num_envs)


@eqx.filter_jit
def _init(agent: Agent, keys: Array) -> Any:
    return jax.vmap(agent.init)(keys)


@eqx.filter_jit
def _act(agent: Agent, keys: Array, memory: Any, timestep: TimeStep) -> Any:
    return jax.vmap(agent.act)(keys, memory, timestep)


@eqx.filter_jit
def _observe(agent: Agent, keys: Array, memory: Any, transition: Transition) -> Any:
    return jax.vmap(agent.observe)(keys, memory, transition)


@eqx.filter_jit
def _adapt(agent: Agent, keys: Array, memory: Any, episodes: Transition) -> Any:
    return jax.vmap(agent.adapt)(keys, memory, episodes)


class Verdict(NamedTuple):
    """Mean success, mean return (of Meta-World's rewards) and success by skill, over as many episodes
    on each goal; and `first`, the mean success of those episodes of a skill that ended first."""

    success: float
    mean_return: float
    by_skill: dict[str, float]
    first: float


class EveryGoal:
    """Vector environment of Meta-World in whose evaluation each copy is judged by as many episodes as any other.

    Meta-World's code counts the first episodes of a skill that end, on whichever goal, and an episode ends where it succeeds:
    it counts the fastest. Here a copy that has played its `episodes` seems to play on for ever, so that Meta-World's code,
    asked for `episodes` times as many as there are copies of a skill, waits for the others.
    """

    def __init__(self, envs: Any, episodes: int):
        self._envs, self._episodes = envs, episodes
        self._num_ended: np.ndarray | None = None  # of each copy, while they are judged
        self.successes: list[dict[str, list[bool]]] = []
        """Of each evaluation, by skill, in the order in which episodes ended."""

    def __getattr__(self, name: str) -> Any:
        return getattr(self._envs, name)

    def call(self, name: str, *arguments: Any) -> Any:
        """As of the environments. Evaluation begins when success is to end an episode."""
        if name == "toggle_terminate_on_success":
            self._num_ended = None
            if arguments == (True,):
                self._num_ended = np.zeros(self._envs.num_envs, int)
                self._names = self._envs.get_attr("task_name")
                self.successes.append({skill: [] for skill in self._names})
        return self._envs.call(name, *arguments)

    def step(self, actions: np.ndarray) -> Any:
        """As of the environments, without ends of episodes that are too many."""
        obs, reward, terminated, truncated, infos = self._envs.step(actions)
        if self._num_ended is not None:
            goes_on = self._num_ended < self._episodes
            terminated, truncated = terminated & goes_on, truncated & goes_on
            for i in np.flatnonzero(terminated | truncated):
                self._num_ended[i] += 1
                self.successes[-1][self._names[i]].append(bool(infos["final_info"]["success"][i]))
        return obs, reward, terminated, truncated, infos

    def first(self) -> float:
        """Mean success of the first `episodes` of each skill that ended."""
        counted = [x[: self._episodes] for found in self.successes for x in found.values()]
        return float(np.mean([np.mean(x) for x in counted]))


def official_evaluation(
    agent: Agent, name: str, *, seed: int = 0, adaptation_episodes: int = 10, evaluation_episodes: int = 3
) -> Verdict:
    """Meta-World's own evaluation of an agent on the test tasks of an ML benchmark: on 40 goals of each test skill, ten
    episodes to adapt and then three that count. An episode succeeds if the success flag is ever on.

    Left to itself Meta-World's code judges 20 environments by the first three episodes of a skill that end there. An episode
    ends where it succeeds, so in ML1 an agent that reaches three of 20 goals has full marks. `Verdict.first` is that figure;
    `success` counts three episodes of every goal (`EveryGoal`).

    Raises ValueError for names that `metaworld` does not know, and for MT benchmarks, which have no test tasks.
    """
    if not name.startswith("ML"):
        raise ValueError(f"official_evaluation(name={name!r}): only ML benchmarks have test tasks.")
    variants(name, seed)  # proves the split
    judge: Any = package("metaworld", "evaluation")
    envs = package("metaworld").make_ml_envs(
        name.removeprefix("ML1 "),
        seed=seed,
        meta_batch_size=META_BATCH,
        total_tasks_per_cls=NUM_TEST_GOALS,
        split="test",
        terminate_on_success=True,
        task_select="pseudorandom",
        recurrent_info_in_obs=True,
        normalize_reward_in_recurrent_info=True,
    )
    num_skills = len(set(envs.get_attr("task_name")))
    judged = EveryGoal(envs, evaluation_episodes)
    try:
        success, mean_return, by_skill = judge.metalearning_evaluation(
            OfficialAgent(agent, meta_spec(), META_BATCH, seed),
            judged,
            num_evals=NUM_TEST_GOALS * num_skills // META_BATCH,
            adaptation_episodes=adaptation_episodes,
            evaluation_episodes=evaluation_episodes * (META_BATCH // num_skills),
        )
    finally:
        envs.close()
    rates = {skill: float(x) for skill, x in by_skill.items()}
    return Verdict(float(success), float(mean_return), rates, judged.first())


def meta_spec() -> EnvSpec:
    """What agents of the ML benchmarks see and do."""
    from innerloop.bridges._skills import MAX_STEPS, NUM_SEEN

    return EnvSpec(_seen(NUM_SEEN), Box((4,), -1.0, 1.0), MAX_STEPS)
