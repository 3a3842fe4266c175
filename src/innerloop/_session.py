"""Deployment: a trained agent in any Python loop, NumPy in and NumPy out."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from innerloop._agent import Agent
from innerloop._env import Discrete, EnvSpec, Space, advance, restart
from innerloop._export import read_exported
from innerloop._types import Key, Memory, TimeStep, Transition
from innerloop.agents import Greedy


@dataclass(frozen=True)
class Deployed:
    """A trained agent that is ready to play. `spec` says what it sees and does."""

    agent: Agent
    spec: EnvSpec

    def start(self, seed: int = 0, *, greedy: bool = False) -> "Session":
        """A new trial with an empty memory. `greedy`: always the most probable action."""
        agent: Any = self.agent
        return Session(Greedy(agent) if greedy else agent, self.spec, seed)


def load(folder: str | Path, *, member: int = 0, agent: Agent | None = None) -> Deployed:
    """The agent of a run, of a folder given to `Checkpoint`, or of one that `export` wrote.

    Args:
        member: which of the agents of a run with several seeds.
        agent: needed only for an agent class of your own: one that is built like the saved one.

    Raises:
        ValueError: there is no agent in the folder, or no such member.
    """
    saved = read_exported(folder, agent)
    count = 1 if saved.num_seeds is None else saved.num_seeds
    if not 0 <= member < count:
        raise ValueError(f"load(member={member}): {folder} holds {count}, numbered from 0.")
    if saved.num_seeds is None:
        return Deployed(saved.agent, saved.spec)
    return Deployed(jax.tree.map(lambda x: x[member] if eqx.is_array(x) else x, saved.agent), saved.spec)


class Session:
    """Plays trials: `act(obs)`, do the action, `observe(reward, next_obs, terminated, truncated)`, and so on.

    When an episode has ended, `act` with the first observation of the next one goes on with the same trial: the agent
    remembers. `end_trial` makes it forget, for a new task. What it does equals, step for step, what the compiled
    rollout does with the key `fold_in(key(seed), trial)`. Box actions are clipped to the space's bounds, as envs do.

    Raises ValueError, and changes nothing, for a call out of turn and for values that do not fit the spec.
    """

    def __init__(self, agent: Agent, spec: EnvSpec, seed: int = 0):
        self._agent, self._spec = agent, spec
        self._key = jax.random.key(seed)
        self._trial = -1
        self.end_trial()

    def end_trial(self) -> None:
        """Forget everything: the next observation is the first of a new trial, on another task."""
        self._trial += 1
        init_key, self._rounds_key = jax.random.split(jax.random.fold_in(self._key, self._trial))
        self._memory: Memory = _init(self._agent, init_key)
        self._round = 0
        self._episodes: list[list[Transition]] = []
        self._timestep: TimeStep | None = None
        self._action: Array | None = None
        self._extras: Any = None

    def act(self, obs: Any) -> int | np.ndarray:
        """The action for an observation: the first of an episode, or the `next_obs` that was observed last."""
        if self._action is not None:
            raise ValueError("act(obs): the last action's outcome is not known yet; call observe(...) first.")
        checked = _check(self._spec.obs, obs, "act(obs")
        if self._timestep is None:
            self._timestep = restart(self._spec, checked)
            self._episodes.append([])
        elif not np.array_equal(checked, self._timestep.obs):
            raise ValueError(
                "act(obs): not the next_obs that observe(...) was given; if the episode has ended, say so there with "
                "terminated=True or truncated=True."
            )
        action, self._extras = _act(self._agent, self._step_key(), self._memory, self._timestep)
        self._action = action
        if isinstance(self._spec.action, Discrete):
            return int(action)
        return np.clip(np.asarray(action), self._spec.action.low, self._spec.action.high)

    def observe(self, reward: Any, next_obs: Any, terminated: Any = False, truncated: Any = False) -> None:
        """What came of the action. `terminated`: the task's own end; `truncated`: time ran out."""
        if self._action is None or self._timestep is None:
            raise ValueError("observe(...): there is no action to judge; call act(obs) first.")
        next_timestep = advance(
            _check(self._spec.obs, next_obs, "observe(next_obs"),
            self._action,
            _check_reward(reward),
            terminated=_check_flag("terminated", terminated),
            truncated=_check_flag("truncated", truncated),
        )
        ended = bool(next_timestep.last)
        if not ended and len(self._episodes[-1]) + 1 >= self._spec.max_steps:
            raise ValueError(
                f"observe(truncated=False): the agent knows episodes of at most {self._spec.max_steps} steps; report "
                "this one with truncated=True."
            )
        transition = Transition(self._timestep, self._action, next_timestep, jnp.ones((), bool), self._extras)
        self._memory = _observe(self._agent, self._step_key(), self._memory, transition)
        self._episodes[-1].append(jax.device_get(transition))
        self._timestep, self._action = (None if ended else next_timestep), None
        if ended and len(self._episodes) == self._agent.episodes_per_adapt:
            self._adapt()

    def _adapt(self) -> None:
        """A round is over."""
        num_steps = self._spec.max_steps
        padded = [_stack(episode + [_blank(episode[-1])] * (num_steps - len(episode))) for episode in self._episodes]
        self._memory = _adapt(self._agent, self._round_key(), self._memory, _stack(padded))
        self._round += 1
        self._episodes = []

    def _round_key(self) -> Key:
        return jax.random.fold_in(self._rounds_key, self._round)

    def _step_key(self) -> Key:
        """Numbers of episode and step, and the round's key: all that a step's randomness depends on."""
        episode = len(self._episodes) - 1
        step = len(self._episodes[episode])
        return _derive(self._round_key(), jnp.asarray(episode, jnp.uint32), jnp.asarray(step, jnp.uint32))


def _check(space: Space, value: Any, where: str) -> Array:
    """A NumPy value as an array of the space, or a ValueError that says what is wrong with it."""
    array = np.asarray(value)
    kinds = "biu" if isinstance(space, Discrete) else "biuf"
    if array.dtype.kind not in kinds:
        wanted = "an integer" if isinstance(space, Discrete) else "numbers"
        raise ValueError(f"{where}={value!r}): must be {wanted}, got dtype {array.dtype}.")
    if array.shape != space.shape:
        raise ValueError(f"{where}=...): must have shape {space.shape}, got {array.shape}.")
    if isinstance(space, Discrete) and not 0 <= int(array) < space.num_values:
        raise ValueError(f"{where}={value!r}): must be in 0 .. {space.num_values - 1}.")
    if not np.isfinite(array).all():
        raise ValueError(f"{where}=...): holds NaN or infinity.")
    return jnp.asarray(array, space.dtype)


def _check_reward(reward: Any) -> Array:
    array = np.asarray(reward)
    if array.size != 1 or array.dtype.kind not in "biuf" or not np.isfinite(array).all():
        raise ValueError(f"observe(reward={reward!r}): must be a finite number.")
    return jnp.asarray(array.reshape(()), jnp.float32)


def _check_flag(name: str, flag: Any) -> bool:
    if not isinstance(flag, bool | np.bool_):
        raise ValueError(f"observe({name}={flag!r}): must be True or False.")
    return bool(flag)


def _blank(transition: Transition) -> Transition:
    """Padding."""
    return transition._replace(valid=np.zeros((), bool))  # type: ignore[arg-type]


def _stack(items: list[Transition]) -> Transition:
    return jax.tree.map(lambda *x: np.stack(x), *items)


# The key plan is the one of `_rollout`: for JAX's default generator `fold_in(key, i)` is `split(key, n)[i]`, whatever n.


@eqx.filter_jit
def _derive(round_key: Key, episode: Array, step: Array) -> Key:
    episodes_key, _ = jax.random.split(round_key)
    _, steps_key = jax.random.split(jax.random.fold_in(episodes_key, episode))
    return jax.random.fold_in(steps_key, step)


@eqx.filter_jit
def _init(agent: Agent, key: Key) -> Memory:
    return agent.init(key)


@eqx.filter_jit
def _act(agent: Agent, key: Key, memory: Memory, timestep: TimeStep) -> tuple[Array, Any]:
    act_key, _, _ = jax.random.split(key, 3)
    return agent.act(act_key, memory, timestep)


@eqx.filter_jit
def _observe(agent: Agent, key: Key, memory: Memory, transition: Transition) -> Memory:
    _, _, observe_key = jax.random.split(key, 3)
    return agent.observe(observe_key, memory, transition)


@eqx.filter_jit
def _adapt(agent: Agent, round_key: Key, memory: Memory, episodes: Transition) -> Memory:
    _, adapt_key = jax.random.split(round_key)
    return agent.adapt(adapt_key, memory, episodes)
