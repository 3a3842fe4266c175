"""Reference policies for GridNavi, and the exact value of the best one.

Before the goal is found every step says only "not here", so the best exploration is a fixed sequence of actions. Its
value is a sum over goals of what the first visit of each is worth, and an A* search finds the best sequence.
"""

import heapq
import itertools
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int

from innerloop._agent import Agent
from innerloop._env import Discrete, Space
from innerloop._task import Finite
from innerloop._types import Key, TimeStep, Transition
from innerloop.envs.gridnavi import MOVES, GridNavi
from innerloop.references.generic import NoExtras, NoMemory, random_argmax


def decode(space: Space, features: Float[Array, " features"]) -> Array:
    """The inverse of `innerloop.envs.wrappers.encode`."""
    if isinstance(space, Discrete):
        return jnp.argmax(features).astype(jnp.int32)
    return features.reshape(space.shape)


def shortest_move(
    position: Int[Array, "2"], goal: Int[Array, "2"], x_first: Bool[Array, ""] | bool = True
) -> Int[Array, ""]:
    """The next action on a shortest path: along x before y if `x_first`, stay at the goal."""
    offset = goal - position
    move_x = jnp.where(offset[0] > 0, 2, 4)
    move_y = jnp.where(offset[1] > 0, 1, 3)
    along_x = (offset[0] != 0) & (jnp.asarray(x_first) | (offset[1] == 0))
    return jnp.where(along_x, move_x, jnp.where(offset[1] != 0, move_y, 0)).astype(jnp.int32)


# --- the exact Bayes-optimal policy ----------------------------------------------------------------------------------


class Node(NamedTuple):
    """A point of the search: gain so far, steps done since the trial began, the cell, the goals left, the actions."""

    gain: float
    time: int
    position: tuple[int, int]
    left: frozenset[tuple[int, int]]
    path: tuple[int, ...]


def _walk(env: GridNavi, position: tuple[int, int], action: int) -> tuple[int, int]:
    x, y = (min(max(p + d, 0), env.size - 1) for p, d in zip(position, MOVES[action], strict=True))
    return x, y


def _gain(env: GridNavi, step: int) -> float:
    """What an episode pays more than -0.1 a step, if the goal is entered at `step` (1, 2, ...) and never left."""
    return 1.1 * max(0, env.spec.max_steps + 1 - step)


def _bound(env: GridNavi, node: Node, num_episodes: int) -> float:
    """No plan gains more from here: in this episode one new goal a step, none sooner than it can be reached, and from
    the next episode on as if the goal were known."""
    episode, time = divmod(node.time, env.spec.max_steps)
    if episode == num_episodes:
        return 0.0
    total, step = 0.0, time
    for distance in sorted(abs(x - node.position[0]) + abs(y - node.position[1]) for x, y in node.left):
        step = max(step + 1, time + distance)
        total += _gain(env, step)
    return total + (num_episodes - 1 - episode) * sum(_gain(env, x + y) for x, y in node.left)


def _successors(env: GridNavi, node: Node, num_episodes: int) -> list[Node]:
    episode, time = divmod(node.time, env.spec.max_steps)
    nodes = []
    for action in range(len(MOVES)):
        position = _walk(env, node.position, action)
        gain = node.gain
        if position in node.left:
            gain += _gain(env, time + 1) + (num_episodes - 1 - episode) * _gain(env, sum(position))
        after = (0, 0) if time + 1 == env.spec.max_steps else position
        nodes.append(Node(gain, node.time + 1, after, node.left - {position}, (*node.path, action)))
    return nodes


def optimal_search(env: GridNavi, goals: Finite, num_episodes: int, max_nodes: int = 1_000_000) -> tuple[int, ...]:
    """The best actions as long as the goal (one of `goals`, equally likely) has not been found; exact.

    A* over (time, cell, goals left) with the admissible `_bound`; milliseconds for the published grid. Raises
    ValueError if more than `max_nodes` nodes are needed, as on larger grids, where the bound is loose.
    """
    cells = frozenset((int(x), int(y)) for x, y in np.asarray(goals.tasks.goal))
    counter = itertools.count()
    queue = [(0.0, 0, next(counter), Node(0.0, 0, (0, 0), cells, ()))]
    seen: set[tuple[Any, ...]] = set()
    while len(seen) < max_nodes:
        *_, node = heapq.heappop(queue)
        if node.time == num_episodes * env.spec.max_steps:
            return node.path
        if (node.time, node.position, node.left) in seen:
            continue
        seen.add((node.time, node.position, node.left))
        for child in _successors(env, node, num_episodes):
            estimate = child.gain + _bound(env, child, num_episodes)
            heapq.heappush(queue, (-round(estimate, 6), -child.time, next(counter), child))
    raise ValueError(f"optimal_search(max_nodes={max_nodes}): not solved; allow more nodes or take a smaller grid.")


def search_returns(env: GridNavi, goals: Finite, actions: tuple[int, ...]) -> list[float]:
    """The expected return of each episode for who searches by `actions` and goes straight to the goal once known."""
    steps = env.spec.max_steps
    num_episodes = len(actions) // steps
    totals = [-0.1 * steps] * num_episodes
    cells = [(int(x), int(y)) for x, y in np.asarray(goals.tasks.goal)]
    left = set(cells)
    for episode in range(num_episodes):
        totals[episode] += sum(_gain(env, x + y) for x, y in set(cells) - left) / len(cells)
        position = (0, 0)
        for time, action in enumerate(actions[episode * steps : (episode + 1) * steps]):
            position = _walk(env, position, action)
            if position in left:
                totals[episode] += _gain(env, time + 1) / len(cells)
                left.remove(position)
    return totals


class Search(NamedTuple):
    """The goal if it has been found, and the steps done since the trial began."""

    found: Bool[Array, ""]
    goal: Int[Array, "2"]
    time: Int[Array, ""]


class BayesOptimal(Agent):
    """Follows `actions` until it finds the goal, then takes shortest paths to it."""

    env: GridNavi
    actions: Int[Array, " steps"]
    episodes_per_adapt: int = eqx.field(static=True, default=1)

    def init(self, key: Key) -> Search:
        return Search(jnp.zeros((), bool), jnp.zeros((2,), jnp.int32), jnp.zeros((), jnp.int32))

    def act(self, key: Key, memory: Search, timestep: TimeStep) -> tuple[Array, NoExtras]:
        known = shortest_move(self.env.locate(timestep.obs), memory.goal)
        search = self.actions[memory.time % self.actions.shape[0]]
        return jnp.where(memory.found, known, search), NoExtras()

    def observe(self, key: Key, memory: Search, transition: Transition) -> Search:
        here = self.env.locate(transition.next_timestep.obs)
        hit = transition.next_timestep.reward > 0
        return Search(memory.found | hit, jnp.where(hit, here, memory.goal), memory.time + 1)

    def adapt(self, key: Key, memory: Search, episodes: Transition) -> Search:
        return memory


def bayes_optimal(env: GridNavi, goals: Finite, num_episodes: int) -> BayesOptimal:
    """The agent with the highest expected return over `num_episodes` episodes."""
    return BayesOptimal(env, jnp.array(optimal_search(env, goals, num_episodes), jnp.int32))


# --- posterior sampling, oracle --------------------------------------------------------------------------------------


class Posterior(NamedTuple):
    """The goals that are still possible, and the one pursued in this episode."""

    possible: Bool[Array, " goals"]
    target: Int[Array, "2"]


class PosteriorSampling(Agent):
    """Each episode draws a goal from the posterior, goes there by a random shortest path and stays.

    A goal found on the way is exploited at once. `goals` [goals 2] are the goals held possible at first.
    """

    env: GridNavi
    goals: Int[Array, "goals 2"]
    episodes_per_adapt: int = eqx.field(static=True, default=1)

    def init(self, key: Key) -> Posterior:
        possible = jnp.ones(self.goals.shape[:1], bool)
        return Posterior(possible, self._draw(key, possible))

    def _draw(self, key: Key, possible: Bool[Array, " goals"]) -> Int[Array, "2"]:
        return self.goals[random_argmax(key, possible.astype(jnp.float32))]

    def act(self, key: Key, memory: Posterior, timestep: TimeStep) -> tuple[Array, NoExtras]:
        position = self.env.locate(timestep.obs)
        return shortest_move(position, memory.target, jax.random.bernoulli(key)), NoExtras()

    def observe(self, key: Key, memory: Posterior, transition: Transition) -> Posterior:
        position = self.env.locate(transition.next_timestep.obs)
        here = jnp.all(self.goals == position[None], axis=1)
        hit = transition.next_timestep.reward > 0
        possible = jnp.where(hit, here, memory.possible & ~here)
        return Posterior(possible, jnp.where(hit, position, memory.target))

    def adapt(self, key: Key, memory: Posterior, episodes: Transition) -> Posterior:
        return memory._replace(target=self._draw(key, memory.possible))


class Oracle(Agent):
    """Knows the goal: plays `RevealTask(env, task)` and goes straight there."""

    env: GridNavi
    episodes_per_adapt: int = eqx.field(static=True, default=1)

    def init(self, key: Key) -> NoMemory:
        return NoMemory()

    def act(self, key: Key, memory: NoMemory, timestep: TimeStep) -> tuple[Array, NoExtras]:
        space = self.env.spec.obs
        position = self.env.locate(decode(space, timestep.obs[: space.num_features]))
        return shortest_move(position, timestep.obs[space.num_features :].astype(jnp.int32)), NoExtras()

    def observe(self, key: Key, memory: NoMemory, transition: Transition) -> NoMemory:
        return memory

    def adapt(self, key: Key, memory: NoMemory, episodes: Transition) -> NoMemory:
        return memory


class Reader(Agent):
    """Reads the goal off the start cell of a grid that shows it there, and takes a shortest path."""

    env: GridNavi
    episodes_per_adapt: int = eqx.field(static=True, default=1)

    def init(self, key: Key) -> Int[Array, "2"]:
        return jnp.zeros((2,), jnp.int32)

    def act(self, key: Key, memory: Int[Array, "2"], timestep: TimeStep) -> tuple[Array, NoExtras]:
        seen = self.env.locate(timestep.obs)
        start = jnp.zeros_like(seen)
        move = shortest_move(jnp.where(timestep.first, start, seen), jnp.where(timestep.first, seen, memory))
        return move, NoExtras()

    def observe(self, key: Key, memory: Int[Array, "2"], transition: Transition) -> Int[Array, "2"]:
        return jnp.where(transition.timestep.first, self.env.locate(transition.timestep.obs), memory)

    def adapt(self, key: Key, memory: Int[Array, "2"], episodes: Transition) -> Int[Array, "2"]:
        return memory
