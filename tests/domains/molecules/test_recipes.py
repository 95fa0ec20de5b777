"""From a SMILES file to a model that samples, and the evaluation verb."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from rdkit import Chem
from scidiff.domains.molecules.encoding import encode_known, encode_training, usable
from scidiff.domains.molecules.universe import universe

from scidiff.domains import molecules
from scidiff.errors import ConfigError, DataError, UnknownNameError


@pytest.fixture
def smiles(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> list[str]:
    """A few hundred molecules; the cache of encoded sets lies in a folder of the test."""
    few = universe(4)[::3]
    monkeypatch.setenv("SCIDIFF_CACHE", str(tmp_path / "cache"))
    return few


def test_a_run_is_interrupted_resumed_loaded_and_sampled(smiles: list[str], tmp_path: Path) -> None:
    """The whole way; a second call of the same command finds nothing left to do."""
    file = tmp_path / "mine.smi"
    file.write_text("\n".join(smiles))
    settings = {"size": "tiny", "steps": 12, "batch_size": 32, "threads": 1}
    stopped = molecules.train(file, tmp_path / "run", max_seconds=1e-3, **settings)
    assert not stopped.finished
    result = molecules.train(file, tmp_path / "run", **settings)
    assert result.finished
    assert result.step == 12
    model = molecules.load(result.model)
    assert model.card["task"]["data"]["name"] == "mine"
    assert molecules.validate(model.sample(20, steps=2)).valid == 1.0
    with pytest.raises(ConfigError, match="is a file"):
        molecules.train(file, file, **settings)
    with pytest.raises(ConfigError, match="batch"):
        molecules.train(file, tmp_path / "run", **{**settings, "batch_size": 16})


def test_no_molecule_has_no_share_of_valid_ones() -> None:
    with pytest.raises(ConfigError, match="at least one"):
        molecules.validate([])
    assert molecules.validate([None]).valid == 0.0


def test_unusable_rows_are_left_out() -> None:
    """Salts and radicals are no targets of a model of connected closed-shell molecules; spellings are merged."""
    assert usable(["CCO", "OCC", "[Na+].[Cl-]", "[CH3]", "C[C@H](O)F"]) == ["CC(O)F", "CCO"]


def test_the_cache_gives_back_what_was_encoded(smiles: list[str]) -> None:
    """First and second call agree; a damaged file is an error, not a guess."""
    vocabulary, graphs = encode_training(smiles, progress=False)
    again, same = encode_training(smiles, progress=False)
    assert vocabulary == again
    assert all(np.array_equal(getattr(graphs, name), getattr(same, name)) for name in ("atoms", "bonds", "sizes"))
    decoded = [Chem.MolToSmiles(graphs.decode(row, vocabulary)) for row in range(len(graphs))]
    assert decoded == smiles
    (path,) = _cached()
    path.write_bytes(b"not an archive")
    with pytest.raises(DataError, match="damaged"):
        encode_training(smiles, progress=False)


def _cached() -> list[Path]:
    from scidiff.io.files import cache_folder

    return list((cache_folder() / "molecules").glob("graphs-*.npz"))


def test_what_does_not_fit_is_left_out(smiles: list[str]) -> None:
    """Unknown tokens and larger molecules."""
    vocabulary, _ = encode_training(smiles, progress=False)
    assert len(encode_known(["CCO", "CCS", "CCCCCC"], vocabulary, 4)) == 1


def test_evaluate_takes_samples_and_sets(smiles: list[str]) -> None:
    """A set against itself is not novel; exactly one reference is named."""
    report = molecules.evaluate(smiles, reference=smiles, train=smiles, fcd=False)
    assert report["valid"].value == 1.0
    assert report["novel"].value == 0.0
    samples = molecules.load("universe").sample(30, steps=2)
    assert molecules.evaluate(samples, reference=smiles, fcd=False)["valid"].value == 1.0
    for wrong in ({}, {"data": "qm9", "reference": smiles}):
        with pytest.raises(ConfigError, match="exactly one"):
            molecules.evaluate(smiles, **wrong)
    with pytest.raises(UnknownNameError):
        molecules.evaluate(smiles, "qm8")
    with pytest.raises(UnknownNameError):
        molecules.train("nothing", "nowhere")
