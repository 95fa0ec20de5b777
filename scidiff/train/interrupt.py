"""Requests to stop: a signal is noted, the step is finished, and the run writes its checkpoint."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from types import FrameType
from typing import Any

__all__ = ["StopRequest", "stop_on_signal"]


@dataclass
class StopRequest:
    """Whether somebody asked the run to stop.

    Parameters
    ----------
    reason
        Name of the signal; empty while nobody asked.
    """

    reason: str = ""


@contextmanager
def stop_on_signal() -> Iterator[StopRequest]:
    """Turn the first SIGINT or SIGTERM inside a ``with`` block into a request to stop.

    A second one acts as it would have without the block. Outside the main thread, where Python delivers no signals, the
    request stays empty.

    Yields
    ------
    StopRequest
        Filled in when a signal arrives.
    """
    request = StopRequest()
    if threading.current_thread() is not threading.main_thread():
        yield request
        return
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}

    def note(number: int, frame: FrameType | None) -> None:
        request.reason = signal.Signals(number).name
        _restore(before)

    for number in before:
        signal.signal(number, note)
    try:
        yield request
    finally:
        _restore(before)


def _restore(handlers: Mapping[signal.Signals, Any]) -> None:
    for number, handler in handlers.items():
        signal.signal(number, signal.SIG_DFL if handler is None else handler)
