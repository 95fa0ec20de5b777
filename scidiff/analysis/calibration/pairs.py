"""What every check of this package takes: truths, and draws of the posterior given what was observed of each truth."""

from __future__ import annotations

import numpy as np
from torch import Tensor

from scidiff.errors import ConfigError, ShapeError

__all__ = ["Array", "as_array", "as_pairs", "check_confidence"]

Array = np.ndarray | Tensor


def as_array(values: Array) -> np.ndarray:
    """Bring an array or a tensor to float64 on the CPU."""
    return np.asarray(values.detach().cpu() if isinstance(values, Tensor) else values, dtype=np.float64)


def as_pairs(truth: Array, samples: Array) -> tuple[np.ndarray, np.ndarray]:
    """Check truths and draws, and bring them to float64 arrays.

    Parameters
    ----------
    truth
        True values, shape ``(count, dim)``.
    samples
        Draws for each of them, shape ``(count, draws, dim)``.

    Raises
    ------
    ShapeError
        If the shapes do not match, or a value is not finite.
    """
    y, x = as_array(truth), as_array(samples)
    if y.ndim != 2 or x.ndim != 3 or x.shape[::2] != y.shape or 0 in x.shape:
        raise ShapeError(
            f"truth has shape {y.shape} and samples {x.shape}; expected (count, dim) and (count, draws, dim): flatten "
            "the event, and put the draws on axis 1"
        )
    if not (np.isfinite(y).all() and np.isfinite(x).all()):
        raise ShapeError("truth or samples hold a value that is not finite; leave such rows out and say how many")
    return y, x


def check_confidence(confidence: float) -> None:
    """Refuse a confidence or a level outside (0, 1)."""
    if not 0 < confidence < 1:
        raise ConfigError(f"a confidence or level is {confidence}; expected a number between 0 and 1")
