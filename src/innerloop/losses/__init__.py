"""Pure functions of one unbatched sequence; the caller vmaps."""

from innerloop.losses._policy import clipped_surrogate, policy_gradient
from innerloop.losses._returns import following_value, generalized_advantage
from innerloop.losses._value import clipped_value_error, explained_variance, value_error, weights

__all__ = [
    "clipped_surrogate",
    "clipped_value_error",
    "explained_variance",
    "following_value",
    "generalized_advantage",
    "policy_gradient",
    "value_error",
    "weights",
]
