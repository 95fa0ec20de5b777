"""Errors that name the file: what a check of numbers says, with the file and its field put before it."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from scidiff.errors import ConfigError, DataError

__all__ = ["in_file", "numbers"]


@contextlib.contextmanager
def in_file(path: str | Path, **fields: str) -> Iterator[None]:
    """Put the file before the message of a `DataError` or `ConfigError` of the block.

    Parameters
    ----------
    path
        The file.
    **fields
        What a word of the message is called in the file: ``counts="/exchange/data"``.

    Raises
    ------
    DataError
        With the file, and the fields that the message speaks of.
    """
    try:
        yield
    except (ConfigError, DataError) as error:
        message = str(error)
        if str(path) in message:
            raise
        told = ", ".join(f"{word} are {name}" for word, name in fields.items() if word in message)
        raise DataError(f"{path}: {message}" + (f" ({told})" if told else "")) from error


def numbers(values: Any, place: str) -> np.ndarray:
    """Values of a field as float64.

    Parameters
    ----------
    values
        An array, a dataset, or what a file holds instead.
    place
        File and field, for the message.

    Raises
    ------
    DataError
        If they are no numbers.
    """
    try:
        array = np.asarray(values)
        if array.dtype.kind not in "biuf":
            raise TypeError(f"values of the type {array.dtype}")
        return array.astype(np.float64)
    except (TypeError, ValueError) as error:
        raise DataError(f"{place} holds no numbers ({error}); expected numbers alone") from error
