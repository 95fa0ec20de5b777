"""Groups of rows of the benchmark."""

from __future__ import annotations

from .classical import classical_rows
from .operators import operator_rows
from .speed import speed_rows
from .tooth import tooth_rows

__all__ = ["classical_rows", "operator_rows", "speed_rows", "tooth_rows"]
