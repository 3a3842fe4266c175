"""Meta-gradients are right to the last term: against finite differences, enumeration and each other."""

import itertools
from functools import partial
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import numpyro.distributions as dist
import optax
import pytest
from jax.flatten_util import ravel_pytree
from jaxtyping import Array

from innerloop._agent import ActExtras, ActorCritic, Outputs
from innerloop._collect import JaxCollector
from innerloop._env import Discrete
from innerloop._types import TimeStep, Transition, Trials
from innerloop.agents import AnswerError, FeedForward, Gradient, Objective, PolicyObjective, Recurrent
from innerloop.agents._objectives import Judged, divergences, replay
from innerloop.algorithms._meta_gradient import MetaGradient
from innerloop.algorithms._trust_region import TrustRegion, conjugate_gradient, fisher_product
from innerloop.envs.navigation import Navigation, navigation_goals
from innerloop.envs.regression import Regression, sine, sinusoids
from innerloop.losses import SURROGATES, weights
from marks import rarely

KEY = jax.random.key(0)
POINT = Navigation(max_steps=6, tolerance=0.3)
SINE = Regression(sine, num_points=4)
DEPTHS = [(surrogate, num_steps) for surrogate in ("plain", "lvc") for num_steps in (1, 2, 5)]


def learner_for(env: Any, inner: Any, outer: Any, base: Any = None, **options: Any) -> MetaGradient:
    """A small learner; `options` with the names of `MetaGradient` go there, the others to the agent."""
    names = {field for field in MetaGradient.__dataclass_fields__ if field != "reference"}
    of_learner = {name: options.pop(name) for name in list(options) if name in names}
    make_base = base or partial(FeedForward, env.spec, widths=(5,), activation="tanh", num_context=2)

    def make_agent(key: Any) -> Gradient:
        return Gradient(make_base(key=key), inner, episodes_per_round=3, rate=0.3, **options)

    return MetaGradient(make_agent, outer, optimizer=optax.sgd(1.0), **of_learner)


def some_trials(learner: MetaGradient, env: Any, tasks: Any, num_rounds: int) -> tuple[Gradient, Trials]:
    """A batch of trials, played by a fresh agent whose parameters are not at their symmetric start."""
    with jax.enable_x64(False):
        agent = learner.init(KEY).params
        params, static = eqx.partition(agent, eqx.is_inexact_array)
        flat, unravel = ravel_pytree(params)
        agent = eqx.combine(unravel(flat + 0.3 * jax.random.normal(KEY, flat.shape)), static)
        collector = JaxCollector(env, tasks, num_tasks=3, num_rounds=num_rounds, episodes_per_round=3)
        return agent, eqx.filter_jit(collector.collect)(KEY, agent, collector.init(KEY, agent))[0]


def as_double(tree: Any) -> Any:
    dtype = jnp.float64 if jax.config.jax_enable_x64 else jnp.float32
    return jax.tree.map(lambda x: x.astype(dtype) if eqx.is_inexact_array(x) else x, tree)


def assert_gradient_is_right(
    learner: MetaGradient, agent: Gradient, trials: Trials, away: float = 0.05, step: float = 1e-5, rtol: float = 2e-6
) -> None:
    """The gradient of the meta-loss along random directions, against central differences, in float64 where that is on.

    At parameters somewhat `away` from the policy that played: where ratios are 1, mistakes in them would hide.
    """
    played, trials = as_double(agent), as_double(trials)
    trained = eqx.tree_at(
        lambda x: (x.base, x.rates), jax.tree.map(lambda _: False, played), (True, True), is_leaf=_none
    )
    params, static = eqx.partition(played, trained)
    flat, unravel = ravel_pytree(params)

    @jax.jit
    @jax.value_and_grad
    def loss(x: Any) -> Any:
        return learner.loss(eqx.combine(unravel(x), static), KEY, played, trials)[0]

    at = flat + away * jax.random.normal(jax.random.key(5), flat.shape, flat.dtype)
    gradient = loss(at)[1]
    for key in jax.random.split(jax.random.key(7), 3):
        direction = jax.random.normal(key, flat.shape, flat.dtype)
        measured = (loss(at + step * direction)[0] - loss(at - step * direction)[0]) / (2 * step)
        np.testing.assert_allclose(gradient @ direction, measured, rtol=rtol, atol=rtol / 100)


def _none(x: Any) -> bool:
    return x is None


def policy_objective(env: Any, **options: Any) -> PolicyObjective:
    return PolicyObjective(env.spec.obs, **({"normalize": False} | options))


@pytest.mark.parametrize(("surrogate", "num_steps"), rarely(DEPTHS, ("plain", 2), ("lvc", 2)))
def test_meta_gradients_match_finite_differences(double: None, surrogate: Any, num_steps: int) -> None:
    inner = policy_objective(POINT, surrogate=surrogate, normalize=True)
    learner = learner_for(POINT, inner, policy_objective(POINT))
    agent, trials = some_trials(learner, POINT, navigation_goals(), num_steps + 1)
    assert_gradient_is_right(learner, agent, trials)


@pytest.mark.parametrize("num_steps", rarely((1, 2, 5), 2))
def test_dice_is_the_derivative_of_full_importance_weights(
    double: None, monkeypatch: pytest.MonkeyPatch, num_steps: int
) -> None:
    """DiCE holds its value at what was played, which differences would see; weights that do not agree with it there."""

    def weighted(log_prob: Any, old: Any, advantage: Any, valid: Any) -> Any:
        until = jnp.cumsum(jnp.where(valid, log_prob - old, 0.0))
        before = until - jnp.where(valid, log_prob - old, 0.0)
        return jnp.where(valid, (jnp.exp(until) - jnp.exp(before)) * advantage, 0.0)

    learner = learner_for(POINT, policy_objective(POINT, surrogate="dice"), policy_objective(POINT))
    agent, trials = some_trials(learner, POINT, navigation_goals(), num_steps + 1)
    agent, trials = as_double(agent), replayed(learner, as_double(agent), as_double(trials))

    def gradient() -> Any:
        return eqx.filter_jit(eqx.filter_grad(lambda x: learner.loss(x, KEY, x, trials)[0]))(agent)

    of_dice = gradient()
    monkeypatch.setitem(SURROGATES, "dice", weighted)
    assert_gradient_is_right(learner, agent, trials, away=0.0)
    for x, y in zip(jax.tree.leaves(of_dice), jax.tree.leaves(gradient()), strict=True):
        np.testing.assert_allclose(x, y, rtol=1e-6, atol=1e-9)


def replayed(learner: MetaGradient, agent: Gradient, trials: Trials) -> Trials:
    """The trials with log-probabilities in full precision, so that ratios are exactly 1."""

    def one(rounds: Transition) -> Any:
        def step(memory: Any, episodes: Transition) -> Any:
            outputs = replay(agent.at(memory), agent.base.init(KEY), episodes)
            return agent.adapt(KEY, memory, with_log_prob(episodes, outputs.log_prob)), outputs.log_prob

        return jax.lax.scan(step, agent.init(KEY), rounds)[1]

    return trials._replace(transitions=with_log_prob(trials.transitions, jax.jit(jax.vmap(one))(trials.transitions)))


def with_log_prob(transitions: Transition, log_prob: Any) -> Transition:
    return transitions._replace(extras=transitions.extras._replace(log_prob=log_prob))


VARIANTS: dict[str, dict[str, Any]] = {
    "exploration": {"exploration_coef": 0.7},
    "proximity": {"proximity_coef": 0.9},
    "near-start": {"steps_per_round": 2},
    "rates": {"learn_rates": True},
    "annealed": {"rate_factors": (1.0, 0.5)},
    "head": {"adapted": ("policy",)},
    "context": {"adapted": ("context",)},
    "several": {"steps_per_round": 3},
    "remat": {"steps_per_round": 3, "remat": True},
    "clipped-norm": {"max_grad_norm": 0.1},
}


@pytest.mark.parametrize("name", rarely(VARIANTS, "rates", "several", "context", "clipped-norm"))
def test_every_variant_matches_finite_differences(double: None, name: str) -> None:
    near = 0.8 if name == "near-start" else 0.0
    inner, outer = policy_objective(POINT, kl_coef=near), policy_objective(POINT, kl_coef=near)
    learner = learner_for(POINT, inner, outer, **VARIANTS[name])
    agent, trials = some_trials(learner, POINT, navigation_goals(), 3)
    assert_gradient_is_right(learner, agent, trials)


def test_entropy_and_clipping_match_finite_differences(double: None) -> None:
    inner = policy_objective(POINT, entropy_coef=0.3, reward_coef=0.7)
    outer = policy_objective(POINT, surrogate="clipped", clip_ratio=0.5, entropy_coef=0.2)
    learner = learner_for(POINT, inner, outer)
    assert_gradient_is_right(learner, *some_trials(learner, POINT, navigation_goals(), 2))


def test_supervised_meta_gradients_match_finite_differences(double: None) -> None:
    predictor = partial(FeedForward, SINE.spec, widths=(5,), is_predictor=True)
    supervised = learner_for(SINE, AnswerError(), AnswerError(), predictor)
    assert_gradient_is_right(supervised, *some_trials(supervised, SINE, sinusoids(), 2))


def test_recurrent_meta_gradients_match_finite_differences() -> None:
    lstm = partial(Recurrent, POINT.spec, core="lstm", hidden_size=4)
    recurrent = learner_for(POINT, policy_objective(POINT), policy_objective(POINT), lstm)
    found = some_trials(recurrent, POINT, navigation_goals(), 2)
    assert_gradient_is_right(recurrent, *found, step=3e-3, rtol=2e-2)


def meta_gradients(learner: MetaGradient, agent: Gradient, trials: Trials) -> Any:
    return eqx.filter_jit(eqx.filter_grad(lambda x: learner.loss(x, KEY, agent, trials)[0]))(agent)


def with_rewards(trials: Trials, change: Any) -> Trials:
    step = trials.transitions.next_timestep
    step = step._replace(reward=change(step.reward))
    return trials._replace(transitions=trials.transitions._replace(next_timestep=step))


def test_the_bound_on_inner_gradients_has_a_derivative_where_they_are_zero() -> None:
    objective = policy_objective(POINT, baseline="none")
    clipped, free = (learner_for(POINT, objective, objective, max_grad_norm=bound) for bound in (0.1, None))
    agent, trials = some_trials(free, POINT, navigation_goals(), 2)
    trials = with_rewards(trials, lambda reward: reward.at[:, 0].set(0.0))
    same = eqx.tree_at(lambda x: x.base, clipped.init(KEY).params, agent.base)
    a, b = meta_gradients(clipped, same, trials), meta_gradients(free, agent, trials)
    assert np.any(b.base.policy.linear.weight)
    for x, y in zip(jax.tree.leaves(a), jax.tree.leaves(b), strict=True):
        np.testing.assert_allclose(x, y, rtol=1e-4, atol=1e-6)


def test_a_fixed_start_gets_no_gradient_from_the_term_that_holds_near_it() -> None:
    near = policy_objective(POINT, kl_coef=0.5)
    learner = learner_for(POINT, near, near, adapted=("context",), fixed_start=True)
    gradients = meta_gradients(learner, *some_trials(learner, POINT, navigation_goals(), 2))
    assert not np.any(gradients.base.context)
    assert np.any(gradients.base.policy.linear.weight)


def test_exploration_gets_credit_for_the_rewards_that_the_outer_loss_counts() -> None:
    def shaped(task: Any, transition: Transition) -> Array:
        return jnp.abs(transition.next_timestep.obs).sum() + jnp.where(transition.next_timestep.last, 1.0, 0.0)

    objectives = policy_objective(POINT), policy_objective(POINT)
    dense, plain = (learner_for(POINT, *objectives, exploration_coef=1.0, shaped=x) for x in (shaped, None))
    agent, trials = some_trials(plain, POINT, navigation_goals(), 2)
    last = jax.tree.map(lambda x: x[:, -1], trials.transitions)
    counted = jax.vmap(jax.vmap(jax.vmap(partial(shaped, None))))(last)
    paid = with_rewards(trials, lambda reward: reward.at[:, -1].set(counted))
    found, expected = (eqx.filter_jit(x.loss)(agent, KEY, agent, y)[0] for x, y in ((dense, trials), (plain, paid)))
    assert found == pytest.approx(float(expected), rel=1e-5)


def test_frozen_parts_get_no_gradient() -> None:
    learner = learner_for(SINE, AnswerError(), AnswerError(), adapted=("context",), fixed_start=True)
    agent, trials = some_trials(learner, SINE, sinusoids(), 2)
    gradient = eqx.filter_jit(eqx.filter_grad(lambda x: learner.loss(x, KEY, x, trials)[0]))(agent)
    assert not np.any(gradient.base.context)
    assert np.any(gradient.base.policy.linear.weight)
    first_order = learner_for(SINE, AnswerError(), AnswerError(), first_order=True)
    second_order = learner_for(SINE, AnswerError(), AnswerError())
    a, b = (
        eqx.filter_grad(lambda x, learner=learner: learner.loss(x, KEY, x, trials)[0])(learner.init(KEY).params)
        for learner in (first_order, second_order)
    )
    assert not np.allclose(a.base.policy.linear.weight, b.base.policy.linear.weight)


class Answer(Objective):
    """Linear in the last layer: no curvature."""

    def __call__(self, key: Any, agent: Any, reference: Any, memory: Any, episodes: Any) -> Judged:
        policy = replay(agent, memory, episodes).policy
        return Judged(-(policy.base_dist.loc * episodes.next_timestep.prev_action).mean(), {}, policy)


def test_first_order_is_second_order_without_curvature() -> None:
    options: dict[str, Any] = {"adapted": ("policy",)}
    first, second = (learner_for(SINE, Answer(), AnswerError(), first_order=x, **options) for x in (True, False))
    agent, trials = some_trials(first, SINE, sinusoids(), 3)
    same = eqx.tree_at(lambda x: x.base, second.init(KEY).params, agent.base)
    a = eqx.filter_grad(lambda x: first.loss(x, KEY, x, trials)[0])(agent)
    b = eqx.filter_grad(lambda x: second.loss(x, KEY, x, trials)[0])(same)
    np.testing.assert_allclose(a.base.policy.linear.weight, b.base.policy.linear.weight, rtol=1e-5)


class Coin(ActorCritic):
    """π(1) = σ(θ): one parameter."""

    theta: Array
    episodes_per_adapt: int = eqx.field(static=True, default=1)

    def init(self, key: Any) -> tuple[()]:
        return ()

    def act(self, key: Any, memory: Any, timestep: Any) -> Any:
        raise NotImplementedError

    def observe(self, key: Any, memory: Any, transition: Any) -> Any:
        return memory

    def adapt(self, key: Any, memory: Any, episodes: Any) -> Any:
        return memory

    def unroll(self, memory: Any, transitions: Transition, trial_first: Any) -> Outputs:
        policy = dist.CategoricalLogits(jnp.stack([jnp.zeros_like(self.theta), self.theta]))
        log_prob = policy.log_prob(transitions.action)
        zeros = jnp.zeros_like(log_prob)
        logits = jnp.broadcast_to(policy.logits, (*log_prob.shape, 2))
        return Outputs(log_prob, zeros, zeros, zeros[:, None], dist.CategoricalLogits(logits))


THETA, ALPHA = 0.4, 0.8


def flips(actions: Any, rewards: Any, theta: Any) -> Transition:
    """Episodes `[episode time]` with the given actions and rewards."""
    actions, rewards = jnp.asarray(actions), jnp.asarray(rewards, jnp.float64)
    last = jnp.arange(actions.shape[-1]) == actions.shape[-1] - 1
    last = jnp.broadcast_to(last, actions.shape)
    no = jnp.zeros(actions.shape, bool)
    before = TimeStep(no, actions, rewards, jnp.ones_like(rewards), no, no)
    after = TimeStep(no, actions, rewards, jnp.ones_like(rewards), no, last)
    log_prob = jnp.where(actions == 1, jax.nn.log_sigmoid(theta), jax.nn.log_sigmoid(-theta))
    return Transition(before, actions, after, ~no, ActExtras(log_prob, rewards, actions, log_prob))


def coin_learner(surrogate: Any, alpha: float = ALPHA, **options: Any) -> MetaGradient:
    objective = PolicyObjective(
        Discrete(1), surrogate=surrogate, baseline="none", gamma=1.0, normalize=False, gae_lambda=1.0
    )

    def make_agent(key: Any) -> Gradient:
        return Gradient(Coin(jnp.asarray(THETA, jnp.float64)), objective, episodes_per_round=2, rate=alpha)

    return MetaGradient(make_agent, objective, optimizer=optax.sgd(1.0), **options)


def sigmoid(x: float) -> float:
    return 1 / (1 + np.exp(-x))


def probability(actions: Any, theta: float) -> float:
    p = sigmoid(theta)
    return float(np.prod([p if a else 1 - p for a in np.ravel(actions)]))


def expected_gradient(surrogate: Any, alpha: float = ALPHA, **options: Any) -> float:
    """The mean of the learner's gradient of J over all that two tasks may play: two flips before, one after."""
    learner = coin_learner(surrogate, alpha, **options)
    agent = learner.init(KEY).params
    total = 0.0

    @jax.jit
    def gradient(trials: Trials) -> Any:
        return eqx.filter_grad(lambda x: learner.loss(x, KEY, agent, trials)[0])(agent).base.theta

    outcomes = []
    for before in itertools.product([0, 1], repeat=2):
        phi = adapted_theta(THETA, before, alpha)
        for after in (0, 1):
            episodes = [flips([[a] for a in before], [[float(a)] for a in before], THETA)]
            episodes.append(flips([[after], [after]], [[float(after)]] * 2, phi))
            rounds = jax.tree.map(lambda *x: jnp.stack(x), *episodes)
            outcomes.append((probability(before, THETA) * probability([after], phi), rounds))
    for (p, first), (q, second) in itertools.product(outcomes, repeat=2):
        rounds = jax.tree.map(lambda *x: jnp.stack(x), first, second)
        memories = jax.vmap(lambda _: jax.vmap(lambda _: agent.init(KEY))(jnp.arange(2)))(jnp.arange(2))
        total += p * q * float(gradient(Trials((), memories, rounds)))
    return -total


def adapted_theta(theta: Any, actions: Any, alpha: float) -> Any:
    """θ + α mean(∇log π(a) r(a)): only heads pay."""
    p = 1 / (1 + np.exp(-theta))
    return theta + alpha * np.mean([(1 - p) * a for a in actions])


def value_of_adapting(theta: float, alpha: float) -> float:
    """E over two flips of the chance of heads after adapting to them: E-MAML's objective in closed form."""
    pairs = itertools.product([0, 1], repeat=2)
    return sum(probability(pair, theta) * sigmoid(adapted_theta(theta, pair, alpha)) for pair in pairs)


def slope(function: Any, at: float) -> float:
    return (function(at + 1e-6) - function(at - 1e-6)) / 2e-6


def test_expected_gradient_of_e_maml_is_that_of_its_objective(double: None) -> None:
    expected = slope(lambda theta: value_of_adapting(theta, ALPHA), THETA)
    assert expected_gradient("plain", exploration_coef=1.0) == pytest.approx(expected, rel=1e-6)
    assert expected_gradient("plain") != pytest.approx(expected, rel=0.05), "without the term it must be another"


def test_dice_and_lvc_agree_in_one_step_and_e_maml_to_first_order(double: None) -> None:
    assert expected_gradient("dice") == pytest.approx(expected_gradient("lvc"), rel=1e-9)

    def share(alpha: float) -> float:
        """How the difference of both gradients compares with what adaptation adds to them."""
        lvc, explored = expected_gradient("lvc", alpha), expected_gradient("plain", alpha, exploration_coef=1.0)
        return abs(lvc - explored) / abs(lvc - slope(sigmoid, THETA))

    assert share(0.001) < 0.001 < share(0.1)


def expected_curvature(surrogate: Any) -> float:
    """The mean of d(φ - θ)/dθ / α for episodes of two flips that pay the product of both: an estimate of J''."""
    agent = coin_learner(surrogate).init(KEY).params

    @jax.jit
    def derivative(episodes: Transition) -> Any:
        def adapted(theta: Any) -> Any:
            moved = eqx.tree_at(lambda x: x.base.theta, agent, theta)
            return moved.adapt(KEY, moved.init(KEY), episodes).params.theta

        return (jax.grad(adapted)(agent.base.theta) - 1.0) / ALPHA

    total = 0.0
    for pair in itertools.product([0, 1], repeat=2):
        total += probability(pair, THETA) * float(derivative(flips([pair], [[0.0, pair[0] * pair[1]]], THETA)))
    return total * 2.0  # the objective is per step


def test_dice_is_unbiased_in_the_second_derivative_and_lvc_is_not(double: None) -> None:
    exact = slope(lambda theta: slope(lambda x: sigmoid(x) ** 2, theta), THETA)
    assert expected_curvature("dice") == pytest.approx(exact, rel=1e-3)
    assert expected_curvature("lvc") != pytest.approx(exact, rel=0.1)
    assert expected_curvature("plain") != pytest.approx(expected_curvature("lvc"), rel=0.1)


def test_play_and_training_adapt_alike() -> None:
    learner = learner_for(POINT, policy_objective(POINT), policy_objective(POINT), steps_per_round=2)
    agent, trials = some_trials(learner, POINT, navigation_goals(), 3)

    def adapted(rounds: Transition) -> Any:
        first = agent.adapt(KEY, agent.init(KEY), jax.tree.map(lambda x: x[0], rounds))
        return agent.adapt(KEY, first, jax.tree.map(lambda x: x[1], rounds)).params

    again = jax.jit(jax.vmap(adapted))(trials.transitions)
    played = jax.tree.map(lambda x: x[:, 2], trials.memories.params)
    for x, y in zip(jax.tree.leaves(again), jax.tree.leaves(played), strict=True):
        np.testing.assert_array_equal(x, y)


@pytest.mark.parametrize("chunk_size", rarely((1, 2), 2))
def test_the_result_does_not_depend_on_chunks(chunk_size: int) -> None:
    whole, parts = (
        learner_for(POINT, policy_objective(POINT), policy_objective(POINT), chunk_size=size)
        for size in (None, chunk_size)
    )
    agent, trials = some_trials(whole, POINT, navigation_goals(), 3)
    a, b = (
        eqx.filter_jit(eqx.filter_grad(lambda x, learner=learner: learner.loss(x, KEY, x, trials)[0]))(agent)
        for learner in (whole, parts)
    )
    for x, y in zip(jax.tree.leaves(a), jax.tree.leaves(b), strict=True):
        np.testing.assert_allclose(x, y, rtol=1e-4, atol=1e-6)


@pytest.mark.slow
def test_fisher_products_are_those_of_the_hessian_of_the_divergence() -> None:
    learner = learner_for(POINT, policy_objective(POINT), policy_objective(POINT))
    agent, trials = some_trials(learner, POINT, navigation_goals(), 2)
    params, static = eqx.partition(agent, eqx.is_inexact_array)
    flat, unravel = ravel_pytree(params)

    def policies(x: Any) -> Any:
        return learner.loss(eqx.combine(unravel(x), static), KEY, agent, trials)[1].policy

    def divergence(old: Any, new: Any) -> Any:
        return jax.vmap(divergences)(old, new).mean()

    product = jax.jit(fisher_product(policies, divergence, flat))
    old = policies(flat)
    hessian_product = jax.jit(lambda v: jax.jvp(jax.grad(lambda x: divergence(old, policies(x))), (flat,), (v,))[1])
    direction = jax.random.normal(KEY, flat.shape)
    np.testing.assert_allclose(product(direction), hessian_product(direction), rtol=1e-3, atol=1e-5)


def test_conjugate_gradients_solve_what_they_are_given() -> None:
    root = jax.random.normal(KEY, (6, 6))
    matrix = root @ root.T + jnp.eye(6)
    target = jnp.arange(6.0)
    np.testing.assert_allclose(
        conjugate_gradient(lambda v: matrix @ v, target, 6), jnp.linalg.solve(matrix, target), rtol=1e-2
    )


@pytest.mark.parametrize("max_kl", rarely((0.001, 0.1), 0.001))
def test_trust_region_never_exceeds_its_divergence_and_lowers_the_loss(max_kl: float) -> None:
    learner = learner_for(POINT, policy_objective(POINT), policy_objective(POINT))
    agent, trials = some_trials(learner, POINT, navigation_goals(), 2)
    learner = MetaGradient(learner.make_agent, learner.objective, trust_region=TrustRegion(max_kl))
    start = learner.init(KEY)._replace(params=agent)
    state, metrics = eqx.filter_jit(learner.update)(KEY, start, trials)
    before, after = (learner.loss(x.params, KEY, agent, trials) for x in (start, state))
    weight = weights(trials.transitions.valid[:, -1])
    moved = float((weight * jax.vmap(divergences)(before[1].policy, after[1].policy)).sum())
    assert 0.0 < moved <= max_kl
    assert moved == pytest.approx(float(metrics["kl"]), rel=1e-3)
    assert after[0] < before[0]


def test_trust_region_stands_still_where_no_step_helps() -> None:
    region = TrustRegion(0.01)
    params, gradient = jnp.zeros((3,)), jnp.ones((3,))
    moved, metrics = region.step(
        params, gradient, lambda x: x, lambda p, q: jnp.square(p - q).sum(), lambda x: (jnp.abs(x).sum(), jnp.zeros(()))
    )
    assert not np.any(moved)
    assert float(metrics["step_share"]) == 0.0


def test_bad_arguments_are_named() -> None:
    with pytest.raises(ValueError, match="adapted='nose'"):
        learner_for(POINT, policy_objective(POINT), policy_objective(POINT), adapted=("nose",)).init(KEY)
    with pytest.raises(ValueError, match="bootstrap_truncations"):
        policy_objective(POINT, bootstrap_truncations=True)
    with pytest.raises(ValueError, match="exactly one"):
        MetaGradient(lambda key: None, AnswerError())
    with pytest.raises(ValueError, match='choose baseline="linear"'):
        MetaGradient(lambda key: None, policy_objective(POINT, baseline="value"), trust_region=TrustRegion())
    with pytest.raises(ValueError, match="max_kl=-1"):
        TrustRegion(-1.0)
