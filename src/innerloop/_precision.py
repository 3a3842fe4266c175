"""How exactly matrices are multiplied. Everything else, and what is stored, is in float32 in any case."""

from contextlib import AbstractContextManager
from typing import Literal

import jax

Products = Literal["default", "bfloat16", "float32"]
"""default: what JAX does on the device: TF32 on NVIDIA's GPUs from A100 on, float32 on CPUs. bfloat16: factors are rounded to
bfloat16 and added up in float32, on devices that have units for it; CPUs go on with float32. float32: everywhere."""

ALGORITHMS = {"default": None, "bfloat16": "BF16_BF16_F32", "float32": "float32"}


def multiplying(products: Products) -> AbstractContextManager[object]:
    """What is traced inside multiplies matrices in this way, unless it says otherwise itself."""
    asked = products if products != "bfloat16" or has_bfloat16() else "default"
    return jax.default_matmul_precision(ALGORITHMS[asked])


def has_bfloat16() -> bool:
    """Whether the device has units for it. XLA's CPU backend (jaxlib 0.10) compiles some such products and refuses others."""
    return jax.default_backend() != "cpu"


def exactly() -> AbstractContextManager[object]:
    """For sums that cancel, and systems that are solved: float32, whatever a run asks for."""
    return multiplying("float32")
