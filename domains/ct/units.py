"""Attenuation ``mu`` in 1/mm and Hounsfield units, ``HU = 1000 (mu / mu_water - 1)``."""

from __future__ import annotations

from typing import TypeVar

import numpy as np
from torch import Tensor

__all__ = ["MU_WATER", "from_hu", "to_hu"]

MU_WATER = 0.0193  # 1/mm, water at 70 keV, near the mean energy of a 120 kV beam (NIST XCOM: 0.193 1/cm)

Values = TypeVar("Values", Tensor, np.ndarray, float)


def from_hu(hu: Values, mu_water: float = MU_WATER) -> Values:
    """Attenuation in 1/mm of values in HU.

    Parameters
    ----------
    hu
        Values in Hounsfield units, any shape.
    mu_water
        Attenuation of water, 1/mm.

    Returns
    -------
    Tensor or array
        ``mu_water (1 + hu / 1000)``; air is 0.
    """
    return mu_water * (1.0 + hu / 1000.0)


def to_hu(mu: Values, mu_water: float = MU_WATER) -> Values:
    """Hounsfield units of attenuations in 1/mm.

    Parameters
    ----------
    mu
        Attenuation, 1/mm, any shape.
    mu_water
        Attenuation of water, 1/mm.

    Returns
    -------
    Tensor or array
        ``1000 (mu / mu_water - 1)``.
    """
    return 1000.0 * (mu / mu_water - 1.0)
