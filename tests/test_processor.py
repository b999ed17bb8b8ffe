"""Choice of MKL's kernels for a processor from /proc/cpuinfo, and correct products from each of them."""

import os
import platform
import subprocess
import sys
from pathlib import Path

import pytest

from facekp.processor import KERNELS, SWITCH, VARIABLE, choose_kernels, describe_kernels, fastest_kernels

#: Recorded excerpts of /proc/cpuinfo: an EPYC 9004, a Ryzen 5000, an Opteron 6100, a Xeon 8400.
AMD_AVX512 = """\
processor\t: 0
vendor_id\t: AuthenticAMD
cpu family\t: 25
model\t\t: 17
model name\t: AMD EPYC 9554 64-Core Processor
flags\t\t: fpu vme de pse tsc msr sse sse2 ht syscall nx lm ssse3 fma cx16 sse4_1 sse4_2 movbe popcnt aes avx f16c \
bmi1 avx2 smep bmi2 avx512f avx512dq rdseed adx smap avx512ifma clflushopt clwb avx512cd sha_ni avx512bw avx512vl \
avx512_bf16 avx512vbmi avx512_vbmi2 avx512_vnni
bogomips\t: 6190.69

processor\t: 1
vendor_id\t: AuthenticAMD
flags\t\t: fpu
"""
AMD_AVX2 = """\
processor\t: 0
vendor_id\t: AuthenticAMD
cpu family\t: 25
model\t\t: 33
model name\t: AMD Ryzen 9 5900X 12-Core Processor
flags\t\t: fpu vme de pse tsc msr sse sse2 ht syscall nx lm pni ssse3 fma cx16 sse4_1 sse4_2 movbe popcnt aes avx \
f16c abm sse4a bmi1 avx2 smep bmi2 rdseed adx smap clflushopt clwb sha_ni
"""
AMD_OLD = """\
processor\t: 0
vendor_id\t: AuthenticAMD
cpu family\t: 16
model\t\t: 9
model name\t: AMD Opteron(tm) Processor 6172
flags\t\t: fpu vme de pse tsc msr sse sse2 ht syscall nx mmxext fxsr_opt lm 3dnowext 3dnow pni cx16 popcnt abm sse4a
"""
INTEL = """\
processor\t: 0
vendor_id\t: GenuineIntel
cpu family\t: 6
model\t\t: 143
model name\t: Intel(R) Xeon(R) Platinum 8481C CPU @ 2.70GHz
flags\t\t: fpu vme de pse tsc msr sse sse2 ss ht syscall nx lm ssse3 fma cx16 sse4_1 sse4_2 movbe popcnt aes avx f16c \
bmi1 avx2 bmi2 avx512f avx512dq avx512cd avx512bw avx512vl
"""
ARM = "processor\t: 0\nBogoMIPS\t: 50.00\nFeatures\t: fp asimd aes crc32\nCPU implementer\t: 0x41\n"

RECORDED = {
    "AMD with AVX-512": (AMD_AVX512, "7"),
    "AMD with a part of AVX-512": (AMD_AVX512.replace(" avx512vl", ""), "5"),
    "AMD with AVX2": (AMD_AVX2, "5"),
    "AMD with AVX2 and no FMA": (AMD_AVX2.replace(" fma", ""), None),
    "AMD with neither": (AMD_OLD, None),
    "AMD that says no more": ("vendor_id : AuthenticAMD", None),
    "Intel": (INTEL, None),
    "ARM": (ARM, None),
    "nothing": ("", None),
    "nonsense": ("::\n\0: x\nflags", None),
}


@pytest.mark.parametrize(("cpuinfo", "value"), RECORDED.values(), ids=RECORDED)
def test_the_kernels_of_a_processor(cpuinfo, value):
    assert fastest_kernels(cpuinfo) == value


@pytest.fixture
def elsewhere(monkeypatch):
    """Make this process appear to run on another processor, without Paddle imported."""
    monkeypatch.delenv(VARIABLE, raising=False)
    monkeypatch.delenv(SWITCH, raising=False)
    monkeypatch.delitem(sys.modules, "paddle", raising=False)

    def put(cpuinfo):
        def read_text(path, *args, **kwargs):
            assert path == Path("/proc/cpuinfo")
            if cpuinfo is None:
                raise FileNotFoundError(path)
            return cpuinfo

        monkeypatch.setattr(Path, "read_text", read_text)

    return put


@pytest.mark.parametrize(
    ("cpuinfo", "value", "words"),
    [
        (AMD_AVX512, "7", "AVX-512 kernels"),
        (AMD_AVX2, "5", "AVX2 kernels"),
        (AMD_OLD, None, "MKL's own kernels"),
        (INTEL, None, "MKL's own kernels"),
        (None, None, "MKL's own kernels"),  # not Linux
    ],
)
def test_the_environment_says_what_was_chosen(elsewhere, cpuinfo, value, words):
    elsewhere(cpuinfo)
    choose_kernels()
    assert os.environ.get(VARIABLE) == value
    assert describe_kernels() == words


def test_a_value_set_by_the_user_is_kept(elsewhere, monkeypatch):
    elsewhere(AMD_AVX512)
    for value, words in (("5", "AVX2 kernels"), ("4", f"{VARIABLE}=4"), ("", f"{VARIABLE}=")):
        monkeypatch.setenv(VARIABLE, value)
        choose_kernels()
        assert os.environ[VARIABLE] == value and describe_kernels() == words


def test_the_choice_can_be_switched_off(elsewhere, monkeypatch):
    elsewhere(AMD_AVX512)
    monkeypatch.setenv(SWITCH, "off")
    choose_kernels()
    assert VARIABLE not in os.environ
    monkeypatch.setenv(SWITCH, "on")
    choose_kernels()
    assert os.environ[VARIABLE] == "7"


def test_it_is_too_late_once_paddle_is_there(elsewhere, monkeypatch):
    elsewhere(AMD_AVX512)
    monkeypatch.setitem(sys.modules, "paddle", object())
    choose_kernels()
    assert VARIABLE not in os.environ


def child(code, **environment):
    """Return what a new Python process prints."""
    kept = {name: value for name, value in os.environ.items() if name not in (VARIABLE, SWITCH)}
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, env={**kept, **environment}, timeout=240
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


SAY = f"import facekp, os; print(os.environ.get('{VARIABLE}'))"


def test_importing_facekp_chooses():
    cpuinfo = Path("/proc/cpuinfo")
    here = fastest_kernels(cpuinfo.read_text()) if cpuinfo.exists() else None
    assert child(SAY) == str(here)
    assert child(SAY, **{SWITCH: "off"}) == "None"
    assert child(SAY, **{VARIABLE: "4"}) == "4"


def supported():
    """Return the kernels that this machine's processor can run, whatever its vendor."""
    cpuinfo = Path("/proc/cpuinfo")
    lines = cpuinfo.read_text().splitlines() if cpuinfo.exists() else []
    flags = next((set(line.partition(":")[2].split()) for line in lines if line.startswith("flags")), set())
    return [value for value, (_, needed) in KERNELS.items() if needed <= flags]


MULTIPLY = """
import facekp, os
import numpy as np, paddle
paddle.set_device("cpu")
rng = np.random.default_rng(0)
for rows, inner, columns in ((3, 5, 7), (64, 64, 64), (130, 257, 65), (1, 1000, 1)):
    a, b = rng.normal(size=(rows, inner)), rng.normal(size=(inner, columns))
    a, b = a.astype(np.float32), b.astype(np.float32)
    product = paddle.matmul(paddle.to_tensor(a), paddle.to_tensor(b)).numpy().astype(np.float64)
    exact = a.astype(np.float64) @ b.astype(np.float64)
    # Rounding of each of the `inner` sums, of numbers no larger than the products' absolute values together.
    bound = inner * np.finfo(np.float32).eps * (np.abs(a).astype(np.float64) @ np.abs(b).astype(np.float64))
    assert (np.abs(product - exact) <= bound).all(), np.abs(product - exact).max()
print(os.environ.get("MKL_DEBUG_CPU_TYPE"))
"""


@pytest.mark.parametrize("value", [None, *supported()])
def test_all_kernels_multiply_right(value):
    environment = {SWITCH: "off"} if value is None else {VARIABLE: value}
    assert child(MULTIPLY, **environment) == str(value)


FAULTS = """
import resource, sys
import facekp, numpy as np
from facekp.processor import keep_freed_memory
kept = keep_freed_memory()
def step():
    for _ in range(20):
        np.ones(5_000_000)  # 40 MB: more than malloc takes from its heap of its own accord
step()
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
step()
print(kept, resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="needs glibc's mallopt")
def test_memory_that_was_freed_is_used_again():
    kept, faults = child(FAULTS).split()
    assert kept == "True" and int(faults) < 20
    off, many = child(FAULTS, **{SWITCH: "off"}).split()
    assert off == "False" and int(many) >= 20 * 10  # an array has 19 huge pages, or 10,000 ordinary ones
