"""Surrogates of the expected return of an inner loop: they agree in their gradient, and differ in its derivative.

Meta-gradients need the derivative of a policy gradient, so what is differentiated twice must be right, too. Each takes
one episode and gives a surrogate of the return per step, to be maximised; invalid steps give 0.
"""

from typing import Literal

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

SurrogateName = Literal["plain", "lvc", "dice"]


def plain_surrogate(
    log_prob: Float[Array, " time"],
    old_log_prob: Float[Array, " time"],
    advantage: Float[Array, " time"],
    valid: Bool[Array, " time"],
) -> Float[Array, " time"]:
    """log π(a_t) A_t, as in the first release of MAML: its second derivative leaves out ∇log π ∇log πᵀ A."""
    return jnp.where(valid, log_prob * advantage, 0.0)


def lvc_surrogate(
    log_prob: Float[Array, " time"],
    old_log_prob: Float[Array, " time"],
    advantage: Float[Array, " time"],
    valid: Bool[Array, " time"],
) -> Float[Array, " time"]:
    """π(a_t) / π_old(a_t) A_t: low-variance curvature (Rothfuss et al. 2019).

    Unbiased in the gradient; its second derivative leaves out products of different steps of an episode, which have
    most of the variance.
    """
    return jnp.where(valid, jnp.exp(log_prob - old_log_prob) * advantage, 0.0)


def dice_surrogate(
    log_prob: Float[Array, " time"],
    old_log_prob: Float[Array, " time"],
    advantage: Float[Array, " time"],
    valid: Bool[Array, " time"],
) -> Float[Array, " time"]:
    """(□(a_1..a_t) - □(a_1..a_{t-1})) A_t with □(x) = exp(Σ log π - stop(Σ log π)): unbiased in every derivative.

    DiCE (Foerster et al. 2018) in the form that takes advantages (Farquhar et al. 2019), which count as constants.
    """
    until = jnp.cumsum(jnp.where(valid, log_prob, 0.0))
    before = until - jnp.where(valid, log_prob, 0.0)

    def box(x: Array) -> Array:
        return jnp.exp(x - jax.lax.stop_gradient(x))

    return jnp.where(valid, (box(until) - box(before)) * advantage, 0.0)


SURROGATES = {"plain": plain_surrogate, "lvc": lvc_surrogate, "dice": dice_surrogate}
