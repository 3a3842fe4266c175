"""Half-cheetahs: how fast experience is collected, beside the simulator alone and other ways to run it.

    python benchmarks/physics.py          # all rows, each in a process of its own; writes results/physics.json
    python benchmarks/physics.py ours-64  # one row, printed as JSON

Needs the extra `mujoco`; rows of envpool are left out where that is not installed. Everything runs on a quiet machine, with
random actions unless said. A row's second part is the number of half-cheetahs side by side.

`alone` is MuJoCo's own thread pool, called once a step as ours calls it, with actions that are drawn beforehand, and nothing
done with what comes back; `open` is the same pool called once for a whole episode, which nobody who acts on what he sees can
do. `ours` collects trials of `cheetah-vel`, with a policy that draws random actions, and `policy` with RL²'s GRU of 64 units.
`value` is the least share, over 16, 64 and 256 half-cheetahs, of the speed of `alone` that `ours` reaches.
"""

import importlib.util
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from _speed import apart, per_second

RESULTS = Path(__file__).parent / "results"
SECONDS = 8.0
"""How long each row is timed, once it is warm."""
SIZES = (16, 64, 256)
NUM_STEPS = 200


def rate(call: Callable[[], Any], steps: int) -> float:
    """Environment steps a second, of calls that do so many each."""
    return steps * per_second(call, SECONDS)


def alone(size: int, whole_episodes: bool) -> float:
    """MuJoCo's pool on all cores."""
    import numpy as np

    from innerloop.bridges._mujoco import CHEETAH, simulator

    host = simulator(CHEETAH)
    rng, repeats = np.random.default_rng(0), CHEETAH.num_substeps
    noise = [rng.uniform(-0.1, 0.1, (size, 9)) for _ in range(2)]
    start = host.start(*noise)[0].view(np.float64)
    actions = rng.uniform(-1, 1, (NUM_STEPS, size, CHEETAH.num_actions))
    if whole_episodes:
        controls = np.repeat(actions.transpose(1, 0, 2), repeats, axis=1)
        return rate(lambda: host.pool.rollout(host.model, host.data, start, controls), size * NUM_STEPS)
    models = [host.model] * size
    controls = [np.repeat(action[:, None], repeats, axis=1) for action in actions]
    after = np.empty((size, repeats, start.shape[1]))
    sensed = np.empty((size, repeats, 0))

    def episode() -> None:
        state = start
        for control in controls:
            options = {"nstep": repeats, "state": after, "sensordata": sensed, "skip_checks": True}
            host.pool.rollout(models, host.data, state, control, **options)
            state = np.ascontiguousarray(after[:, -1])

    return rate(episode, size * NUM_STEPS)


def ours(size: int, with_policy: bool) -> float:
    """Whole trials, collected by a compiled program."""
    import equinox as eqx
    import jax

    from innerloop._collect import JaxCollector
    from innerloop.algorithms import RL2
    from innerloop.benchmarks import benchmark
    from innerloop.references.generic import Random

    row, key = benchmark("cheetah-vel"), jax.random.key(0)
    learner = RL2(hidden_size=64).learner(row)
    agent = learner.agent(learner.init(key)) if with_policy else Random(row.env.spec)
    collector = JaxCollector(row.env, row.train, size, row.num_episodes)

    @eqx.filter_jit
    def collect(agent: Any) -> Any:
        return collector.collect(key, agent, collector.init(key, agent))[0]

    return rate(lambda: jax.block_until_ready(collect(agent)), collector.steps_per_collect)


def envpool(size: int) -> float:
    """Its synchronous pool, as many threads as there are cores."""
    import os

    import envpool
    import numpy as np

    env = envpool.make_gymnasium("HalfCheetah-v5", num_envs=size, num_threads=os.cpu_count())
    actions = np.random.default_rng(0).uniform(-1, 1, (NUM_STEPS, size, 6))
    env.reset()
    return rate(lambda: [env.step(action) for action in actions], size * NUM_STEPS)


def gymnasium(size: int) -> float:
    """A vector environment in one process."""
    import gymnasium as gym
    import numpy as np

    env = gym.make_vec("HalfCheetah-v5", num_envs=size, vectorization_mode="sync")
    actions = np.random.default_rng(0).uniform(-1, 1, (NUM_STEPS, size, 6)).astype(np.float32)
    env.reset(seed=0)
    return rate(lambda: [env.step(action) for action in actions], size * NUM_STEPS)


def measure(name: str) -> dict[str, Any]:
    """One row."""
    kind, size = name.split("-")
    run = {
        "alone": lambda size: alone(size, False),
        "open": lambda size: alone(size, True),
        "ours": lambda size: ours(size, False),
        "policy": lambda size: ours(size, True),
        "envpool": envpool,
        "gymnasium": gymnasium,
    }[kind]
    return {"name": name, "steps_per_second": round(run(int(size)))}


def main() -> None:
    """All rows, or the one that is named."""
    if len(sys.argv) > 1:
        print(json.dumps(measure(sys.argv[1])))
        return
    from innerloop._machine import provenance
    from innerloop.report._results import write_result

    kinds = ["alone", "ours", "policy", "open"]
    kinds += ["envpool"] if importlib.util.find_spec("envpool") else []
    names = [f"{kind}-{size}" for size in SIZES for kind in kinds] + ["gymnasium-16"]
    measured = {}
    for name in names:
        measured[name] = apart(__file__, name)["steps_per_second"]
        print(f"{name}: {measured[name]:,}", flush=True)
    shares = {size: measured[f"ours-{size}"] / measured[f"alone-{size}"] for size in SIZES}
    result = {
        "id": "physics",
        "metric": "speed of collecting half-cheetahs over the simulator's alone, random actions, the least of three sizes",
        "value": round(min(shares.values()), 3),
        "better": "higher",
        "bar": 0.9,
        "published": None,
        "source": "the bar is ours; MuJoCo's own thread pool, one call a step",
        "shares": {str(size): round(share, 3) for size, share in shares.items()},
        "steps_per_second": measured,
        **provenance(),
        "command": "python benchmarks/physics.py",
    }
    write_result(RESULTS, result)


if __name__ == "__main__":
    main()
