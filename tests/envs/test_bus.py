import functools

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from innerloop._collect import JaxCollector
from innerloop.benchmarks import benchmark
from innerloop.envs.bus import (
    BusGrid,
    BusTask,
    bus_permutations,
    distracting_permutations,
)
from innerloop.envs.wrappers import RevealTask

BUSES = [(4, 5), (5, 4), (3, 4), (4, 3), (5, 5), (3, 3), (3, 5), (5, 3)]
ENDS = [(0, 1), (0, 7), (8, 1), (8, 7), (0, 4), (4, 0), (8, 4), (4, 8)]
CORNERS = [(0, 0), (8, 8), (0, 8), (8, 0)]


class City:
    """The rules once more, as a plain loop over a dictionary of lines."""

    def __init__(self, permutation, goal, max_steps=20):
        pairs = [(BUSES[i], ENDS[j]) for i, j in enumerate(permutation)]
        self.lines = dict(pairs) | {end: stop for stop, end in pairs}
        self.permutation, self.goal, self.max_steps = permutation, CORNERS[goal], max_steps
        self.position, self.time = (4, 4), 0

    def step(self, action):
        """Reward, whether it terminated, whether it was cut."""
        self.time += 1
        x, y = self.position
        walks = {0: (x - 1, y), 1: (x, y + 1), 2: (x + 1, y), 3: (x, y - 1), 5: self.lines.get((x, y), (x, y))}
        x, y = walks.get(action, (x, y))
        self.position = (min(max(x, 0), 8), min(max(y, 0), 8))
        if self.position == self.goal:
            return 1.0, True, False
        if action == 6:
            return -0.1 * (1 + self.max_steps - self.time), True, False
        return -0.1, False, self.time == self.max_steps

    def obs(self, show_map):
        code = np.zeros(23 + (len(self.permutation) ** 2 if show_map else 0))
        code[self.position[0]] = code[9 + self.position[1]] = 1
        code[18] = self.position in self.lines
        code[19 + CORNERS.index(self.goal)] = 1
        if show_map and self.position == (7, 3):
            code[23:] = np.eye(len(self.permutation))[list(self.permutation)].reshape(-1)
        return code


def goal_of(env, timestep):
    return int(env.told_goal(timestep.obs))


@pytest.mark.parametrize(("distractions", "show_map"), [(False, True), (True, False)])
def test_steps_follow_an_independent_loop(distractions, show_map):
    env = BusGrid(distractions, show_map)
    permutation = (2, 0, 3, 1) + ((5, 7, 4, 6) if distractions else ())
    task, step, reset = BusTask(jnp.array(permutation, jnp.int32)), jax.jit(env.step), jax.jit(env.reset)
    rng, ends, rides, maps = np.random.default_rng(3), set(), 0, 0
    for episode in range(40):
        state, timestep = reset(jax.random.key(episode), task)
        city = City(permutation, goal_of(env, timestep))
        for _ in range(20):
            np.testing.assert_array_equal(timestep.obs, city.obs(show_map))
            home = city.position
            to_map = 2 if home[0] < 7 else 3
            action = int(rng.choice([0, 1, 2, 3, 4, 5, 5, 5, 6, to_map, to_map], p=[*[0.1] * 8, 0.01, 0.1, 0.09]))
            state, timestep = step(jax.random.key(0), task, state, jnp.asarray(action, jnp.int32))
            reward, terminated, cut = city.step(action)
            assert float(timestep.reward) == pytest.approx(reward, abs=1e-5)
            assert (float(timestep.discount), bool(timestep.last)) == (1.0 - terminated, terminated or cut)
            rides += action == 5 and city.position != home
            maps += city.position == (7, 3)
            if terminated or cut:
                np.testing.assert_array_equal(timestep.obs, city.obs(show_map))
                ends.add("cut" if cut else "gave up" if action == 6 else "arrived")
                break
    assert ends == {"cut", "gave up", "arrived"}
    assert rides > 30
    assert maps > 0


def test_the_goal_counts_on_the_last_step_as_on_any():
    env = BusGrid(max_steps=8)
    task, step = bus_permutations().take(jnp.asarray(0)), jax.jit(env.step)
    state, timestep = env.reset(jax.random.key(0), task)
    x, y = CORNERS[goal_of(env, timestep)]
    for action in [2 if x else 0] * 4 + [1 if y else 3] * 4:
        state, timestep = step(jax.random.key(0), task, state, jnp.asarray(action, jnp.int32))
    assert (float(timestep.reward), float(timestep.discount), bool(timestep.last)) == (1.0, 0.0, True)


def test_goals_are_drawn_for_each_episode_from_all_corners():
    env = BusGrid()
    task = bus_permutations().take(jnp.asarray(0))
    state, _ = jax.vmap(env.reset, in_axes=(0, None))(jax.random.split(jax.random.key(0), 800), task)
    assert np.abs(np.bincount(state.goal, minlength=4) - 200).max() < 50


@pytest.mark.parametrize(("name", "sizes"), [("bus", (16, 8)), ("bus-map", (16, 8)), ("bus-distracting", (53, 523))])
def test_no_task_is_in_both_parts_and_each_part_shows_every_bus_at_every_end(name, sizes):
    row = benchmark(name)
    parts = [{tuple(end) for end in np.asarray(part.tasks.end).tolist()} for part in (row.train, row.test)]
    assert tuple(len(part) for part in parts) == sizes
    assert parts[0].isdisjoint(parts[1])
    for part in parts:
        assert {(stop, end[stop]) for end in part for stop in range(4)} == {(i, j) for i in range(4) for j in range(4)}


def test_distracting_tasks_are_pairs_of_permutations():
    ends = np.asarray(distracting_permutations().tasks.end)
    assert len({tuple(end) for end in ends.tolist()}) == 576
    np.testing.assert_array_equal(np.sort(ends[:, :4], axis=1), np.tile(np.arange(4), (576, 1)))
    np.testing.assert_array_equal(np.sort(ends[:, 4:], axis=1), np.tile(np.arange(4, 8), (576, 1)))


@functools.cache
def played(name, policy):
    """A trial of a reference on each of 48 test tasks."""
    row = benchmark(name)
    reference = row.references[policy]
    env = RevealTask(row.env, row.test.take(jnp.asarray(0))) if reference.reveals_task else row.env
    collector = JaxCollector(env, row.test, 48, row.num_episodes)
    collect = eqx.filter_jit(lambda key, agent: collector.collect(key, agent, collector.init(key, agent))[0])
    return collect(jax.random.key(0), reference.agent())


@pytest.mark.parametrize(
    ("name", "policy"),
    [
        ("bus", "walker"),
        ("bus", "explorer"),
        ("bus", "oracle"),
        ("bus-map", "explorer"),
        ("bus-distracting", "explorer"),
        ("bus-distracting", "oracle"),
    ],
)
def test_references_earn_what_is_known_on_every_task(name, policy):
    last = jax.vmap(benchmark(name).metrics["last"])(played(name, policy))
    np.testing.assert_allclose(last, benchmark(name).known["last"][policy], atol=1e-5)


def test_three_rides_tell_all_within_an_episode():
    trials = played("bus", "explorer")
    action = np.asarray(trials.transitions.action)[:, 0, 0]
    steps = np.asarray(trials.transitions.valid)[:, 0, 0].sum(axis=1)
    assert set((action[:, :10] == 5).sum(axis=1).tolist()) == {5}  # there, back, there, back, there
    assert steps.min() == 11  # the goal beside the third end, no fourth ride before
    assert float(trials.returns()[:, 0].mean()) < 0
