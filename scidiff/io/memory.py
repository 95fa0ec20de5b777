"""The largest resident memory of this process.

``ru_maxrss`` of ``getrusage`` is not it on Linux: a process inherits there the mark of the one that started it. The
high-water mark of its own address space, ``VmHWM``, begins anew.
"""

from __future__ import annotations

import resource
import sys
from pathlib import Path

__all__ = ["peak_memory"]

_STATUS = Path("/proc/self/status")


def peak_memory() -> float:
    """Return the largest resident memory so far, MB (2^20 bytes).

    Returns
    -------
    float
        ``VmHWM`` on Linux, ``ru_maxrss`` elsewhere.
    """
    if _STATUS.exists():
        for line in _STATUS.read_text(encoding="ascii", errors="replace").splitlines():
            if line.startswith("VmHWM:"):
                return float(line.split()[1]) / 2**10
    scale = 2.0**20 if sys.platform == "darwin" else 2.0**10
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / scale
