"""Conditions by rows: what a loop has to do with a condition, whatever it means to the network.

A condition is batch first: a tensor, a mapping of tensors, or an object with ``take(index)``. None, numbers and texts,
and tensors without a batch axis, hold for every sample.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from scidiff.errors import ConfigError

__all__ = ["join_conditions", "take_condition"]


def take_condition(condition: Any, index: Tensor) -> Any:
    """Rows of a condition, in the given order.

    Parameters
    ----------
    condition
        The condition of a batch.
    index
        Numbers of the rows, shape ``(rows,)``.

    Raises
    ------
    ConfigError
        If nothing is known of how to take rows of it.
    """
    if condition is None or isinstance(condition, bool | int | float | str):
        return condition
    if isinstance(condition, Tensor):
        return condition if condition.ndim == 0 else condition[index.to(condition.device)]
    if isinstance(condition, Mapping):
        return {key: take_condition(value, index) for key, value in condition.items()}
    if callable(getattr(condition, "take", None)):
        return condition.take(index)
    raise ConfigError(
        f"rows of a condition of type {type(condition).__name__} were asked for; expected a tensor, a mapping of "
        "tensors, a number, None, or an object with take(index)"
    )


def join_conditions(parts: Sequence[Any]) -> tuple[Any, bool]:
    """Join conditions along the batch where they are of one form.

    Parameters
    ----------
    parts
        Conditions of several batches.

    Returns
    -------
    condition
        The joined condition, None where they cannot be joined.
    joined
        Whether they could.
    """
    first = parts[0]
    if isinstance(first, Tensor):
        alike = all(isinstance(part, Tensor) and part.shape[1:] == first.shape[1:] for part in parts)
        alike = alike and first.ndim > 0 and all(part.ndim > 0 and part.dtype == first.dtype for part in parts)
        return (torch.cat(list(parts)), True) if alike else (None, False)
    if isinstance(first, Mapping):
        if not all(isinstance(part, Mapping) and set(part) == set(first) for part in parts):
            return None, False
        joined = {key: join_conditions([part[key] for part in parts]) for key in first}
        if not all(done for _, done in joined.values()):
            return None, False
        return {key: value for key, (value, _) in joined.items()}, True
    if first is None or isinstance(first, bool | int | float | str):
        same = all(type(part) is type(first) and part == first for part in parts)
        return (first, True) if same else (None, False)
    return None, False
