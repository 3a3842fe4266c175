"""What every agent and every learner must do, over the table in `table.py`."""

from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import NamedSharding, PartitionSpec

from innerloop._agent import ActorCritic
from innerloop._devices import AXIS, everywhere, task_mesh
from innerloop._env import EnvSpec, advance, restart
from innerloop._export import export, read_exported
from innerloop._rollout import where
from innerloop._train import init, run_updates
from innerloop._types import Transition
from innerloop.benchmarks import benchmark
from innerloop.recipes import METHODS, default_settings
from marks import rarely
from table import AGENTS, KEY, LEARNERS, PAIRS, SPECS, SPREAD, VARIANTS


def shapes(tree: Any) -> Any:
    return jax.tree.map(lambda x: (x.shape, x.dtype), tree)


def assert_close(a: Any, b: Any, tolerance: float = 1e-5) -> None:
    assert jax.tree.structure(a) == jax.tree.structure(b)
    for x, y in zip(jax.tree.leaves(a), jax.tree.leaves(b), strict=True):
        np.testing.assert_allclose(x, y, rtol=tolerance, atol=tolerance)


def some_obs(key: Any, spec: EnvSpec) -> Any:
    if hasattr(spec.obs, "num_values"):
        return jax.random.randint(key, (), 0, spec.obs.num_values)
    return jax.random.normal(key, spec.obs.shape)


class Case(NamedTuple):
    """An agent, what it is for, its memory after six steps, and these; an episode ends after the third."""

    agent: Any
    spec: EnvSpec
    memory: Any
    transitions: Transition


@cache
def played(agent_name: str, spec_name: str) -> Case:
    """Made once for all tests of a worker."""
    spec = SPECS[spec_name]
    agent = AGENTS[agent_name](spec)
    memory, transitions = agent.init(KEY), []
    timestep = restart(spec, some_obs(KEY, spec))
    for i, key in enumerate(jax.random.split(KEY, 6)):
        action, extras = agent.act(key, memory, timestep)
        reward, ends = jax.random.normal(key), i == 2
        following = advance(some_obs(key, spec), action, reward, terminated=jnp.asarray(ends))
        transition = Transition(timestep, action, following, jnp.ones((), bool), extras)
        memory = agent.observe(key, memory, transition)
        transitions.append(transition)
        timestep = restart(spec, some_obs(key, spec)) if ends else following
    return Case(agent, spec, memory, jax.tree.map(lambda *x: jnp.stack(x), *transitions))


@pytest.fixture(params=PAIRS, ids="-".join)
def case(request: pytest.FixtureRequest) -> Case:
    return played(*request.param)


@pytest.fixture
def actor_critic(case: Case) -> Case:
    if not isinstance(case.agent, ActorCritic):
        pytest.skip("only actor-critics are unrolled")
    return case


def test_memory_keeps_its_structure(case: Case) -> None:
    agent, _, memory, transitions = case
    expected = shapes(agent.init(KEY))
    assert shapes(memory) == expected
    adapted = agent.adapt(KEY, memory, jax.tree.map(lambda x: x[None], transitions))
    assert shapes(adapted) == expected
    assert all(isinstance(leaf, jax.Array) for leaf in jax.tree.leaves((memory, agent)))


def test_actions_fit_the_spec(case: Case) -> None:
    agent, spec = case.agent, case.spec
    action, _ = agent.act(KEY, agent.init(KEY), restart(spec, some_obs(KEY, spec)))
    assert (action.shape, action.dtype) == (spec.action.shape, spec.action.dtype)


def test_jit_and_vmap_agree_with_a_loop_and_trace_once(case: Case) -> None:
    agent, _, memory, transitions = case
    traced = []

    def act_and_observe(key: Any, memory: Any, transition: Transition) -> Any:
        traced.append(1)
        return agent.act(key, memory, transition.timestep), agent.observe(key, memory, transition)

    keys = jax.random.split(KEY, 6)
    memories = jax.tree.map(lambda x: jnp.stack([x] * 6), memory)
    batched = jax.jit(jax.vmap(act_and_observe))(keys, memories, transitions)
    traced.clear()
    single = jax.jit(act_and_observe)
    rows = [single(keys[i], memory, jax.tree.map(lambda x, i=i: x[i], transitions)) for i in range(6)]
    assert_close(batched, jax.tree.map(lambda *x: jnp.stack(x), *rows))
    assert len(traced) == 1


def test_unroll_replays_acting(actor_critic: Case) -> None:
    agent, transitions = actor_critic.agent, actor_critic.transitions
    outputs = agent.unroll(agent.init(KEY), transitions, jnp.zeros(6, bool))
    assert_close(outputs.value, transitions.extras.value)
    assert_close(outputs.log_prob, transitions.extras.log_prob)


def test_unroll_starts_anew_where_a_trial_starts(actor_critic: Case) -> None:
    agent, transitions = actor_critic.agent, actor_critic.transitions
    whole = agent.unroll(agent.init(KEY), transitions, jnp.arange(6) == 3)
    tail = agent.unroll(agent.init(KEY), jax.tree.map(lambda x: x[3:], transitions), jnp.zeros(3, bool))
    assert_close(whole.value[3:], tail.value)


def test_padding_is_not_remembered(actor_critic: Case) -> None:
    agent, transitions = actor_critic.agent, actor_critic.transitions
    holes = jnp.asarray([True, False, True, True, False, True])
    padded = agent.unroll(agent.init(KEY), transitions._replace(valid=holes), jnp.zeros(6, bool))
    kept = agent.unroll(agent.init(KEY), jax.tree.map(lambda x: x[holes], transitions), jnp.zeros(4, bool))
    assert_close(padded.value[holes], kept.value)


class Row(NamedTuple):
    """A learner with its collector, where they start, and `run(start, n)`: n updates, compiled once."""

    name: str
    learner: Any
    collector: Any
    start: Any
    run: Any


def compiled(learner: Any, collector: Any) -> Any:
    return jax.jit(lambda start, n: run_updates(learner, collector, KEY, start, n, 4))


@pytest.fixture(scope="module")
def row(request: pytest.FixtureRequest) -> Row:
    """Both tests of a row come one after the other and share what was compiled."""
    learner, collector = LEARNERS[request.param]()
    return Row(request.param, learner, collector, init(KEY, learner, collector), compiled(learner, collector))


@pytest.mark.parametrize("row", rarely(LEARNERS, *(LEARNERS.keys() - VARIANTS)), indirect=True)
def test_update_is_pure_finite_and_keeps_its_structure(row: Row) -> None:
    start, run = row.start, row.run
    assert all(isinstance(leaf, jax.Array) for leaf in jax.tree.leaves(start))
    (first, rows), (second, _) = (run(start, jnp.asarray(3)) for _ in range(2))
    assert shapes(first) == shapes(start)
    for a, b in zip(jax.tree.leaves(first), jax.tree.leaves(second), strict=True):
        np.testing.assert_array_equal(a, b)
    assert run._cache_size() == 1
    assert rows["finite"].tolist() == [1, 1, 1, 0]
    before, after = (jax.tree.leaves(eqx.filter(x.state.params, eqx.is_inexact_array)) for x in (start, first))
    moved = [not np.array_equal(a, b) for a, b in zip(before, after, strict=True)]
    assert sum(moved) >= len(moved) - 2, "an update must move (nearly) every parameter"


@pytest.mark.parametrize("row", rarely(LEARNERS, *SPREAD), indirect=True)
def test_update_on_two_devices_equals_one(row: Row) -> None:
    name, learner, collector, start, run = row
    if name == "maml-trpo":
        pytest.skip("has a test of its own")
    mesh = task_mesh(2)
    alone, _ = run(start, jnp.asarray(1))
    with jax.set_mesh(mesh):
        together, _ = compiled(learner, replace(collector, mesh=mesh))(everywhere(mesh, start), jnp.asarray(1))
    assert_close(alone.state.params, together.state.params, 2e-4)


@pytest.mark.slow
def test_trust_region_on_two_devices_equals_one(request: pytest.FixtureRequest) -> None:
    learner, collector = LEARNERS["maml-trpo"]()
    start = init(KEY, learner, collector)
    experience, _ = eqx.filter_jit(collector.collect)(KEY, learner.player(start.state), start.stream)
    # Conjugate gradients make so much of the last bits that in single precision the bound would depend on the machine.
    request.getfixturevalue("double")
    learner, state, experience = jax.tree.map(in_double, (learner, start.state, experience))
    update = jax.jit(lambda *arguments: learner.update(*arguments))
    mesh = task_mesh(2)
    sharded = jax.device_put(experience, NamedSharding(mesh, PartitionSpec(AXIS)))
    alone, _ = update(KEY, state, experience)
    together, _ = update(*everywhere(mesh, (KEY, state)), sharded)
    assert_close(alone.params, together.params, 2e-4)


def in_double(x: Any) -> Any:
    return x.astype(jnp.float64) if eqx.is_inexact_array(x) else x


def test_where_selects_any_leaf() -> None:
    a, b = (jnp.ones(3), KEY), (jnp.zeros(3), jax.random.key(1))
    assert where(jnp.asarray(True), a, b)[0].tolist() == [1, 1, 1]
    assert jax.random.key_data(where(jnp.asarray(False), a, b)[1]).tolist() == [0, 1]


def test_the_agent_of_every_method_is_deployed_without_code(tmp_path: Path) -> None:
    row = benchmark("half-circle")
    for name in METHODS:
        learner = default_settings(name, row.name).learner(row)

        def start(key: Any, learner: Any = learner) -> Any:
            return learner.agent(learner.init(key))

        agent = jax.tree.map(lambda x: jnp.zeros(x.shape, x.dtype), jax.eval_shape(start, KEY))
        export(agent, row.env.spec, tmp_path / name)
        assert jax.tree.structure(read_exported(tmp_path / name).agent) == jax.tree.structure(agent), name
