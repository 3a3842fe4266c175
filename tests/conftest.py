"""Strict by default: no silent dtype or rank promotion, two virtual CPU devices, shapes checked, warnings are errors."""

import os

os.environ["XLA_FLAGS"] = os.environ.get("XLA_FLAGS", "") + " --xla_force_host_platform_device_count=2"
os.environ.setdefault("JAX_PLATFORMS", "cpu")

import jax
from jaxtyping import install_import_hook

jax.config.update("jax_numpy_dtype_promotion", "strict")
jax.config.update("jax_numpy_rank_promotion", "raise")

# The hook stays, since the package imports its modules when they are first used.
install_import_hook("innerloop", "beartype.beartype")
