"""On what a result was made: versions, machine, threads. Every report and every demonstration carries this header."""

from __future__ import annotations

import os
import platform
from typing import Any

__all__ = ["environment"]


def environment() -> dict[str, Any]:
    """Describe the software and the machine.

    Returns
    -------
    dict
        The common entries of `scidiff.io.provenance.provenance` with ``processor``, ``cores`` (those this process may
        use), ``threads`` of torch and ``accelerator``.
    """
    import torch

    from scidiff.io.provenance import provenance

    return provenance(
        processor=_processor(),
        cores=len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        threads=torch.get_num_threads(),
        accelerator=torch.cuda.get_device_name(0) if torch.cuda.is_available() else "none",
    )


def _processor() -> str:
    """Name of the processor; on Linux as the kernel prints it."""
    try:
        with open("/proc/cpuinfo", encoding="utf-8") as file:
            names = [line.partition(":")[2].strip() for line in file if line.startswith("model name")]
    except OSError:
        names = []
    return names[0] if names else platform.processor() or platform.machine()
