"""Does an image explain a scan? ``chi^2 / n`` with its band, and where the residuals are."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from .grid import Grid
from .scan import Scan

__all__ = ["Validation", "validate"]


@dataclass(frozen=True)
class Validation:
    """What the data say of an image.

    Parameters
    ----------
    chi2
        ``chi^2 / n``.
    band
        Its 95 % band for the true image.
    worst_view, worst_column
        Largest ``|z|`` of the mean residual of one view and of one detector column; about 3 to 4 for the true image,
        more where an axis, a gain or a motion is wrong. A column that is off makes a ring.
    negative
        Share of pixels below 0.
    findings
        Codes of the remarks on the scan.
    """

    chi2: float
    band: tuple[float, float]
    worst_view: float
    worst_column: float
    negative: float
    findings: tuple[str, ...]

    def as_json(self) -> dict[str, Any]:
        """Return a JSON object."""
        return {
            "chi2": self.chi2,
            "chi2_band": list(self.band),
            "worst_view": self.worst_view,
            "worst_column": self.worst_column,
            "negative": self.negative,
            "findings": list(self.findings),
        }

    def _repr_html_(self) -> str:
        """Card for notebooks."""
        from scidiff.io.html import report_card

        return report_card("an image against a scan", self.as_json())


def validate(scan: Scan, image: Tensor, grid: Grid) -> Validation:
    """Compare an image with a scan.

    Parameters
    ----------
    scan
        The data; not necessarily those that the image was made from.
    image
        Attenuation, 1/mm, shape of the grid.
    grid
        Image grid.

    Returns
    -------
    Validation
        The report.
    """
    projected = scan.operator(grid).apply(image.double()[None])[0]
    z = scan.weights.sqrt() * (scan.projections - projected)
    used = (scan.weights > 0).double()
    return Validation(
        float(scan.chi2(projected)),
        scan.interval,
        _worst(z, used, tuple(range(1, z.ndim))),
        _worst(z, used, tuple(range(z.ndim - 1))),
        float((image < 0).double().mean()),
        tuple(finding.code for finding in scan.findings),
    )


def _worst(z: Tensor, used: Tensor, over: tuple[int, ...]) -> float:
    """Largest mean of z-scores in units of its standard deviation."""
    count = used.sum(over)
    score = (z * used).sum(over).abs() / count.clamp_min(1).sqrt()
    worst = float(torch.where(count > 0, score, 0.0).max())
    return worst if math.isfinite(worst) else math.inf
