"""MDPs with few states and actions: the random MDPs of RL² (Duan et al. 2016, section 3.2) and a small random walk."""

import math
from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from innerloop._env import Discrete, Env, EnvSpec, advance, restart
from innerloop._task import Sampled
from innerloop._types import Key, TimeStep


class TabularTask(NamedTuple):
    """`mean_reward[s, a]` and `cumulative[s, a, s'] = P(next state <= s' | s, a)`, ready for inverse sampling."""

    mean_reward: Float[Array, "states actions"]
    cumulative: Float[Array, "states actions states"]


class TabularState(NamedTuple):
    """The state and the number of steps done."""

    state: Int[Array, ""]
    time: Int[Array, ""]


class TabularMDP(Env):
    """r ~ N(mean_reward[s, a], reward_std²), s' ~ P[s, a]; the observation is the state.

    Every episode starts in `start_state` and is cut after `max_steps`. The end of the horizon is a truncation: the MDP
    itself goes on for ever.
    """

    spec: EnvSpec
    reward_std: float = eqx.field(static=True)
    start_state: int = eqx.field(static=True)

    def __init__(
        self, num_states: int, num_actions: int, max_steps: int = 10, reward_std: float = 1.0, start_state: int = 0
    ):
        if not 0 <= start_state < num_states:
            raise ValueError(f"TabularMDP(start_state={start_state}): choose a state from 0 to {num_states - 1}.")
        if reward_std < 0:
            raise ValueError(f"TabularMDP(reward_std={reward_std}): must be at least 0.")
        self.spec = EnvSpec(Discrete(num_states), Discrete(num_actions), max_steps)
        self.reward_std = reward_std
        self.start_state = start_state

    def reset(self, key: Key, task: TabularTask) -> tuple[TabularState, TimeStep]:
        state = jnp.asarray(self.start_state, jnp.int32)
        return TabularState(state, jnp.zeros((), jnp.int32)), restart(self.spec, state)

    def step(self, key: Key, task: TabularTask, state: TabularState, action: Array) -> tuple[TabularState, TimeStep]:
        uniform = jax.random.uniform(key, (2,), minval=2.0**-25)  # above 0, where the normal quantile is finite
        below = uniform[0] >= task.cumulative[state.state, action, :-1]
        next_state = TabularState(jnp.sum(below, dtype=jnp.int32), state.time + 1)
        noise = math.sqrt(2.0) * jax.lax.erf_inv(2.0 * uniform[1] - 1.0)
        reward = task.mean_reward[state.state, action] + self.reward_std * noise
        truncated = next_state.time >= self.spec.max_steps
        return next_state, advance(next_state.state, action, reward, truncated=truncated)


def random_mdps(num_states: int = 10, num_actions: int = 5) -> Sampled:
    """Mean rewards N(1, 1), transitions uniform on the simplex (Dirichlet(1, ..., 1)), all independent."""

    def sample(key: Key) -> TabularTask:
        reward_key, transition_key = jax.random.split(key)
        mean_reward = 1.0 + jax.random.normal(reward_key, (num_states, num_actions))
        # A Dirichlet(1, ..., 1) vector is a vector of exponentials divided by its sum.
        weights = jax.random.exponential(transition_key, (num_states, num_actions, num_states))
        cumulative = jnp.cumsum(weights, axis=-1)
        return TabularTask(mean_reward, cumulative / cumulative[:, :, -1:])

    return Sampled(sample)


def random_walk_env(num_states: int = 7, max_steps: int = 10) -> TabularMDP:
    """The env of `random_walks`: two actions, left and right, from the middle of a chain; rewards without noise."""
    return TabularMDP(num_states, 2, max_steps, reward_std=0.0, start_state=num_states // 2)


def random_walks(num_states: int = 7, slip: float = 0.0) -> Sampled:
    """Chains with absorbing ends. Each end pays its own amount, uniform on [0, 1], for every step that begins there.

    A move goes the other way with probability `slip`. Which end pays more, an agent can learn only by going there,
    and once there it stays until the episode ends: to compare the two ends takes two episodes.
    """
    if num_states < 3 or not 0.0 <= slip < 1.0:
        raise ValueError(f"random_walks(num_states={num_states}, slip={slip}): need >= 3 states and 0 <= slip < 1.")
    last = num_states - 1
    inner = jnp.arange(1, last)
    step = (1.0 - slip, slip)
    transitions = jnp.zeros((num_states, 2, num_states)).at[0, :, 0].set(1.0).at[last, :, last].set(1.0)
    for action in range(2):
        transitions = transitions.at[inner, action, inner - 1].set(step[action])
        transitions = transitions.at[inner, action, inner + 1].set(step[1 - action])

    def sample(key: Key) -> TabularTask:
        ends = jax.random.uniform(key, (2, 1))
        mean_reward = jnp.zeros((num_states, 2)).at[jnp.array([0, last])].set(ends)
        return TabularTask(mean_reward, jnp.cumsum(transitions, axis=-1))

    return Sampled(sample)
