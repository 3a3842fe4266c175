"""What a result was measured with: machine, package versions and commit. No host, user or folder names."""

import contextlib
import ctypes
import importlib.metadata
import os
import platform
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

PACKAGES = ("innerloop", "jax", "jaxlib", "equinox", "optax", "numpyro", "numpy", "safetensors")


def versions() -> dict[str, str]:
    """Versions of Python and of the packages that a result depends on."""
    found = {"python": platform.python_version()}
    for package in PACKAGES:
        try:
            found[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            found[package] = "not installed"
    return found


def machine() -> dict[str, Any]:
    """Processor, cores, memory in GiB, operating system and the devices that JAX computes on."""
    import jax

    return {
        "cpu": _cpu_model(),
        "cores": os.cpu_count(),
        "memory_gib": _memory_gib(),
        "platform": platform.platform(),
        "devices": [device.device_kind for device in jax.devices()],
    }


def usable_cores() -> int:
    """How many cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def share_of_cores(number: int, parts: int) -> list[int]:
    """The cores of process `number` of so many that share this process's; all of them, if there are fewer than processes.

    Empty where the system lets nobody choose.
    """
    cores = sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else []
    return cores[number::parts] or cores


def keep_to(cores: Sequence[int]) -> None:
    """Use these cores alone; to be called before anything is computed. No cores: all, as before."""
    if cores:
        os.sched_setaffinity(0, cores)


M_ARENA_MAX = -8
"""glibc's number for the option."""


def limit_arenas() -> None:
    """From now on the C library makes no more pools of memory for threads than there are cores; else eight times as many.

    Over hours an update's arrays come to lie in all of them, and none gives back quite all that was freed in it. Does nothing
    where the C library is not glibc.
    """
    with contextlib.suppress(OSError, AttributeError, TypeError):
        ctypes.CDLL(None).mallopt(M_ARENA_MAX, usable_cores())


def give_back_memory() -> None:
    """Let the system have what this process has freed, which the C library would keep for later; takes about a millisecond.

    Compiling a training program frees tens to hundreds of MiB. Does nothing where the C library is not glibc.
    """
    with contextlib.suppress(OSError, AttributeError, TypeError):
        ctypes.CDLL(None).malloc_trim(0)


def provenance() -> dict[str, Any]:
    """Machine, versions and commit: the part that all result files share."""
    return {"machine": machine(), "versions": versions(), "commit": commit()}


def _cpu_model() -> str:
    try:
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()


def _memory_gib() -> float | None:
    try:
        return round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30, 1)
    except (ValueError, OSError, AttributeError):
        return None


def commit() -> str | None:
    """The commit of this package's source, with "+changes" if files differ from it; None outside its repository."""
    folder = Path(__file__).parent
    if not _git(folder, "ls-files", "--", "_machine.py"):
        return None
    head = _git(folder, "rev-parse", "HEAD")
    return head and head + ("+changes" if _git(folder, "status", "--porcelain", "--", ".") else "")


def _git(folder: Path, *arguments: str) -> str | None:
    try:
        done = subprocess.run(["git", *arguments], cwd=folder, capture_output=True, text=True, timeout=10, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.strip() if done.returncode == 0 else None


def compilation_cache() -> Path | None:
    """Let JAX keep compiled programs in the user's cache folder, so that the same program starts at once next time.

    Leaves JAX alone where `JAX_COMPILATION_CACHE_DIR` (or the option of that name) is set. None: nowhere to write.
    """
    import jax

    config: Any = jax.config
    if config.jax_compilation_cache_dir:
        return Path(config.jax_compilation_cache_dir)
    try:
        home = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
        folder = Path(home) / "innerloop" / "jax"
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except (OSError, RuntimeError):
        return None
    jax.config.update("jax_compilation_cache_dir", str(folder))
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.2)
    return folder
