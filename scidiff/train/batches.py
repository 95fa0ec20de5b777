"""Batches of a run: made ahead of time if wished, and moved to the network's device.

A batch is a function of its number, so the next one can be made in a thread while the present one is used, and no
order of threads can change what a step sees.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import fields, is_dataclass, replace
from typing import Any

import torch
from torch import Tensor

__all__ = ["BatchSource", "leading_axis", "to_device"]


class BatchSource:
    """Call a pure batch function, up to ``ahead`` batches before they are asked for.

    Parameters
    ----------
    make
        Batch by number.
    total
        Number of batches; none is made at or beyond it.
    ahead
        Batches made in advance; 0 makes each when it is asked for, in the calling thread.
    """

    def __init__(self, make: Callable[[int], Any], total: int, ahead: int) -> None:
        self._make = make
        self._total = total
        self._ahead = ahead
        self._pending: dict[int, Future[Any]] = {}
        self._pool = ThreadPoolExecutor(1, thread_name_prefix="batch") if ahead else None

    def get(self, index: int) -> Any:
        """Batch number ``index``.

        Parameters
        ----------
        index
            Number of the batch, from 0.

        Returns
        -------
        Any
            What the function made; its exception is raised here.
        """
        if self._pool is None:
            return self._make(index)
        for number in range(index, min(index + 1 + self._ahead, self._total)):
            if number not in self._pending:
                self._pending[number] = self._pool.submit(self._make, number)
        return self._pending.pop(index).result()

    def close(self) -> None:
        """Drop the batches that nobody asked for."""
        if self._pool is not None:
            self._pool.shutdown(wait=True, cancel_futures=True)


def to_device(batch: Any, device: torch.device) -> Any:
    """Move the tensors of a batch.

    Parameters
    ----------
    batch
        A tensor or an object with a ``to`` method, or such in dataclasses, mappings, lists and tuples; anything else
        is passed through.
    device
        Where they go.

    Returns
    -------
    Any
        The same structure on the device.
    """
    if hasattr(batch, "to"):
        return batch.to(device, non_blocking=True) if isinstance(batch, Tensor) else batch.to(device)
    if is_dataclass(batch) and not isinstance(batch, type):
        return replace(batch, **{f.name: to_device(getattr(batch, f.name), device) for f in fields(batch) if f.init})
    if isinstance(batch, dict):
        return {name: to_device(value, device) for name, value in batch.items()}
    if isinstance(batch, tuple) and hasattr(batch, "_fields"):
        return type(batch)(*(to_device(value, device) for value in batch))
    if isinstance(batch, (list, tuple)):
        return type(batch)(to_device(value, device) for value in batch)
    return batch


def leading_axis(batch: Any) -> int:
    """Length of the first axis of the first tensor found in a batch.

    Parameters
    ----------
    batch
        A tensor, or tensors in dataclasses, mappings, lists and tuples.

    Returns
    -------
    int
        Number of samples; 0 when no tensor with an axis is found.
    """
    if isinstance(batch, Tensor):
        return batch.shape[0] if batch.ndim else 0
    if is_dataclass(batch):
        parts: list[Any] = [getattr(batch, field.name) for field in fields(batch)]
    elif isinstance(batch, dict):
        parts = list(batch.values())
    else:
        parts = list(batch) if isinstance(batch, (list, tuple)) else []
    return next((count for count in map(leading_axis, parts) if count), 0)
