"""Problems of exploration: what is worth knowing must be sought, and seeking it costs."""

from functools import partial

from innerloop._benchmark import Benchmark, Reference, Rows
from innerloop.envs import treasure
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


def rows() -> Rows:
    """The family's benchmarks by name."""
    return {"treasure": _treasure}
