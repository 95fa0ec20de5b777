"""The bundled conformer model, through the doors that users take."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from rdkit import Chem
from rdkit import __version__ as rdkit_version
from scidiff.domains.molecules.conformers import load
from scidiff.domains.molecules.conformers.evaluation import BARS, Study, study_rows
from scidiff.domains.molecules.conformers.model import bundled
from scidiff.domains.molecules.conformers.recipe import TRAIN_SHARE, held_out
from scidiff.domains.molecules.universe import universe, universe_split

from scidiff.cli import main
from scidiff.io.files import sha256_lines


def test_the_card_says_how_the_model_was_made() -> None:
    """Finished training, its command, the hash of its molecules, and a small file."""
    (path,) = bundled().values()
    card = json.loads(path.with_suffix(".json").read_text())
    assert card["training"]["finished"]
    assert card["training"]["command"][:3] == ["scidiff", "molecules", "train-conformers"]
    assert path.stat().st_size < 1_500_000
    if card["task"]["data"]["rdkit"] == rdkit_version:
        train = universe_split(universe(), TRAIN_SHARE)[0]
        assert card["task"]["data"]["train_sha256"] == sha256_lines(train)
        assert not set(train) & set(held_out(10_000))


def test_held_out_molecules_have_the_right_lengths_and_angles() -> None:
    """Both bars hold at 10 calls on molecules that were not trained on, and the unrelaxed classical row lies above."""
    rows = {row.name: row for row in study_rows(load(), 40, 4, [10], seed=0)}
    for name, bar in BARS.items():
        row = rows[f"conformer {name}, 10 calls, W1"]
        assert row.bar == bar
        assert row.passed
        assert row.value < rows[f"ETKDG {name}, W1"].value == row.baseline
        assert rows[f"second MMFF94 set {name}, W1"].value < row.value
    assert rows["conformer whole shapes, 10 calls"].interval[0] > rows["ETKDG whole shapes"].interval[1]


def test_the_share_of_broken_shapes_is_small() -> None:
    """No bond is torn or crushed: each lies within 0.25 Å of those of the reference of its molecule."""
    study = Study.of(held_out(40), 4, progress=False)
    found, _ = study.draw(load(), 20, 1)
    from scidiff.domains.molecules.conformers.metrics import bonds

    a, b = bonds(found).values, study.measured["bond lengths"].values
    off = np.abs(a[:, :, None] - b[:, None, :]).min(2)
    assert np.mean(off < 0.25) > 0.99


@pytest.mark.parametrize(
    "smiles", ["C[C@H](O)F", "F/C=C/F", "F/C=C\\F", "C[C@H](O)[C@@H](F)N", "C[C@@H]1[C@H](C)O1", "C/C=N/O"]
)
def test_stereo_marks_are_respected(smiles: str) -> None:
    """RDKit, asked to name the shape, gives the SMILES that came."""
    samples = load().sample(smiles, 6, steps=10, seed=4)
    assert samples.ok.all()
    assert np.array_equal(samples.calls, 10 * samples.records["attempts"])
    for molecule in samples.items:
        seen = Chem.Mol(molecule)
        Chem.RemoveStereochemistry(seen)
        Chem.AssignStereochemistryFrom3D(seen)
        assert Chem.MolToSmiles(seen) == Chem.CanonSmiles(smiles)


def test_files_repeat(tmp_path: Path) -> None:
    """The same command writes the same file, and its provenance names the model."""
    for name in "ab":
        args = ["molecules", "conformers", "OCCO", "C1CO1", "--count", "3", "--steps", "5"]
        assert main([*args, "--out", str(tmp_path / f"{name}.sdf")]) == 0
    assert (tmp_path / "a.sdf").read_text() == (tmp_path / "b.sdf").read_text()
    assert len([*Chem.SDMolSupplier(str(tmp_path / "a.sdf"))]) == 6
    facts = json.loads((tmp_path / "a.sdf.json").read_text())
    assert facts["model"] == "conformers"
    assert facts["steps"] == 5
