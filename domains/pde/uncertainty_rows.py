"""Rows of the benchmark on uncertainty: the exact posterior of Poisson's equation, judged as any ensemble is."""

from __future__ import annotations

import time
from collections.abc import Iterator

import numpy as np

from scidiff.domain import Row
from scidiff.random import Noise

from .problems.poisson import Poisson
from .sensors import Sensors, random_sensors
from .uncertainty import Ensemble, ensemble_report, sensor_distance

__all__ = ["poisson_ensemble", "uncertainty_rows"]

_DRAWS = 39


def poisson_ensemble(
    size: int, sensors: int, truths: int, seed: int, confidence: float = 0.95
) -> tuple[Ensemble, Sensors, np.ndarray, np.ndarray]:
    """Draws of the exact posterior of the source from sensors of the potential, for many truths.

    Parameters
    ----------
    size
        Nodes along an axis.
    sensors, truths
        Number of each.
    seed
        Seed of truths, sensors and draws.
    confidence
        Coverage of the intervals of the report.

    Returns
    -------
    report, sensors, truth, samples
        The judgement, where the sensors are, and the fields: ``(truths, size, size)`` and
        ``(truths, 39, size, size)``.
    """
    one = Poisson(size)
    inner = np.zeros((size, size), dtype=bool)
    inner[1:-1, 1:-1] = True
    placed = random_sensors((size, size), sensors, seed, inner)
    state = one.solve(one.draw(Noise.range(seed, truths)))
    data = state["u"].numpy()[:, placed.index[:, 0], placed.index[:, 1]]
    draws = one.gaussian.observe_solution(placed).draw(np.repeat(data, _DRAWS, 0), seed)[0]
    samples, truth = draws.reshape(truths, _DRAWS, size, size), state["f"].numpy()
    distance = np.where(inner, sensor_distance(placed), np.inf)
    return ensemble_report(truth, samples, distance, confidence=confidence, seed=seed), placed, truth, samples


def uncertainty_rows(fast: bool, seed: int) -> Iterator[Row]:
    """Coverage by distance, spread over skill, score and conformal factor of the exact posterior."""
    begun = time.perf_counter()
    size, sensors, truths = (24, 40, 60) if fast else (40, 80, 200)
    report, *_ = poisson_ensemble(size, sensors, truths, seed, confidence=0.999)
    note = f"poisson, source from {sensors} sensors of {size} x {size}, {truths} truths, {_DRAWS} draws"
    for band in report.bands:
        # the interval of 99.9 % over truths holds the level, or the posterior is wrong in this band
        gap = max(band.least - report.level, report.level - band.most, 0.0)
        yield Row(
            f"coverage of 90 %, {band.low:.1f} to {band.high:.1f} spacings from a sensor", "exact", band.found,
            interval=(band.least, band.most), calls=0,
            note=f"{note}; {band.sites} points; interval 99.9 %" + ("" if gap == 0 else "; does not hold the level"),
        )  # fmt: skip
    worst = max(max(band.least - report.level, report.level - band.most, 0.0) for band in report.bands)
    yield Row(
        "coverage: level outside the interval of any band", "exact", worst, bar=0.0, above=False, calls=0,
        seconds=time.perf_counter() - begun, note=f"{note}; 0 where every band's 99.9 % interval holds 0.9",
    )  # fmt: skip
    ratio = report.skill
    yield Row("spread over skill", "exact", ratio.ratio, interval=(ratio.low, ratio.high), calls=0, note=note)
    yield Row(
        "CRPS over that of a right Gaussian of the same spread", "exact", report.crps / report.crps_right, calls=0,
        note=f"{note}; 1 if right",
    )  # fmt: skip
    yield Row(
        "conformal inflation of the spread", "exact", report.inflation, calls=0,
        note=f"{note}; coverage of the held-out half {report.conformal_coverage:.3f}; 1 if right",
    )  # fmt: skip
