"""Value losses, per step: the caller averages over valid steps; and such averages."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float


def weights(valid: Bool[Array, "..."]) -> Float[Array, "..."]:
    """1/n at each of the n valid steps, 0 elsewhere: a dot product with it is the mean over valid steps."""
    ones = valid.astype(jnp.float32)
    return ones / jnp.maximum(ones.sum(), 1.0)


def moments_of(x: Float[Array, "..."], valid: Bool[Array, "..."]) -> tuple[Float[Array, ""], Float[Array, ""]]:
    """Mean and variance over valid entries."""
    weight = weights(valid)
    mean = (weight * x).sum()
    return mean, (weight * jnp.square(x - mean)).sum()


def standardize(x: Float[Array, "..."], valid: Bool[Array, "..."]) -> Float[Array, "..."]:
    """Zero mean and unit variance over valid entries."""
    mean, variance = moments_of(x, valid)
    return (x - mean) * jax.lax.rsqrt(variance + 1e-8)


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
    return 1.0 - moments_of(target - value, valid)[1] / jnp.maximum(moments_of(target, valid)[1], 1e-8)
