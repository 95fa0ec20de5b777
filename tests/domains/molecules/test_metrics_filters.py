"""The filters of MOSES, rule by rule, and the reading of its rule files."""

from __future__ import annotations

import csv
import hashlib
import os
import zipfile
from pathlib import Path

import pytest
from scidiff.domains.molecules.metrics import evaluate, filters
from scidiff.domains.molecules.metrics.filters import load_moses_rules, passes_moses, passes_pains

from scidiff.errors import DataError, IntegrityError

NITRILE = ("[#6]=&!@[#6]-[#6]#[#7]",)
HALOALKANE = ("[H]C([H])([#6])[F,Cl,Br,I]",)


@pytest.mark.parametrize(
    ("smiles", "rules", "passes"),
    [
        ("CCO", NITRILE, True),
        ("C=CC#N", NITRILE, False),
        ("CCCl", HALOALKANE, False),  # a rule with hydrogens sees them
        ("CC(C)(C)Cl", HALOALKANE, True),
        ("C1CCCCCC1", (), True),
        ("C1CCCCCCC1", (), False),  # eight in a ring
        ("C[N+](C)(C)C", (), False),
        ("CCP", (), False),
        ("CCBr", (), True),
        ("CCI", (), False),
    ],
)
def test_each_rule_by_hand(smiles, rules, passes):
    assert passes_moses(smiles, rules) is passes


def test_pains_of_rdkit():
    assert passes_pains("CCO")
    assert not passes_pains("O=C1C(=Cc2ccccc2)SC(=S)N1C")  # a rhodanine, the textbook case


def write_rules(folder: Path) -> dict[str, bytes]:
    folder.mkdir(parents=True, exist_ok=True)
    with open(folder / "mcf.csv", "w", newline="") as file:
        csv.writer(file).writerows([["names", "smarts"], ["MCF1", NITRILE[0]]])
    (folder / "wehi_pains.csv").write_text('"c1ccccc1"    ,"<regId=ring(1)>"\n')
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_rules_are_read_from_a_folder_and_from_the_wheel(tmp_path, monkeypatch):
    files = write_rules(tmp_path / "rules")
    hashes = {name: hashlib.sha256(files[name]).hexdigest() for name in ("mcf.csv", "wehi_pains.csv")}
    monkeypatch.setattr(filters, "MOSES_RULE_HASHES", hashes)
    with zipfile.ZipFile(tmp_path / "molsets.whl", "w") as wheel:
        for name, content in files.items():
            wheel.writestr(f"moses/metrics/{name}", content)
    expected = (NITRILE[0], "c1ccccc1")
    assert load_moses_rules(tmp_path / "rules") == load_moses_rules(tmp_path / "molsets.whl") == expected
    rows = evaluate(
        ["CCO", "C=CC#N", "c1ccccc1C"], reference=["C"], metrics=["filters"], moses_rules=tmp_path / "rules"
    )
    assert rows["filters"].value == pytest.approx(1 / 3)


def test_other_rules_are_refused(tmp_path):
    write_rules(tmp_path)
    with pytest.raises(IntegrityError, match=r"mcf\.csv"):
        load_moses_rules(tmp_path)
    with pytest.raises(DataError, match="pip download"):
        load_moses_rules(tmp_path / "missing.whl")


def test_the_molecules_of_moses_pass_its_filters():
    """The wheel holds the test set, which was made by these filters: of its first 60 molecules all pass."""
    wheel = Path(os.environ.get("SCIDIFF_DATA", "")) / "moses" / "molsets-0.3.1-py3-none-any.whl"
    if not os.environ.get("SCIDIFF_DATA") or not wheel.is_file():
        pytest.skip("the wheel of molsets 0.3.1 is not in $SCIDIFF_DATA/moses")
    import gzip

    rules = load_moses_rules(wheel)
    assert len(rules) == 502
    with zipfile.ZipFile(wheel) as archive:
        text = gzip.decompress(archive.read("moses/dataset/data/test.csv.gz")).decode()
    assert all(passes_moses(smiles.split(",")[0], rules) for smiles in text.splitlines()[1:61])
