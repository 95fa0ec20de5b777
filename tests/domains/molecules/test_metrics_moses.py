"""The metrics against the numbers that MOSES publishes in its own unit test, and against hand counts.

MOSES 0.3.1 evaluates six strings against two reference molecules and pins its numbers; the tolerance is the one of that
test (1e-5 relative, plus 1e-8). Synthetic accessibility is left out, because it depends on the version of RDKit: the
scorer of MOSES itself, run on RDKit 2026.09, gives the value of ours and not the pinned one (measured). It is compared
with the table of scores that RDKit ships with its scorer instead.
"""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
from scidiff.domains.molecules.metrics import MoleculeSet, Settings, evaluate
from scidiff.domains.molecules.metrics.distribution import cosine
from scidiff.domains.molecules.metrics.fingerprints import (
    group_similarity,
    nearest_other,
    nearest_similarity,
)
from scidiff.domains.molecules.metrics.morgan import morgan

REFERENCE = ["Oc1ccccc1-c1cccc2cnccc12", "COc1cccc(NC(=O)Cc2coc3ccc(OC)cc23)c1"]
GENERATED = [
    "CNC",
    "Oc1ccccc1-c1cccc2cnccc12",
    "INVALID",
    "CCCP",
    "Cc1noc(C)c1CN(C)C(=O)Nc1cc(F)cc(F)c1",
    "Cc1nc(NCc2ccccc2)no1-c1ccccc1",
]
PUBLISHED = {
    "valid": 2 / 3,
    "fcd": 52.58371754126664,
    "snn": 0.3152585653588176,
    "frag": 0.3,
    "scaf": 0.5,
    "intdiv": 0.7189187309761661,
    "logp_wasserstein": 1.63229,
    "qed_wasserstein": 0.20370891752648637,
    "weight_wasserstein": 106.87,
}


@pytest.fixture(scope="module")
def report(tmp_path_factory):
    return evaluate(GENERATED, reference=REFERENCE, settings=Settings(cache=tmp_path_factory.mktemp("cache")))


@pytest.mark.parametrize("name", PUBLISHED)
def test_a_metric_is_the_published_one(report, name):
    assert report[name].value == pytest.approx(PUBLISHED[name], rel=1e-5, abs=1e-8)


def test_synthetic_accessibility_is_the_one_shipped_with_rdkit():
    from rdkit import Chem, RDConfig
    from scidiff.domains.molecules.metrics.sascore import sa_score

    table = Path(RDConfig.RDContribDir) / "SA_Score" / "data" / "zim.100.txt"
    if not table.is_file():
        pytest.skip("this build of RDKit carries no table of scores")
    rows = [line.split() for line in table.read_text().splitlines()[1:]]
    assert len(rows) == 100
    for smiles, *_, score in rows:
        assert sa_score(Chem.MolFromSmiles(smiles)) == pytest.approx(
            float(score), abs=1e-3
        )  # printed with three digits


def test_squares_are_averaged_molecule_by_molecule(report):
    smiles = ["CNC", "Oc1ccccc1-c1cccc2cnccc12", "CCCP", "Cc1noc(C)c1CN(C)C(=O)Nc1cc(F)cc(F)c1"]
    bits = np.unpackbits(morgan(smiles), axis=1).astype(float)
    both = bits @ bits.T
    similarity = both / (bits.sum(1)[:, None] + bits.sum(1) - both)
    expected = 1 - np.mean(np.sqrt(np.mean(similarity**2, axis=1)))
    assert report["intdiv2"].value == pytest.approx(expected, abs=1e-6)  # float32 similarities


def test_three_molecules_counted_by_hand(tmp_path):
    """Ethanol, ethanol written otherwise, benzene, a failure, and a string that is none."""
    strings = ["CCO", "OCC", "c1ccccc1", None, "C(C)(C)(C)(C)C"]
    rows = evaluate(strings, reference=["CCO", "CCN"], train=["OCC"], fcd=False, settings=Settings(cache=tmp_path))
    expected = {
        "valid": 3 / 5,
        "valid_returned": 3 / 4,
        "valid_strict": 3 / 5,
        "connected": 1.0,
        "no_radicals": 1.0,
        "unique": 2 / 3,
        "vu": 2 / 5,
        "novel": 1 / 2,
        "vun": 1 / 5,
        "sc_nov": 1 / 5,
        "sc_ret": 0.0,
        "weight": (2 * 46.069 + 78.114) / 3,
    }
    for name, value in expected.items():
        assert rows[name].value == pytest.approx(value, abs=1e-3), name
    assert rows["valid"].count == 5 and rows["valid_returned"].count == 4 and rows["novel"].count == 2
    assert rows["scaf"].value is None and "not defined" in rows["scaf"].note


def test_fragments_and_radicals_are_valid_and_told_apart():
    rows = evaluate(
        ["CCO", "CC.O", "C[CH2]"], reference=["CCO"], metrics=["valid", "valid_strict", "connected", "no_radicals"]
    )
    values = [rows[name].value for name in ("valid", "valid_strict", "connected", "no_radicals")]
    assert values == pytest.approx([1.0, 1 / 3, 2 / 3, 2 / 3])


def test_attempts_dropped_by_a_sampler_are_counted():
    rows = evaluate(["CCO"], reference=["C"], metrics=["valid", "valid_returned", "vu"], settings=Settings(attempts=4))
    assert [rows[name].value for name in ("valid", "valid_returned", "vu")] == [0.25, 1.0, 0.25]


def test_unique_at_k_looks_at_the_first_k():
    smiles = ["C" * (k + 1) for k in range(20)] * 50 + ["CCO"] * 10
    rows = evaluate(smiles, reference=["C"], metrics=["unique", "unique@1000"])
    assert rows["unique@1000"].value == 20 / 1000
    assert rows["unique"].value == 21 / 1010


def test_quality_counts_distinct_easy_and_drug_like_molecules():
    good, plain = "CC(=O)Nc1ccc(OC)cc1", "CCCCCCCCCC"  # QED 0.72 and 0.36 by RDKit, both easy to make
    rows = evaluate([good, good, plain, None], reference=[plain], metrics=["quality", "qed", "sa"])
    table = MoleculeSet([good, plain]).properties
    assert table[1, 2] < 0.6 < table[0, 2] and table[:, 1].max() < 4
    assert rows["quality"].value == 1 / 4
    assert rows["qed"].value == pytest.approx((2 * table[0, 2] + table[1, 2]) / 3)


def test_a_set_is_its_own_nearest_neighbour():
    smiles = ["CCO", "c1ccccc1", "CC(=O)N", "CCO"]
    rows = evaluate(smiles, reference=smiles, metrics=["snn", "frag", "logp_wasserstein"])
    assert rows["snn"].value == 1.0
    assert rows["frag"].value == pytest.approx(1.0, abs=1e-12)
    assert rows["logp_wasserstein"].value == 0.0


def test_similarities_agree_with_rdkit_for_any_cut(monkeypatch):
    from rdkit import Chem, DataStructs
    from rdkit.Chem import rdFingerprintGenerator
    from scidiff.domains.molecules.metrics import fingerprints

    smiles = ["CCO", "CCN", "c1ccccc1O", "CC(=O)Nc1ccc(O)cc1", "C1CC1", "N", "OCC(O)CO"]
    generator = rdFingerprintGenerator.GetMorganGenerator(radius=2, fpSize=1024)
    prints = [generator.GetFingerprint(Chem.MolFromSmiles(text)) for text in smiles]
    table = np.array([DataStructs.BulkTanimotoSimilarity(one, prints) for one in prints])
    others = np.where(np.eye(len(smiles), dtype=bool), 0.0, table)
    labels = np.array([0, 1, 2, 0, 1, 2, 0])
    for rows, columns in ((2, 3), (4096, 4096)):
        monkeypatch.setattr(fingerprints, "_ROWS", rows)
        monkeypatch.setattr(fingerprints, "_COLUMNS", columns)
        packed = morgan(smiles)
        sums, squares = group_similarity(packed, labels, 3)
        np.testing.assert_allclose(nearest_similarity(packed[:4], packed[4:]), table[:4, 4:].max(1), atol=1e-7)
        np.testing.assert_allclose(nearest_other(packed), others.max(1), atol=1e-7)
        np.testing.assert_allclose(sums.sum(1), table.sum(1), atol=1e-6)
        np.testing.assert_allclose(squares[:, 1], (table**2)[:, labels == 1].sum(1), atol=1e-6)


def test_two_empty_fingerprints_are_alike():
    empty = np.zeros((1, 128), dtype=np.uint8)
    assert nearest_similarity(empty, empty) == 1.0


def test_the_cosine_of_counts():
    assert cosine(np.array([3.0, 4.0, 0.0]), np.array([4.0, 3.0, 0.0])) == pytest.approx(24 / 25)
    assert math.isnan(cosine(np.zeros(2), np.ones(2)))
