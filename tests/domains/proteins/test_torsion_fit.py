from __future__ import annotations

from dataclasses import replace

import torch
from scidiff.domains.proteins.backbone import build
from scidiff.domains.proteins.ideal_chains import HELIX_TORSIONS, STRAND_TORSIONS, from_degrees
from scidiff.domains.proteins.relaxation import Variables
from scidiff.domains.proteins.secondary import hydrogen_bonds
from scidiff.domains.proteins.superpose import rmsd
from scidiff.domains.proteins.torsion.bonds import bonds_of
from scidiff.domains.proteins.torsion.fit import Fit, chains_of, close, kept, project, stiffness_of, tidied
from scidiff.domains.proteins.torsion.plans import read_plan
from scidiff.domains.proteins.torsions import measure
from scidiff.domains.proteins.validation import validate

from scidiff.random import Noise

QUICK = Fit(gathering=replace(Fit().gathering, steps=15), closing=replace(Fit().closing, steps=30))
TURN = [(-60.0, 120.0), (80.0, 0.0)]


def hairpin():
    """Two strands about a tight turn, only roughly facing each other."""
    return from_degrees([STRAND_TORSIONS] * 7 + TURN + [STRAND_TORSIONS] * 7)


def variables(chains, size: float = 0.0):
    start = Variables.of(measure(chains.xyz.double(), chains.mask))
    noise = Noise.range(0, len(chains)).normal(tuple(start.phi_psi.shape[1:]), step=0, stream="test/turn")
    return replace(start, phi_psi=start.phi_psi + size * noise)


def test_projection_finds_the_chain_whose_ca_are_given():
    chains = from_degrees([HELIX_TORSIONS] * 12 + TURN + [STRAND_TORSIONS] * 8)
    start = variables(chains, 0.15)
    off = float(rmsd(chains_of(start).ca, chains.ca.double(), chains.mask))
    near = project(start, chains.ca.double(), torch.full((1, 22, 6), 0.01, dtype=torch.float64), 25)
    left = float(rmsd(chains_of(near).ca, chains.ca.double(), chains.mask))
    # a hold of 0.01 A^2 per radian^2 and variable may keep sqrt(0.01 * 132 * 0.15^2 / 22) = 0.04 A of it at most
    assert left < 0.05 < 1.0 < off


def test_projection_never_raises_its_cost():
    chains = hairpin()
    start, plan = variables(chains, 0.4), [read_plan("-EEEEEE---EEEEE-")]
    stiff = stiffness_of(plan, 16, 2.0)
    gaps = []
    for rounds in (0, 3, 12):
        found = project(start, chains.ca.double(), stiff, rounds)
        r = (chains_of(found).ca - chains.ca.double()).norm(dim=-1)
        assert bool(r.isfinite().all())
        gaps.append(float(rmsd(chains_of(found).ca, chains.ca.double(), chains.mask)))
    assert gaps[2] < gaps[1] < gaps[0]


def test_variables_that_are_not_free_stay_bit_for_bit():
    chains = hairpin()
    start, plan = variables(chains, 0.2), [read_plan("-EEEEEE---EEEEE-")]
    free = torch.ones(1, 16, 6, dtype=torch.bool)
    free[:, 4:9] = False
    near = project(start, chains.ca.double(), stiffness_of(plan, 16, 2.0), 5, free)
    done = close(near, start, plan, QUICK, free)
    for found in (near, done):
        assert torch.equal(kept(found, start, torch.zeros_like(free)).phi_psi[:, 4:9], found.phi_psi[:, 4:9])
        assert torch.equal(found.u[:, 4:9], start.u[:, 4:9])
    assert float((done.phi_psi - start.phi_psi)[:, :4].abs().max()) > 1e-3


def test_closing_forms_the_bonds_of_a_hairpin_and_keeps_geometry_valid():
    chains = hairpin()
    plan = read_plan("-EEEEEE--EEEEEE- 1a14*6")
    start = variables(chains)
    before = int((hydrogen_bonds(chains_of(start)) < -0.5).sum())
    done = chains_of(close(start, start, [plan], QUICK))
    bonds = bonds_of([plan])
    there = (hydrogen_bonds(done) < -0.5)[bonds.chain, bonds.acceptor, bonds.donor]
    phases = [float(there[bonds.phase == k].double().mean()) for k in (0, 1)]
    assert max(phases) >= 0.6
    assert int((hydrogen_bonds(done) < -0.5).sum()) > before
    assert bool(validate(done).valid.all())


def test_local_geometry_is_valid_wherever_the_variables_are():
    noise = Noise.range(5, 4)
    chains = from_degrees([HELIX_TORSIONS] * 20)
    start = variables(chains)
    wild = replace(
        start,
        phi_psi=(noise.uniform((20, 2), step=0, stream="a") - 0.5) * 6,
        u=noise.normal((20, 3), step=0, stream="b") * 5,
        v=noise.normal((20,), step=0, stream="c") * 5,
        **{
            name: getattr(start, name).expand(4, *getattr(start, name).shape[1:]) for name in ("state", "bonds", "mask")
        },
    )
    rules = validate(chains_of(wild)).rules
    for name in ("bonds", "peptide_bonds", "angles", "omega", "ca_steps", "chirality"):
        assert bool(rules[name].all()), name


def test_planned_helices_are_tidied_and_nothing_else():
    chains = from_degrees([HELIX_TORSIONS] * 20)
    start = variables(chains, 0.3)
    plan = read_plan("HHHHHHHHHH----------")
    done = tidied(start, [plan])
    assert torch.equal(done.phi_psi[:, 9:], start.phi_psi[:, 9:])
    spread = [float(one.phi_psi[:, 1:9].std()) for one in (start, done)]
    assert spread[1] < spread[0]
    assert torch.equal(build(done.internal())[:, 0], build(start.internal())[:, 0])
