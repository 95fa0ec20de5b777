"""The bundled models, through the doors that users take."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from rdkit import Chem
from scidiff.domains.molecules.coverage import count_keys, coverage
from scidiff.domains.molecules.model import bundled
from scidiff.domains.molecules.scaffold import contains, parse_query
from scidiff.domains.molecules.universe import universe, universe_split

from scidiff.cli import main
from scidiff.domains import molecules
from scidiff.registry import load_domain
from scidiff.testing import check_demo, check_domain


@pytest.mark.parametrize("name", ["qm9", "universe"])
@pytest.mark.parametrize("steps", [1, 2, 10])
def test_every_sample_is_valid(name: str, steps: int) -> None:
    """Valid for any number of steps, by RDKit's judgement alone; the ledger holds the calls."""
    samples = molecules.load(name).sample(60, steps=steps, seed=steps)
    assert molecules.validate(samples).valid == 1.0
    assert samples.calls.tolist() == [steps] * 60
    heavy = [molecule.GetNumHeavyAtoms() for molecule in samples.items]
    assert heavy == samples.records["size"].tolist()


def test_cards_say_how_the_models_were_made() -> None:
    """Data hash, command, finished training, and a size of a few MB."""
    assert set(bundled()) == {"qm9", "universe"}
    for path in bundled().values():
        card = json.loads(path.with_suffix(".json").read_text())
        assert card["training"]["finished"]
        assert card["training"]["command"][:3] == ["scidiff", "molecules", "train"]
        assert len(card["task"]["data"]["train_sha256"]) == 64
        assert path.stat().st_size < 5_000_000


@pytest.mark.parametrize("query", ["C1CC1*", "c1cc[nH]c1", "C#C*.O=C*", "CCO"])
def test_scaffolds_are_contained(query: str) -> None:
    """Every sample is valid and contains the query."""
    samples = molecules.load("qm9").sample(40, steps=3, seed=1, scaffold=query)
    pattern = parse_query(query)
    assert molecules.validate(samples).valid == 1.0
    assert all(contains(molecule, pattern) for molecule in samples.items)


def test_files_are_equal_to_the_byte_and_lines_survive_another_batch_size(tmp_path: Path) -> None:
    """The same command writes the same file; another batch size moves at most a draw that round-off decides."""
    for name, batch in (("a", "512"), ("b", "512"), ("c", "7")):
        args = ["molecules", "sample", "--count", "64", "--steps", "5", "--seed", "3"]
        assert main([*args, "--batch-size", batch, "--out", str(tmp_path / f"{name}.smi")]) == 0
    a, b, c = ((tmp_path / f"{name}.smi").read_text() for name in "abc")
    assert a == b
    lines = list(zip(a.splitlines(), c.splitlines(), strict=True))
    assert np.mean([x == y for x, y in lines]) >= 0.95
    assert all(Chem.MolFromSmiles(x) is not None for x, _ in lines)


def test_the_universe_model_covers_what_it_never_saw() -> None:
    """All samples are in the universe; the mass on unseen molecules and the KL are far from a memoriser's 0 and 1.6.

    The bounds are those of the intervals of the report at this count, which widen as the count falls.
    """
    keys = universe()
    known = set(universe_split(keys)[0])
    samples = molecules.load("universe").sample(1500, steps=10, seed=0)
    counts, outside = count_keys(samples.smiles, keys)
    report = coverage(counts, np.array([key in known for key in keys]))
    assert outside == 0
    assert report.unseen_mass.low > 0.7
    assert report.tv.low < 0.2


def test_the_domain_keeps_its_contract(tmp_path: Path) -> None:
    """Declaration and fast demonstration."""
    check_domain(load_domain("molecules"))
    check_demo(load_domain("molecules"), tmp_path)


@pytest.mark.parametrize(
    "args",
    [
        ["sample", "--model", "none"],
        ["sample", "--count", "0"],
        ["sample", "--steps", "-1"],
        ["sample", "--temperature", "0"],
        ["sample", "--temperature", "inf"],
        ["sample", "--device", "nowhere"],
        ["scaffold", "Q"],
        ["scaffold", "C[Si](C)(C)*"],
        ["scaffold", "CCCCCCCCCCCC*"],
    ],
)
def test_bad_input_is_one_line_and_leaves_nothing(args: list[str], tmp_path: Path, capsys) -> None:
    """Exit code 2, one line on standard error, no file."""
    assert main(["molecules", *args, "--out", str(tmp_path / "x.smi")]) == 2
    error = capsys.readouterr().err
    assert error.startswith("scidiff: ")
    assert error.count("\n") == 1
    assert list(tmp_path.iterdir()) == []
