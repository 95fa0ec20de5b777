"""Sets of chains: distances of equal and of different laws, clusters of copies, short lists that find the neighbour."""

from __future__ import annotations

import pytest
import torch
from scidiff.domains.proteins.chains import Chains
from scidiff.domains.proteins.diversity import diversity
from scidiff.domains.proteins.docking import dock, interchain_clashes
from scidiff.domains.proteins.evaluation import evaluate
from scidiff.domains.proteins.ideal_chains import HELIX_TORSIONS, STRAND_TORSIONS, from_degrees, uniform_chain
from scidiff.domains.proteins.prefilter import shortlist
from scidiff.domains.proteins.relaxation_benchmark import bent
from scidiff.domains.proteins.secondary import STRAND, assign, assign_together
from scidiff.domains.proteins.setwise import class_shares, distribution_distances
from scidiff.domains.proteins.symmetry import parse_symmetry
from scidiff.domains.proteins.tmalign import nearest
from scidiff.domains.proteins.validation import real_quantiles, validate

from scidiff.random import Noise

from .protein_cases import held_out, helix, needs_chains, random_rotation


def test_equal_sets_have_no_distance_and_disjoint_laws_one_bit():
    helices, strands = helix(30), uniform_chain(30, STRAND_TORSIONS)
    same = distribution_distances(helices, helices)
    assert all(abs(value) < 1e-12 for value in same.values())
    apart = distribution_distances(helices, strands)
    # histograms without a common bin
    assert apart["phi_psi_jsd"] == pytest.approx(1.0, abs=1e-12)
    # 26 of 30 residues of the helix are helical, none of the strand; the strand alone pairs with nothing
    assert apart["strand_gap"] == 0.0 and apart["structure_distance"] > 0.8
    assert apart["distance_w1"] > 5 and apart["rg_w1"] > 0.5


def test_classes_sum_to_one():
    shares = class_shares(Chains.cat([helix(30), uniform_chain(30, STRAND_TORSIONS)]))
    assert shares == {"alpha": 0.5, "beta": 0.0, "mixed": 0.0, "irregular": 0.5}


def test_copies_are_one_cluster():
    turns = [HELIX_TORSIONS] * 14 + [(-90.0, 120.0), (60.0, 40.0)] + [STRAND_TORSIONS] * 10
    one = from_degrees(turns)
    other = uniform_chain(26, STRAND_TORSIONS)
    found = diversity(Chains.cat([one, one.moved(random_rotation(), torch.ones(3)), other]))
    assert float(found.tm[0, 1]) == pytest.approx(1.0, abs=1e-4)
    assert found.clusters == 2 and found.centre.tolist() == [0, 0, 2]


def test_the_short_list_finds_the_chain_and_its_window():
    folds = [bent(uniform_chain(40), 25.0, seed) for seed in range(12)]
    library = Chains.cat(folds)
    for row in (3, 7):
        assert int(shortlist(library.ca[row], library, 1)[0]) == row
        # the window begins at a third residue, as those that are looked at do
        assert row in shortlist(library.ca[row, 9:36], library, 2).tolist()
    score, found = nearest(library.take([5]), library, keep=2, glance=4)
    assert int(found) == 5 and float(score) == pytest.approx(1.0, abs=1e-4)


def test_gates_together_has_interval_and_real_row():
    report = validate(Chains.cat([helix(30), uniform_chain(30, STRAND_TORSIONS)]))
    gates = report.gates_together()
    assert gates["value"] == float(report.passed.double().mean())
    assert gates["interval"][0] <= gates["value"] <= gates["interval"][1]
    assert gates["real_chains"] == real_quantiles()["shares"]["passed"]
    assert gates["real_interval"][0] < gates["real_chains"] < gates["real_interval"][1]


def test_hydrogen_bonds_between_chains():
    """Apart, or as one chain alone, nothing changes; a hairpin cut in its turn keeps its ladder only together."""
    one = helix(14)
    pair = Chains.cat([one, one.moved(torch.eye(3), torch.tensor([100.0, 0, 0]))])
    assert torch.equal(assign_together(pair), assign(pair))
    assert torch.equal(assign_together(one), assign(one))
    turn = [(-112.0, 122.0)] * 9 + [(55.0, 38.0), (82.0, 5.0)] + [(-112.0, 122.0)] * 9
    hairpin = from_degrees(turn, 180.0)
    whole = (assign(hairpin)[0] == STRAND).sum()
    halves = Chains.cat([hairpin.part(0, 0, 10), hairpin.part(0, 10, 20)])
    together = (assign_together(halves) == STRAND).sum()
    assert int((assign(halves) == STRAND).sum()) == 0
    assert int(together) >= int(whole) - 2


@pytest.mark.parametrize("name", ["C3", "D3", "T", "screw(12,40,5)"])
def test_docked_units_touch_and_do_not_clash(name):
    symmetry = parse_symmetry(name)
    done = dock(helix(20), symmetry, Noise.range(0, 1))
    assert done.clashes == 0 == interchain_clashes(done.chains)
    # sums of rotated coordinates of some tens of Å in float64
    assert done.error < 1e-10 and len(done.chains) == len(symmetry)


def test_evaluate_has_rows_for_people_and_machines():
    chains = Chains.cat([helix(30), bent(uniform_chain(30), 20.0, 1)])
    done = evaluate(chains, chains, chains)
    facts = done.as_json()
    assert facts["set"]["nearest_tm"]["value"] == pytest.approx(1.0, abs=1e-4)
    assert facts["gates_together"]["count"] == 2
    assert any("phi_psi_jsd" in line for line in done.lines())


@needs_chains
def test_held_out_chains_look_like_training_chains():
    from scidiff.domains.proteins.data import load, select

    found = distribution_distances(held_out(), select(load("train", progress=False)))
    # 3,500 residues in 1,296 bins: a divergence of some 0.1 bit is what samples of one law have
    assert found["phi_psi_jsd"] < 0.15 and abs(found["strand_gap"]) < 0.08
