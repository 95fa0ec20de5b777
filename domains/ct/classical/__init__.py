"""Classical reconstruction, converged: the rows that every other method is measured against."""

from __future__ import annotations

from .fbp import fbp
from .filters import WINDOWS, Window
from .iterative import cgls, conjugate_gradients, pwls, sirt
from .methods import METHODS
from .result import Reconstruction
from .tv import tv
from .weights import DiscrepancyError, by_discrepancy, by_oracle

__all__ = [
    "METHODS",
    "WINDOWS",
    "DiscrepancyError",
    "Reconstruction",
    "Window",
    "by_discrepancy",
    "by_oracle",
    "cgls",
    "conjugate_gradients",
    "fbp",
    "pwls",
    "sirt",
    "tv",
]
