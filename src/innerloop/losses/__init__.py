"""Pure functions of one unbatched sequence; the caller vmaps."""

from innerloop.losses._baselines import discounted_returns, linear_baseline
from innerloop.losses._policy import answer_error, clipped_surrogate, kl_divergence, policy_gradient
from innerloop.losses._returns import following_value, generalized_advantage
from innerloop.losses._surrogates import SURROGATES, SurrogateName, dice_surrogate, lvc_surrogate, plain_surrogate
from innerloop.losses._value import (
    clipped_value_error,
    explained_variance,
    moments_of,
    standardize,
    value_error,
    weights,
)
from innerloop.losses._variational import bernoulli_log_prob, gaussian_kl, gaussian_log_prob, gaussian_product

__all__ = [
    "SURROGATES",
    "SurrogateName",
    "answer_error",
    "bernoulli_log_prob",
    "clipped_surrogate",
    "clipped_value_error",
    "dice_surrogate",
    "discounted_returns",
    "explained_variance",
    "following_value",
    "gaussian_kl",
    "gaussian_log_prob",
    "gaussian_product",
    "generalized_advantage",
    "kl_divergence",
    "linear_baseline",
    "lvc_surrogate",
    "moments_of",
    "plain_surrogate",
    "policy_gradient",
    "standardize",
    "value_error",
    "weights",
]
