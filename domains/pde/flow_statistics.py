"""Statistics of flows, and their comparison with those of the solver around the same obstacles.

All are ratios of means over groups, one group for each set of obstacles:

    energy k a-b      energy of the Fourier modes with a <= |k| <= b, periods per box; the mean flow is left out
    vorticity rms     root of the mean square at corners inside the fluid
    vorticity abs     mean size there
    vorticity flat    mean fourth power over the squared mean square
    spread            mean variance of a velocity within a group, around the mean flow field of its obstacles

A ratio of 1 is perfect. Intervals are 95 % percentile intervals of the bootstrap over groups [1]_, the same draw of
groups for both sides, since these share their obstacles.

References
----------
.. [1] B. Efron, R. Tibshirani, "An Introduction to the Bootstrap", 1993, doi:10.1201/9780429246593
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from scidiff.errors import ShapeError

from .grids import MacGrid, vorticity

__all__ = ["BANDS", "Ratio", "compare_flows", "group_moments"]

BANDS = ((1, 1), (2, 3), (4, 7), (8, 15), (16, 31))
"""Bands of wave numbers."""

_DRAWS = 1000


@dataclass(frozen=True)
class Ratio:
    """A statistic of samples over the same of the truth.

    Parameters
    ----------
    name
        What is compared.
    value
        The ratio.
    low, high
        Its 95 % interval.
    share
        Of a band: its share of the energy of the truth; 1 otherwise.
    """

    name: str
    value: float
    low: float
    high: float
    share: float = 1.0


def group_moments(fields: np.ndarray, obstacles: np.ndarray) -> np.ndarray:
    """Additive moments of the flows around one set of obstacles.

    Parameters
    ----------
    fields
        Velocities, shape ``(count, 2, nx, ny)``, at least two.
    obstacles
        Their mask, shape ``(nx, ny)``.

    Returns
    -------
    ndarray
        Energy of each band, then means of ``|w|``, ``w^2``, ``w^4`` of the vorticity, then the spread.
    """
    if len(fields) < 2 or fields.shape[2:] != obstacles.shape:
        raise ShapeError(f"fields {fields.shape} and obstacles {obstacles.shape}; expected two or more of one shape")
    grid = MacGrid(obstacles)
    rows, columns = obstacles.shape
    k = np.hypot(np.fft.fftfreq(rows, 1 / rows)[:, None], np.fft.fftfreq(columns, 1 / columns)[None, :])
    energy = 0.5 * (np.abs(np.fft.fft2(fields, norm="forward")) ** 2).sum(1).mean(0)
    shell = np.rint(k)
    bands = [energy[(shell >= a) & (shell <= b)].sum() for a, b in BANDS]
    omega = vorticity(fields[:, 0], fields[:, 1], grid.spacing or (1.0, 1.0))[:, grid.free_corners]
    powers = [np.abs(omega).mean(), (omega**2).mean(), (omega**4).mean()]
    return np.array([*bands, *powers, fields.var(0, ddof=1)[grid.free].mean()])


def compare_flows(samples: np.ndarray, truth: np.ndarray, *, seed: int = 0) -> list[Ratio]:
    """Compare moments of samples with those of the truth; bands that the grid does not carry are left out.

    Parameters
    ----------
    samples, truth
        Rows of `group_moments`, one for each set of obstacles, in the same order.
    seed
        Seed of the bootstrap.
    """
    if samples.shape != truth.shape or samples.ndim != 2:
        raise ShapeError(f"moments {samples.shape} and {truth.shape}; expected the same groups on both sides")
    energy = truth[:, : len(BANDS)].mean(0)
    present = np.concatenate([energy > 0, np.ones(4, dtype=bool)])
    draws = np.random.default_rng(seed).integers(len(samples), size=(_DRAWS, len(samples)))
    whole, resampled = (
        _statistics(a)[..., present] / _statistics(b)[..., present]
        for a, b in ((samples.mean(0), truth.mean(0)), (samples[draws].mean(1), truth[draws].mean(1)))
    )
    low, high = np.percentile(resampled, (2.5, 97.5), axis=0)
    names = [f"energy k {a}-{b}" for a, b in BANDS] + ["vorticity rms", "vorticity abs", "vorticity flat", "spread"]
    shares = [*(energy / energy.sum()), 1.0, 1.0, 1.0, 1.0]
    told = [(n, s) for n, s, here in zip(names, shares, present, strict=True) if here]
    return [
        Ratio(name, float(value), float(a), float(b), float(share))
        for (name, share), value, a, b in zip(told, whole, low, high, strict=True)
    ]


def _statistics(moments: np.ndarray) -> np.ndarray:
    """Statistics from means of moments on the last axis."""
    bands, absolute, square, fourth, spread = np.split(moments, np.cumsum([len(BANDS), 1, 1, 1]), -1)
    return np.concatenate([bands, np.sqrt(square), absolute, fourth / square**2, spread], -1)
