"""Problems of exploration: what is worth knowing must be sought, and seeking it costs."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np

from innerloop._benchmark import Benchmark, Reference, Rows, mean_return
from innerloop._task import Finite, TaskDistribution
from innerloop.envs import rooms, treasure
from innerloop.envs.bus import BusGrid, bus_permutations, distracting_permutations
from innerloop.envs.dark_room import DarkKeyToDoor, DarkRoom, dark_goals, dark_keys_and_doors
from innerloop.references import bus as bus_policies
from innerloop.references import dark_room as dark_policies
from innerloop.references import rooms as rooms_policies
from innerloop.references.generic import Random
from innerloop.references.treasure import Circler, Climber, Oracle


def _treasure() -> Benchmark:
    env, tasks = treasure.TreasureHunt(), treasure.treasures()
    return Benchmark(
        name="treasure",
        summary="Find the treasure on a circle: climb a mountain, which costs, and see it, or walk round; one episode",
        source="Zintgraf et al. 2021 (HyperX), released code",
        env=env,
        train=tasks,
        test=tasks,
        num_episodes=1,
        metrics={
            "reached_top": treasure.reached_top,
            "found_treasure": treasure.found_treasure,
            "saw_first": treasure.saw_first,
            "read_treasure": treasure.read_treasure,
        },
        references={
            "random": Reference(partial(Random, env.spec), "uniform actions"),
            "circler": Reference(Circler, "walks round the mountain until it is at the treasure"),
            "climber": Reference(Climber, "climbs the mountain, looks, walks straight to the treasure"),
            "oracle": Reference(Oracle, "knows the treasure, walks there by a fastest way; exact", reveals_task=True),
        },
        known={"return": {"circler": 612.8, "climber": 736.7, "oracle": 852.0}},
    )


def _bus(name: str, summary: str, env: BusGrid, train: TaskDistribution, test: TaskDistribution) -> Benchmark:
    """The first episode is for exploration: what counts is the return of the second, `last`."""
    return Benchmark(
        name=name,
        summary=summary,
        source="Liu et al. 2021 (DREAM), released code",
        env=env,
        train=train,
        test=test,
        num_episodes=2,
        metrics={"last": partial(mean_return, start=1, stop=2)},
        references={
            "random": Reference(partial(Random, env.spec), "any action"),
            "walker": Reference(partial(bus_policies.Walker, env), "never rides"),
            "explorer": Reference(
                partial(bus_policies.Explorer, env), "finds out where buses go, then the shortest way; optimal"
            ),
            "oracle": Reference(partial(bus_policies.Oracle, env), "knows where buses go", reveals_task=True),
        },
        known={"last": {"walker": 0.3, "explorer": 0.8, "oracle": 0.8}},
    )


def _bus_plain() -> Benchmark:
    train, test = bus_permutations().split(2 / 3)
    summary = "Four buses go to other ends in every task: explore in one episode, reach a goal in the next"
    return _bus("bus", summary, BusGrid(), train, test)


def _bus_map() -> Benchmark:
    train, test = bus_permutations().split(2 / 3)
    summary = "The same city with a map off the way, which shows where all buses go"
    return _bus("bus-map", summary, BusGrid(show_map=True), train, test)


def _bus_distracting() -> Benchmark:
    """Every eleventh task is for training, as in the authors' code."""
    tasks = distracting_permutations()
    index = jnp.arange(tasks.num_tasks)
    train, test = (Finite(tasks.take(index[part])) for part in (index % 11 == 0, index % 11 != 0))
    summary = "The same city with four more buses that are of no use; trained on 53 of 576 tasks"
    return _bus("bus-distracting", summary, BusGrid(distractions=True), train, test)


DARK_EPISODES = 10


def _dark(
    name: str,
    summary: str,
    env: DarkRoom | DarkKeyToDoor,
    train: TaskDistribution,
    test: TaskDistribution,
    oracle: Reference,
    best: float,
) -> Benchmark:
    """`best`: what the oracle earns in an episode, on average over the test tasks."""
    return Benchmark(
        name=name,
        summary=summary,
        source="Laskin et al. 2022 (algorithm distillation); number of episodes and split are ours",
        env=env,
        train=train,
        test=test,
        num_episodes=DARK_EPISODES,
        metrics={
            "first": partial(mean_return, start=0, stop=1),
            "last": partial(mean_return, start=DARK_EPISODES - 1, stop=DARK_EPISODES),
        },
        references={"random": Reference(partial(Random, env.spec), "any action"), "oracle": oracle},
        known={"last": {"oracle": best}},
    )


def _dark_room() -> Benchmark:
    env = DarkRoom()
    train, test = dark_goals().split(0.8, key=jax.random.key(0))
    best = dark_policies.best_returns(env, np.asarray(test.tasks.goal)).mean()
    oracle = Reference(partial(dark_policies.Oracle, env), "knows the goal", reveals_task=True)
    summary = "Find an unseen goal in a room of 9 x 9 cells; tested on 17 of the 81 cells, held out"
    return _dark("dark-room", summary, env, train, test, oracle, float(best))


def _dark_key_to_door() -> Benchmark:
    env = DarkKeyToDoor()
    train, test = dark_keys_and_doors().split(0.8, key=jax.random.key(0))
    oracle = Reference(partial(dark_policies.KeyOracle, env), "knows key and door", reveals_task=True)
    summary = "Find an unseen key, then an unseen door; tested on 20 % of the 6561 pairs of cells, held out"
    return _dark("dark-key-to-door", summary, env, train, test, oracle, 2.0)


def _rooms() -> Benchmark:
    env, tasks = rooms.Rooms(), rooms.rooms_tasks()
    return Benchmark(
        name="rooms",
        summary="Three goals in a fixed order, the second in another room; one episode; trained and tested on the same 48",
        source="Zintgraf et al. 2021 (HyperX), released code",
        env=env,
        train=tasks,
        test=tasks,
        num_episodes=1,
        metrics={"goals_reached": rooms.goals_reached},
        references={
            "random": Reference(partial(Random, env.spec), "any action"),
            "oracle": Reference(partial(rooms_policies.Oracle, env), "knows the goals; exact", reveals_task=True),
        },
        known={"return": {"oracle": 3376.6}},
    )


def rows() -> Rows:
    """The family's benchmarks by name."""
    return {
        "treasure": _treasure,
        "rooms": _rooms,
        "bus": _bus_plain,
        "bus-map": _bus_map,
        "bus-distracting": _bus_distracting,
        "dark-room": _dark_room,
        "dark-key-to-door": _dark_key_to_door,
    }
