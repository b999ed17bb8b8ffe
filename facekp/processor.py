"""Selection of fast kernels in Paddle's CPU build that a processor supports but Paddle does not select.

Paddle's CPU wheels contain an old MKL, which uses its slowest kernels on AMD processors. It still honours the
environment variable `MKL_DEBUG_CPU_TYPE`, which it reads when it is loaded: `import facekp` sets it. Import facekp
before Paddle. Set `FACEKP_KERNELS=off`, or the variable itself, to disable this selection. Training also makes the C
library keep the memory that a step frees.
"""

from __future__ import annotations

import ctypes
import os
import sys
from pathlib import Path

VARIABLE = "MKL_DEBUG_CPU_TYPE"
SWITCH = "FACEKP_KERNELS"

#: Value of `MKL_DEBUG_CPU_TYPE` -> name of the kernels and the processor flags that they need, fastest first.
KERNELS = {
    "7": ("AVX-512", {"avx512f", "avx512dq", "avx512bw", "avx512vl"}),
    "5": ("AVX2", {"avx2", "fma"}),
}


def fastest_kernels(cpuinfo: str) -> str | None:
    r"""Return the value of `MKL_DEBUG_CPU_TYPE` for a processor.

    Args:
        cpuinfo: The text of `/proc/cpuinfo`.

    Returns:
        A key of `KERNELS`; None where MKL itself selects well (Intel), or no kernels are known.

    Example:
        >>> fastest_kernels("vendor_id : AuthenticAMD\nflags : fpu avx2 fma")
        '5'
    """
    fields: dict[str, str] = {}
    for line in cpuinfo.splitlines():
        name, _, value = line.partition(":")
        fields.setdefault(name.strip(), value.strip())
    if fields.get("vendor_id") != "AuthenticAMD":
        return None
    flags = set(fields.get("flags", "").split())
    return next((value for value, (_, needed) in KERNELS.items() if needed <= flags), None)


def choose_kernels() -> None:
    """Set the environment variable for this process and its children, unless it is set or disabled already."""
    if VARIABLE in os.environ or os.environ.get(SWITCH) == "off" or "paddle" in sys.modules:
        return
    try:
        chosen = fastest_kernels(Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace"))
    except OSError:  # not Linux
        return
    if chosen is not None:
        os.environ[VARIABLE] = chosen


def describe_kernels() -> str:
    """Return a short description of the selected kernels.

    Example:
        >>> describe_kernels() in ("MKL's own kernels", "AVX2 kernels", "AVX-512 kernels") or VARIABLE in os.environ
        True
    """
    value = os.environ.get(VARIABLE)
    if value is None:
        return "MKL's own kernels"
    return f"{KERNELS[value][0]} kernels" if value in KERNELS else f"{VARIABLE}={value}"


def keep_freed_memory() -> bool:
    """Make this process keep freed memory for reuse: a training step is up to a quarter faster.

    A step repeatedly frees and allocates the same hundreds of megabytes. glibc returns such blocks to the system at
    once, and receives them as pages that must be cleared again.

    Returns:
        Whether it was enabled; False if the C library is not glibc, or with `FACEKP_KERNELS=off`.
    """
    if not sys.platform.startswith("linux") or os.environ.get(SWITCH) == "off":
        return False
    try:
        mallopt = ctypes.CDLL("libc.so.6").mallopt
    except (OSError, AttributeError):  # another C library
        return False
    # Constants of malloc.h: no blocks in pages of their own, no pages returned, and the heap grows by 64 MiB at once.
    trim_threshold, top_pad, mmap_max = -1, -2, -4
    return bool(mallopt(mmap_max, 0) and mallopt(trim_threshold, -1) and mallopt(top_pad, 2**26))
