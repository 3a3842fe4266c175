"""Do beliefs come true? VariBAD's on GridNavi beside the exact posterior over goals.

    python benchmarks/beliefs.py [--runs RUNS]

Reads the seeds that `innerloop reproduce gridnavi-varibad` has trained, plays one episode on each of the 21 goals many
times, and writes

    results/gridnavi-beliefs.json       total variation between belief and exact posterior at the end of the episode
    ../docs/images/gridnavi-beliefs.png both, step by step, for one goal and the first seed

The belief about a goal is what the decoder says of the reward there, a mean over task vectors drawn from the belief,
and normalised over the goals. Exact is: all goals that have not been visited are equally likely, or it is known.
"""

import argparse
from pathlib import Path
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float
from matplotlib.figure import Figure

from innerloop._evaluate import bootstrap_interval
from innerloop._machine import provenance
from innerloop._rollout import episode
from innerloop._run import learner_of
from innerloop._types import Key, Transition
from innerloop.benchmarks import benchmark
from innerloop.envs.gridnavi import GridTask, gridnavi_goals
from innerloop.report._curves import save
from innerloop.report._results import write_result

ROOT = Path(__file__).parent
ID, REPEATS, SAMPLES, BAR = "gridnavi-varibad", 50, 64, 0.1
ROW = benchmark("gridnavi-cells")
GOALS = gridnavi_goals().tasks.goal
CELLS = GOALS[:, 0] + ROW.env.size * GOALS[:, 1]


def exact(steps: Transition) -> Float[Array, "times goals"]:
    """The posterior before each step of an episode `[time]`, and after its last one."""
    here = steps.next_timestep.obs[:, None] == CELLS[None]
    hit = steps.next_timestep.reward > 0

    def step(possible: Bool[Array, " goals"], inputs: tuple[Array, Array]) -> tuple[Array, Array]:
        here, hit = inputs
        after = jnp.where(hit, here, possible & ~here)
        return after, after

    start = jnp.ones(CELLS.shape, bool)
    _, after = jax.lax.scan(step, start, (here, hit))
    possible = jnp.concatenate([start[None], after]).astype(jnp.float32)
    return possible / possible.sum(axis=1, keepdims=True)


def believed(key: Key, agent: Any, decoder: Any, steps: Transition) -> Float[Array, "times goals"]:
    """What the agent holds likely at the same times."""
    trial_first = jnp.zeros(steps.valid.shape, bool)
    latents = agent.infer(agent.init(key), steps, trial_first)

    def likely(latent: Any) -> Float[Array, " goals"]:
        drawn = jax.vmap(latent.draw)(jax.random.split(key, SAMPLES))
        rewards = jax.vmap(lambda m: jax.nn.sigmoid(decoder.head(decoder.net(m))))(drawn).mean(axis=0)[CELLS]
        return rewards / rewards.sum()

    return jax.vmap(likely)(latents)


def compare(agent: Any, decoder: Any) -> tuple[np.ndarray, np.ndarray]:
    """Both `[goal repeat times goals]`."""

    def one(key: Key, goal: Array) -> tuple[Array, Array]:
        memory_key, play_key, draw_key = jax.random.split(key, 3)
        _, steps = episode(play_key, ROW.env, agent, GridTask(goal), agent.init(memory_key))
        steps = steps._replace(extras=None)
        return exact(steps), believed(draw_key, agent, decoder, steps)

    keys = jax.random.split(jax.random.key(2**31), (len(GOALS), REPEATS))
    played = eqx.filter_jit(jax.vmap(jax.vmap(one, in_axes=(0, None))))(keys, GOALS)
    return tuple(np.asarray(x) for x in played)


def draw_maps(truth: np.ndarray, belief: np.ndarray, path: Path) -> None:
    """`[times goals]` of one episode as two rows of grids."""
    size, times = ROW.env.size, range(0, truth.shape[0], 2)
    figure = Figure(figsize=(1.2 * len(times), 2.9), dpi=140, layout="constrained")
    panels = figure.subplots(2, len(times))
    for row, (name, rows) in enumerate((("exact", truth), ("VariBAD", belief))):
        for column, time in enumerate(times):
            grid = np.zeros(size * size)
            grid[np.asarray(CELLS)] = rows[time]
            axes = panels[row, column]
            axes.imshow(
                grid.reshape(size, size), origin="lower", vmin=0, vmax=max(0.15, rows[time].max()), cmap="Blues"
            )
            axes.set_xticks([])
            axes.set_yticks([])
            if row == 0:
                axes.set_title(f"step {time}", fontsize=8)
        panels[row, 0].set_ylabel(name, fontsize=9)
    save(figure, path)


def main() -> None:
    """The result and the picture."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--runs", type=Path, default=Path("runs"), help="where run directories are")
    folders = sorted((parser.parse_args().runs / ID).glob("seed-*"))
    if not folders:
        raise SystemExit(f"beliefs: train the seeds first: innerloop reproduce {ID}")
    distances = []
    for number, folder in enumerate(folders):
        learner, state = learner_of(folder)
        truth, belief = compare(learner.agent(state), state.inference.reward)
        distances.append(0.5 * np.abs(truth - belief).sum(axis=-1).reshape(-1, truth.shape[2]))
        if number == 0:
            draw_maps(truth[8, 0], belief[8, 0], ROOT.parent / "docs/images/gridnavi-beliefs.png")
    over_time = np.stack(distances).astype(np.float64)
    low, high = bootstrap_interval(over_time[..., -1])
    result = {
        "id": "gridnavi-beliefs",
        "metric": "total variation to the exact posterior at the end of episode 1",
        "value": round(float(over_time[..., -1].mean()), 4),
        "low": round(low, 4),
        "high": round(high, 4),
        "per_seed": over_time[..., -1].mean(axis=1).round(4).tolist(),
        "better": "lower",
        "bar": BAR,
        "published": None,
        "source": "the exact posterior is computed",
        "num_seeds": len(folders),
        "num_test_tasks": over_time.shape[1],
        "details": {"by_step": over_time.mean(axis=(0, 1)).round(4).tolist()},
        **provenance(),
        "command": "python benchmarks/beliefs.py",
    }
    print(f"stored: {write_result(ROOT / 'results', result)}: {result['value']}")


if __name__ == "__main__":
    main()
