"""Where experience comes from. A learner cannot tell one collector from another."""

import abc
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
from jax.sharding import Mesh
from jaxtyping import Array, Int

from innerloop._agent import Agent, Player
from innerloop._devices import share
from innerloop._env import Env, EnvState
from innerloop._rollout import interact, trial, where
from innerloop._task import TaskDistribution, sample_tasks
from innerloop._types import Chunk, Key, Memory, Task, TimeStep, Trials
from innerloop.nn._store import store_metrics


class Collector(eqx.Module):
    """`collect(key, agent, stream) -> (experience, stream)`; `stream` is what must survive between two calls.

    With a `mesh` (see `task_mesh`) its devices share the tasks of each batch.
    """

    mesh: Mesh | None = eqx.field(static=True, default=None, kw_only=True)

    @abc.abstractmethod
    def init(self, key: Key, agent: Agent | Player) -> Any:
        """The stream before the first call."""

    @abc.abstractmethod
    def collect(self, key: Key, agent: Agent | Player, stream: Any) -> tuple[Any, Any]:
        """One batch of experience."""

    @property
    @abc.abstractmethod
    def steps_per_collect(self) -> int:
        """Environment steps in one batch, padding included."""


class NoStream(NamedTuple):
    """Whole trials leave nothing behind."""


class JaxCollector(Collector):
    """`num_tasks` whole trials of `num_rounds` rounds on freshly drawn tasks, in one compiled program."""

    env: Env
    tasks: TaskDistribution
    num_tasks: int = eqx.field(static=True)
    num_rounds: int = eqx.field(static=True)
    episodes_per_round: int = eqx.field(static=True, default=1)

    def __check_init__(self) -> None:
        for name in ("num_tasks", "num_rounds", "episodes_per_round"):
            if getattr(self, name) < 1:
                raise ValueError(f"JaxCollector({name}={getattr(self, name)}): must be at least 1.")

    @property
    def steps_per_collect(self) -> int:
        return self.num_tasks * self.num_rounds * self.episodes_per_round * self.env.spec.max_steps

    def init(self, key: Key, agent: Agent | Player) -> NoStream:
        if agent.episodes_per_adapt != self.episodes_per_round:
            raise ValueError(
                f"JaxCollector(episodes_per_round={self.episodes_per_round}): the agent adapts every "
                f"{agent.episodes_per_adapt} episodes; pass episodes_per_round={agent.episodes_per_adapt}."
            )
        return NoStream()

    def collect(self, key: Key, agent: Agent | Player, stream: NoStream) -> tuple[Trials, NoStream]:
        tasks_key, trials_key = jax.random.split(key)
        tasks = sample_tasks(self.tasks, tasks_key, self.num_tasks)
        return self.play(trials_key, agent, tasks), stream

    def play(self, key: Key, agent: Agent | Player, tasks: Task) -> Trials:
        """One trial on each of the given tasks (stacked)."""
        num_tasks = jax.tree.leaves(tasks)[0].shape[0]

        def play(given: Any, players: tuple[Env, Agent | Player]) -> Trials:
            env, agent = players

            def one(key: Key, task: Task) -> Trials:
                return trial(key, env, agent.on(task) if isinstance(agent, Player) else agent, task, self.num_rounds)

            return jax.vmap(one)(*given)

        return share(self.mesh, play, (jax.random.split(key, num_tasks), tasks), (self.env, agent))


class Stream(NamedTuple):
    """One never-ending sequence of trials, paused between two steps. `episode` counts within the trial."""

    task: Task
    memory: Memory
    state: EnvState
    timestep: TimeStep
    episode: Int[Array, ""]


class StreamCollector(Collector):
    """`num_streams` windows of `num_steps` steps: trials of `num_episodes` episodes follow each other for ever.

    For long episodes of unequal length, where whole trials would be mostly padding. Agents that adapt by anything but
    `observe` need `JaxCollector`.
    """

    env: Env
    tasks: TaskDistribution
    num_streams: int = eqx.field(static=True)
    num_steps: int = eqx.field(static=True)
    num_episodes: int = eqx.field(static=True, default=1)

    def __check_init__(self) -> None:
        for name in ("num_streams", "num_steps", "num_episodes"):
            if getattr(self, name) < 1:
                raise ValueError(f"StreamCollector({name}={getattr(self, name)}): must be at least 1.")

    @property
    def steps_per_collect(self) -> int:
        return self.num_streams * self.num_steps

    def init(self, key: Key, agent: Agent | Player) -> Stream:
        if isinstance(agent, Player):
            raise ValueError("StreamCollector: a player that knows its task needs whole trials; use JaxCollector.")
        return jax.vmap(lambda key: self._start(key, agent))(jax.random.split(key, self.num_streams))

    def _start(self, key: Key, agent: Agent) -> Stream:
        task_key, memory_key, reset_key = jax.random.split(key, 3)
        task = self.tasks.sample(task_key)
        state, timestep = self.env.reset(reset_key, task)
        return Stream(task, agent.init(memory_key), state, timestep, jnp.zeros((), jnp.int32))

    def _step(self, key: Key, agent: Agent, stream: Stream) -> tuple[Stream, tuple[Any, Array, Array]]:
        step_key, reset_key, start_key = jax.random.split(key, 3)
        trial_first = stream.timestep.first & (stream.episode == 0)
        memory, state, transition = interact(
            step_key, self.env, agent, stream.task, stream.memory, stream.state, stream.timestep, jnp.ones((), bool)
        )
        ended = transition.next_timestep.last
        trial_last = ended & (stream.episode == self.num_episodes - 1)
        again = Stream(stream.task, memory, *self.env.reset(reset_key, stream.task), stream.episode + 1)
        going_on = Stream(stream.task, memory, state, transition.next_timestep, stream.episode)
        stream = where(trial_last, self._start(start_key, agent), where(ended, again, going_on))
        return stream, (transition, trial_first, trial_last)

    def collect(self, key: Key, agent: Agent | Player, stream: Stream) -> tuple[Chunk, Stream]:
        assert isinstance(agent, Agent)

        def go_on(given: Any, players: tuple[Collector, Agent]) -> tuple[Chunk, Stream]:
            collector, agent = players
            assert isinstance(collector, StreamCollector)

            def one(key: Key, stream: Stream) -> tuple[Chunk, Stream]:
                memory = stream.memory
                keys = jax.random.split(key, self.num_steps)
                stream, (transitions, first, last) = jax.lax.scan(
                    lambda s, k: collector._step(k, agent, s), stream, keys
                )
                return Chunk(memory, transitions, stream.timestep, first, last), stream

            return jax.vmap(one)(*given)

        return share(self.mesh, go_on, (jax.random.split(key, self.num_streams), stream), (self, agent))


def experience_metrics(experience: Trials | Chunk) -> dict[str, Array]:
    """What training sees of returns: `episode_return [episodes]` and `trial_return`, means over trials; chunks, which
    hold parts of episodes, give the mean reward a step. Of external memories, their statistics."""
    if isinstance(experience, Chunk):
        transitions = experience.transitions
        reward = (transitions.next_timestep.reward * transitions.valid.astype(jnp.float32)).mean()
        return {"reward": reward} | store_metrics(experience.memory)
    returns = experience.returns()
    returns = returns.reshape(returns.shape[0], -1)
    seen = {"episode_return": returns.mean(axis=0), "trial_return": returns.sum(axis=1).mean()}
    return seen | store_metrics(jax.tree.map(lambda x: x[:, -1], experience.memories))
