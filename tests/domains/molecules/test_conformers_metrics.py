"""Distances between distributions of bond lengths and angles, against closed forms."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from scidiff.domains.molecules.conformers.data import ConformerSet
from scidiff.domains.molecules.conformers.metrics import Measured, angles, bonds, compare, within
from scipy.stats import wasserstein_distance

from scidiff.errors import ShapeError

FLOAT32 = 1e-6
"""Round-off of float32 positions of a few Å, Å."""


def bent(smiles: str, lengths: np.ndarray, angle: np.ndarray, molecules: int = 1) -> ConformerSet:
    """Chains of three atoms with given bond lengths and angles, one conformer for each row; degrees."""
    phi = np.radians(angle)
    points = np.zeros((molecules, len(phi), 6, 3), dtype=np.float32)
    points[..., 0, 0] = lengths[:, 0]
    points[..., 2, 0] = lengths[:, 1] * np.cos(phi)
    points[..., 2, 1] = lengths[:, 1] * np.sin(phi)
    return ConformerSet([smiles] * molecules, points, 0)


def test_lengths_and_angles_are_measured() -> None:
    """What was put in comes out, with the names of the types."""
    put = bent("NCO", np.array([[1.45, 1.40], [1.5, 1.3]]), np.array([109.5, 179.0]))
    lengths, bent_by = bonds(put), angles(put)
    assert lengths.kind.tolist() == ["C-N", "C-O"]
    assert np.abs(lengths.values - [[1.45, 1.5], [1.40, 1.3]]).max() < FLOAT32
    assert bent_by.kind.tolist() == ["N-C-O"]
    assert np.abs(bent_by.values - [[109.5, 179.0]]).max() < np.degrees(FLOAT32)


@pytest.mark.parametrize(
    ("smiles", "kinds"),
    [
        ("CC=O", {"C-C", "C=O"}),
        ("C#N", {"C#N"}),
        ("c1ccoc1", {"C:C", "C:O"}),
    ],
)
def test_names_of_bonds(smiles: str, kinds: set[str]) -> None:
    assert set(bonds(ConformerSet([smiles], np.zeros((1, 1, 6, 3), dtype=np.float32), 0)).kind) == kinds


def test_names_of_angles_do_not_depend_on_the_order_of_the_atoms() -> None:
    """Both ends read the same way; the bonds stay with their ends."""
    names = {
        tuple(angles(ConformerSet([s], np.zeros((1, 1, 6, 3), dtype=np.float32), 0)).kind) for s in ("OC=N", "N=CO")
    }
    assert names == {("N=C-O",)}


def test_a_shift_is_its_own_distance() -> None:
    """All bonds longer by a constant: every W1 is that constant, and so are the ends of the interval."""
    random = np.random.default_rng(0)
    lengths = random.normal(1.4, 0.05, (40, 5))
    kind, molecule = np.array(["C-C", "C-O"] * 20), np.arange(40)
    result = compare(Measured(kind, molecule, lengths + 0.02), Measured(kind, molecule, lengths), repeats=20)
    every = [result.pooled, result.worst, result.local, *(end for ends in result.intervals.values() for end in ends)]
    assert every == pytest.approx([0.02] * len(every), rel=1e-12)
    assert result.count == 200


def test_distance_of_each_type_is_that_of_scipy() -> None:
    """Pooled values agree with SciPy; the pooled figure is their mean weighted by number, the worst their maximum."""
    random = np.random.default_rng(1)
    kind = np.array(["C-C"] * 60 + ["C-O"] * 40 + ["O-O"] * 5)
    molecule = np.concatenate([np.arange(60), np.arange(40), np.arange(5)])
    a, b = random.gamma(2.0, size=(105, 3)), random.gamma(3.0, size=(105, 3))
    result = compare(Measured(kind, molecule, a), Measured(kind, molecule, b), repeats=5)
    truth = {k: wasserstein_distance(a[kind == k].ravel(), b[kind == k].ravel()) for k in ("C-C", "C-O", "O-O")}
    assert result.kinds == pytest.approx({k: truth[k] for k in ("C-C", "C-O")}, rel=1e-10)
    assert result.worst == pytest.approx(max(truth["C-C"], truth["C-O"]), rel=1e-10)
    assert truth[result.worst_kind] == pytest.approx(result.worst, rel=1e-10)
    assert result.pooled == pytest.approx((60 * truth["C-C"] + 40 * truth["C-O"] + 5 * truth["O-O"]) / 105, rel=1e-10)
    local = np.mean([wasserstein_distance(x, y) for x, y in zip(a, b, strict=True)])
    assert result.local == pytest.approx(local, rel=1e-10)


def test_pooling_hides_what_the_local_distance_sees() -> None:
    """Two molecules of one type with exchanged lengths: pooled distance 0, local distance their difference."""
    kind, molecule = np.array(["C-C"] * 2), np.arange(2)
    a, b = np.array([[1.3], [1.5]]), np.array([[1.5], [1.3]])
    result = compare(Measured(kind, molecule, a), Measured(kind, molecule, b), repeats=5)
    assert result.pooled == pytest.approx(0.0, abs=1e-15)
    assert result.local == pytest.approx(0.2, rel=1e-12)


def test_intervals_cover() -> None:
    """Of 40 draws of two normals a mean apart of 1, at least 33 intervals hold 1: P(fewer | 95 %) = 0.07 %."""
    random = np.random.default_rng(2)
    kind, molecule = np.array(["C-C"] * 200), np.arange(200)
    held = 0
    for _ in range(40):
        a, b = random.normal(1.0, 0.3, (200, 1)), random.normal(0.0, 0.3, (200, 1))
        low, high = compare(Measured(kind, molecule, a), Measured(kind, molecule, b), repeats=100).intervals["pooled"]
        held += low <= 1.0 <= high
    assert held >= 33


def test_whole_conformers() -> None:
    """One bond off spoils its conformer and no other; the nearest reference value counts; no angle, nothing to miss."""
    kind, molecule = np.array(["C-C"] * 3), np.array([0, 0, 1])
    reference = Measured(kind, molecule, np.array([[1.5, 1.3], [1.4, 1.4], [1.2, 1.2]]))
    found = Measured(kind, molecule, np.array([[1.31, 1.49], [1.4, 1.52], [1.2, 1.25]]))
    assert within(found, reference, 0.1, 3).tolist() == [[True, False], [True, True], [True, True]]


def test_other_molecules_are_refused() -> None:
    """Sets must hold the same molecules and numbers of conformers."""
    put = bonds(bent("CCO", np.array([[1.5, 1.4]] * 2), np.array([110.0, 111.0])))
    with pytest.raises(ShapeError, match="common"):
        compare(put, bonds(bent("CCN", np.array([[1.5, 1.4]] * 2), np.array([110.0, 111.0]))))
    with pytest.raises(ShapeError, match="common"):
        compare(put, replace(put, values=put.values[:, :1]))
