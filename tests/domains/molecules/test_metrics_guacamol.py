"""The KL score of GuacaMol: SciPy's densities, closed forms, and the ends of its range."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scidiff.domains.molecules.metrics import evaluate
from scidiff.domains.molecules.metrics.descriptors import PHYSCHEM, physchem
from scidiff.domains.molecules.metrics.guacamol import compare_counts, compare_densities, kl_score
from scidiff.domains.molecules.metrics.intervals import group_labels
from scipy.stats import entropy, gaussian_kde

SMILES = [
    "CCO",
    "CCCO",
    "CCN",
    "c1ccccc1O",
    "CC(=O)N",
    "C1CCCC1=O",
    "OCCO",
    "CC(C)C",
    "N#CC",
    "C1CC1C=O",
    "CCOC",
    "CNC",
]


def test_a_density_is_the_published_estimate():
    rng = np.random.default_rng(0)
    reference, generated = rng.normal(size=1500), rng.normal(0.4, 1.3, size=1200)
    grid = np.linspace(min(reference.min(), generated.min()), max(reference.max(), generated.max()), 1000)
    expected = entropy(gaussian_kde(reference)(grid) + 1e-10, gaussian_kde(generated)(grid) + 1e-10)
    found = compare_densities(reference, generated, group_labels(1200, 10, 0)).divergence()
    assert found == pytest.approx(expected, rel=1e-9)


def test_a_divergence_of_gaussians_is_the_closed_form():
    """``KL = log s2/s1 + (s1^2 + d^2)/(2 s2^2) - 1/2`` = 0.1 for a shift and a stretch; the estimate has an error of
    the order of the smoothing, ``h^2 = n^(-2/5)`` relative, 2.5 % at 10^4, doubled for two densities."""
    rng = np.random.default_rng(1)
    reference, generated = rng.normal(size=10_000), rng.normal(0.5, 1.2, size=10_000)
    expected = math.log(1.2) + (1 + 0.25) / (2 * 1.44) - 0.5
    found = compare_densities(reference, generated, np.zeros(10_000, dtype=int)).divergence()
    assert found == pytest.approx(expected, rel=0.05, abs=3 / math.sqrt(10_000) * math.sqrt(expected))


def test_a_divergence_of_counts_is_counted_by_hand():
    reference, generated = np.array([0, 0, 0, 1.0]), np.array([0, 1.0, 1.0, 1.0, 7.0])  # 7 lies outside and is not seen
    expected = 0.75 * math.log(0.75 / 0.25) + 0.25 * math.log(0.25 / 0.75)
    comparison = compare_counts(reference, generated, np.zeros(5, dtype=int))
    assert comparison.divergence() == pytest.approx(expected, rel=1e-7)  # the floor of 1e-10 in empty cells


def test_leaving_a_group_out_is_leaving_its_values_out():
    rng = np.random.default_rng(2)
    reference, generated, labels = rng.poisson(3, 200), rng.poisson(4, 150), group_labels(150, 5, 0)
    rest = labels != 2
    direct = compare_counts(reference, generated[rest], np.zeros(rest.sum(), dtype=int)).divergence()
    assert compare_counts(reference, generated, labels).divergence(without=2) == pytest.approx(direct, rel=1e-12)


def test_constants_have_no_density():
    same, other, spread = np.full(4, 2.0), np.full(4, 3.0), np.array([1.0, 2, 3, 4])
    labels = np.zeros(4, dtype=int)
    assert compare_densities(same, same, labels) == 0.0
    assert compare_densities(same, other, labels) == math.inf
    assert compare_densities(same, spread, labels) == math.inf
    assert kl_score([0.0, math.inf]) == 0.5


def test_equal_sets_score_one_and_the_order_does_not_matter():
    rows = evaluate(SMILES, reference=SMILES[::-1], metrics=["kl_score"])
    assert rows["kl_score"].value == pytest.approx(1.0, abs=1e-12)


def test_disjoint_sets_score_near_zero():
    """No descriptor overlaps, except counts that are zero in both, which score one: at most five of ten."""
    alkanes = ["C" * k for k in range(2, 8)]
    arenes = ["c1ccc2cc3ccccc3cc2c1", "Oc1ccc2cc3ccc(O)cc3cc2c1", "Nc1ccc2cc3ccc(O)cc3cc2c1"]
    rows = evaluate(alkanes, reference=arenes, metrics=["kl_score"])
    assert 0.0 <= rows["kl_score"].value < 0.5


def test_the_descriptors_are_those_of_rdkit():
    from rdkit import Chem
    from rdkit.Chem import Descriptors

    table = dict(Descriptors.descList)
    for smiles in (*SMILES, "CC(=O)Nc1ccc(O)cc1", "CN1CCC(c2ccncc2)CC1C(=O)NCC"):
        mol = Chem.MolFromSmiles(smiles)
        assert physchem(smiles) == tuple(table[name](mol) for name in PHYSCHEM)


def test_too_few_molecules_have_no_score():
    assert evaluate(["CCO", "OCC"], reference=SMILES, metrics=["kl_score"])["kl_score"].value is None
