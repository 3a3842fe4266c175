"""Kill processes that play Gymnasium environments, in mid-run, and see that training ends as if nothing had happened.

    python benchmarks/worker_kills.py [--kills 10] [--seed 0]

Trains RL² on Gymnasium's cart-pole with poles of many lengths, the copies spread over two processes; once undisturbed, and
once while a random worker gets SIGKILL at random moments, a few seconds apart. All that was learned must be equal, bit for
bit, and so must every row of metrics. The result is `worker-kills.json`; `value` counts the kills that were survived so, none
of them if anything differs.
"""

import argparse
import random
import threading
import time
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np
import optax
from gymnasium.envs.classic_control import CartPoleEnv

import innerloop as il
from innerloop._machine import provenance
from innerloop.report._results import write_result

NUM_UPDATES, NUM_TASKS, NUM_EPISODES, MAX_STEPS = 200, 16, 2, 100
PAUSE = 1.0, 4.0
"""Seconds between two kills, drawn uniformly."""


class VariedPole(CartPoleEnv):
    """Cart-pole that can be told its pole's length."""

    def set_task(self, task: dict[str, float]) -> None:
        """Half the length, in m."""
        self.length = task["length"]
        self.polemass_length = self.masspole * self.length


class Pole(NamedTuple):
    """Half the pole's length (m)."""

    length: jax.Array


class Killer(threading.Thread):
    """Kills a random worker of a pool now and then, `kills` times."""

    def __init__(self, pool: Any, kills: int, seed: int):
        super().__init__(daemon=True)
        self._pool, self._left, self._random = pool, kills, random.Random(seed)
        self.num_killed = 0

    def run(self) -> None:
        """Until there is nothing left to kill."""
        while self._left:
            time.sleep(self._random.uniform(*PAUSE))
            alive = [worker.process for worker in list(self._pool.workers) if worker.process.is_alive()]
            if alive:
                self._random.choice(alive).kill()
                self.num_killed, self._left = self.num_killed + 1, self._left - 1


TASKS = il.Sampled(lambda key: Pole(jax.random.uniform(key, minval=0.25, maxval=0.75)))


def in_processes() -> Any:
    """Cart-poles in two processes."""
    return il.bridges.from_gymnasium(VariedPole, MAX_STEPS, tell="set_task", num_workers=2)


def poles() -> il.Benchmark:
    """As a benchmark, for other measurements."""
    return il.Benchmark("poles", "Cart-poles in two processes", "ours", in_processes(), TASKS, TASKS, NUM_EPISODES)


def trained(kills: int, seed: int) -> tuple[Any, list[dict[str, Any]], Any, int]:
    """What is learned, the rows of metrics, the pool, and how many workers were killed before the end."""
    env = in_processes()
    learner = il.PPO(partial(il.agents.Recurrent, env.spec, hidden_size=32), optax.adam(3e-3), num_minibatches=4)
    collector = il.JaxCollector(env, TASKS, NUM_TASKS, NUM_EPISODES)
    killer = Killer(env.host.pool, kills, seed)
    killer.start()
    state, rows = il.train(jax.random.key(seed), learner, collector, NUM_UPDATES, log_every=1)
    num_killed = killer.num_killed
    env.host.pool.close()
    return state, rows, env.host.pool, num_killed


def main() -> None:
    """Train twice and compare."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=10)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    il.compilation_cache()
    clock = time.monotonic()
    whole, whole_rows, _, _ = trained(0, options.seed)
    seconds = time.monotonic() - clock
    state, rows, pool, num_killed = trained(options.kills, options.seed)
    leaves = [jax.tree.leaves(x) for x in ((whole, whole_rows), (state, rows))]
    equal = all(np.array_equal(np.asarray(x), np.asarray(y)) for x, y in zip(*leaves, strict=True))
    print(f"{num_killed} killed, {pool.num_lost} replaced, {'equal' if equal else 'DIFFERENT'}")
    write_result(
        Path(__file__).parent / "results",
        {
            "id": "worker-kills",
            "metric": "killed workers after which training ends bit for bit as if undisturbed",
            "value": float(num_killed if equal else 0),
            "better": "higher",
            "bar": float(options.kills),
            "published": None,
            "source": "everything learned and every row of metrics, compared bit for bit",
            "details": {
                "killed": num_killed,
                "replaced": pool.num_lost,
                "num_leaves": len(leaves[0]),
                "seconds_undisturbed": round(seconds, 1),
            },
            "env_steps": NUM_UPDATES * NUM_TASKS * NUM_EPISODES * MAX_STEPS,
            "wall_seconds": round(time.monotonic() - clock, 1),
            **provenance(),
            "command": f"python benchmarks/worker_kills.py --kills {options.kills}",
        },
    )


if __name__ == "__main__":
    main()
