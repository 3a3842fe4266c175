"""Tasks that come back, each with a barcode by which it can be recognised.

What is learned in an episode is lost on an agent that does not remember it until the same barcode is shown again.
After Ritter et al. 2018, "Been There, Done That: Meta-Learning with Episodic Recall".
"""

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from innerloop._env import Box, Env, EnvSpec, EnvState, encode
from innerloop._task import TaskDistribution, sample_tasks
from innerloop._types import Key, Task, TimeStep, Trials


class ReoccurringTask(NamedTuple):
    """A set of tasks of the inner env, stacked along a leading axis, and a barcode of each: bits that are -1 or 1."""

    tasks: Task
    barcodes: Float[Array, "tasks bits"]


class ReoccurringState(NamedTuple):
    """Which of the tasks is played in this episode, and the inner env's state."""

    which: Int[Array, ""]
    inner: EnvState


class Reoccurring(Env):
    """Each episode plays one of the task's `num_tasks` tasks of `env`, drawn uniformly at `reset`.

    The trial's task is the whole set; which of them an episode plays is part of its initial state, as a start cell is. The
    observation is that of `env` (one-hot if discrete, flattened if a box), then the barcode, `num_bits` numbers that are
    -1 or 1. Tasks come from `reoccurring_tasks`, for the same numbers.
    """

    env: Env
    spec: EnvSpec
    num_tasks: int = eqx.field(static=True)
    num_bits: int = eqx.field(static=True)

    def __init__(self, env: Env, num_tasks: int, num_bits: int):
        _check_sizes("Reoccurring", num_tasks, num_bits)
        space = env.spec.obs
        low, high = (min(space.low, -1.0), max(space.high, 1.0)) if isinstance(space, Box) else (-1.0, 1.0)
        self.env = env
        self.spec = EnvSpec(Box((space.num_features + num_bits,), low, high), env.spec.action, env.spec.max_steps)
        self.num_tasks = num_tasks
        self.num_bits = num_bits

    def _show(self, task: ReoccurringTask, which: Int[Array, ""], timestep: TimeStep) -> TimeStep:
        obs = jnp.concatenate([encode(self.env.spec.obs, timestep.obs), task.barcodes[which]])
        return timestep._replace(obs=obs)

    def reset(self, key: Key, task: ReoccurringTask) -> tuple[ReoccurringState, TimeStep]:
        if task.barcodes.shape != (self.num_tasks, self.num_bits):
            raise ValueError(
                f"Reoccurring(num_tasks={self.num_tasks}, num_bits={self.num_bits}): the task has barcodes of shape "
                f"{task.barcodes.shape}; draw tasks with reoccurring_tasks(..., {self.num_tasks}, {self.num_bits})."
            )
        which_key, inner_key = jax.random.split(key)
        which = jax.random.randint(which_key, (), 0, self.num_tasks)
        inner, timestep = self.env.reset(inner_key, take(task.tasks, which))
        return ReoccurringState(which, inner), self._show(task, which, timestep)

    def step(
        self, key: Key, task: ReoccurringTask, state: ReoccurringState, action: Array
    ) -> tuple[ReoccurringState, TimeStep]:
        inner, timestep = self.env.step(key, take(task.tasks, state.which), state.inner, action)
        return ReoccurringState(state.which, inner), self._show(task, state.which, timestep)

    def barcode(self, obs: Float[Array, "*batch features"]) -> Float[Array, "*batch bits"]:
        """The barcode in an observation, also in one of `RevealTask`."""
        start = self.env.spec.obs.num_features
        return obs[..., start : start + self.num_bits]


def take(tasks: Task, index: Int[Array, "*indices"]) -> Task:
    """The tasks at `index` of a stack."""
    return jax.tree.map(lambda leaf: leaf[index], tasks)


def recognise(barcode: Float[Array, "*batch bits"], barcodes: Float[Array, "tasks bits"]) -> Int[Array, "*batch"]:
    """The index of a barcode among those of a task."""
    return jnp.argmax(barcode @ barcodes.T, axis=-1).astype(jnp.int32)


def _check_sizes(name: str, num_tasks: int, num_bits: int) -> None:
    if num_tasks < 1 or not 1 <= num_bits <= 16 or num_tasks > 2**num_bits:
        raise ValueError(
            f"{name}(num_tasks={num_tasks}, num_bits={num_bits}): needs a task, 1 to 16 bits, and as many barcodes as "
            "tasks; there are 2 ** num_bits."
        )


class ReoccurringTasks(TaskDistribution):
    """Sets of `num_tasks` independent draws of `inner`, with barcodes of `num_bits` bits of which no two are equal."""

    inner: TaskDistribution
    num_tasks: int = eqx.field(static=True)
    num_bits: int = eqx.field(static=True)

    def __check_init__(self) -> None:
        _check_sizes("reoccurring_tasks", self.num_tasks, self.num_bits)

    def sample(self, key: Key) -> ReoccurringTask:
        tasks_key, codes_key = jax.random.split(key)
        codes = jax.random.choice(codes_key, 2**self.num_bits, (self.num_tasks,), replace=False)
        bits = (codes[:, None] >> jnp.arange(self.num_bits)[None]) & 1
        return ReoccurringTask(
            sample_tasks(self.inner, tasks_key, self.num_tasks), 2.0 * bits.astype(jnp.float32) - 1.0
        )


def reoccurring_tasks(inner: TaskDistribution, num_tasks: int, num_bits: int) -> ReoccurringTasks:
    """The distribution of tasks of `Reoccurring`. The same barcode means another task in another trial."""
    return ReoccurringTasks(inner, num_tasks, num_bits)


# --- measures by exposure --------------------------------------------------------------------------------------------


def exposures(trials: Trials, env: Reoccurring) -> tuple[Int[Array, " episodes"], Bool[Array, " episodes"]]:
    """Of one trial: which of its tasks each episode plays, and whether an earlier episode played it, too."""
    task: Any = trials.tasks
    obs = trials.transitions.timestep.obs
    first = obs.reshape(-1, *obs.shape[-2:])[:, 0]
    which = recognise(env.barcode(first), task.barcodes)
    earlier = jnp.tril(jnp.ones((which.shape[0],) * 2, bool), -1)
    return which, jnp.any((which[:, None] == which[None]) & earlier, axis=1)


def _mean(values: Float[Array, " episodes"], counted: Bool[Array, " episodes"]) -> Float[Array, ""]:
    weights = counted.astype(jnp.float32)
    return jnp.sum(values * weights) / jnp.maximum(jnp.sum(weights), 1.0)


def mean_return(trials: Trials, env: Reoccurring, again: bool) -> Float[Array, ""]:
    """Mean return of the episodes whose task was met before in the trial (`again`), or of those whose was not."""
    _, met = exposures(trials, env)
    return _mean(trials.returns().reshape(-1), met == again)


def mean_regret(trials: Trials, env: Reoccurring, again: bool) -> Float[Array, ""]:
    """The same of the regret, max_i means[i] - means[action] summed over an episode's pulls. For bandits."""
    which, met = exposures(trials, env)
    task: Any = trials.tasks
    pulls = trials.transitions
    actions, valid = (x.reshape(-1, x.shape[-1]) for x in (pulls.action, pulls.valid))
    means = task.tasks.means[which]
    lost = jnp.max(means, axis=-1)[:, None] - jnp.take_along_axis(means, actions, axis=-1)
    return _mean(jnp.sum(lost * valid.astype(jnp.float32), axis=-1), met == again)


def regret_share(trials: Trials, env: Reoccurring, first: float) -> Float[Array, ""]:
    """Mean regret on a task met again, in units of `first`."""
    return mean_regret(trials, env, True) / first


Metric = Callable[[Trials], Float[Array, ""]]


def return_metrics(env: Reoccurring) -> dict[str, Metric]:
    """`return_first` and `return_again`."""
    return {
        "return_first": partial(mean_return, env=env, again=False),
        "return_again": partial(mean_return, env=env, again=True),
    }


def regret_metrics(env: Reoccurring, first: float) -> dict[str, Metric]:
    """`regret_first`, `regret_again`, and `again_over_first`: the latter over `first`, which the best agent's first costs.

    A trial's own `regret_first` is the mean of few episodes, and the mean of ratios to it is not the ratio of means (it
    would be 1.14 for who forgets). No agent's first costs less than `first` on average: its own ratio is no higher.
    """
    return {
        "regret_first": partial(mean_regret, env=env, again=False),
        "regret_again": partial(mean_regret, env=env, again=True),
        "again_over_first": partial(regret_share, env=env, first=first),
    }
