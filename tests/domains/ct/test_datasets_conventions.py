"""Whose angle and whose axis: the geometries that data sets quote are ASTRA's, asked of ASTRA itself."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scidiff.domains.ct.geometry import Cone, Fan, Parallel, even_angles

astra = pytest.importorskip("astra")
ANGLES = even_angles(7, 2 * math.pi, 0.3)


def test_a_fan_of_the_helsinki_toolbox_and_of_2detect_is_ours():
    """``fanflat`` at the same angle has our source and our detector: angles of the files are taken as they are."""
    ours = Fan(ANGLES, 9, 0.5, source_axis=410.66, source_detector=553.74)
    geometry = astra.create_proj_geom("fanflat", 0.5, 9, ANGLES.numpy(), 410.66, 553.74 - 410.66)
    vectors = np.asarray(astra.geom_2vec(geometry)["Vectors"])
    across, along = (part.numpy() for part in ours.frame())
    assert np.allclose(vectors[:, :2], -410.66 * along, atol=1e-10)
    assert np.allclose(vectors[:, 2:4], (553.74 - 410.66) * along, atol=1e-10)
    assert np.allclose(vectors[:, 4:], 0.5 * across, atol=1e-10)


def test_a_cone_of_the_helsinki_toolbox_is_ours():
    ours = Cone(ANGLES, 9, 0.5, rows=5, source_axis=210.66, source_detector=553.74)
    geometry = astra.create_proj_geom("cone", 0.5, 0.5, 5, 9, ANGLES.numpy(), 210.66, 553.74 - 210.66)
    vectors = np.asarray(astra.geom_2vec(geometry)["Vectors"])
    across, along = (part.numpy() for part in ours.frame())
    assert np.allclose(vectors[:, :2], -210.66 * along, atol=1e-10)
    assert np.allclose(vectors[:, 6:8], 0.5 * across, atol=1e-10)
    # rows grow with z
    assert np.allclose(vectors[:, 9:], [0, 0, 0.5], atol=1e-10)


def test_the_quoted_shift_of_the_rocks_is_minus_ours():
    """After a shift of s pixels the axis projects to ``(N - 1) / 2 - s``."""
    shift, columns = -61.0, 1653
    geometry = astra.create_proj_geom("parallel3d", 1.0, 1.0, 1, columns, ANGLES.numpy())
    vectors = np.asarray(astra.functions.geom_postalignment(geometry, shift)["Vectors"])
    ours = Parallel(ANGLES, columns, 1.0, 0.5 * (columns - 1) - shift)
    across, along = (part.numpy() for part in ours.frame())
    middle = vectors[:, 3:5]
    # the middle of the detector, seen across the beam, lies where our middle pixel does
    assert np.allclose((middle * across).sum(1), float(ours.u[(columns - 1) // 2]), atol=1e-10)
    assert np.allclose(vectors[:, 6:8], across, atol=1e-10)
    assert np.allclose(np.abs((vectors[:, :2] * along).sum(1)), 1.0, atol=1e-10)
