"""What this processor is good at."""

import contextlib
import functools
from pathlib import Path


@functools.cache
def fast_bf16() -> bool:
    """Whether this processor multiplies bfloat16 in hardware (AMX or AVX-512 BF16); elsewhere autocast only costs time."""
    with contextlib.suppress(OSError):
        flags = next((line for line in Path("/proc/cpuinfo").read_text().splitlines() if line.startswith("flags")), "")
        return bool({"amx_bf16", "avx512_bf16"} & set(flags.split()))
    return False
