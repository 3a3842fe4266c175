"""Memory cores: a step at a time and a sequence at once agree, trials do not see each other, and old steps are forgotten."""

from dataclasses import replace
from functools import cache
from typing import Any, get_args

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from innerloop._rollout import remember, where
from innerloop.nn import Core, CoreName, CoreOptions, Past, make_core
from innerloop.nn._attention import Gate, rotated
from innerloop.nn._external import addressed
from innerloop.nn._state_space import DiagonalBlock, linear_recurrence

KEY = jax.random.key(0)
NAMES = get_args(CoreName)
SHORT = CoreOptions(num_layers=1, context=5, num_heads=2, state_size=4, memory_slots=5, num_neighbors=3, key_size=4)
NUM_STEPS = 17
XS = jax.random.normal(KEY, (NUM_STEPS, 3))
FIRST = jnp.zeros(NUM_STEPS, bool).at[jnp.asarray([8, 9])].set(True)
VALID = jax.random.bernoulli(jax.random.key(4), 0.7, (NUM_STEPS,))


def core_of(name: CoreName, **options: Any) -> Core:
    return make_core(name, KEY, 3, 8, replace(SHORT, **options))


def loop(core: Core, state: Any, xs: Any, first: Any, valid: Any) -> tuple[Any, Any]:
    """What a sequence stands for."""

    def step(state: Any, inputs: Any) -> tuple[Any, Any]:
        x, is_first, is_valid = inputs
        state = where(is_first, core.initial(), state)
        after, output = core.step(state, x)
        return remember(is_valid, after, state), output

    return jax.lax.scan(step, state, (xs, first, valid))


@cache
def both(name: CoreName) -> tuple[Any, Any, Any, Any]:
    """Outputs of a sequence that begins within a trial, those of a loop, and the gradients of the two."""
    core = core_of(name)
    none = jnp.zeros(7, bool)
    weight = jax.random.normal(jax.random.key(1), (NUM_STEPS, 8))

    def run(core: Core, whole: bool) -> tuple[Any, Any]:
        start, _ = loop(core, core.initial(), XS[:7] + 1.0, none, ~none)
        state, outputs = core.sequence(start, XS, FIRST, VALID) if whole else loop(core, start, XS, FIRST, VALID)
        after = core.step(state, XS[0])[1]
        return (weight * outputs).sum() + after.sum(), (outputs, after)

    results = [eqx.filter_jit(eqx.filter_grad(lambda c, w=w: run(c, w), has_aux=True))(core) for w in (True, False)]
    (gradient, output), (of_loop, output_of_loop) = results
    return output, output_of_loop, gradient, of_loop


@pytest.mark.parametrize("name", NAMES)
def test_a_sequence_is_a_loop_of_steps(name: CoreName) -> None:
    output, of_loop, _, _ = both(name)
    for a, b in zip(output, of_loop, strict=True):
        np.testing.assert_allclose(a, b, atol=1e-5)


@pytest.mark.parametrize("name", NAMES)
def test_gradients_are_those_of_a_loop(name: CoreName) -> None:
    _, _, gradient, of_loop = both(name)
    for a, b in zip(jax.tree.leaves(gradient), jax.tree.leaves(of_loop), strict=True):
        np.testing.assert_allclose(a, b, atol=1e-5 * max(1.0, float(np.abs(b).max())))
        assert np.abs(b).max() > 0, "what has no gradient is not learned"


@pytest.mark.parametrize("name", ["transformer", "snail"])
def test_a_trial_may_be_longer_than_the_context_and_is_then_forgotten(name: CoreName) -> None:
    core = core_of(name, context=4, num_layers=1)
    steps = jnp.arange(NUM_STEPS)
    none = jnp.zeros(NUM_STEPS, bool)

    @jax.jit
    def last(xs: Any) -> Any:
        return core.sequence(core.initial(), xs, none, ~none)[1][-1]

    # A lookup sees 4 steps; SNAIL's convolutions let each of these have seen 3 more.
    reach = 4 if name == "transformer" else 4 + 3
    old, new = (XS.at[NUM_STEPS - 1 - age].add(1.0) for age in (reach, reach - 1))
    assert steps.shape[0] > reach + 1
    np.testing.assert_allclose(last(old), last(XS), atol=1e-6)
    assert np.abs(last(new) - last(XS)).max() > 1e-6


def test_in_a_batch_some_trials_may_have_begun() -> None:
    core, none = core_of("transformer"), jnp.zeros(NUM_STEPS, bool)
    starts = [core.initial(), jax.jit(lambda: core.sequence(core.initial(), XS + 1.0, none, ~none)[0])()]

    def run(state: Any) -> Any:
        return core.sequence(state, XS, FIRST, VALID)[1]

    batch = jax.tree.map(lambda *x: jnp.stack(x), *starts)
    assert " cond[" in str(jax.make_jaxpr(jax.vmap(run))(batch)), "one answer for all trials is a branch"
    np.testing.assert_allclose(jax.jit(jax.vmap(run))(batch), [jax.jit(run)(start) for start in starts], atol=1e-5)


@pytest.mark.parametrize("name", NAMES)
def test_a_state_never_grows(name: CoreName) -> None:
    core = core_of(name)
    state = jax.eval_shape(lambda: core.sequence(core.initial(), XS, FIRST, VALID)[0])
    for a, b in zip(jax.tree.leaves(core.initial()), jax.tree.leaves(state), strict=True):
        assert (a.shape, a.dtype) == (b.shape, b.dtype)


@pytest.mark.parametrize("name", ["ssm", "mamba"])
def test_a_parallel_scan_is_a_loop(name: CoreName) -> None:
    core, slow = core_of(name), core_of(name, parallel_scan=False)
    outputs = [jax.jit(lambda c=c: c.sequence(c.initial(), XS, FIRST, VALID)[1])() for c in (core, slow)]
    np.testing.assert_allclose(*outputs, atol=1e-5)


def test_a_linear_recurrence_holds_what_a_loop_in_numpy_says() -> None:
    decay, inputs = jax.random.uniform(KEY, (NUM_STEPS, 2)), jax.random.normal(KEY, (NUM_STEPS, 2))
    last, states = linear_recurrence(jnp.ones(2), decay, inputs, FIRST, VALID)
    x = np.ones(2)
    for t in range(NUM_STEPS):
        x = np.zeros(2) if FIRST[t] else x
        after = decay[t] * x + inputs[t]
        np.testing.assert_allclose(states[t], after, atol=1e-6)
        x = after if VALID[t] else x
    np.testing.assert_allclose(last, x, atol=1e-6)


def test_states_of_a_diagonal_block_are_as_large_as_what_enters_and_decay_within_bounds() -> None:
    block = DiagonalBlock(KEY, 8, 64, parallel=False)
    radius = np.exp(-np.exp(block.log_decay))
    assert ((radius > 0.9) & (radius < 0.999)).all()
    none = jnp.zeros(1024, bool)
    xs = jax.random.normal(KEY, (4, 1024, 8))
    states = jax.jit(jax.vmap(lambda x: block.sequence(block.initial(), x, none, ~none)[0]))(xs)
    assert 0.5 < np.sqrt(2 * np.square(states).mean()) < 2


def test_turned_features_know_only_how_far_apart_they_are() -> None:
    x, y = jax.random.normal(KEY, (2, 1, 1, 6))
    products = [
        float((rotated(x, jnp.asarray([a])) * rotated(y, jnp.asarray([b]))).sum()) for a, b in ((3, 1), (40, 38))
    ]
    np.testing.assert_allclose(*products, rtol=1e-4)
    assert abs(products[0] - float((x * y).sum())) > 1e-3


def test_a_gate_passes_on_what_it_is_given_at_first() -> None:
    gate = Gate(KEY, 8, bias=20.0)
    old, new = jax.random.normal(KEY, (2, 8))
    np.testing.assert_allclose(gate(old, new), old, atol=1e-5)


def test_plastic_weights_change_what_the_same_input_does() -> None:
    core = core_of("hebbian")
    core = eqx.tree_at(lambda x: x.plasticity, core, jnp.ones((8, 8)))
    state, first = core.step(core.initial(), XS[0])
    for x in XS[1:]:
        state, _ = core.step(state, x)
    again = core.step(state._replace(output=core.initial().output), XS[0])[1]
    np.testing.assert_allclose(again, first, atol=1e-6)
    other = core.step(state, XS[0])[1]
    without = core.step(state._replace(trace=core.initial().trace), XS[0])[1]
    assert np.abs(other - without).max() > 1e-3


def test_an_episodic_core_finds_what_it_stored_under_a_key_and_nothing_before_that() -> None:
    core = core_of("episodic", memory_slots=32, num_neighbors=1, key_size=32)
    xs = 4.0 * XS
    state, _ = core.step(core.initial(), xs[0])
    assert (float(state.store.num_queries), float(state.store.num_hits)) == (1, 0)
    for x in xs[1:]:
        state, _ = core.step(state, x)
    assert (int(state.store.num_used), float(state.store.num_hits)) == (NUM_STEPS, 0)
    again, _ = core.step(state, xs[3])
    assert float(again.store.num_hits) == 1
    assert float(again.store.age) == NUM_STEPS - 4
    other = state._replace(store=state.store._replace(values=-state.store.values))
    assert np.abs(core.step(other, xs[3])[1] - core.step(state, xs[3])[1]).max() > 1e-3


def test_heads_go_where_they_are_told() -> None:
    memory = jnp.eye(5)[:, :3] + 0.01
    before = jnp.eye(5)[1]
    strong, open_, shut, sharp = 50.0, 20.0, -20.0, 50.0
    stay, forth = jnp.asarray([-20.0, 20.0, -20.0]), jnp.asarray([-20.0, -20.0, 20.0])

    def go(gate: float, shift: jax.Array) -> jax.Array:
        said = jnp.concatenate([jnp.asarray([-1.0, -1.0, 3.0, strong, gate]), shift, jnp.asarray([sharp])])
        return addressed(memory, before, said)

    np.testing.assert_allclose(go(open_, stay), jnp.eye(5)[2], atol=1e-3)
    np.testing.assert_allclose(go(open_, forth), jnp.eye(5)[3], atol=1e-3)
    np.testing.assert_allclose(go(shut, forth), jnp.eye(5)[2], atol=1e-3)


def test_the_past_is_what_a_list_says() -> None:
    past = Past.of(jnp.asarray(1), FIRST, VALID)
    before = past.previous(jnp.asarray(-1), jnp.arange(NUM_STEPS), jnp.asarray(-2))
    known = -1
    for t in range(NUM_STEPS):
        known = -2 if FIRST[t] else known
        assert int(before[t]) == known
        known = t if VALID[t] else known
    assert int(past.last(jnp.asarray(-1), jnp.arange(NUM_STEPS), jnp.asarray(-2))) == known


def test_settings_that_make_no_sense_are_refused() -> None:
    with pytest.raises(ValueError, match="hidden_size=0"):
        make_core("gru", KEY, 3, 0)
    with pytest.raises(ValueError, match="num_layers=0"):
        core_of("gru", num_layers=0)
    with pytest.raises(ValueError, match="num_heads=3"):
        core_of("transformer", num_heads=3)
    for name in ("transformer", "snail"):
        with pytest.raises(ValueError, match="context=1"):
            core_of(name, context=1)
    for told in ({"memory_slots": 2}, {"num_neighbors": 6}, {"num_neighbors": 0}, {"key_size": 0}):
        with pytest.raises(ValueError, match=f"{next(iter(told))}="):
            core_of("episodic", **told)
    for told in ({"memory_slots": 2}, {"key_size": 0}):
        with pytest.raises(ValueError, match="at least 3 slots"):
            core_of("ntm", **told)
