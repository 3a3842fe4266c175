"""What to expect of a state, fitted on the spot."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from innerloop._precision import exactly
from innerloop.losses._returns import generalized_advantage

LEAST_RIDGE, MOST_RIDGE = 1e-5, 10.0
"""Of features that are nearly the same, in units of their mean squares."""


class Solution(NamedTuple):
    """Coefficients, and the ridge to try next if they are not finite."""

    coefficients: Float[Array, " n"]
    ridge: Float[Array, ""]


def discounted_returns(
    reward: Float[Array, " time"], discount: Float[Array, " time"], valid: Bool[Array, " time"]
) -> Float[Array, " time"]:
    """R_t = r_t + discount_t R_{t+1}; invalid steps are passed over and give 0."""

    zeros = jnp.zeros_like(reward)
    return generalized_advantage(reward, zeros, zeros, zeros, discount, valid)


def linear_baseline(
    obs: Float[Array, "episode time features"],
    returns: Float[Array, "episode time"],
    valid: Bool[Array, "episode time"],
    ridge: float = 1e-5,
) -> Float[Array, "episode time"]:
    """Returns as fitted by least squares on observation, its square, t, t², t³ and 1 (Duan et al. 2016b, section 5).

    The same episodes are fitted and predicted, as in the released MAML. t counts hundreds of steps. `ridge` is relative
    to the number of valid steps. Where features are too nearly the same for float32 (constant observations, or the same
    one twice), they are scaled, and the ridge grows until there is a solution. The fit counts as a constant: nothing is
    differentiated through it.
    """
    obs, returns = jax.lax.stop_gradient((obs, returns))
    num_steps = obs.shape[1]
    time = jnp.broadcast_to((jnp.arange(num_steps, dtype=obs.dtype) / 100.0)[None, :, None], (*obs.shape[:2], 1))
    features = jnp.concatenate([obs, jnp.square(obs), time, time**2, time**3, jnp.ones_like(time)], axis=-1)
    weight = valid.astype(jnp.float32)
    x = (features * weight[..., None]).reshape(-1, features.shape[-1])
    scale = jnp.maximum(weight.sum(), 1.0)
    with exactly():
        gram = x.T @ x / scale + ridge * jnp.eye(x.shape[1])
        moments = x.T @ (returns * weight).reshape(-1) / scale
        # On CPUs one system at a time: jaxlib's batched LAPACK kernels (0.10) wait for threads of the very pool that runs
        # them, so as many of them at once as there are threads wait for ever.
        coefficients = jax.lax.platform_dependent(
            gram, moments, cpu=jax.custom_batching.sequential_vmap(_solve), default=_solve
        )
        return features @ coefficients


def _solve(gram: Float[Array, "n n"], moments: Float[Array, " n"]) -> Float[Array, " n"]:
    """The solution of one positive definite system, or one near it where that is too close to singular for its precision.

    Features then count in units of their root mean square, with a ridge that grows until there is a solution.
    """
    unit = jnp.sqrt(jnp.diagonal(gram))
    correlation, identity = gram / (unit[:, None] * unit[None, :]), jnp.eye(gram.shape[0], dtype=gram.dtype)

    def fails(last: Solution) -> Bool[Array, ""]:
        return ~jnp.isfinite(last.coefficients).all() & (last.ridge < MOST_RIDGE)

    def again(last: Solution) -> Solution:
        found = jax.scipy.linalg.solve(correlation + last.ridge * identity, moments / unit, assume_a="pos") / unit
        return Solution(found, 10.0 * last.ridge)

    first = jax.scipy.linalg.solve(gram, moments, assume_a="pos")
    return jax.lax.while_loop(fails, again, Solution(first, jnp.asarray(LEAST_RIDGE, gram.dtype))).coefficients
