"""An agent that adapts by gradient steps on its own experience: one inner loop for play, training and test."""

from collections.abc import Callable
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Float, Int

from innerloop._agent import ActorCritic, Agent
from innerloop._arrays import leaves
from innerloop._rollout import where
from innerloop._types import Key, Memory, Metrics, TimeStep, Transition
from innerloop.agents._objectives import Objective


class GradientMemory(NamedTuple):
    """The adapted parameters (None where a leaf is not adapted), the base agent's memory, and gradient steps done."""

    params: Any
    base: Memory
    num_steps: Int[Array, ""]


class Gradient(Agent):
    """φ ← φ - α ∇L(φ) on the episodes of a round, from φ = θ at the start of a trial (Finn et al. 2017, eq. 1).

    `adapt` can be differentiated, also by θ and α. The base agent's own memory lasts for an episode.

    Args:
        base: plays; its parameters are θ.
        objective: L.
        episodes_per_round: episodes between two adaptations.
        rate: α, the same for all parameters.
        learn_rates: make α a parameter of its own for each adapted one, starting at `rate`; signs are free
            (Meta-SGD, Li et al. 2017).
        rate_factors: factor of α for the first, second, ... gradient step; the last one holds for all later ones.
        steps_per_round: gradient steps of an adaptation, all on the same episodes.
        adapted: names of what is adapted: fields of the base agent, or longer paths such as "policy.linear.bias".
            Empty: everything. "policy" alone is ANIL's head, "context" alone is CAVIA.
        fixed_start: adapted parameters start where they were built, and are not meta-learned (CAVIA's context).
        first_order: treat ∇L as a constant.
        remat: compute the inside of a gradient step anew for the backward pass, so that memory grows with the number
            of parameters times steps, and not with activations times steps.
        max_grad_norm: scale longer inner gradients down to this norm.
        reference: a policy for the objective's KL term, never trained; by default the policy before adaptation.
        precondition: makes a direction of adapted parameters and their gradients, which α is then multiplied with.
    """

    base: ActorCritic
    objective: Objective
    rates: Any
    reference: ActorCritic | None
    rate: float = eqx.field(static=True)
    rate_factors: tuple[float, ...] = eqx.field(static=True)
    steps_per_round: int = eqx.field(static=True)
    adapted: tuple[str, ...] = eqx.field(static=True)
    fixed_start: bool = eqx.field(static=True)
    first_order: bool = eqx.field(static=True)
    remat: bool = eqx.field(static=True)
    max_grad_norm: float | None = eqx.field(static=True)
    precondition: Callable[[Any, Any], Any] | None = eqx.field(static=True)
    episodes_per_adapt: int = eqx.field(static=True)

    def __init__(
        self,
        base: ActorCritic,
        objective: Objective,
        *,
        episodes_per_round: int = 20,
        rate: float = 0.1,
        learn_rates: bool = False,
        rate_factors: tuple[float, ...] = (1.0,),
        steps_per_round: int = 1,
        adapted: tuple[str, ...] = (),
        fixed_start: bool = False,
        first_order: bool = False,
        remat: bool = False,
        max_grad_norm: float | None = None,
        reference: ActorCritic | None = None,
        precondition: Callable[[Any, Any], Any] | None = None,
    ):
        for name, value in {"episodes_per_round": episodes_per_round, "steps_per_round": steps_per_round}.items():
            if value < 1:
                raise ValueError(f"Gradient({name}={value}): must be at least 1.")
        if not rate_factors:
            raise ValueError("Gradient(rate_factors=()): need at least one factor, e.g. (1.0,).")
        self.base = base
        self.objective = objective
        self.reference = reference
        self.rate = rate
        self.rate_factors = rate_factors
        self.steps_per_round = steps_per_round
        self.adapted = adapted
        self.fixed_start = fixed_start
        self.first_order = first_order
        self.remat = remat
        self.max_grad_norm = max_grad_norm
        self.precondition = precondition
        self.episodes_per_adapt = episodes_per_round
        adapted_leaves, _ = self._split()
        self.rates = jax.tree.map(lambda x: jnp.full_like(x, rate), adapted_leaves) if learn_rates else None

    def _split(self) -> tuple[Any, Any]:
        """The adapted leaves of the base agent, and all the rest of it."""
        paths = leaves(self.base)
        for name in self.adapted:
            if not any(_is_within(path, name) for path in paths):
                known = sorted({path.lstrip(".").split(".")[0].split("[")[0] for path in paths})
                raise ValueError(f"adapted={name!r}: the policy has no such parameters; it has {', '.join(known)}.")
        chosen = [not self.adapted or any(_is_within(path, name) for name in self.adapted) for path in paths]
        tree = jax.tree.structure(self.base)
        mask = jax.tree.unflatten(tree, chosen)
        return eqx.partition(self.base, jax.tree.map(lambda x, y: y and eqx.is_inexact_array(x), self.base, mask))

    def at(self, memory: GradientMemory) -> ActorCritic:
        """The base agent with the parameters it has adapted."""
        return eqx.combine(memory.params, self._split()[1])

    def held_near(self) -> ActorCritic:
        """The policy of the objective's KL term: that before adaptation, which is learned, or a constant one."""
        if self.reference is not None:
            return jax.lax.stop_gradient(self.reference)
        return eqx.combine(self._start(), self._split()[1])

    def _start(self) -> Any:
        """Where adapted parameters start."""
        params, _ = self._split()
        return jax.lax.stop_gradient(params) if self.fixed_start else params

    def init(self, key: Key) -> GradientMemory:
        return GradientMemory(self._start(), self.base.init(key), jnp.zeros((), jnp.int32))

    def act(self, key: Key, memory: GradientMemory, timestep: TimeStep) -> tuple[Array, Any]:
        return self.at(memory).act(key, memory.base, timestep)

    def observe(self, key: Key, memory: GradientMemory, transition: Transition) -> GradientMemory:
        if not jax.tree.leaves(memory.base):
            return memory
        base = self.at(memory).observe(key, memory.base, transition)
        return memory._replace(base=where(transition.next_timestep.last, self.base.init(key), base))

    def adapt(self, key: Key, memory: GradientMemory, episodes: Transition) -> GradientMemory:
        return self.descend(key, memory, episodes)[0]

    def descend(self, key: Key, memory: GradientMemory, episodes: Transition) -> tuple[GradientMemory, Metrics]:
        """`adapt`, and what the objective was made of before the last gradient step."""
        if self.steps_per_round == 1:
            return self.descend_once(key, memory, episodes)

        def step(memory: GradientMemory, _: None) -> tuple[GradientMemory, Metrics]:
            return self.descend_once(key, memory, episodes)

        memory, terms = jax.lax.scan(step, memory, None, length=self.steps_per_round)
        return memory, jax.tree.map(lambda x: x[-1], terms)

    def descend_once(self, key: Key, memory: GradientMemory, episodes: Transition) -> tuple[GradientMemory, Metrics]:
        """One gradient step, and what the objective was made of before it."""

        def step(memory: GradientMemory) -> tuple[GradientMemory, Metrics]:
            gradients, terms = self._gradients(key, memory, episodes)
            params = jax.tree.map(lambda p, g: p - g, memory.params, self._scaled(gradients, memory.num_steps))
            return memory._replace(params=params, num_steps=memory.num_steps + 1), terms

        return jax.checkpoint(step)(memory) if self.remat else step(memory)

    def _gradients(self, key: Key, memory: GradientMemory, episodes: Transition) -> tuple[Any, Metrics]:
        _, rest = self._split()
        start = self.base.init(key)
        reference = self.held_near()

        def loss(params: Any) -> tuple[Float[Array, ""], Metrics]:
            judged = self.objective(key, eqx.combine(params, rest), reference, start, episodes)
            return judged.loss, judged.terms

        gradients, terms = jax.grad(loss, has_aux=True)(memory.params)
        if self.precondition is not None:
            gradients = self.precondition(memory.params, gradients)
        if self.max_grad_norm is not None:
            # Bounded before the root, whose derivative at 0 is infinite.
            norm = jnp.sqrt(jnp.maximum(optax.tree.norm(gradients, squared=True), 1e-24))
            factor = jnp.minimum(1.0, self.max_grad_norm / norm)
            gradients = jax.tree.map(lambda g: factor * g, gradients)
        return jax.lax.stop_gradient(gradients) if self.first_order else gradients, terms

    def _scaled(self, gradients: Any, num_steps: Int[Array, ""]) -> Any:
        """α times its factor times the gradients."""
        factors = jnp.asarray(self.rate_factors, jnp.result_type(*jax.tree.leaves(gradients)))
        factor = factors[jnp.minimum(num_steps, len(self.rate_factors) - 1)]
        if self.rates is None:
            return jax.tree.map(lambda g: self.rate * factor * g, gradients)
        return jax.tree.map(lambda r, g: factor * r * g, self.rates, gradients)


def _is_within(path: str, name: str) -> bool:
    """Whether a leaf's path is `name` or inside it."""
    path = path.lstrip(".")
    return path == name or path.startswith((f"{name}.", f"{name}["))
