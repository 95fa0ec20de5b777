"""Loaded by a worker of the local cluster at its start: Ctrl-C is for the coordinator, which ends its workers."""

from __future__ import annotations

import signal
from typing import Any

__all__ = ["dask_setup"]


def dask_setup(worker: Any) -> None:
    """Leave the signal of a terminal to the coordinator.

    Parameters
    ----------
    worker
        The worker of Dask.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)
