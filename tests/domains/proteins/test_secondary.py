"""Hydrogen bonds, helices, strands; and the trap of a CA-only assignment."""

from __future__ import annotations

import math

import pytest
import torch
from scidiff.domains.proteins.backbone import build
from scidiff.domains.proteins.chains import Chains
from scidiff.domains.proteins.data import load, select
from scidiff.domains.proteins.ideal_chains import STRAND_TORSIONS, uniform_chain
from scidiff.domains.proteins.secondary import (
    COIL,
    HELIX,
    STRAND,
    assign,
    helix_hands,
    hydrogen_bonds,
    psea,
    state_letters,
)

from .protein_cases import held_out, helix, needs_chains, random_backbones, random_rotation


def test_energies_are_the_formula():
    chains = Chains(build(random_backbones(1, 12, seed=1)), torch.ones(1, 12, dtype=torch.bool))
    energy, (n, _, c), o = hydrogen_bonds(chains)[0], chains.xyz[0].unbind(1), chains.oxygen[0]
    for i in range(12):
        for j in range(1, 12):
            h = n[j] + (c[j - 1] - o[j - 1]) / (c[j - 1] - o[j - 1]).norm()
            pairs = ((o[i], n[j], 1), (c[i], h, 1), (o[i], h, -1), (c[i], n[j], -1))
            want = 27.9 * sum(sign / max(float((a - b).norm()), 0.5) for a, b, sign in pairs)
            assert float(energy[i, j]) == pytest.approx(want if abs(i - j) >= 2 else 0.0, abs=1e-9)
    assert not bool(energy[:, 0].any())


def test_a_helix_is_a_helix_and_right_handed():
    chains = helix(20)
    letters = state_letters(assign(chains)[0])
    assert letters[1:19] == "H" * 18
    energy = hydrogen_bonds(chains)[0].diagonal(4)
    assert bool((energy < -0.5).all())
    right, left = helix_hands(chains, psea(chains))
    assert int(right) > 10
    assert int(left) == 0


def test_the_mirror_image_has_left_handed_helices():
    chains = helix(20)
    mirrored = Chains(chains.xyz * torch.tensor([1.0, 1.0, -1.0], dtype=torch.float64), chains.mask)
    states = torch.full_like(chains.mask, HELIX, dtype=torch.int64)
    right, left = helix_hands(mirrored, states)
    assert int(right) == 0
    assert int(left) == 17


def test_a_lone_extended_chain_deceives_psea_and_not_the_hydrogen_bonds():
    chains = uniform_chain(24, STRAND_TORSIONS)
    assert int((psea(chains) == STRAND).sum()) > 15
    assert int((assign(chains) == STRAND).sum()) == 0


def test_two_strands_side_by_side_are_a_sheet():
    """A second strand, turned about an axis across the first, is antiparallel; its place is searched."""
    one = uniform_chain(10, (-139.0, 135.0)).xyz[0]
    one = one - one[:, 1].mean(0)
    axes = torch.linalg.svd(one[:, 1])[2]
    one = one @ axes.T
    best = 0
    for turn in torch.arange(0, 360, 15.0).tolist():
        angle = math.radians(turn)
        spin = torch.tensor([[1, 0, 0], [0, math.cos(angle), -math.sin(angle)], [0, math.sin(angle), math.cos(angle)]])
        here = one @ spin.double().T
        flipped = here * torch.tensor([-1.0, -1.0, 1.0], dtype=here.dtype)
        for slide in torch.arange(-3.5, 3.6, 0.7).tolist():
            for apart in (4.6, 5.0, 5.4):
                other = flipped + torch.tensor([slide, apart, 0.0], dtype=here.dtype)
                gap = torch.full((3, 3, 3), 60.0, dtype=here.dtype) + torch.arange(27.0).reshape(3, 3, 3).double() * 30
                states = assign(Chains(torch.cat((here, gap, other))[None], torch.ones(1, 23, dtype=torch.bool)))
                best = max(best, int((states == STRAND).sum()))
    assert best >= 6


def test_the_assignment_does_not_see_motions_or_padding():
    chains = helix(16)
    padded = Chains.of([chains.xyz[0], helix(30).xyz[0]])
    assert assign(padded)[0, :16].tolist() == assign(chains)[0].tolist()
    assert not bool(assign(padded)[0, 16:].any())
    moved = chains.moved(random_rotation(2), torch.tensor([1.0, 2.0, 3.0]))
    assert torch.equal(assign(moved), assign(chains))


@pytest.mark.parametrize("length", [1, 2, 3, 5])
def test_short_chains_are_coil(length):
    chains = helix(length)
    assert not bool(assign(chains).any())
    assert [int(x) for x in helix_hands(chains, assign(chains))] == [0, 0]
    assert COIL == 0


@needs_chains
def test_the_content_of_held_out_real_chains():
    """Figures found before for compact chains of 40 to 80 residues: helix .34, strand .245, 70 % with 10 % strand.

    Those come from some 60 chains; sets of 60 of our 626 spread by .06 (helix) and .044 (strand) around the mean.
    """
    chains = held_out()
    states = assign(chains)
    share = [((states == kind) & chains.mask).sum(1) / chains.lengths for kind in (HELIX, STRAND)]
    assert float(share[0].mean()) == pytest.approx(0.34, abs=0.06)
    assert float(share[1].mean()) == pytest.approx(0.245, abs=0.044)
    assert float((share[1] >= 0.1).double().mean()) == pytest.approx(0.70, abs=0.12)


@needs_chains
@pytest.mark.slow
def test_the_content_of_all_compact_chains():
    chains = select(load("all", progress=False))
    states = assign(chains)
    assert len(chains) == 626
    strands = ((states == STRAND) & chains.mask).sum(1) / chains.lengths
    assert float((strands >= 0.1).double().mean()) == pytest.approx(0.70, abs=0.01)
