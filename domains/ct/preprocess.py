"""From raw projections to ones that a projector explains: rotation axis, rings, beam hardening.

* Axis: the centre of mass of a parallel projection moves as ``k(th) = k_0 + a cos th + b sin th``, whatever the object;
  ``k_0`` is where the axis projects to.
* Rings: a detector pixel whose gain is off adds the same number to all views. The mean over the views, less its median
  along the columns, estimates it.
* Beam hardening: a polynomial ``y -> sum_k c_k y^k`` with ``c_1 = 1``.

References
----------
M. Boin and A. Haibel, "Compensation of ring artefacts in synchrotron tomographic images", Optics Express 14 (2006)
12071, doi:10.1364/OE.14.012071
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from scidiff.errors import ConfigError, DataError

__all__ = ["find_axis", "linearise", "remove_rings"]


def find_axis(projections: Tensor, angles: Tensor) -> float:
    """Detector column of the rotation axis of a parallel-beam scan that is not truncated.

    Parameters
    ----------
    projections
        Line integrals, ``(views, columns)``.
    angles
        Radians, ``(views,)``.

    Returns
    -------
    float
        Column, fractional.

    Raises
    ------
    DataError
        If there are fewer than 8 views, or nothing attenuates.
    """
    y = projections.double()
    mass = y.sum(1)
    if len(y) < 8 or not bool((mass > 0).all()):
        raise DataError(f"{len(y)} views of least mass {float(mass.min()):g} came; expected 8 that all see the object")
    column = torch.arange(y.shape[1], dtype=torch.float64)
    centre = (y * column).sum(1) / mass
    design = torch.stack([torch.ones_like(angles), angles.cos(), angles.sin()], 1).double()
    return float(torch.linalg.lstsq(design, centre[:, None]).solution[0, 0])


def remove_rings(projections: Tensor, width: int = 9) -> Tensor:
    """Subtract what each detector column adds to all views.

    Parameters
    ----------
    projections
        Line integrals, ``(views, *detector)``.
    width
        Columns of the running median, odd; structures of the object that are narrower in the mean over the views
        are taken for rings.

    Returns
    -------
    Tensor
        Corrected line integrals.

    Raises
    ------
    ConfigError
        If the width is even, or wider than the detector.
    """
    if width < 3 or width % 2 == 0 or width > projections.shape[-1]:
        raise ConfigError(f"width is {width}; expected an odd number from 3 to {projections.shape[-1]}")
    mean = projections.mean(0)
    half = width // 2
    padded = torch.cat(
        [mean[..., :1].expand(*mean.shape[:-1], half), mean, mean[..., -1:].expand(*mean.shape[:-1], half)], -1
    )
    smooth = padded.unfold(-1, width, 1).median(-1).values
    return projections - (mean - smooth)


def linearise(projections: Tensor, coefficients: Sequence[float]) -> Tensor:
    """Undo beam hardening with a polynomial.

    Parameters
    ----------
    projections
        Line integrals.
    coefficients
        ``c_2, c_3, ...``; measured on a wedge, or fitted.

    Returns
    -------
    Tensor
        The values ``y + c_2 y^2 + c_3 y^3 + ...`` of the polynomial.
    """
    out = projections.clone()
    for power, c in enumerate(coefficients, start=2):
        out = out + c * projections**power
    return out
