"""Backbones from torsions and back: exact, differentiable, and what the textbooks say of helices."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from scidiff.domains.proteins.backbone import build, build_frames, prefix_product
from scidiff.domains.proteins.chains import Chains, frames_of
from scidiff.domains.proteins.geometry import O_LENGTH, angle, dihedral, ideal_cb, place_oxygen
from scidiff.domains.proteins.ideal_chains import atom_by_atom, uniform_chain
from scidiff.domains.proteins.torsions import ideal, known_torsions, measure

from scidiff.errors import ConfigError, ShapeError

from .protein_cases import held_out, needs_chains, random_backbones, random_rotation

# a product of 100 rotations loses some 100 ulp of 2e-16, on chains of some 100 Å
ROUND_OFF = 1e-10


def test_coordinates_to_torsions_and_back():
    internal = random_backbones(8, 100, seed=1)
    xyz, rotation, origin = build_frames(internal)
    again = measure(xyz, internal.mask)
    off = torch.remainder(again.torsions - internal.torsions + math.pi, 2 * math.pi) - math.pi
    assert float(off[internal.known].abs().max()) < ROUND_OFF
    assert float((again.angles - internal.angles)[:, :-1].abs().max()) < ROUND_OFF
    assert float((again.bonds - internal.bonds)[:, :-1].abs().max()) < ROUND_OFF
    assert float((build(again, rotation[:, 0], origin[:, 0]) - xyz).abs().max()) < ROUND_OFF


@needs_chains
def test_real_chains_come_back():
    chains = held_out()
    rotation, origin = chains.frames
    back = build(measure(chains.xyz, chains.mask), rotation[:, 0], origin[:, 0])
    assert float((back - chains.xyz)[chains.mask].abs().max()) < 1e-6


def test_the_scan_is_the_atom_by_atom_construction():
    internal = random_backbones(4, 60, seed=2)
    assert float((build(internal) - atom_by_atom(internal)).abs().max()) < ROUND_OFF


def test_prefix_products_are_products_in_order():
    matrices = random_backbones(2, 13, seed=3).torsions.unsqueeze(-1) @ torch.ones(1, 3, dtype=torch.float64) / 9
    found, want = prefix_product(matrices), matrices[:, 0]
    for k in range(1, 13):
        want = want @ matrices[:, k]
        assert float((found[:, k] - want).abs().max()) < 1e-12


def test_the_frames_of_the_build_are_those_of_the_atoms():
    xyz, rotation, origin = build_frames(random_backbones(3, 30, seed=4))
    want, ca = frames_of(xyz)
    assert float((rotation - want).abs().max()) < ROUND_OFF
    assert torch.equal(origin, ca)
    assert float((torch.linalg.det(rotation) - 1).abs().max()) < ROUND_OFF


def test_a_gradient_is_the_slope():
    internal = random_backbones(1, 12, seed=5)

    def end(torsions: torch.Tensor) -> torch.Tensor:
        xyz = build(ideal(torsions, internal.mask))
        return (xyz[:, -1] - xyz[:, 0]).square().sum()

    assert torch.autograd.gradcheck(end, internal.torsions.clone().requires_grad_(), eps=1e-6, atol=1e-4)


def test_torsions_do_not_see_motions_and_change_sign_in_a_mirror():
    internal = random_backbones(3, 20, seed=6)
    xyz = build(internal)
    turned = xyz @ random_rotation().T + 7.0
    assert float((measure(turned, internal.mask).torsions - measure(xyz, internal.mask).torsions).abs().max()) < 1e-9
    mirrored = measure(xyz * torch.tensor([1.0, 1.0, -1.0], dtype=xyz.dtype), internal.mask)
    assert float((mirrored.torsions + measure(xyz, internal.mask).torsions)[internal.known].abs().max()) < 1e-9


def test_torsions_have_the_sign_of_biotite():
    import biotite.structure as bs

    points = random_backbones(1, 8, seed=7)
    atoms = build(points).reshape(-1, 3)
    ours = dihedral(atoms[:-3], atoms[1:-2], atoms[2:-1], atoms[3:]).numpy()
    theirs = bs.dihedral(*(atoms[k : len(atoms) - 3 + k].numpy() for k in range(4)))
    assert np.abs(ours - theirs).max() < 1e-6


def test_the_alpha_helix_has_its_pitch():
    """phi = -57, psi = -47 gives 3.6 residues a turn and 1.5 Å a residue (Pauling), here to a few percent."""
    ca = uniform_chain(37).ca[0]
    twist, origin = measure_screw(ca)
    assert abs(2 * math.pi / twist - 3.6) < 0.1
    assert abs(origin - 1.5) < 0.1


def measure_screw(ca: torch.Tensor) -> tuple[float, float]:
    """Turn and rise of one residue, from second differences."""
    second = ca[2:] - 2 * ca[1:-1] + ca[:-2]
    second = second / second.norm(dim=-1, keepdim=True)
    turn = float(torch.acos((second[1:] * second[:-1]).sum(-1)).mean())
    axis = torch.linalg.cross(second[:-1], second[1:]).mean(0)
    return turn, float(((ca[-1] - ca[0]) @ (axis / axis.norm())).abs() / (len(ca) - 1))


def test_the_oxygen_lies_in_the_peptide_plane():
    chains = Chains(build(random_backbones(2, 15, seed=8)), torch.ones(2, 15, dtype=torch.bool))
    n, ca, c = chains.xyz.unbind(2)
    o = chains.oxygen
    # planarity shows quadratically in a dihedral of pi: half the digits of float64
    plane = dihedral(n[:, 1:], ca[:, :-1], c[:, :-1], o[:, :-1]).abs()
    assert float((plane - math.pi).abs().max()) < 1e-7
    assert float(((o - c).norm(dim=-1) - O_LENGTH).abs().max()) < 1e-12
    psi = measure(chains.xyz, chains.mask).torsions[..., 1]
    turn = torch.remainder(dihedral(n, ca, c, o)[:, :-1] - psi[:, :-1], 2 * math.pi)
    assert float((turn - math.pi).abs().max()) < 1e-7
    assert torch.equal(place_oxygen(n, ca, c, chains.mask), o)


def test_cb_is_tetrahedral_and_left_out_of_no_residue():
    n, ca, c = build(ideal(torch.zeros(1, 3, 3, dtype=torch.float64), torch.ones(1, 3, dtype=torch.bool))).unbind(2)
    cb = ideal_cb(n, ca, c)
    assert float(((cb - ca).norm(dim=-1) - 1.53).abs().max()) < 0.02
    for end in (n, c):
        assert float((torch.rad2deg(angle(end, ca, cb)) - 110).abs().max()) < 2
    assert bool(((torch.linalg.cross(n - ca, c - ca) * (cb - ca)).sum(-1) > 0).all())


def test_what_has_no_neighbour_is_not_known():
    mask = torch.tensor([[True] * 4, [True, True, False, False], [True, False, False, False]])
    known = known_torsions(mask)
    assert known[0].tolist() == [[False, True, True], [True, True, True], [True, True, True], [True, False, False]]
    assert known[1].tolist() == [[False, True, True], [True, False, False], [False] * 3, [False] * 3]
    assert not bool(known[2].any())


def test_padding_changes_nothing():
    internal = random_backbones(1, 10, seed=9)
    short = build(internal)
    chains = Chains.of([short[0], build(random_backbones(1, 14, seed=10))[0]])
    assert torch.equal(chains.xyz[0, :10], short[0])
    measured = measure(chains.xyz, chains.mask)
    assert torch.equal(measured.torsions[0, :10], measure(short, internal.mask).torsions[0])
    assert float((chains.oxygen[0, :10] - Chains(short, internal.mask).oxygen[0]).abs().max()) == 0


def test_single_precision_stays_within_a_thousandth():
    """100 residues times 6e-8 times a lever of 100 Å."""
    internal = random_backbones(4, 100, seed=11)
    single = type(internal)(internal.torsions.float(), internal.angles.float(), internal.bonds.float(), internal.mask)
    assert float((build(single) - build(internal)).abs().max()) < 1e-2


def test_chains_refuse_what_they_are_not():
    xyz, mask = torch.zeros(1, 3, 3, 3), torch.ones(1, 3, dtype=torch.bool)
    with pytest.raises(ShapeError, match="N, CA, C"):
        Chains(torch.zeros(1, 3, 4, 3), mask)
    with pytest.raises(ShapeError, match="divide"):
        Chains(xyz, torch.tensor([[True, False, True]]))
    with pytest.raises(ShapeError, match="names"):
        Chains(xyz, mask, names=("a", "b"))
    with pytest.raises(ConfigError, match="at least one"):
        Chains(xyz, mask).take([])


def test_chains_are_taken_cut_and_joined():
    chains = Chains.of([torch.rand(5, 3, 3), torch.rand(3, 3, 3)], ["ACDEF", "GHX"])
    joined = Chains.cat([chains.take([1]), chains.take([0])])
    assert joined.xyz.shape[1] == 5
    assert joined.letters(0) == "GHX"
    assert joined.names == ("1", "0")
    cut = chains.part(0, 1, 4)
    assert cut.letters(0) == "CDE"
    assert cut.numbers.tolist() == [[2, 3, 4]]
