"""Training in one process and in two that share the tasks: the same numbers, how much faster, and what they tell each other.

    python benchmarks/scale.py                 # everything; writes results/scale.json
    python benchmarks/scale.py cheetah 2       # one row in so many processes, printed as JSON

Needs the extra `mujoco`, and a quiet machine of two cores: each process has one. Rows are whole updates of RL² (GRU of 64
units, 64 tasks, PPO of 2 epochs with 4 minibatches): `cheetah`, the half-cheetahs of `cheetah-vel`; `gymnasium`, Gymnasium's
own half-cheetah through the bridge; `compiled`, the maze `gridnavi`. `value` is the least speed of two processes over that of
one, of the two simulators.

`messages` are read off the compiled program of 64 tasks on two devices: bytes that each process has at the end of an
exchange, once for every minibatch and once for every update. `difference` is the largest between parameters of one device
and of two after 3 updates, relative to the largest parameter of each array.
"""

import json
import os
import re
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

RESULTS = Path(__file__).parent / "results"
ROWS = ("cheetah", "gymnasium", "compiled")
NUM_TASKS, NUM_UPDATES, NUM_REPEATS = 64, {"cheetah": 2, "gymnasium": 1, "compiled": 20}, 4
BYTES = {"f32": 4, "s32": 4, "u32": 4, "pred": 1, "u8": 1, "s64": 8, "u64": 8}


def parts(row: str, mesh: Any) -> tuple[Any, Any]:
    """Learner and collector."""
    import jax

    import innerloop as il
    from innerloop.algorithms import RL2, OnPolicy
    from innerloop.benchmarks import benchmark

    settings = RL2(hidden_size=64, training=OnPolicy(num_tasks=NUM_TASKS, num_epochs=2, num_minibatches=4))
    if row == "gymnasium":
        env = il.bridges.from_gymnasium("HalfCheetah-v5", 200, tell=None)
        tasks = il.Finite({"number": jax.numpy.zeros(1)})
        found = il.Benchmark("cheetahs", "Half-cheetahs", "Gymnasium", env, tasks, tasks, num_episodes=1)
    else:
        found = benchmark({"cheetah": "cheetah-vel", "compiled": "gridnavi"}[row])
    collector = il.JaxCollector(found.env, found.train, NUM_TASKS, found.num_episodes, mesh=mesh)
    return settings.learner(found), collector


def speed(row: str) -> float:
    """Steps a second of all processes; each does as many updates."""
    import jax

    from innerloop._devices import task_mesh
    from innerloop._train import Segment, init

    learner, collector = parts(row, task_mesh() if jax.process_count() > 1 else None)
    key, count = jax.random.key(0), NUM_UPDATES[row]
    state = init(key, learner, collector)
    segment = Segment(learner, collector, key, state, count, None)
    state, _ = segment(segment.placed(state), count)
    clock = time.perf_counter()
    for _ in range(NUM_REPEATS):
        state, _ = segment(state, count)
    return NUM_REPEATS * count * collector.steps_per_collect / (time.perf_counter() - clock)


def in_processes(row: str, number: int) -> int:
    """Steps a second, by the leader's clock."""
    from innerloop._processes import free_address

    address = free_address()
    calls = [[sys.executable, __file__, row, str(number), str(i), address] for i in range(number)]
    running = [subprocess.Popen(call, stdout=subprocess.PIPE, text=True) for call in calls]
    printed = [process.communicate()[0] for process in running]
    if any(process.returncode for process in running):
        sys.exit(f"{row} in {number} processes failed, see above.")
    return round(json.loads(printed[0].splitlines()[-1])["steps_per_second"])


def member(row: str, number: int, which: int, address: str) -> None:
    """One of the processes, on a core of its own."""
    import jax

    os.sched_setaffinity(0, {sorted(os.sched_getaffinity(0))[which]})
    if number > 1:
        jax.distributed.initialize(address, number, which)
    print(json.dumps({"steps_per_second": speed(row)}))


def on_two_devices() -> dict[str, Any]:
    """Messages and the difference to one device."""
    import jax
    import numpy as np

    from innerloop._devices import here, task_mesh
    from innerloop._train import Segment, init

    states, text = [], ""
    for mesh in (None, task_mesh(2)):
        learner, collector = parts("compiled", mesh)
        key = jax.random.key(0)
        state = init(key, learner, collector)
        segment = Segment(learner, collector, key, state, 3, None)
        state, _ = segment(segment.placed(state), 3)
        states.append(jax.tree.leaves(jax.device_get(here(state.state.params))))
        text = segment.compiled.as_text() or ""
    found = {"minibatch": 0, "update": 0}
    for line in text.splitlines():
        if exchange := re.search(r"= (.*?) (?:all-reduce|all-gather|all-to-all|collective-permute)(?:-start)?\(", line):
            depth = line.split('op_name="')[-1].split('"')[0].count("while/body")
            found["minibatch" if depth >= 3 else "update"] += size(exchange.group(1))
    gaps = [np.abs(x - y).max() / max(np.abs(x).max(), 1e-9) for x, y in zip(*states, strict=True) if x.size]
    return {
        "messages": found,
        "num_parameters": sum(x.size for x in states[0]),
        "steps_per_update": collector.steps_per_collect,
        "difference": float(max(gaps)),
    }


def size(shapes: str) -> int:
    """Bytes of arrays as XLA writes them, such as (f32[3,4]{1,0}, pred[])."""
    total = 0
    for kind, lengths in re.findall(r"(\w+)\[([\d,]*)\]", shapes):
        count = 1
        for length in filter(None, lengths.split(",")):
            count *= int(length)
        total += BYTES[kind] * count
    return total


def main() -> None:
    """All rows, or the one that is named."""
    arguments = sys.argv[1:]
    if arguments == ["devices"]:
        print(json.dumps(on_two_devices()))
        return
    if len(arguments) == 4:
        member(arguments[0], int(arguments[1]), int(arguments[2]), arguments[3])
        return
    if len(arguments) == 2:
        print(json.dumps({"steps_per_second": in_processes(arguments[0], int(arguments[1]))}))
        return
    from innerloop._machine import provenance
    from innerloop.report._results import write_result

    environment = os.environ | {"XLA_FLAGS": "--xla_force_host_platform_device_count=2"}
    call = [sys.executable, __file__, "devices"]
    done = subprocess.run(call, env=environment, capture_output=True, text=True, check=True)
    told = json.loads(done.stdout.splitlines()[-1])
    measured = {f"{row}-{number}": in_processes(row, number) for row in ROWS for number in (1, 2)}
    ratios = {row: round(measured[f"{row}-2"] / measured[f"{row}-1"], 3) for row in ROWS}
    print(measured, ratios, told)
    result = {
        "id": "scale",
        "metric": "speed of training in two processes over that in one, a core each, the least of two simulators",
        "value": min(ratios["cheetah"], ratios["gymnasium"]),
        "better": "higher",
        "bar": 1.6,
        "published": None,
        "source": "the bar is ours; RL² on half-cheetahs, 64 tasks",
        "ratios": ratios,
        "steps_per_second": measured,
        **told,
        **provenance(),
        "command": "python benchmarks/scale.py",
    }
    write_result(RESULTS, result)


if __name__ == "__main__":
    main()
