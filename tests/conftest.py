"""Strict by default: no silent dtype or rank promotion, two virtual CPU devices, shapes checked, warnings are errors."""

import gc
import os
from collections.abc import Iterator
from pathlib import Path

# Most of the time of these tests is compilation, so programs are optimised little, and compiled without the fusion
# emitters of XLA's CPU backend.
os.environ["XLA_FLAGS"] = " ".join(
    [
        os.environ.get("XLA_FLAGS", ""),
        "--xla_force_host_platform_device_count=2",
        "--xla_backend_optimization_level=0",
        "--xla_cpu_use_fusion_emitters=false",
    ]
)
os.environ.setdefault("JAX_PLATFORMS", "cpu")

import jax
import pytest
from jax.experimental.compilation_cache.compilation_cache import reset_cache
from jaxtyping import install_import_hook

# Tracing makes millions of objects that live on, and looking through them again and again takes a tenth of the time.
gc.set_threshold(50_000, 20, 50)

jax.config.update("jax_numpy_dtype_promotion", "strict")
jax.config.update("jax_numpy_rank_promotion", "raise")

# The hook stays, since the package imports its modules when they are first used.
install_import_hook("innerloop", "beartype.beartype")


MAPS = Path("/proc/self/maps")
MOST_MAPS = 30_000
"""Compiled programs stay mapped, and Linux allows a process 65,530 mappings by default: beyond, XLA crashes."""


@pytest.fixture(autouse=True)
def few_mappings() -> Iterator[None]:
    """Forget compiled programs when there are many."""
    yield
    if MAPS.exists() and MAPS.read_text().count("\n") > MOST_MAPS:
        jax.clear_caches()


@pytest.fixture(scope="session", autouse=True)
def program_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Programs compiled once are not compiled again, neither here nor in processes that are told of the folder."""
    folder = tmp_path_factory.mktemp("programs")
    settings = {
        "jax_compilation_cache_dir": str(folder),
        "jax_persistent_cache_min_compile_time_secs": 0.0,
        "jax_persistent_cache_min_entry_size_bytes": -1,
    }
    before = {name: getattr(jax.config, name) for name in settings}
    for name, value in settings.items():
        jax.config.update(name, value)
    reset_cache()
    yield folder
    for name, value in before.items():
        jax.config.update(name, value)
    reset_cache()


@pytest.fixture
def double() -> Iterator[None]:
    """Float64, in which finite differences are worth comparing with."""
    with jax.enable_x64(True), jax.numpy_dtype_promotion("standard"):
        yield
