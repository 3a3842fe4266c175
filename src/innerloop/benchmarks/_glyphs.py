"""Few-shot classification of small images: characters drawn by the library itself."""

from collections.abc import Callable
from functools import partial

from jaxtyping import Array, Float

from innerloop._benchmark import Benchmark, Reference, Rows, mean_reward
from innerloop._types import Trials
from innerloop.envs.glyphs import Glyphs, characters
from innerloop.references.generic import Random

MEASURES: dict[str, Callable[[Trials], Float[Array, ""]]] = {
    "accuracy_before": partial(mean_reward, episode=0),
    "accuracy": partial(mean_reward, episode=-1),
}
"""Share of the images that were named right, in the first set and in the last."""


COUNTING = {1: 0.457, 5: 0.346}
"""By shots: the accuracy of counting the answers of a balanced set of 5 ways as they are revealed, images unseen."""


def _glyphs(name: str, num_ways: int, num_shots: int) -> Benchmark:
    env, tasks = Glyphs(num_ways, num_shots), characters(num_ways)
    return Benchmark(
        name=name,
        summary=f"{num_ways} characters never seen before, {num_shots} images of each: which is which in the next set?",
        source="this library; after Lake et al. 2015 and Vinyals et al. 2016",
        env=env,
        train=tasks,
        test=tasks,
        num_episodes=2,
        episodes_per_round=1,
        metrics=MEASURES,
        references={"random": Reference(partial(Random, env.spec), "uniform answers")},
        known={"accuracy": {"chance": 1 / num_ways, "counting answers": COUNTING[num_shots]}},
    )


def rows() -> Rows:
    """The family's benchmarks by name."""
    names = {f"glyphs-5way-{shots}shot": shots for shots in (1, 5)}
    return {name: partial(_glyphs, name, 5, shots) for name, shots in names.items()}
