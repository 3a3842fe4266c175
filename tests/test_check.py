from collections.abc import Callable, Iterator
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jaxtyping import Array

from innerloop._benchmark import OptionalRow
from innerloop._check import check_env
from innerloop._env import Box, Discrete, Env, EnvSpec, advance, restart
from innerloop._extras import installed
from innerloop._task import Finite, Sampled
from innerloop._types import Key, TimeStep
from innerloop.benchmarks import REGISTRY, benchmark
from innerloop.envs.cartpole import CartPole, standard_cartpole, varied_cartpoles
from innerloop.envs.probes import PROBES
from innerloop.envs.two_step import TwoStep, two_step_tasks


@pytest.fixture(autouse=True, scope="module")
def quick_compilation() -> Iterator[None]:
    """Each program here runs once or twice, so optimising it does not pay."""
    jax.config.update("jax_disable_most_optimizations", True)
    yield
    jax.config.update("jax_disable_most_optimizations", False)


HERE = [name for name, row in REGISTRY.items() if not isinstance(row, OptionalRow) or installed(row.extra)]


@pytest.mark.parametrize("name", HERE)
def test_every_benchmark_keeps_the_contract(name):
    row = benchmark(name)
    # Trained on a single task; or random actions never come to where tasks differ.
    if name in ("cartpole", "cartpole-ensemble-single", "pendulum", "half-circle"):
        report = check_env(row.env, row.train, num_tasks=1)
        assert not report.obs_differs
        assert not report.reward_differs
        return
    same = bool(eqx.tree_equal(row.train, row.test))  # some papers test on the tasks they train on
    test = row.test if isinstance(row.train, Finite) and not same else None
    report = check_env(row.env, row.train, test=test)
    assert report.reward_differs or report.obs_differs
    assert report.num_terminated + report.num_truncated == report.num_episodes >= 64
    assert report.longest_episode <= row.env.spec.max_steps
    assert report.disjoint == ("not checked" if test is None else "all")


@pytest.mark.parametrize("name", PROBES)
def test_every_probe_keeps_the_contract(name):
    probe = PROBES[name]
    assert check_env(probe.env, probe.tasks, num_tasks=16).num_tasks == 16


def test_variants_that_are_no_benchmark_keep_the_contract():
    assert check_env(CartPole(max_steps=60), varied_cartpoles()).reward_differs
    report = check_env(TwoStep(num_trials=10, stages=2), two_step_tasks(num_trials=10))
    assert (report.longest_episode, report.num_terminated, report.obs_differs) == (20, 96, False)


class Broken(Env):
    """A sound env of 3 steps whose task is a dict, and two functions that may spoil what it returns."""

    spec: EnvSpec
    on_reset: Callable[[dict, TimeStep], TimeStep] = eqx.field(static=True)
    on_step: Callable[[dict, TimeStep, Array], TimeStep] = eqx.field(static=True)
    first_state: Callable[[], Any] = eqx.field(static=True)

    def __init__(
        self,
        on_reset: Callable = lambda task, timestep: timestep,
        on_step: Callable = lambda task, timestep, steps: timestep,
        first_state: Callable = lambda: jnp.zeros((), jnp.int32),
        obs: Box | Discrete = Box((1,), 0.0, 3.0),
    ):
        self.spec = EnvSpec(obs, Discrete(2), max_steps=3)
        self.on_reset, self.on_step, self.first_state = on_reset, on_step, first_state

    def reset(self, key: Key, task: dict) -> tuple[Any, TimeStep]:
        return self.first_state(), self.on_reset(task, restart(self.spec, jnp.zeros((1,))))

    def step(self, key: Key, task: dict, state: Any, action: Array) -> tuple[Any, TimeStep]:
        state = jnp.sum(state) + jnp.ones((), jnp.int32)
        reward = task["pay"] * (action == 1).astype(jnp.float32)
        timestep = advance(state.astype(jnp.float32)[None], action, reward, truncated=state == 3)
        return state, self.on_step(task, timestep, state)


TASKS = Sampled(lambda key: {"pay": jax.random.uniform(key)})


def set_task(task: dict, timestep: TimeStep, *_: Any) -> TimeStep:
    task["pay"] = jnp.zeros(())
    return timestep


def add_noise(task: dict, timestep: TimeStep, *_: Any) -> TimeStep:
    return timestep._replace(obs=timestep.obs * 0.0 + next(COUNTER))


COUNTER = iter(np.linspace(0.0, 1.0, 1000).astype(np.float32).tolist())


def replace(**changes: Any) -> Callable:
    """Spoil a field, by a value or by a function of the step's number."""

    def spoil(task: dict, timestep: TimeStep, steps: Any = 0) -> TimeStep:
        made = {name: value(steps) if callable(value) else value for name, value in changes.items()}
        return timestep._replace(**{name: jnp.asarray(value) for name, value in made.items()})

    return spoil


NAN = float("nan")
TRUE, ZERO, NEVER = np.ones((), bool), np.zeros((), np.float32), np.zeros((), bool)

FAULTS = {
    "reset.. returns obs with shape .2,.": {"on_reset": replace(obs=np.zeros(2, np.float32))},
    "step.. returns reward with shape .1,.": {"on_step": replace(reward=np.zeros(1, np.float32))},
    "step.. returns prev_action with shape .* dtype float32": {"on_step": replace(prev_action=ZERO)},
    "both must have the same structure": {"first_state": lambda: jnp.zeros((1,), jnp.int32)},
    "was traced 2 times": {"first_state": lambda: jnp.asarray(jnp.where(jnp.ones((), bool), 0, 1))},
    "reset.. changes the task": {"on_reset": set_task},
    "step.. changes the task": {"on_step": set_task},
    "depend on its arguments alone": {"on_step": add_noise},
    "first is False after reset": {"on_reset": replace(first=NEVER)},
    "first is True after step": {"on_step": replace(first=TRUE)},
    "last is True after reset": {"on_reset": replace(last=TRUE)},
    "reward is not 0 after reset": {"on_reset": replace(reward=np.ones((), np.float32))},
    "discount is not 1 after reset": {"on_reset": replace(discount=ZERO)},
    "neither 0 nor 1": {"on_step": replace(discount=np.full((), 0.99, np.float32))},
    "terminated. but last is False": {"on_step": replace(discount=ZERO)},
    "prev_action is not the action": {"on_step": replace(prev_action=np.zeros((), np.int32))},
    "no episode end within max_steps": {"on_step": replace(last=NEVER)},
    "NaN or infinite": {"on_step": replace(reward=np.full((), NAN, np.float32))},
    "NaN or infinite after an episode's end": {
        "on_step": replace(
            last=lambda steps: steps >= 2, reward=lambda steps: jnp.where(steps > 2, NAN, steps.astype(jnp.float32))
        ),
    },
    "outside Box": {"obs": Box((1,), 0.0, 2.0)},
    "all tasks gave the same": {"on_step": replace(reward=ZERO)},
}


def test_the_env_to_be_broken_is_sound():
    report = check_env(Broken(), TASKS)
    assert (report.num_truncated, report.longest_episode) == (680, 3)
    assert (report.reward_differs, report.obs_differs) == (True, False)


@pytest.mark.parametrize("reason", FAULTS)
def test_a_fault_is_found_and_named(reason):
    with pytest.raises(ValueError, match=reason):
        check_env(Broken(**FAULTS[reason]), TASKS)


def test_a_distribution_of_one_task_is_named():
    with pytest.raises(ValueError, match="pass num_tasks=1"):
        check_env(CartPole(max_steps=5), standard_cartpole())
    with pytest.raises(ValueError, match="num_tasks=0"):
        check_env(CartPole(max_steps=5), standard_cartpole(), num_tasks=0)


def test_splits_must_be_disjoint():
    stack = {"pay": jnp.linspace(0.0, 1.0, 10)}
    train, test = Finite(stack).split(0.8)
    assert check_env(Broken(), train, test=test).disjoint == "all"
    with pytest.raises(ValueError, match="2 test tasks are also training tasks"):
        check_env(Broken(), Finite(stack), test=test)
    other = Sampled(lambda key: {"pay": 1.0 + jax.random.uniform(key)})
    assert check_env(Broken(), TASKS, test=other).disjoint == "sampled"
