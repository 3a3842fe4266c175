"""A step of trust-region policy optimisation (Schulman et al. 2015): as far as the KL allows, and never further."""

from collections.abc import Callable
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
from jax.flatten_util import ravel_pytree
from jaxtyping import Array, Bool, Float

from innerloop._precision import exactly
from innerloop._types import Metrics

Vector = Float[Array, " params"]


class TrustRegion(eqx.Module):
    """Natural gradient by conjugate gradients, then a backtracking line search.

    Args:
        max_kl: δ, the most that the mean KL divergence from the old policy may be.
        damping: added to the diagonal of the Fisher matrix.
        num_cg_steps: conjugate-gradient steps.
        fisher_share: share of the episodes that the Fisher matrix is computed from (Schulman et al. 2015, appendix C):
            it shapes the step, whose divergence and loss are then measured on all of them. The learner adapts on the
            same share for it.
        num_backtracks: how often a step may be shortened, each time to `backtrack` of its length, before it is given up.
    """

    max_kl: float = eqx.field(static=True, default=0.01)
    damping: float = eqx.field(static=True, default=1e-5)
    num_cg_steps: int = eqx.field(static=True, default=10)
    fisher_share: float = eqx.field(static=True, default=1.0)
    num_backtracks: int = eqx.field(static=True, default=15)
    backtrack: float = eqx.field(static=True, default=0.8)

    def __check_init__(self) -> None:
        if self.max_kl <= 0 or self.num_cg_steps < 1 or not 0 < self.backtrack < 1 or not 0 < self.fisher_share <= 1:
            raise ValueError(
                f"TrustRegion(max_kl={self.max_kl}, num_cg_steps={self.num_cg_steps}, backtrack={self.backtrack}, "
                f"fisher_share={self.fisher_share}): max_kl must be positive, num_cg_steps at least 1, backtrack "
                "between 0 and 1, fisher_share above 0 and at most 1."
            )

    def step(
        self,
        params: Any,
        gradients: Any,
        policies: Callable[[Any], Any],
        divergence: Callable[[Any, Any], Float[Array, ""]],
        judge: Callable[[Any], tuple[Float[Array, ""], Float[Array, ""]]],
    ) -> tuple[Any, Metrics]:
        """New parameters.

        Args:
            gradients: of the loss at `params`.
            policies: parameters -> the distributions over actions that `divergence(old, new)` compares: the Fisher
                matrix is that of this divergence.
            judge: parameters -> loss and divergence from the old policies, on everything.
        """
        start, unravel = ravel_pytree(params)
        gradient = ravel_pytree(gradients)[0]
        # The policies are linearised in there, too: products keep the precision they were traced with.
        with exactly():
            fisher = fisher_product(lambda x: policies(unravel(x)), divergence, start)

            def damped(x: Vector) -> Vector:
                return fisher(x) + self.damping * x

            direction = conjugate_gradient(damped, -gradient, self.num_cg_steps)
            curvature = jnp.maximum(direction @ damped(direction), 1e-12)
        longest = jnp.sqrt(2.0 * self.max_kl / curvature) * direction
        before = judge(params)[0]
        found = self._search(start, longest, before, lambda x: judge(unravel(x)))
        metrics = {
            "kl": found.divergence,
            "loss_change": found.loss - before,
            "step_share": found.share,
            "gradient_norm": jnp.linalg.norm(gradient),
        }
        return unravel(start + found.share * longest), metrics

    def _search(
        self, start: Vector, longest: Vector, before: Float[Array, ""], judge: Callable[[Vector], Any]
    ) -> "Found":
        """The longest step tried that lowers the loss within the region; none if there is none."""

        def attempt(tried: Array, share: Array) -> Found:
            loss, divergence = judge(start + share * longest)
            good = (loss < before) & (divergence <= self.max_kl)
            return Found(share, loss, divergence, good, tried + 1)

        def body(last: Found) -> Found:
            return attempt(last.tried, self.backtrack * last.share)

        def goes_on(last: Found) -> Bool[Array, ""]:
            return ~last.good & (last.tried <= self.num_backtracks)

        found = jax.lax.while_loop(goes_on, body, attempt(jnp.zeros((), jnp.int32), jnp.ones(())))
        kept = found.good.astype(found.share.dtype)
        return Found(
            found.share * kept,
            jnp.where(found.good, found.loss, before),
            jnp.where(found.good, found.divergence, jnp.zeros_like(found.divergence)),
            found.good,
            found.tried,
        )


class Found(NamedTuple):
    """A share of the longest step: its loss, its divergence, whether it will do, and how many were tried."""

    share: Float[Array, ""]
    loss: Float[Array, ""]
    divergence: Float[Array, ""]
    good: Bool[Array, ""]
    tried: Array


def conjugate_gradient(product: Callable[[Vector], Vector], target: Vector, num_steps: int) -> Vector:
    """x with product(x) = target, approximately, for a positive definite product (Hestenes & Stiefel 1952)."""

    def step(carry: tuple[Vector, Vector, Vector], _: None) -> tuple[tuple[Vector, Vector, Vector], None]:
        x, residual, direction = carry
        image = product(direction)
        square = residual @ residual
        length = square / jnp.maximum(direction @ image, 1e-20)
        shorter = residual - length * image
        turn = (shorter @ shorter) / jnp.maximum(square, 1e-20)
        return (x + length * direction, shorter, shorter + turn * direction), None

    (x, _, _), _ = jax.lax.scan(step, (jnp.zeros_like(target), target, target), None, length=num_steps)
    return x


def fisher_product(
    policies: Callable[[Vector], Any], divergence: Callable[[Any, Any], Float[Array, ""]], start: Vector
) -> Callable[[Vector], Vector]:
    """v -> Jᵀ M J v: J the Jacobian of the policies' parameters, M the Hessian of the divergence in them.

    At `start` this is the Hessian of the divergence itself, since its gradient vanishes there. J is linearised once.
    """
    old, push = jax.linearize(policies, start)
    pull = jax.linear_transpose(push, start)
    slope = jax.grad(lambda new: divergence(old, new))

    def product(v: Vector) -> Vector:
        _, curved = jax.jvp(slope, (old,), (push(v),))
        return pull(curved)[0]

    return product
