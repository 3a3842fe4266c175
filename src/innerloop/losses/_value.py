"""Value losses, per step: the caller averages over valid steps."""

import jax.numpy as jnp
from jaxtyping import Array, Bool, Float


def weights(valid: Bool[Array, "..."]) -> Float[Array, "..."]:
    """1/n at each of the n valid steps, 0 elsewhere: a dot product with it is the mean over valid steps."""
    ones = valid.astype(jnp.float32)
    return ones / jnp.maximum(ones.sum(), 1.0)


def value_error(value: Float[Array, "*steps"], target: Float[Array, "*steps"]) -> Float[Array, "*steps"]:
    """½ (v - target)²."""
    return 0.5 * jnp.square(value - target)


def clipped_value_error(
    value: Float[Array, "*steps"],
    old_value: Float[Array, "*steps"],
    target: Float[Array, "*steps"],
    clip_range: Float[Array, ""] | float,
) -> Float[Array, "*steps"]:
    """The larger of the plain error and that of a value held within `clip_range` of the old one."""
    near = old_value + jnp.clip(value - old_value, -clip_range, clip_range)
    return jnp.maximum(value_error(value, target), value_error(near, target))


def explained_variance(
    value: Float[Array, "..."], target: Float[Array, "..."], valid: Bool[Array, "..."]
) -> Float[Array, ""]:
    """1 - Var[target - value] / Var[target] over valid steps."""
    weight = weights(valid)

    def variance(x: Array) -> Array:
        return (weight * jnp.square(x - (weight * x).sum())).sum()

    return 1.0 - variance(target - value) / jnp.maximum(variance(target), 1e-8)
