from __future__ import annotations

import numpy as np
import pytest
import torch
from scidiff.domains.proteins.contacts import sites
from scidiff.domains.proteins.secondary import STRAND, assign, hydrogen_bonds
from scidiff.domains.proteins.torsion.bonds import bond_energy, bonds_of, ladder_bonds, pull_energy
from scidiff.domains.proteins.torsion.data import Cut, TrainingChains
from scidiff.domains.proteins.torsion.draw_plans import PlanSource, resized
from scidiff.domains.proteins.torsion.found_plan import found_plan
from scidiff.domains.proteins.torsion.pairing import ANTI, PARALLEL, UNKNOWN_PAIR, bridges
from scidiff.domains.proteins.torsion.plans import Ladder, plan_of, read_plan
from scidiff.domains.proteins.torsions import measure

from scidiff.errors import DataError

from .protein_cases import held_out, needs_chains
from .torsion_cases import PLANS


@pytest.mark.parametrize("text", PLANS, ids=["hairpin", "two strands", "parallel"])
def test_text_and_tensors_of_a_plan_are_inverse(text):
    plan = read_plan(text)
    assert str(plan) == text
    states, pairing = plan.tensors()
    assert plan_of(states, pairing) == plan
    assert torch.equal(pairing, pairing.T)


def test_a_ladder_pairs_the_residues_it_says():
    assert Ladder(3, 17, 3, False).pairs == [(3, 17), (4, 16), (5, 15)]
    assert Ladder(3, 17, 3, True).pairs == [(3, 17), (4, 18), (5, 19)]


def test_open_residues_and_strands_without_partners_leave_the_pairing_open():
    pairing = read_plan("--EE??--").tensors()[1]
    assert bool((pairing == UNKNOWN_PAIR).all())
    pairing = read_plan("HHHH??--").tensors()[1]
    assert bool((pairing[4:6] == UNKNOWN_PAIR).all())
    assert int((pairing[:4, :4] == UNKNOWN_PAIR).sum()) == 0


@pytest.mark.parametrize("text", ["HHX", "HHH 1b2*3", "EEEE 0a9*2", "EEEE 3a0*1"])
def test_a_wrong_plan_is_refused(text):
    with pytest.raises(DataError):
        read_plan(text)


@pytest.mark.parametrize("length", [20, 30, 41, 77])
def test_a_resized_plan_has_the_length_and_keeps_registers(length):
    for seed in range(20):
        plan = resized(read_plan(PLANS[seed % 3]), length, np.random.default_rng(seed))
        assert len(plan) == length
        states, pairing = plan.tensors()
        assert torch.equal((states == STRAND), pairing.any(1))
        kinds = {ANTI if not ladder.parallel else PARALLEL for ladder in plan.ladders}
        assert kinds <= {ANTI if " " in PLANS[seed % 3] and "a" in PLANS[seed % 3] else PARALLEL}


def test_a_tight_turn_keeps_its_length():
    source = read_plan("----EEEE--EEEE---- 4a13*4")
    for seed in range(20):
        plan = resized(source, 30, np.random.default_rng(seed))
        first, last = plan.states.index("E"), plan.states.rindex("E")
        assert plan.states[first : last + 1] == "EEEE--EEEE"


def test_drawn_plans_are_named_by_seed_and_index():
    source = PlanSource.read(PLANS)
    drawn = [source.draw(40, 3, k) for k in range(8)]
    assert drawn == [source.draw(40, 3, k) for k in range(8)]
    assert len({str(plan) for plan in drawn}) > 4


def test_bonds_of_a_hairpin_are_those_of_the_definition():
    even, odd = ladder_bonds(Ladder(2, 12, 3, False), 20)
    assert even == sorted([(2, 12), (12, 2), (4, 10), (10, 4)])
    assert odd == sorted([(1, 13), (3, 11), (11, 3), (9, 5)])
    one, two = ladder_bonds(Ladder(2, 12, 1, True), 20)
    assert one == sorted([(1, 12), (12, 3)])
    assert two == sorted([(11, 2), (2, 13)])


@needs_chains
def test_plans_of_real_chains_say_what_their_bonds_say():
    chains = held_out()
    pairing, states = bridges(chains), assign(chains)
    assert torch.equal(pairing.any(2), states == STRAND)
    plans = [plan_of(states[k, :n], pairing[k, :n, :n]) for k, n in enumerate(chains.lengths.tolist())]
    there = hydrogen_bonds(chains) < -0.5
    asked = formed = 0
    for row, plan in enumerate(plans):
        for ladder in plan.ladders:
            counts = [
                (int(sum(there[row, a, d] for a, d in part)), len(part)) for part in ladder_bonds(ladder, len(plan))
            ]
            best = max(counts, key=lambda pair: pair[0] / max(pair[1], 1))
            formed, asked = formed + best[0], asked + best[1]
    # each bridge is made of two bonds of one phase; a bulge or a lone bridge may break the phase of its run
    assert formed / asked > 0.9
    bonds, atoms = bonds_of(plans), sites(chains.xyz, chains.mask)
    real = float(bond_energy(atoms, bonds).sum())
    spread = sites(chains.xyz * 1.2, chains.mask)
    assert real < 0.25 * float(bond_energy(spread, bonds).sum())
    assert float(pull_energy(chains.ca, bonds).sum()) < 0.05 * len(bonds.pair)


@needs_chains
def test_a_plan_is_read_off_a_real_chain():
    chains = held_out()
    torsions = measure(chains.xyz, chains.mask).torsions[..., :2]
    hit = said = 0
    for k, size in enumerate(chains.lengths.tolist()):
        want = bridges(chains.take([k]))[0].any(1)
        got = found_plan(chains.ca[k, :size], torsions[k, :size]).tensors()[0] == STRAND
        hit, said = hit + int((got & want[:size]).sum()), said + int(got.sum())
    assert hit / said > 0.75


@needs_chains
def test_a_crop_forgets_strands_that_lost_their_partner():
    found = TrainingChains(held_out().take(range(12)))
    for row in range(12):
        states, pairing = found.plan(Cut(row, 5, 30))
        assert torch.equal(states == STRAND, pairing.any(1))
