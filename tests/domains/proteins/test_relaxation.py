"""Relaxation: levers against differences, faults repaired, good chains left where they are."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from scidiff.domains.proteins.backbone import build
from scidiff.domains.proteins.benchmark import random_backbones
from scidiff.domains.proteins.chains import Chains
from scidiff.domains.proteins.contacts import atom_clashes, hydrogen_energies, near_pairs, sites
from scidiff.domains.proteins.ideal_chains import from_degrees, uniform_chain
from scidiff.domains.proteins.levers import ca_jacobian, displacement_metric
from scidiff.domains.proteins.ramachandran_energy import ramachandran_energy
from scidiff.domains.proteins.relaxation import Relaxation
from scidiff.domains.proteins.relaxation_benchmark import bent
from scidiff.domains.proteins.repair import relax
from scidiff.domains.proteins.secondary import hydrogen_bonds
from scidiff.domains.proteins.torsions import Internal, measure

from .protein_cases import held_out, helix, needs_chains

FEW = Relaxation(steps=60)


def test_levers_are_the_derivative_of_the_chain():
    """One-sided differences of step 1e-6 are off by about 1e-6 times a curvature of some tens of Å."""
    internal = random_backbones(2, 7, 0)
    found = ca_jacobian(build(internal), internal.mask)

    def ca(torsions, angles):
        return build(Internal(torsions, angles, internal.bonds, internal.mask))[:, :, 1]

    still = ca(internal.torsions, internal.angles)
    for k in range(6):
        # what turns the first residue about itself is a rigid motion, and not seen by a chain that begins there
        for i in range(1 if k in (0, 3) else 0, 6):
            torsions, angles = internal.torsions.clone(), internal.angles.clone()
            (torsions if k < 3 else angles)[:, i, k % 3] += 1e-6
            moved = (ca(torsions, angles) - still) / 1e-6
            assert float((moved - found[:, :, :, i, k]).abs().max()) < 2e-4, (k, i)


def test_the_metric_ignores_rigid_motion_and_pose():
    internal = random_backbones(1, 8, 1)
    xyz = build(internal)
    metric = displacement_metric(xyz, internal.mask)
    # the angle of the first residue turns all CA about the first one
    assert float(metric[0, 3, 3]) < 1e-8
    turn = torch.linalg.qr(torch.arange(9.0, dtype=torch.float64).reshape(3, 3).sin())[0]
    turn = turn * torch.linalg.det(turn)
    other = displacement_metric(xyz @ turn.T + 3.0, internal.mask)
    # the first residue's own turns are rigid, their axes move along
    assert torch.allclose(metric, other, atol=1e-7)
    assert float(torch.linalg.eigvalsh(metric)[0].min()) > -1e-8


def test_pair_energies_are_those_of_all_pairs():
    chains = helix(14)
    pairs = near_pairs(chains.ca, chains.mask, 100.0)
    found = hydrogen_energies(sites(chains.xyz, chains.mask), pairs)
    every = hydrogen_bonds(chains)
    assert torch.allclose(found[:, 0], every[0, pairs.i, pairs.j], atol=1e-9)
    assert torch.allclose(found[:, 1], every[0, pairs.j, pairs.i], atol=1e-9)


def test_the_ramachandran_energy_is_flat_where_favoured_and_falls_out_of_deserts():
    places = torch.deg2rad(torch.tensor([[-57.0, -47.0], [-120.0, 130.0], [60.0, -120.0], [0.0, 0.0]])).double()
    places.requires_grad_()
    energy = ramachandran_energy(places, torch.zeros(4, dtype=torch.int64))
    assert energy[:2].tolist() == [0.0, 0.0]
    assert float(energy[2:].min()) > 1
    (slope,) = torch.autograd.grad(energy.sum(), places)
    assert float(slope[:2].abs().max()) == 0 and float(slope[2:].norm(dim=1).min()) > 0.1
    # a turn changes nothing
    again = ramachandran_energy(places.detach() + 2 * torch.pi, torch.zeros(4, dtype=torch.int64))
    # float32 table, places of some radians: bins to 1e-13
    assert torch.allclose(again, energy.detach(), atol=1e-9)


def crossing() -> Chains:
    """Two helices that run into each other."""
    helix_of = [(-57.0, -47.0)] * 12
    return from_degrees([*helix_of, (-150.0, 0.0), (-60.0, 140.0), *helix_of])


def test_injected_faults_are_repaired_and_raw_is_kept():
    good = uniform_chain(24)
    internal = measure(good.xyz, good.mask)
    bonds, angles, torsions = internal.bonds.clone(), internal.angles.clone(), internal.torsions.clone()
    bonds[0, 8, 1] += 0.15
    angles[0, 15, 0] += 0.35
    torsions[0, 11, 2] = 2.4
    raw = replace(good, xyz=build(Internal(torsions, angles, bonds, good.mask)))
    done = relax(raw, FEW)
    assert not bool(done.raw_report.valid.any()) and bool(done.report.valid.all())
    assert torch.equal(done.raw.xyz, raw.xyz)
    numbers = done.report.numbers
    assert float(numbers["worst_bond"]) < 0.06 and float(numbers["angles"]) == 1 and float(numbers["omega"]) == 1


def test_clashes_go():
    raw = crossing()
    before = int(atom_clashes(raw))
    done = relax(raw, FEW)
    assert before > 5
    assert int(atom_clashes(done.chains)) == 0 and float(done.report.numbers["clashes"]) == 0


def test_a_good_chain_stays():
    # a longer helix is longer than a globule of as many residues, and is drawn in
    done = relax(uniform_chain(14), FEW)
    assert float(done.moved) < 0.3
    assert bool(done.report.valid.all())


def test_the_result_does_not_depend_on_the_batch():
    """Each chain descends on its own energy; float32 sums differ in order only."""
    one, two = bent(uniform_chain(18), 6.0, 0), bent(uniform_chain(18), 6.0, 1)
    short = Relaxation(steps=5)
    both = relax(Chains.cat([one, two]), short).chains
    alone = relax(two, short).chains
    assert float((both.xyz[1] - alone.xyz[0]).abs().max()) < 1e-3


@needs_chains
def test_real_chains_are_not_made_worse():
    chains = held_out().take(range(4))
    done = relax(chains)
    assert float(done.moved.median()) < 0.5
    assert int(done.report.passed.sum()) >= int(done.raw_report.passed.sum())


@pytest.mark.slow
@needs_chains
def test_all_held_out_chains_keep_their_gates():
    chains = held_out()
    done = relax(chains)
    assert float(done.moved.median()) < 0.3
    assert float((done.moved < 0.5).double().mean()) > 0.9
    assert int(done.report.passed.sum()) >= int(done.raw_report.passed.sum())
