"""Uncertainty of fields: the exact posterior is right in every band of distance, and a wrong one is found."""

from __future__ import annotations

import numpy as np
import pytest
from scidiff.domains.pde.sensors import Sensors
from scidiff.domains.pde.uncertainty import Ensemble, ensemble_report, sensor_distance, uncertainty_picture
from scidiff.domains.pde.uncertainty_rows import poisson_ensemble

from scidiff.errors import ConfigError, ShapeError

SIZE = 14


@pytest.fixture(scope="module")
def exact() -> tuple[Ensemble, Sensors, np.ndarray, np.ndarray]:
    """150 truths: a share has a standard error of at most 2.5 %, less for many sites; all intervals hold 99.9 %."""
    return poisson_ensemble(SIZE, 12, 150, seed=0, confidence=0.999)


def test_the_exact_posterior_covers_in_every_band(exact):
    report = exact[0]
    assert len(report.bands) >= 3 and sum(band.sites for band in report.bands) == (SIZE - 2) ** 2 - 12
    for band in report.bands:
        assert band.least <= 0.9 <= band.most
        assert band.most - band.least < 0.12
    # the spread grows with the distance
    assert report.bands[-1].spread > report.bands[0].spread


def test_the_other_scores_of_the_exact_posterior(exact):
    """The score of a right Gaussian is sd / sqrt(pi) on average, its scatter over truths below 5 % here."""
    report = exact[0]
    assert report.skill.low <= 1 <= report.skill.high
    assert report.rank.agrees
    assert report.crps == pytest.approx(report.crps_right, rel=0.1)
    assert report.inflation == pytest.approx(1, abs=0.15)
    assert report.conformal_coverage == pytest.approx(0.9, abs=0.05)
    assert report.as_json()["count"] == 150


def test_a_posterior_that_is_too_narrow_is_found_and_repaired(exact):
    _, sensors, truth, samples = exact
    mean = samples.mean(1, keepdims=True)
    distance = sensor_distance(sensors)
    report = ensemble_report(truth, mean + 0.5 * (samples - mean), distance, confidence=0.999)
    assert all(band.most < 0.9 for band in report.bands)
    assert report.skill.high < 1 and not report.rank.agrees
    assert report.inflation > 1.6
    assert report.conformal_coverage == pytest.approx(0.9, abs=0.05)


def test_a_posterior_that_is_wrong_only_near_sensors_is_found_there(exact):
    """On the average its coverage may pass; its band does not."""
    _, sensors, truth, samples = exact
    distance = sensor_distance(sensors)
    mean = samples.mean(1, keepdims=True)
    factor = np.where(distance <= 1, 0.4, 1.0)
    report = ensemble_report(truth, mean + factor * (samples - mean), distance, confidence=0.999)
    assert report.bands[0].most < 0.9
    assert report.bands[-1].least <= 0.9 <= report.bands[-1].most


def test_distances_and_pictures(exact):
    report, sensors, truth, samples = exact
    distance = sensor_distance(Sensors(np.array([[0, 0], [3, 4]]), (5, 6)))
    assert distance[0, 0] == 0 and distance[0, 2] == 2 and distance[4, 5] == pytest.approx(2**0.5)
    drawn = uncertainty_picture(truth[0], samples[0].mean(0), samples[0].std(0), sensors, report)
    assert drawn.startswith(b"\x89PNG")


def test_shapes_and_counts_are_checked(exact):
    _, sensors, truth, samples = exact
    with pytest.raises(ShapeError, match="expected"):
        ensemble_report(truth, samples[:, :, :-1], sensor_distance(sensors))
    with pytest.raises(ConfigError, match="at least 20"):
        ensemble_report(truth[:5], samples[:5], sensor_distance(sensors))
