"""Can the spread of an ensemble of fields be trusted, and does that depend on how far the nearest sensor is?

For truths ``y_i`` with draws ``x_ij`` of their posterior, of the fields on a grid with sensors, an `Ensemble` holds

    CRPS             its mean, fair, in the unit of the field; sd / sqrt(pi) for a right Gaussian posterior
    spread over      root mean square of the corrected spread over that of the error of the mean; 1 if right
    skill
    ranks            of the truth among its draws at sites far from each other; uniform if right
    coverage         of the central interval, apart for bands of the distance to the nearest sensor; the level if right
    inflation        factor by which split-conformal calibration on the first half of the truths widens the spread

each with its interval over truths. A sampler may be right on the average and wrong near the sensors and far from them;
this is what the bands are for. The statistics are those of `scidiff.analysis.calibration`.
"""

from __future__ import annotations

import io
import itertools
from dataclasses import dataclass

import numpy as np
from scipy.ndimage import distance_transform_edt

from scidiff.analysis.calibration import (
    RankTest,
    SpreadSkill,
    conformal_map,
    crps_ensemble,
    interval_coverage,
    rank_test,
    ranks,
    spread_skill,
)
from scidiff.errors import ConfigError, ShapeError

from .sensors import Sensors

__all__ = ["Band", "Ensemble", "ensemble_report", "sensor_distance", "uncertainty_picture"]

_PROBES = 16


def sensor_distance(sensors: Sensors) -> np.ndarray:
    """Distance of each point of the grid to the nearest sensor, in units of the spacing, shape of the grid."""
    return np.asarray(distance_transform_edt(~sensors.mask))


@dataclass(frozen=True)
class Band:
    """Coverage in a band of distances.

    Parameters
    ----------
    low, high
        Ends of the distance to the nearest sensor, in spacings, the lower one excluded.
    sites
        Points in the band.
    found, least, most
        Share of truths in the central interval, and its bootstrap interval over truths.
    spread
        Root mean square of the posterior standard deviation in the band.
    """

    low: float
    high: float
    sites: int
    found: float
    least: float
    most: float
    spread: float


@dataclass(frozen=True, eq=False)
class Ensemble:
    """What is known of an ensemble; see the head of this module.

    Parameters
    ----------
    level
        Nominal coverage.
    count, draws
        Number of truths and of draws for each.
    crps
        Mean score.
    crps_right
        The score that a Gaussian posterior of the same spread has if it is right.
    skill
        Spread against error.
    rank
        Ranks at the probes.
    bands
        Coverage by distance.
    inflation
        Conformal factor over that of a normal law.
    conformal_coverage
        Coverage of the second half after the spread was multiplied by the factor.
    """

    level: float
    count: int
    draws: int
    crps: float
    crps_right: float
    skill: SpreadSkill
    rank: RankTest
    bands: tuple[Band, ...]
    inflation: float
    conformal_coverage: float

    def as_json(self) -> dict[str, object]:
        """Plain values."""
        return {
            "level": self.level,
            "count": self.count,
            "draws": self.draws,
            "crps": self.crps,
            "crps_right": self.crps_right,
            "spread_over_skill": [self.skill.ratio, self.skill.low, self.skill.high],
            "rank_chance": self.rank.chance,
            "bands": [vars(band) for band in self.bands],
            "conformal_inflation": self.inflation,
            "conformal_coverage": self.conformal_coverage,
        }


def ensemble_report(
    truth: np.ndarray,
    samples: np.ndarray,
    distance: np.ndarray,
    *,
    level: float = 0.9,
    bands: int = 4,
    confidence: float = 0.95,
    seed: int = 0,
) -> Ensemble:
    """Judge an ensemble.

    Parameters
    ----------
    truth
        True fields, shape ``(count, nx, ny)``, at least 20.
    samples
        Draws for each, shape ``(count, draws, nx, ny)``; ``draws + 1`` times ``1 - level`` should be even.
    distance
        Distance of each point to the nearest sensor; points at distance 0, and those that are infinite, are left out.
    level
        Nominal coverage.
    bands
        Number of bands, of equally many points.
    confidence
        Coverage of all intervals.
    seed
        Seed of bootstrap and ties.

    Raises
    ------
    ShapeError
        If shapes do not match.
    ConfigError
        If there are too few truths or points.
    """
    used = _used(truth, samples, distance, bands)
    y = truth.reshape(len(truth), -1)[:, used]
    x = samples.reshape(*samples.shape[:2], -1)[..., used]
    sd = x.std(1, ddof=1)
    probes = np.unique(np.linspace(0, len(used) - 1, _PROBES).astype(int))
    half, mean = len(y) // 2, x.mean(1)
    factor = conformal_map(y[:half], mean[:half], sd[:half], level)
    low, high = factor.interval(mean[half:], sd[half:])
    return Ensemble(
        level=level,
        count=len(y),
        draws=x.shape[1],
        crps=float(crps_ensemble(y, x).mean()),
        crps_right=float(sd.mean() / np.sqrt(np.pi)),
        skill=spread_skill(y, x, confidence=confidence, seed=seed),
        rank=rank_test(ranks(y[:, probes], x[..., probes], seed=seed), x.shape[1], confidence=confidence, seed=seed),
        bands=_bands(y, x, distance.ravel()[used], level, bands, confidence, seed),
        inflation=float(factor.inflation),
        conformal_coverage=float(((low <= y[half:]) & (y[half:] <= high)).mean()),
    )


def _used(truth: np.ndarray, samples: np.ndarray, distance: np.ndarray, bands: int) -> np.ndarray:
    """Check shapes and counts; numbers of the points that are judged."""
    if truth.ndim != 3 or samples.shape[::2] != (truth.shape[0], truth.shape[1]) or distance.shape != truth.shape[1:]:
        raise ShapeError(
            f"truth {truth.shape}, samples {samples.shape}, distance {distance.shape}; expected (count, nx, ny), "
            "(count, draws, nx, ny), (nx, ny)"
        )
    used = np.flatnonzero((distance.ravel() > 0) & np.isfinite(distance.ravel()))
    if len(truth) < 20 or len(used) < bands:
        raise ConfigError(f"{len(truth)} truths and {len(used)} points; expected at least 20, and a point in each band")
    return used


def _bands(
    y: np.ndarray, x: np.ndarray, distance: np.ndarray, level: float, bands: int, confidence: float, seed: int
) -> tuple[Band, ...]:
    """Bands with borders at quantiles of the distance; equal distances stay together."""
    borders = np.unique(np.quantile(distance, np.linspace(0, 1, bands + 1)))
    borders[0] = 0.0
    out = []
    for low, high in itertools.pairwise(borders):
        here = (distance > low) & (distance <= high)
        if not here.any():
            continue
        found = interval_coverage(y[:, here], x[..., here], (level,), confidence=confidence, seed=seed)
        spread = float(np.sqrt(x[..., here].var(1, ddof=1).mean()))
        ends = float(found.pooled[0]), float(found.pooled_low[0]), float(found.pooled_high[0])
        out.append(Band(float(low), float(high), int(here.sum()), *ends, spread))
    return tuple(out)


def uncertainty_picture(
    truth: np.ndarray, mean: np.ndarray, deviation: np.ndarray, sensors: Sensors, report: Ensemble
) -> bytes:
    """Draw a truth, the posterior mean and standard deviation with the sensors, and the coverage by distance.

    Parameters
    ----------
    truth, mean, deviation
        Fields of one case, shape ``(nx, ny)``.
    sensors
        Where the data are.
    report
        Report of many cases with these sensors.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(13, 3.2), layout="constrained")
    axes = figure.subplots(1, 4)
    most = abs(truth).max()
    for axis, (title, field) in zip(axes, (("truth", truth), ("mean", mean), ("deviation", deviation)), strict=False):
        colours = {} if field is deviation else {"vmin": -most, "vmax": most, "cmap": "RdBu_r"}
        shown = axis.imshow(field.T, origin="lower", **colours)
        axis.set_title({"mean": "posterior mean", "deviation": "posterior deviation"}.get(title, title), fontsize=9)
        axis.set_xticks([])
        axis.set_yticks([])
        if field is not truth:
            axis.plot(*sensors.index.T, ".k", markersize=1.5)
        figure.colorbar(shown, ax=axis, shrink=0.8)
    _draw_bands(axes[3], report)
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=110, metadata={"Software": None})
    return buffer.getvalue()


def _draw_bands(axis: object, report: Ensemble) -> None:
    """Coverage of each band with its interval, and the level."""
    middle = np.array([0.5 * (band.low + band.high) for band in report.bands])
    found = np.array([band.found for band in report.bands])
    ends = np.array([[band.found - band.least, band.most - band.found] for band in report.bands]).T
    axis.errorbar(middle, found, ends.clip(0), fmt="o", capsize=3)  # type: ignore[attr-defined]
    axis.axhline(report.level, color="k", linewidth=1)  # type: ignore[attr-defined]
    axis.set_ylim(report.level - 0.1, 1.0)  # type: ignore[attr-defined]
    axis.set_xlabel("distance to the nearest sensor [spacings]", fontsize=8)  # type: ignore[attr-defined]
    title = f"coverage of {100 * report.level:.0f} % intervals, n = {report.count}"
    axis.set_title(title, fontsize=9)  # type: ignore[attr-defined]
