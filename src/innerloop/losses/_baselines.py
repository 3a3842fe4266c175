"""What to expect of a state, fitted on the spot."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from innerloop._precision import exactly
from innerloop.losses._returns import generalized_advantage


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
    to the number of valid steps. The fit counts as a constant: nothing is differentiated through it.
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
    """The solution of one positive definite system."""
    return jax.scipy.linalg.solve(gram, moments, assume_a="pos")
