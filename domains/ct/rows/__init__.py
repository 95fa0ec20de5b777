"""Groups of rows of the benchmark."""

from __future__ import annotations

from .calibration import calibration_rows
from .classical import classical_rows
from .dm4ct import dm4ct_rows
from .evidence import evidence_rows
from .memory import memory_rows
from .methods import method_rows
from .operators import operator_rows
from .priors import prior_rows
from .siemens import siemens_rows
from .speed import speed_rows
from .tooth import tooth_rows

__all__ = [
    "calibration_rows",
    "classical_rows",
    "dm4ct_rows",
    "evidence_rows",
    "memory_rows",
    "method_rows",
    "operator_rows",
    "prior_rows",
    "siemens_rows",
    "speed_rows",
    "tooth_rows",
]
