"""Copies of one Gymnasium environment: in this process, in processes of their own, or as one vector environment."""

import abc
import contextlib
import itertools
import multiprocessing
import pickle
import signal
import sys
import threading
import traceback
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from multiprocessing.connection import Connection
from typing import Any, NamedTuple

import numpy as np

# Worker processes import this module, so it must not import JAX.


class HostError(RuntimeError):
    """An environment outside of the compiled program failed; the message says how."""


class Results(NamedTuple):
    """What came of a step, a row each."""

    obs: np.ndarray
    reward: np.ndarray
    terminated: np.ndarray
    truncated: np.ndarray


class Pool(abc.ABC):
    """Many copies of one environment, numbered from 0, made when they are first asked for."""

    @abc.abstractmethod
    def reset(self, seeds: np.ndarray, tasks: list[Any]) -> np.ndarray:
        """Start an episode in the first `len(seeds)` of them; observations, a row each."""

    @abc.abstractmethod
    def step(self, running: np.ndarray, actions: np.ndarray) -> Results:
        """One step in those of the last reset that are `running`; rows of the others may hold anything."""

    @abc.abstractmethod
    def close(self) -> None:
        """Let go of everything, whatever that raises; the next reset makes it anew."""


Tell = str | Callable[[Any, Any], None] | None
"""How an environment learns its task; see `from_gymnasium`."""


@dataclass(frozen=True)
class Recipe:
    """How a copy is made, told its task, and spoken to. Sent to other processes as a whole."""

    make: Callable[..., Any]
    tell: Tell
    encode: Callable[[Any], np.ndarray]
    decode: Callable[[np.ndarray], Any]


class Copy:
    """One environment."""

    def __init__(self, recipe: Recipe):
        self._recipe = recipe
        self._env: Any = None
        self._made_for: bytes | None = None

    def reset(self, task: Any, seed: int) -> np.ndarray:
        """Start an episode of a task."""
        tell, options = self._recipe.tell, None
        if tell == "constructor":
            name = pickle.dumps(task)
            if name != self._made_for:
                self.close()
                self._env, self._made_for = self._recipe.make(**task), name
        elif self._env is None:
            self._env = self._recipe.make()
        if tell == "options":
            options = task if isinstance(task, dict) else {"task": task}
        elif tell == "set_task":
            self._env.unwrapped.set_task(task)
        elif callable(tell):
            tell(self._env, task)
        return self._recipe.encode(self._env.reset(seed=seed, options=options)[0])

    def step(self, action: Any) -> tuple[np.ndarray, float, bool, bool]:
        """Observation, reward, terminated, truncated."""
        obs, reward, terminated, truncated, _ = self._env.step(self._recipe.decode(action))
        return self._recipe.encode(obs), float(reward), bool(terminated), bool(truncated)

    def close(self) -> None:
        """Let go of the environment."""
        env, self._env = self._env, None
        if env is not None:
            env.close()


def close_all(things: Iterable[Any]) -> None:
    """Each is closed, whatever closing another raises: often it comes after an error, which is the one to be told."""
    for thing in things:
        with contextlib.suppress(Exception):
            thing.close()


class Serial(Pool):
    """All copies in this process, one after the other."""

    def __init__(self, recipe: Recipe):
        self._recipe = recipe
        self._copies: list[Copy] = []
        self._blank = np.zeros(0)

    def reset(self, seeds: np.ndarray, tasks: list[Any]) -> np.ndarray:
        self._copies += [Copy(self._recipe) for _ in range(len(seeds) - len(self._copies))]
        used = zip(self._copies, seeds, tasks, strict=False)
        obs = np.stack([copy.reset(task, int(seed)) for copy, seed, task in used])
        self._blank = np.zeros_like(obs[0])
        return obs

    def step(self, running: np.ndarray, actions: np.ndarray) -> Results:
        blank = (self._blank, 0.0, False, False)
        rows = [self._copies[i].step(actions[i]) if runs else blank for i, runs in enumerate(running)]
        return Results(*(np.stack(x) for x in zip(*rows, strict=True)))

    def close(self) -> None:
        copies, self._copies = self._copies, []
        close_all(copies)


class Lost(Exception):
    """A worker died or did not answer in time."""


class Worker:
    """A process that holds some of the copies, and all that is needed to bring them back: seeds, tasks and actions."""

    def __init__(self, recipe: bytes, timeout: float):
        self._recipe, self.timeout, self._limit = recipe, timeout, timeout
        self._start()
        self._begun: Any = None
        self._actions: list[tuple[np.ndarray, np.ndarray]] = []

    def _start(self) -> None:
        context = multiprocessing.get_context("spawn")
        self._connection, other = context.Pipe()
        self.process = context.Process(target=_serve, args=(other, self._recipe), daemon=True)
        with _without_main():
            self.process.start()
        other.close()

    def send(self, command: str, *arguments: Any) -> None:
        """Ask for something; `receive` gives the answer."""
        if command == "reset":
            self._begun, self._actions = arguments, []
        elif command == "step":
            self._actions.append(arguments)  # type: ignore[arg-type]
        self._tell(command, arguments)

    def _tell(self, command: str, arguments: Any) -> None:
        # The first reset makes the copies, one after the other.
        self._limit = self.timeout * (len(arguments[0]) if command == "reset" else 1)
        with contextlib.suppress(OSError):  # it is dead: `receive` finds out
            self._connection.send((command, arguments))

    def receive(self) -> Any:
        """The answer to what was sent last. Raises Lost, or HostError if the environment itself raised something."""
        try:
            if not self._connection.poll(self._limit):
                raise Lost(f"gave no answer for {self._limit:g} s")
            kind, value = self._connection.recv()
        except (EOFError, OSError):
            self.process.join(1.0)
            raise Lost(f"died (exit code {self.process.exitcode})") from None
        if kind == "error":
            raise HostError(value)
        return value

    def revive(self) -> Any:
        """A new process in the place of a lost one, brought to where that was; gives the answer that was not got."""
        self.kill()
        self._start()
        self._tell("reset", self._begun)
        answer = self.receive()
        for arguments in self._actions:
            self._tell("step", arguments)
            answer = self.receive()
        return answer

    def kill(self) -> None:
        """End the process."""
        self._connection.close()
        self.process.kill()
        self.process.join()

    def close(self) -> None:
        """Ask it to end, and see that it does."""
        self._tell("close", ())
        self.process.join(1.0)
        self.kill()


def _serve(connection: Connection, recipe: bytes) -> None:
    """What a worker does. An error of the environment is sent back as text. Ctrl-C is for the program, which says when to
    end; if that is gone, so is the connection."""
    import cloudpickle

    signal.signal(signal.SIGINT, signal.SIG_IGN)
    pool = None
    while True:
        try:
            command, arguments = connection.recv()
        except EOFError:
            return
        try:
            pool = pool or Serial(cloudpickle.loads(recipe))
            if command == "close":
                pool.close()
                return
            answer = ("ok", getattr(pool, command)(*arguments))
        except Exception:
            answer = ("error", traceback.format_exc())
        connection.send(answer)


MAX_LOSSES_IN_A_ROW = 3


class Workers(Pool):
    """Copies spread over processes, each spoken to once a step.

    A worker that dies, or does not answer a step within `timeout` seconds, a reset within as many for each of its copies, is
    replaced, and its episodes are played again from their seeds with the actions so far: nothing is lost if the environment
    is deterministic. Each loss is reported on stderr and counted in `num_lost`. Three losses in a row of the same step are
    an error.

    Raises ValueError if the recipe cannot be sent to other processes.
    """

    def __init__(self, recipe: Recipe, num_workers: int, timeout: float):
        import cloudpickle

        try:
            self._recipe = cloudpickle.dumps(recipe)
        except Exception as error:
            raise ValueError(
                f"num_workers={num_workers}: make and tell cannot be sent to other processes ({error}). Define them in a "
                "module, let the environment make what it holds, or use num_workers=0."
            ) from error
        self.num_workers, self.timeout, self.num_lost = num_workers, timeout, 0
        self.workers: list[Worker] = []
        self._parts: list[slice] = []

    def reset(self, seeds: np.ndarray, tasks: list[Any]) -> np.ndarray:
        while len(self.workers) < self.num_workers:
            self.workers.append(Worker(self._recipe, self.timeout))
        bounds = np.linspace(0, len(seeds), min(self.num_workers, len(seeds)) + 1).astype(int).tolist()
        self._parts = [slice(*pair) for pair in itertools.pairwise(bounds)]
        return np.concatenate(self._all("reset", lambda part: (seeds[part], tasks[part])))

    def step(self, running: np.ndarray, actions: np.ndarray) -> Results:
        parts = self._all("step", lambda part: (running[part], actions[part]))
        return Results(*(np.concatenate(x) for x in zip(*parts, strict=True)))

    def _all(self, command: str, arguments: Callable[[slice], tuple[Any, ...]]) -> list[Any]:
        """Ask all at once, then wait for each."""
        used = self.workers[: len(self._parts)]
        for worker, part in zip(used, self._parts, strict=True):
            worker.send(command, *arguments(part))
        return [self._answer(i, worker) for i, worker in enumerate(used)]

    def _answer(self, number: int, worker: Worker) -> Any:
        get, losses = worker.receive, 0
        while True:
            try:
                return get()
            except Lost as lost:
                losses, self.num_lost = losses + 1, self.num_lost + 1
                told = f"worker {number} {lost}; its episodes are played again in a new one ({self.num_lost} so far)"
                print(f"innerloop: {told}", file=sys.stderr, flush=True)
                if losses == MAX_LOSSES_IN_A_ROW:
                    raise HostError(f"worker {number} {lost}, {losses} times in a row at the same step.") from None
                get = worker.revive

    def close(self) -> None:
        workers, self.workers = self.workers, []
        close_all(workers)


class Vector(Pool):
    """One vector environment for each number of copies that is asked for, made by `make(num_envs)`.

    All episodes start together, so whatever it does by itself after an episode's end is ignored; if that hides the last
    observation, it is looked for in `info["final_obs"]`. If its first reset refuses a list of seeds, as those do that step
    all copies at once, it gets one number that is made of all of them.
    """

    def __init__(
        self,
        make: Callable[[int], Any],
        set_tasks: Callable[[Any, list[Any]], None],
        encode: Callable[[Any], np.ndarray],
        decode: Callable[[np.ndarray], Any],
    ):
        self._make, self._set_tasks, self._encode, self._decode = make, set_tasks, encode, decode
        self._envs: dict[int, Any] = {}
        self._env: Any = None
        self._ended = np.zeros(0, bool)
        self._takes_list: bool | None = None

    def reset(self, seeds: np.ndarray, tasks: list[Any]) -> np.ndarray:
        size = len(seeds)
        if size not in self._envs:
            self._envs[size] = self._make(size)
        self._env = self._envs[size]
        self._set_tasks(self._env, tasks)
        obs = self._seeded(seeds)
        self._ended = np.zeros(size, bool)
        return self._rows(obs)

    def _seeded(self, seeds: np.ndarray) -> Any:
        """What a reset with the seeds shows. Vector environments take those that fit into 31 bits."""
        from gymnasium.error import Error

        if self._takes_list is not False:
            try:
                obs, _ = self._env.reset(seed=[int(seed) % 2**31 for seed in seeds])
                self._takes_list = True
                return obs
            except (Error, TypeError):
                if self._takes_list:
                    raise
        one = np.random.SeedSequence(seeds.tolist()).generate_state(1)[0]
        obs, _ = self._env.reset(seed=int(one) % 2**31)
        self._takes_list = False
        return obs

    def step(self, running: np.ndarray, actions: np.ndarray) -> Results:
        from gymnasium.vector.utils import concatenate, create_empty_array

        env, size = self._env, len(running)
        # Gymnasium 1.0 has no names for the ways to reset, since it knows the next step only.
        mode = getattr(env.metadata.get("autoreset_mode"), "name", "NEXT_STEP")
        if mode == "DISABLED" and self._ended.any():
            env.reset(options={"reset_mask": self._ended})
        decoded = [self._decode(action) for action in actions]
        empty: Any = create_empty_array(env.single_action_space, n=size)
        obs, reward, terminated, truncated, info = env.step(concatenate(env.single_action_space, decoded, empty))
        rows, self._ended = self._rows(obs), np.asarray(terminated | truncated)
        if mode == "SAME_STEP":
            if self._ended.any() and "final_obs" not in info:
                raise HostError("the vector environment resets within a step and keeps no info['final_obs'].")
            for i in np.flatnonzero(self._ended):
                rows[i] = self._encode(info["final_obs"][i])
        return Results(rows, np.asarray(reward), np.asarray(terminated), np.asarray(truncated))

    def _rows(self, obs: Any) -> np.ndarray:
        from gymnasium.vector.utils import iterate

        return np.stack([self._encode(x) for x in iterate(self._env.observation_space, obs)])

    def close(self) -> None:
        envs, self._envs = self._envs, {}
        close_all(envs.values())


_STARTING = threading.Lock()


@contextlib.contextmanager
def _without_main() -> Iterator[None]:
    """A process that is started in here does not import the program's main module again, which may start training."""
    with _STARTING:
        main: dict[str, Any] = vars(sys.modules["__main__"])
        saved: dict[str, Any] = {name: main.pop(name) for name in ("__spec__", "__file__") if name in main}
        main["__spec__"] = None
        try:
            yield
        finally:
            main.update(saved)
