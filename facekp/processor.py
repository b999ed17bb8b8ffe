"""Chooses the fast kernels of Paddle's CPU build that a processor has but Paddle does not find.

Paddle's CPU wheels bring an old MKL, which gives AMD processors its slowest kernels. It still obeys the environment
variable `MKL_DEBUG_CPU_TYPE`, which it reads when it is loaded: `import facekp` sets it. Import facekp before Paddle.
Set `FACEKP_KERNELS=off`, or the variable itself, to keep this module from choosing. Training also lets the C library
keep the memory that a step frees.
"""

from __future__ import annotations

import ctypes
import os
import sys
from pathlib import Path

VARIABLE = "MKL_DEBUG_CPU_TYPE"
SWITCH = "FACEKP_KERNELS"

#: MKL's name of a set of kernels -> what it is called, and the processor flags that it needs; the fastest first.
KERNELS = {
    "7": ("AVX-512", {"avx512f", "avx512dq", "avx512bw", "avx512vl"}),
    "5": ("AVX2", {"avx2", "fma"}),
}


def fastest_kernels(cpuinfo: str) -> str | None:
    r"""The value of `MKL_DEBUG_CPU_TYPE` that suits a processor.

    Args:
        cpuinfo: The text of `/proc/cpuinfo`.

    Returns:
        A key of `KERNELS`; None where MKL itself chooses well (Intel), or nothing is known.

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
    """Set the environment variable for this process and its children, unless someone has decided already."""
    if VARIABLE in os.environ or os.environ.get(SWITCH) == "off" or "paddle" in sys.modules:
        return
    try:
        chosen = fastest_kernels(Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace"))
    except OSError:  # another system than Linux
        return
    if chosen is not None:
        os.environ[VARIABLE] = chosen


def describe_kernels() -> str:
    """What was chosen, in a few words.

    Example:
        >>> describe_kernels() in ("MKL's own kernels", "AVX2 kernels", "AVX-512 kernels") or VARIABLE in os.environ
        True
    """
    value = os.environ.get(VARIABLE)
    if value is None:
        return "MKL's own kernels"
    return f"{KERNELS[value][0]} kernels" if value in KERNELS else f"{VARIABLE}={value}"


def keep_freed_memory() -> bool:
    """Let this process keep the memory that it frees, for its next use: a training step is up to a quarter faster.

    A step frees and takes the same hundreds of megabytes again and again. glibc gives such blocks back to the system at
    once, and gets them as pages that must be cleared anew.

    Returns:
        Whether it did; False where the C library is not glibc, or `FACEKP_KERNELS=off`.
    """
    if not sys.platform.startswith("linux") or os.environ.get(SWITCH) == "off":
        return False
    try:
        mallopt = ctypes.CDLL("libc.so.6").mallopt
    except (OSError, AttributeError):  # another C library
        return False
    # As malloc.h has them: no block of its own pages, no page given back, and 64 MiB at once when the heap grows.
    trim_threshold, top_pad, mmap_max = -1, -2, -4
    return bool(mallopt(mmap_max, 0) and mallopt(trim_threshold, -1) and mallopt(top_pad, 2**26))
