"""Sampling from a model with random weights: all valid, repeatable, and the same for any cut into batches."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np
import pytest
from rdkit import Chem
from scidiff.domains.molecules.graphs import decode
from scidiff.domains.molecules.model import MoleculeModel, draw_sizes
from scidiff.domains.molecules.samples import MoleculeSamples
from scidiff.domains.molecules.scaffold import contains, parse_query
from scidiff.domains.molecules.vocabulary import Vocabulary

from scidiff.errors import ConfigError, DataError
from scidiff.random import Noise
from scidiff.sample.discrete.ctmc import ProjectAndNoise, Psi, SiteRule, TauLeaping

from .molecule_cases import CHARGED, QM9, faults, small_network

PRIOR = np.array([0.0, 0.02, 0.03, 0.05, 0.1, 0.1, 0.1, 0.2, 0.2, 0.2])


def model(vocabulary: Vocabulary = QM9, *, double: bool = False) -> MoleculeModel:
    return MoleculeModel("random", small_network(vocabulary, 9, double=double), vocabulary, PRIOR, {"sha256": "none"})


def all_good(samples: MoleculeSamples) -> None:
    assert samples.ok.all()
    for molecule, size in zip(samples.items, samples.records["size"].tolist(), strict=True):
        assert faults(molecule, int(size)) == []


@pytest.mark.parametrize("steps", [1, 2, 10])
@pytest.mark.parametrize("vocabulary", [QM9, CHARGED], ids=["qm9", "charged"])
def test_every_sample_is_a_molecule(vocabulary: Vocabulary, steps: int) -> None:
    """An untrained network is the hardest case; each sample costs as many calls as there are steps."""
    samples = model(vocabulary).sample(60, steps=steps, seed=steps)
    all_good(samples)
    assert samples.calls.tolist() == [steps] * 60
    assert (len(samples), samples.seed, samples.index.tolist()) == (60, steps, list(range(60)))
    assert np.isfinite(samples.records["cost"]).all()


@pytest.mark.parametrize("rule", [ProjectAndNoise(), TauLeaping(), Psi(0.5)], ids=lambda rule: type(rule).__name__)
@pytest.mark.parametrize("bonds_until", [0.0, 0.7])
def test_every_rule_and_every_beginning_of_the_bonds(rule: SiteRule, bonds_until: float) -> None:
    samples = model().sample(30, steps=4, rule=rule, bonds_until=bonds_until, temperature=0.8)
    all_good(samples)
    assert samples.provenance["rule"] == type(rule).__name__


def test_a_seed_says_everything() -> None:
    one = model()
    first = one.sample(50, steps=3, seed=4)
    assert one.sample(50, steps=3, seed=4).smiles == first.smiles
    assert one.sample(50, steps=3, seed=5).smiles != first.smiles


def test_batches_do_not_matter() -> None:
    """In float64 no sample changes; in float32 round-off of the network may flip a draw, in 1 % of samples at most."""
    for double, least in ((True, 100), (False, 99)):
        one = model(double=double)
        together = one.sample(100, steps=3).smiles
        apart = one.sample(100, steps=3, batch_size=9).smiles
        assert sum(a == b for a, b in zip(apart, together, strict=True)) >= least


def test_a_campaign_goes_on_where_it_stopped() -> None:
    one = model(double=True)
    whole = one.sample(60, steps=3, seed=9)
    rest = one.sample(25, steps=3, seed=9, first=35)
    assert rest.smiles == whole.smiles[35:]
    assert rest.index.tolist() == list(range(35, 60))
    assert np.allclose(rest.records["cost"], whole.records["cost"][35:])


def test_sizes_follow_the_prior() -> None:
    """Frequencies of 20,000 draws within 5 standard deviations; impossible sizes are never drawn."""
    drawn = np.bincount(draw_sizes(Noise.range(0, 20_000), PRIOR), minlength=10)
    assert drawn.sum() == 20_000 and drawn[0] == 0
    assert (np.abs(drawn / 20_000 - PRIOR) <= 5 * np.sqrt(PRIOR * (1 - PRIOR) / 20_000)).all()


@pytest.mark.parametrize("query", ["c1ccncc1", "*c1cc[nH]c1", "C*.*C(=O)N", "*C#C*", "C1CC1.O"])
def test_scaffolds_are_in_every_sample(query: str) -> None:
    for steps in (1, 3):
        samples = model().sample(25, steps=steps, scaffold=query)
        all_good(samples)
        assert all(contains(molecule, parse_query(query)) for molecule in samples.items)
        assert samples.provenance["scaffold"] == Chem.MolToSmiles(parse_query(query))


def test_molecules_are_built_knowing_what_was_given(monkeypatch: pytest.MonkeyPatch) -> None:
    seen = []

    def watched(atoms: np.ndarray, bonds: np.ndarray, vocabulary: Vocabulary, given: np.ndarray) -> Chem.Mol:
        seen.append(list(given))
        return decode(atoms, bonds, vocabulary, given)

    monkeypatch.setattr("scidiff.domains.molecules.samples.decode", watched)
    model().sample(3, steps=1, scaffold="*c1cc[nH]c1")
    model().sample(2, steps=1)
    assert seen == [[0, 1, 2, 3, 4]] * 3 + [[]] * 2


@pytest.mark.parametrize("wrong", [{"count": 0}, {"count": -3}, {"steps": 0}, {"batch_size": 0}, {"seed": -1}])
def test_numbers_out_of_range_are_refused(wrong: dict[str, int]) -> None:
    with pytest.raises(ConfigError):
        model().sample(**{"count": 2, "steps": 2, **wrong})


@pytest.mark.parametrize(("query", "error"), [("what", DataError), ("CBr", DataError), ("C" * 12, ConfigError)])
def test_bad_scaffolds_are_refused(query: str, error: type[Exception]) -> None:
    with pytest.raises(error):
        model().sample(2, steps=1, scaffold=query)


def test_progress_is_told() -> None:
    told: list[int] = []
    model().sample(30, steps=1, batch_size=4, progress=told.append)
    assert sum(told) == 30 and max(told) <= 4


def test_files_of_samples(tmp_path: Path) -> None:
    samples = model().sample(20, steps=2, seed=1)
    lines = samples.save(tmp_path / "out.smi").read_text().split()
    assert lines == samples.smiles == [Chem.CanonSmiles(line) for line in lines]
    with open(samples.save(tmp_path / "out.csv"), newline="") as file:
        assert [row["smiles"] for row in csv.DictReader(file)] == lines
    found = Chem.SDMolSupplier(str(samples.save(tmp_path / "out.sdf")))
    assert [Chem.MolToSmiles(molecule) for molecule in found] == lines
    facts = json.loads((tmp_path / "out.sdf.json").read_text())
    assert (facts["model"], facts["steps"], facts["seed"], facts["label"]) == ("random", 2, 1, "biased")
    assert set(facts["seconds"]) == {"network", "projection", "total"}
    with pytest.raises(ConfigError):
        samples.save(tmp_path / "out.mol2")
    assert not list(tmp_path.glob("out.mol2*"))
