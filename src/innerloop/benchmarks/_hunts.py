"""Problems of exploration: what is worth knowing must be sought, and seeking it costs."""

from functools import partial

import jax.numpy as jnp

from innerloop._benchmark import Benchmark, Reference, Rows, mean_return
from innerloop._task import Finite, TaskDistribution
from innerloop.envs import treasure
from innerloop.envs.bus import BusGrid, bus_permutations, distracting_permutations
from innerloop.references import bus as bus_policies
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
        },
        references={
            "random": Reference(partial(Random, env.spec), "uniform actions"),
            "circler": Reference(Circler, "walks round the mountain until it is at the treasure"),
            "climber": Reference(Climber, "climbs the mountain, looks, walks straight to the treasure"),
            "oracle": Reference(Oracle, "knows the treasure, walks there by a fastest way; exact", reveals_task=True),
        },
        known={"return": {"circler": 48.37, "climber": 62.85, "oracle": 80.26}},
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


def rows() -> Rows:
    """The family's benchmarks by name."""
    return {"treasure": _treasure, "bus": _bus_plain, "bus-map": _bus_map, "bus-distracting": _bus_distracting}
