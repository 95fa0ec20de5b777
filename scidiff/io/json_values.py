"""Values as JSON has them: a number is finite or null, and a scalar of NumPy or torch is a plain number."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

__all__ = ["json_value"]


def json_value(value: Any) -> Any:
    """Put null in the place of numbers that JSON cannot hold, at any depth.

    Parameters
    ----------
    value
        A number, a truth, a text, None, or mappings and sequences of such.

    Returns
    -------
    Any
        The same with dicts and lists, plain numbers, and None for NaN and infinity; other values as they came.

    Examples
    --------
    >>> json_value({"mean": float("nan"), "rows": (1, 2.5)})
    {'mean': None, 'rows': [1, 2.5]}
    """
    if getattr(value, "ndim", None) == 0:
        value = value.item()
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {name: json_value(each) for name, each in value.items()}
    if isinstance(value, Sequence) and not isinstance(value, str | bytes):
        return [json_value(each) for each in value]
    return value
