"""Symmetry groups: the axioms, the orders, and assemblies that are symmetric to round-off."""

from __future__ import annotations

import pytest
import torch
from scidiff.domains.proteins.symmetry import Symmetry, parse_symmetry, screw

from scidiff.errors import ConfigError, ShapeError

from .protein_cases import helix

GROUPS = {f"C{n}": n for n in range(1, 9)} | {f"D{n}": 2 * n for n in range(2, 9)} | {"T": 12, "O": 24, "I": 60}
# products of a dozen rotations
ROUND_OFF = 1e-12


@pytest.fixture(params=GROUPS, scope="module")
def group(request) -> Symmetry:
    return parse_symmetry(request.param)


def index_of(group: Symmetry, matrix: torch.Tensor) -> int:
    apart = (group.rotations - matrix).abs().amax((1, 2))
    assert float(apart.min()) < ROUND_OFF
    return int(apart.argmin())


def test_the_order_is_right(group):
    assert len(group) == GROUPS[group.name]


def test_the_axioms(group):
    turns, size = group.rotations, len(group)
    assert torch.equal(turns[0], torch.eye(3, dtype=torch.float64))
    assert float((torch.linalg.det(turns) - 1).abs().max()) < ROUND_OFF
    assert float((turns @ turns.mT - torch.eye(3, dtype=torch.float64)).abs().max()) < ROUND_OFF
    for turn in turns[: min(size, 8)]:
        assert sorted(index_of(group, turn @ other) for other in turns) == list(range(size))
        assert index_of(group, turn.T) >= 0


def test_every_element_carries_the_assembly_onto_itself(group):
    unit = helix(12).moved(torch.eye(3), torch.tensor([15.0, 4.0, 8.0]))
    copies = group.assemble(unit).xyz.flatten(1)
    for turn in group.rotations[: min(len(group), 8)]:
        moved = (copies.reshape(len(group), -1, 3) @ turn.T).flatten(1)
        apart = torch.cdist(moved, copies, compute_mode="donot_use_mm_for_euclid_dist").min(1)
        assert float(apart.values.max()) < 1e-9
        assert sorted(apart.indices.tolist()) == list(range(len(group)))


def test_projecting_an_orbit_gives_the_unit_and_noise_shrinks(group):
    unit = helix(5).xyz[0]
    assert float((group.project(group.orbit(unit)) - unit).abs().max()) < 1e-10
    worse = group.orbit(unit) + 0.1 * torch.sin(torch.arange(len(group) * 45.0).reshape(len(group), 5, 3, 3)).double()
    projected = group.project(worse)
    assert float(group.error(group.orbit(projected))) < 1e-9
    # the projection is the least squares one: no other unit tried is nearer
    nearest = float((group.orbit(projected) - worse).square().sum())
    for k in range(3):
        other = projected + 0.01 * torch.eye(3, dtype=torch.float64)[k]
        assert float((group.orbit(other) - worse).square().sum()) > nearest


@pytest.mark.parametrize("text", ["screw(5.4,100,9)", "screw(-2, 33, 4)", "SCREW(3.3,180,5)"])
def test_a_screw_repeats_itself(text):
    motion = parse_symmetry(text)
    copies = motion.orbit(helix(6).xyz[0])
    moved = torch.einsum("ij,...j->...i", motion.rotations[1], copies[:-1]) + motion.shifts[1]
    assert float((moved - copies[1:]).abs().max()) < 1e-10


def test_labels_tell_sixty_chains_apart():
    whole = parse_symmetry("I").assemble(helix(4))
    assert len(set(whole.labels)) == 60
    assert whole.labels[25:28] == ("Z", "AA", "AB")


@pytest.mark.parametrize("text", ["", "C0", "D1", "C61", "X3", "screw(1,2)", "screw(1,2,0)", "screw(e,.,3)", "Td"])
def test_impossible_symmetry_is_refused(text):
    with pytest.raises(ConfigError, match="expected"):
        parse_symmetry(text)


def test_copies_in_one_place_are_refused():
    with pytest.raises(ConfigError, match="one place"):
        screw(0.0, 90.0, 5)
    with pytest.raises(ShapeError, match="C3"):
        parse_symmetry("C3").project(torch.zeros(2, 4, 3))
