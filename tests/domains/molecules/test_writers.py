"""Files of samples, read back with RDKit and the standard library."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np
import pytest
from rdkit import Chem
from scidiff.domains.molecules.graphs import parse
from scidiff.domains.molecules.samples import MoleculeSamples

from scidiff.errors import ConfigError
from scidiff.sample.samples import Status

SMILES = ["CCO", "c1cc[nH]c1", None, "C[N+](C)(C)C", "O=C1NC(=O)c2ccccc21"]


@pytest.fixture
def samples() -> MoleculeSamples:
    items = [None if smiles is None else parse(smiles) for smiles in SMILES]
    status = [Status.INVALID if item is None else Status.OK for item in items]
    records = {"cost": np.arange(5) / 3, "size": np.array([3, 5, 4, 5, 11])}
    facts = {"model": "test", "steps": 4, "label": "biased"}
    return MoleculeSamples(items, status, np.arange(7, 12), 3, np.full(5, 4), records, facts)


def canonical(smiles: list[str | None]) -> list[str]:
    return ["" if one is None else Chem.CanonSmiles(one) for one in smiles]


def test_smi_is_one_smiles_a_line(samples: MoleculeSamples, tmp_path: Path) -> None:
    path = samples.save(tmp_path / "out.smi")
    assert path.read_text().split("\n") == [*canonical(SMILES), ""]
    assert samples.smiles == [one or None for one in canonical(SMILES)]


def test_csv_keeps_index_status_and_costs(samples: MoleculeSamples, tmp_path: Path) -> None:
    with open(samples.save(str(tmp_path / "out.csv")), newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["smiles"] for row in rows] == canonical(SMILES)
    assert [row["status"] for row in rows] == ["ok", "ok", "invalid", "ok", "ok"]
    assert [int(row["index"]) for row in rows] == [7, 8, 9, 10, 11]
    assert [float(row["cost"]) for row in rows] == pytest.approx((np.arange(5) / 3).tolist(), rel=1e-5)
    assert {row["calls"] for row in rows} == {"4"}


def test_sdf_holds_the_good_molecules_with_coordinates(samples: MoleculeSamples, tmp_path: Path) -> None:
    found = list(Chem.SDMolSupplier(str(samples.save(tmp_path / "out.sdf"))))
    assert [Chem.MolToSmiles(molecule) for molecule in found] == [one for one in canonical(SMILES) if one]
    assert [molecule.GetProp("index") for molecule in found] == ["7", "8", "10", "11"]
    assert [float(molecule.GetProp("size")) for molecule in found] == [3, 5, 5, 11]
    for molecule in found:
        places = molecule.GetConformer().GetPositions()
        assert np.ptp(places[:, 0]) > 0.5
    assert all(item is None or item.GetNumConformers() == 0 for item in samples.items)


@pytest.mark.parametrize("ending", ["smi", "csv", "sdf"])
def test_provenance_lies_beside(samples: MoleculeSamples, tmp_path: Path, ending: str) -> None:
    path = samples.save(tmp_path / f"out.{ending}")
    facts = json.loads((tmp_path / f"out.{ending}.json").read_text())
    assert path.name == f"out.{ending}"
    assert (facts["seed"], facts["count"], facts["model"], facts["steps"], facts["label"]) == (
        3,
        5,
        "test",
        4,
        "biased",
    )
    assert {"scidiff", "torch", "date"} <= set(facts)
    assert sorted(p.name for p in tmp_path.iterdir()) == [f"out.{ending}", f"out.{ending}.json"]


@pytest.mark.parametrize("name", ["out.xyz", "out", "out.smi.gz", "none/out.smi"])
def test_what_cannot_be_written_leaves_nothing(samples: MoleculeSamples, tmp_path: Path, name: str) -> None:
    with pytest.raises(ConfigError, match=r"expected one of \.smi, \.csv, \.sdf|does not exist"):
        samples.save(tmp_path / name)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("ending", ["smi", "csv", "sdf"])
def test_no_samples_make_an_empty_file(samples: MoleculeSamples, tmp_path: Path, ending: str) -> None:
    path = samples.take(np.array([], dtype=int)).save(tmp_path / f"out.{ending}")
    assert path.read_text() == ("smiles,index,status,calls,cost,size\n" if ending == "csv" else "")


def test_rows_move_together(samples: MoleculeSamples) -> None:
    part = samples.take([4, 2])
    assert (part.index.tolist(), part.ok.tolist(), part.records["size"].tolist()) == ([11, 9], [True, False], [11, 4])
    assert part.smiles == [canonical(SMILES)[4], None]
