"""Scans of phantoms: exact line integrals, photon counts, and the faults of real scanners.

    counts ~ Poisson(I_0 g_k exp(-y)),     g_k = exp(ring_sd xi_k)

``g_k`` is the drift of detector column ``k`` since the flats were taken (it makes rings); an axis error shifts the true
axis from the one that the geometry of the scan states. Counts are drawn by inversion of the distribution function from
counter-based uniforms, so that a scan is the same on every machine.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch
from scipy.stats import poisson
from torch import Tensor

from scidiff.errors import ConfigError
from scidiff.random import Noise

from .geometry import Geometry, Parallel
from .grid import Grid
from .operators.placement import check_placement
from .phantoms import Phantom
from .scan import Scan

__all__ = ["noisy_scan", "poisson_counts", "simulate"]


def poisson_counts(mean: Tensor, noise: Noise) -> Tensor:
    """Poisson draws.

    Parameters
    ----------
    mean
        Expected counts, non-negative, any shape.
    noise
        Noise of one sample.

    Returns
    -------
    Tensor
        Whole numbers, float64.
    """
    uniform = noise.uniform(mean.shape, step=0, stream="ct/photons")[0]
    return torch.from_numpy(np.asarray(poisson.ppf(uniform.numpy(), mean.double().numpy())))


def simulate(
    phantom: Phantom,
    geometry: Geometry,
    i0: float = 1e5,
    seed: int = 0,
    sample: int = 0,
    ring_sd: float = 0.0,
    axis_error: float = 0.0,
    subrays: int = 2,
) -> Scan:
    """Scan a phantom.

    Parameters
    ----------
    phantom
        The object.
    geometry
        Geometry that the scan will state.
    i0
        Photons that an unattenuated ray counts.
    seed, sample
        Which noise.
    ring_sd
        Standard deviation of the logarithm of a column's gain.
    axis_error
        True axis minus stated axis, detector columns.
    subrays
        Rays averaged over each detector column.

    Returns
    -------
    Scan
        With weights from the counts.

    Raises
    ------
    ConfigError
        If a number is out of range, or a source stands inside the extent of the phantom.

    Examples
    --------
    >>> from scidiff.domains import ct
    >>> scan = ct.simulate(ct.shepp_logan(), ct.Parallel(ct.even_angles(4), 64, 4.0), i0=1e6)
    >>> tuple(scan.projections.shape)  # views and detector columns
    (4, 64)
    """
    if not (i0 > 0 and ring_sd >= 0):
        raise ConfigError(f"i0 is {i0} and ring_sd {ring_sd}; expected i0 > 0 and ring_sd >= 0")
    check_placement(geometry, Grid((8,) * geometry.dimension, phantom.extent / 8))
    true = geometry
    if axis_error:
        if not isinstance(geometry, Parallel) and not hasattr(geometry, "axis"):
            raise ConfigError(f"{type(geometry).__name__} states no axis; use axis_error=0")
        true = replace(geometry, centre=geometry.axis + axis_error)
    noise = Noise.range(seed, 1, sample)
    drift = noise.normal(geometry.detector[-1:], step=0, stream="ct/rings")[0]
    y = phantom.project(true, subrays)
    counts = poisson_counts(i0 * torch.exp(ring_sd * drift - y), noise)
    facts = {"phantom": phantom.name, "i0": i0, "seed": seed, "sample": sample, "ring_sd": ring_sd}
    return Scan.from_counts(counts, geometry, i0, facts={**facts, "axis_error": axis_error})


def noisy_scan(projections: Tensor, geometry: Geometry, relative_sd: float, seed: int = 0, sample: int = 0) -> Scan:
    """Add Gaussian noise relative to the largest line integral.

    Parameters
    ----------
    projections
        Noise-free line integrals, shape of the geometry.
    geometry
        Their geometry.
    relative_sd
        Standard deviation over the largest line integral.
    seed, sample
        Which noise.

    Returns
    -------
    Scan
        With equal weights.
    """
    sd = relative_sd * float(projections.max())
    if not sd > 0:
        raise ConfigError(f"relative_sd is {relative_sd} of {float(projections.max()):g}; expected a positive noise")
    noise = Noise.range(seed, 1, sample).normal(geometry.shape, step=0, stream="ct/gaussian")[0]
    return Scan.from_projections(projections + sd * noise, geometry, sd=sd, facts={"relative_sd": relative_sd})
