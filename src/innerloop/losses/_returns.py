"""Returns and advantages. Steps that are not `valid` are padding: they are passed over."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float


def following_value(
    value: Float[Array, " time"], bootstrap: Float[Array, ""], valid: Bool[Array, " time"]
) -> Float[Array, " time"]:
    """For each step the value at the next valid step; `bootstrap` after the last one."""

    def step(after: Float[Array, ""], inputs: tuple[Array, Array]) -> tuple[Array, Array]:
        value, valid = inputs
        return jnp.where(valid, value, after), after

    return jax.lax.scan(step, bootstrap, (value, valid), reverse=True)[1]


def generalized_advantage(
    reward: Float[Array, " time"],
    value: Float[Array, " time"],
    next_value: Float[Array, " time"],
    discount: Float[Array, " time"],
    trace: Float[Array, " time"],
    valid: Bool[Array, " time"],
) -> Float[Array, " time"]:
    """GAE (Schulman et al. 2016, eq. 16): A_t = δ_t + trace_t A_{t+1}, δ_t = r_t + discount_t v'_t - v_t.

    `trace` is γλ where the advantage flows on and 0 where it is cut (at the end of a trial or an episode). Invalid
    steps get 0 and pass A_{t+1} through.
    """
    delta = reward + discount * next_value - value

    def step(after: Float[Array, ""], inputs: tuple[Array, Array, Array]) -> tuple[Array, Array]:
        delta, trace, valid = inputs
        advantage = delta + trace * after
        return jnp.where(valid, advantage, after), jnp.where(valid, advantage, 0.0)

    return jax.lax.scan(step, jnp.zeros(()), (delta, trace, valid), reverse=True)[1]
