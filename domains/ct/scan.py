"""A scan: line integrals with their weights and their geometry, however they were measured.

``chi^2 / n = (1/n) sum w_i (y_i - (A x)_i)^2`` over the ``n`` rays with ``w_i > 0`` is 1 for the true image, with
standard deviation ``sqrt(2 / n)``; of a reconstruction it says over- or under-fitting.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Self

import numpy as np
import torch
from torch import Tensor

from scidiff.errors import DataError
from scidiff.guidance.reward import GaussianLikelihood
from scidiff.spaces.linear import LinearOperator

from .checks import Finding, ScanWarning, check_counts, check_projections, check_units, findings, saturated
from .counts import log_transform
from .geometry import Fan, Geometry, Parallel, chosen
from .grid import Grid
from .operators import MatrixFree, system_matrix
from .operators.used import UsedRays

__all__ = ["Scan"]

_LARGEST_MATRIX = 1.5e8


def _frames(name: str, value: Any, geometry: Geometry) -> Any:
    """Check frames of the detector; a single one becomes a stack, a number stays."""
    if value is None or isinstance(value, int | float):
        return value
    frames = torch.as_tensor(np.asarray(value)).double()
    if not len(frames):
        raise DataError(f"{name} hold no frame; expected at least one of shape {geometry.detector}")
    frames = frames[None] if tuple(frames.shape) == geometry.detector else frames
    if tuple(frames.shape[1:]) != geometry.detector:
        raise DataError(f"{name} have shape {tuple(frames.shape)}; expected (frames, *{geometry.detector})")
    check_counts(frames, name)
    return frames


@dataclass(frozen=True, eq=False)
class Scan:
    """Data of one scan; make one with `from_counts` or `from_projections`.

    Parameters
    ----------
    projections
        Line integrals ``y``, float64, shape of the geometry.
    weights
        ``1 / var(y)``, same shape; 0 for rays that are not to be used.
    geometry
        Which ray belongs to which datum.
    findings
        What the plausibility checks remarked.
    facts
        Where the data came from.
    """

    projections: Tensor
    weights: Tensor
    geometry: Geometry
    findings: tuple[Finding, ...] = ()
    facts: Mapping[str, Any] = field(default_factory=dict)

    @classmethod
    def from_counts(
        cls,
        counts: Tensor | np.ndarray,
        geometry: Geometry,
        flats: Tensor | np.ndarray | float,
        darks: Tensor | np.ndarray | None = None,
        gain: float | None = None,
        saturation: float | None = None,
        plausible: tuple[float, float] | None = None,
        facts: Mapping[str, Any] | None = None,
    ) -> Self:
        """Read a scan from counts.

        Parameters
        ----------
        counts
            ``(views, *detector)``.
        geometry
            Geometry of the scan.
        flats
            Frames without the object ``(frames, *detector)``, or the unattenuated count ``I_0``.
        darks
            Frames without the beam.
        gain
            Variance per count; estimated from 4 or more flats by default.
        saturation
            Count at which the detector saturates.
        plausible
            Range of the object's mean attenuation, 1/mm, to recognise wrong units.
        facts
            Where the data came from.

        Returns
        -------
        Scan
            With weights from the counts. Remarks of the checks are kept and given as `ScanWarning`.

        Raises
        ------
        DataError
            If the data cannot belong to the geometry, are no counts, or have impossible units.
        """
        values = torch.as_tensor(np.asarray(counts)).double()
        check_counts(values)
        check_projections(values, geometry)
        if flats is None:
            raise DataError("no flats came; expected frames without the object, or the unattenuated count as a number")
        bright, dark = _frames("flats", flats, geometry), _frames("darks", darks, geometry)
        read = log_transform(values, bright, dark, gain)
        mask, finding = saturated(values, saturation)
        found = [] if finding is None else [finding]
        if read.starved:
            message = f"{read.starved} rays have no count above the darks; they get weight 0"
            found.append(Finding("starved", message))
        weights = torch.where(mask, 0.0, read.weights)
        facts = {**(facts or {}), "gain": read.gain}
        return cls._checked(read.projections, weights, geometry, found, plausible, facts)

    @classmethod
    def from_projections(
        cls,
        projections: Tensor | np.ndarray,
        geometry: Geometry,
        i0: float | None = None,
        sd: float | Tensor | None = None,
        plausible: tuple[float, float] | None = None,
        facts: Mapping[str, Any] | None = None,
    ) -> Self:
        """Take line integrals whose logarithm was taken elsewhere.

        Parameters
        ----------
        projections
            ``y``, shape of the geometry.
        geometry
            Geometry of the scan.
        i0
            Unattenuated count; weights are then the expected counts ``i0 exp(-y)``.
        sd
            Standard deviation of ``y``, instead: a number or one for each ray.
        plausible, facts
            As for `from_counts`.

        Returns
        -------
        Scan
            The scan.

        Raises
        ------
        DataError
            If neither or both of `i0` and `sd` are given, or the data are impossible.
        """
        y = torch.as_tensor(np.asarray(projections)).double()
        check_projections(y, geometry)
        if (i0 is None) == (sd is None):
            raise DataError(f"i0 is {i0} and sd is {sd}; expected exactly one: without it the noise is unknown")
        if i0 is not None:
            weights = i0 * torch.exp(-y)
        else:
            weights = torch.as_tensor(sd).double().expand(y.shape) ** -2.0
        if not bool((weights > 0).all() and weights.isfinite().all()):
            raise DataError("the noise level is not positive and finite; expected i0 > 0 or sd > 0")
        return cls._checked(y, weights.clone(), geometry, [], plausible, facts or {})

    @classmethod
    def _checked(
        cls,
        y: Tensor,
        weights: Tensor,
        geometry: Geometry,
        found: list[Finding],
        plausible: tuple[float, float] | None,
        facts: Mapping[str, Any],
    ) -> Self:
        if not bool((weights > 0).any()):
            raise DataError(
                "no ray has a positive weight: all are starved or saturated; expected counts above the darks and below "
                "the saturation of the detector"
            )
        mu = check_units(torch.where(weights > 0, y, 0.0), geometry, plausible)
        found = [*found, *findings(y, weights, geometry)]
        for finding in found:
            warnings.warn(f"{finding.code}: {finding.message}", ScanWarning, stacklevel=3)
        facts = facts if math.isnan(mu) else {**facts, "mean_attenuation": mu}
        return cls(y, weights, geometry, tuple(found), facts)

    @property
    def used(self) -> int:
        """Number of rays with a positive weight."""
        return int((self.weights > 0).sum())

    @property
    def interval(self) -> tuple[float, float]:
        """95 % band of ``chi^2 / n`` of the true image."""
        half = 1.96 * math.sqrt(2.0 / max(self.used, 1))
        return 1.0 - half, 1.0 + half

    def operator(self, grid: Grid, dtype: torch.dtype = torch.float32) -> LinearOperator:
        """Projector of the scan: a system matrix where it fits into memory, a matrix-free one elsewhere.

        Parameters
        ----------
        grid
            Image grid.
        dtype
            Type of the entries of a matrix.
        """
        stored = self.projections.numel() * 2.0 * max(grid.shape)
        if grid.dimension == 2 and stored <= _LARGEST_MATRIX:
            return system_matrix(self.geometry, grid, dtype)
        return MatrixFree(self.geometry, grid)

    def chi2(self, projected: Tensor) -> Tensor:
        """``chi^2 / n`` of projected images.

        Parameters
        ----------
        projected
            ``A x``, ``(batch, *shape)`` or one of that shape.

        Returns
        -------
        Tensor
            Float64, ``(batch,)`` or ``()``.
        """
        terms = self.weights * (self.projections - projected.double().cpu()) ** 2
        return terms.flatten(-self.projections.ndim).sum(-1) / self.used

    def select(self, views: Tensor | Sequence[int] | slice) -> Self:
        """Keep some views.

        Parameters
        ----------
        views
            Their numbers.
        """
        index = chosen(views)
        geometry = self.geometry.select(index)
        return replace(self, projections=self.projections[index], weights=self.weights[index], geometry=geometry)

    def binned(self, factor: int) -> Self:
        """Join neighbouring detector columns: means by weight, and the sums of the weights.

        Parameters
        ----------
        factor
            Columns that become one; what is left at the end is dropped.

        Raises
        ------
        DataError
            If the geometry has no columns of one pitch, or fewer than `factor`.
        """
        geometry = self.geometry
        if not isinstance(geometry, Parallel | Fan) or not 1 <= factor <= geometry.columns:
            raise DataError(
                f"factor is {factor} for {type(geometry).__name__} with a detector of {geometry.detector}; expected a "
                "parallel, fan or cone beam, and 1 to the number of columns"
            )
        columns = geometry.columns // factor
        axis = (geometry.axis + 0.5) / factor - 0.5
        coarse = replace(geometry, columns=columns, pitch=geometry.pitch * factor, centre=axis)
        w = self.weights[..., : columns * factor].unflatten(-1, (columns, factor))
        y = self.projections[..., : columns * factor].unflatten(-1, (columns, factor))
        total = w.sum(-1)
        mean = torch.where(total > 0, (w * y).sum(-1) / torch.where(total > 0, total, 1.0), 0.0)
        return replace(self, projections=mean, weights=total, geometry=coarse, facts={**self.facts, "binned": factor})

    def hold_out(self, every: int) -> tuple[Self, Self]:
        """Split into views for reconstruction and views for judging it.

        Parameters
        ----------
        every
            One view in so many is kept for reconstruction; the rest is held out.
        """
        if not 1 < every <= self.geometry.views:
            raise DataError(f"every is {every} for {self.geometry.views} views; expected 2 to the number of views")
        kept = torch.zeros(self.geometry.views, dtype=torch.bool)
        kept[::every] = True
        return self.select(torch.nonzero(kept)[:, 0]), self.select(torch.nonzero(~kept)[:, 0])

    def likelihood(self, grid: Grid, dtype: torch.dtype = torch.float32) -> GaussianLikelihood:
        """``log p(y | x)`` for guidance; rays of weight 0 are left out.

        Parameters
        ----------
        grid, dtype
            As for `operator`.
        """
        operator, mask = self.operator(grid, dtype), self.weights > 0
        if bool(mask.all()):
            return GaussianLikelihood(operator, self.projections, self.weights.rsqrt())
        return GaussianLikelihood(UsedRays(operator, mask), self.projections[mask], self.weights[mask].rsqrt())
