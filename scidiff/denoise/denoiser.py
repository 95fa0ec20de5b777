"""A denoiser: ``(x_t, t, condition) -> prediction``, with the tag of what it predicts.

It knows nothing of steps and keeps no state. A call is one evaluation of the network for every sample of the batch;
the loop books it in the ledger of the run.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from scidiff.process.base import Kind
from scidiff.spaces import State

__all__ = ["Denoiser"]


@dataclass(frozen=True)
class Denoiser:
    """A network, or a closed form, with its prediction kind.

    Parameters
    ----------
    function
        Maps state, per-site time and condition to a prediction.
    kind
        What the function predicts: one kind, or one per factor of a product.
    """

    function: Callable[[State, State, Any], State]
    kind: Kind | Mapping[str, Kind]

    def __call__(self, x: State, t: State, condition: Any = None) -> State:
        """Evaluate once."""
        return self.function(x, t, condition)
