"""Files of SMILES, the neutral-row rule, splits, and the data sets behind their names."""

from __future__ import annotations

import gzip
import hashlib
import io
import sys
import types
import zipfile
from dataclasses import FrozenInstanceError
from itertools import chain
from pathlib import Path

import pytest
from rdkit import Chem
from scidiff.domains.molecules import data
from scidiff.domains.molecules.data import DATASETS, clean, clean_qm9, load, read_smiles
from scidiff.domains.molecules.datasets import moses, qm9
from scidiff.domains.molecules.datasets.lines import read_lines, write_lines
from scidiff.domains.molecules.datasets.splits import split_by_hash, unit_hash

from scidiff.errors import ConfigError, DataError, IntegrityError, MissingPackageError, UnknownNameError

ROWS = ["CCO", "C[C@H](N)O", "C[C@@H](N)O", "[NH3+]CC([O-])=O", "C.O", "C[CH2]", "C(", "OCC", "[Na+].[Cl-]"]


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Give each test its own cache and hide the data of this computer."""
    monkeypatch.setenv("SCIDIFF_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("SCIDIFF_DATA", raising=False)
    return tmp_path / "cache"


def written(path: Path, text: str | bytes) -> Path:
    content = text.encode() if isinstance(text, str) else text
    path.write_bytes(gzip.compress(content) if path.suffix == ".gz" else content)
    return path


@pytest.mark.parametrize("name", ["a.smi", "a.txt", "a.smi.gz", "a.SMILES"])
def test_a_plain_file(tmp_path: Path, name: str) -> None:
    found = read_smiles(written(tmp_path / name, "\ufeffSMILES name\r\nCCO ethanol\n# note\n\nc1ccccc1\tthe ring\nC\n"))
    assert found.smiles == ["CCO", "c1ccccc1", "C"]
    assert found.names == ["ethanol", "the ring", ""]
    assert (found.bad, found.message, len(found)) == ([], "", 3)


@pytest.mark.parametrize(
    ("name", "text", "column"),
    [
        ("a.csv", 'id,Smiles,x\n1,CCO,"a\nb"\n2,C,\n', None),
        ("a.csv.gz", "SMILES\nCCO\nC\n", None),
        ("a.tsv", "x\tmol\n1\tCCO\n1\tC\n", "mol"),
        ("a.csv", "x;smiles\n1;CCO\n2;C\n", None),
    ],
)
def test_a_table(tmp_path: Path, name: str, text: str, column: str | None) -> None:
    assert read_smiles(written(tmp_path / name, text), column).smiles == ["CCO", "C"]


def test_bad_rows_are_listed_and_the_rest_is_used(tmp_path: Path) -> None:
    lines = ["C", "C(", "CN(C)(C)(C)C", "c1cccc1", "xyz", "N", *["Q"] * 4, "C" * 10_001]
    found = read_smiles(written(tmp_path / "a.smi", "\n".join(lines)))
    assert found.smiles == ["C", "N"]
    assert [row.line for row in found.bad] == [2, 3, 4, 5, 7, 8, 9, 10, 11]
    assert found.bad[0].reason == found.bad[3].reason == "not SMILES syntax"
    assert "valence" in found.bad[1].reason
    assert "kekulize" in found.bad[2].reason
    assert "longer than" in found.bad[-1].reason
    assert found.message.startswith("9 of 11 rows of ")
    assert "line 2 'C('" in found.message
    assert found.message.endswith("and 4 more")
    table = read_smiles(written(tmp_path / "a.csv", "x,smiles\n1,C\n2,\n3\n4,C(\n"))
    assert [(row.line, row.reason) for row in table.bad] == [(3, "empty"), (4, "empty"), (5, "not SMILES syntax")]


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.smi", b"", "holds no row"),
        ("a.smi", b"# only a note\n", "holds no row"),
        ("a.smi", b"C(\nN(\n", "2 of 2 rows"),
        ("a.smi", b"\xff\xfe\x00C", "UTF-8"),
        ("a.csv", b"", "no column 'smiles'"),
        ("a.csv", b"mol,x\nC,1\n", r"no column 'smiles'; its columns are \['mol', 'x'\]"),
        ("a.csv", b"smiles\n", "holds no row"),
        ("a.sdf", b"C", "unknown kind"),
        ("a", b"C", "unknown kind"),
    ],
)
def test_files_without_use_are_errors(tmp_path: Path, name: str, content: bytes, message: str) -> None:
    with pytest.raises(DataError, match=message):
        read_smiles(written(tmp_path / name, content))


def test_files_that_cannot_be_read_are_errors(tmp_path: Path) -> None:
    (tmp_path / "a.smi.gz").write_bytes(b"C\n")
    (tmp_path / "b.smi.gz").write_bytes(gzip.compress(b"C\n" * 5000)[:-20])
    for path in (tmp_path / "a.smi.gz", tmp_path / "b.smi.gz", tmp_path / "missing.smi", tmp_path):
        with pytest.raises(DataError, match=r"cannot read|unknown kind"):
            read_smiles(path)


def test_the_neutral_row_rule_and_its_counts() -> None:
    """One row does not parse, two are charged, two have fragments, one is a radical; four are neutral, two distinct."""
    smiles, report = clean(ROWS)
    assert smiles == ["CCO", "CC(N)O"]
    assert (report.rows, report.parsed, report.unique) == (9, 8, 6)
    assert (report.charged, report.fragments, report.radicals) == (2, 2, 1)
    assert (report.neutral, report.kept) == (4, 2)


def test_a_split_is_stable() -> None:
    """The formula itself, and independence of order and of the other rows."""
    digest = hashlib.sha256(b"3\nCCO").digest()
    assert unit_hash("CCO", 3) == (int.from_bytes(digest[:8], "big") >> 11) / 2**53
    keys = [f"C{'C' * i}" for i in range(4000)]
    parts = split_by_hash(keys, (0.8, 0.1, 0.1))
    assert sorted(chain(*parts)) == sorted(keys)
    again = split_by_hash(keys[::-2], (0.8, 0.1, 0.1))
    assert all(set(some) <= set(part) for some, part in zip(again, parts, strict=True))
    for part, share in zip(parts, (0.8, 0.1, 0.1), strict=True):
        assert abs(len(part) - 4000 * share) < 5 * (4000 * share * (1 - share)) ** 0.5
    for wrong in ((0.5, 0.4), (1.2, -0.2), ()):
        with pytest.raises(ConfigError, match="sum to 1"):
            split_by_hash(keys, wrong)


def test_a_kept_list_proves_its_content(tmp_path: Path) -> None:
    path = tmp_path / "list.txt"
    write_lines(path, ["C", "CC"], {"title": "two"})
    lines, header = read_lines(path)
    assert (lines, header["title"], header["count"]) == (["C", "CC"], "two", 2)
    assert read_smiles(path).smiles == ["C", "CC"]
    path.write_text(path.read_text() + "N\n")
    with pytest.raises(IntegrityError, match="delete it"):
        read_lines(path)
    for content in (b"C\n", b"# {}\nC\n", b"# [1]\n", b"\xff", b""):
        path.write_bytes(content)
        with pytest.raises(DataError, match="delete it"):
            read_lines(path)


def test_the_data_sets_are_described() -> None:
    assert list(DATASETS) == ["universe", "qm9", "moses"]
    for name, one in DATASETS.items():
        assert one.name == name
        assert one.title
        assert one.source
        assert one.licence
        assert one.size > 0
        with pytest.raises(FrozenInstanceError):
            one.size = 1
    with pytest.raises(UnknownNameError, match="Did you mean 'qm9'"):
        load("qm8")
    with pytest.raises(UnknownNameError, match="split of universe"):
        load("universe", "test")


def test_the_universe_comes_by_name(monkeypatch: pytest.MonkeyPatch, cache: Path) -> None:
    """With three atoms in the place of six."""
    small = data.universe
    monkeypatch.setattr(data, "universe", lambda **options: small(3, **options))
    path = data.universe_path
    monkeypatch.setattr(data, "universe_path", lambda **options: path(3, **options))
    everything, train, rest = (load("universe", split, progress=False) for split in (None, "train", "rest"))
    assert len(everything) == 117
    assert sorted([*train, *rest]) == sorted(everything)
    found = DATASETS["universe"].get(progress=False)
    assert found.parent == cache / "molecules"
    assert read_lines(found)[0] == everything


def test_qm9_from_a_table(tmp_path: Path, cache: Path) -> None:
    table = written(tmp_path / "mine.csv", "\n".join(["smiles", *ROWS]))
    first = clean_qm9(table, progress=False)
    assert first.smiles == ["CCO", "CC(N)O"]
    assert first.source_sha256 == hashlib.sha256(table.read_bytes()).hexdigest()
    kept = list((cache / "molecules").glob("qm9-*"))
    assert len(kept) == 1
    assert clean_qm9(table, progress=False) == first
    write_lines(kept[0], first.smiles, {})
    with pytest.raises(DataError, match="does not state the counts"):
        clean_qm9(table, progress=False)
    written(table, "\n".join(["smiles", "N"]))
    assert clean_qm9(table, progress=False).smiles == ["N"]
    parts = [load("qm9", split, folder=table, progress=False) for split in ("all", "train", "valid", "test")]
    assert parts[0] == list(chain(*parts[1:]))
    written(table, "a,b\n1,2")
    with pytest.raises(DataError, match="one named 'smiles'"):
        clean_qm9(table, progress=False)


def test_qm9_lies_in_the_data_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "qm9").mkdir()
    table = written(tmp_path / "qm9" / "qm9_smiles.csv", "smiles\nC\n")
    monkeypatch.setenv("SCIDIFF_DATA", str(tmp_path))
    assert DATASETS["qm9"].get(None, False) == table


def fake_geometric(monkeypatch: pytest.MonkeyPatch, dataset: object) -> None:
    module = types.ModuleType("torch_geometric.datasets")
    if dataset is not None:
        module.QM9 = dataset
    monkeypatch.setitem(sys.modules, "torch_geometric.datasets", module)


def test_qm9_is_fetched_once(monkeypatch: pytest.MonkeyPatch, cache: Path) -> None:
    class Fetched:
        def __init__(self, root: str) -> None:
            self.smiles = ["[H]C([H])([H])[H]", "[H]O[H]"]

    fake_geometric(monkeypatch, Fetched)
    path = DATASETS["qm9"].get(progress=False)
    assert path == cache / "qm9" / "qm9_smiles.csv"
    assert clean_qm9(progress=False).smiles == ["C", "O"]
    fake_geometric(monkeypatch, None)
    assert DATASETS["qm9"].get(progress=False) == path


def test_a_network_that_refuses_qm9_is_said(monkeypatch: pytest.MonkeyPatch, cache: Path) -> None:
    def refused(root: str) -> None:
        raise RuntimeError("403 Forbidden")

    fake_geometric(monkeypatch, refused)
    with pytest.raises(DataError, match=r"403 Forbidden.*check the network.*SCIDIFF_DATA"):
        qm9.qm9_path(progress=False)
    fake_geometric(monkeypatch, None)
    with pytest.raises(MissingPackageError, match="torch_geometric"):
        qm9.qm9_path(progress=False)
    assert not (cache / "qm9" / "qm9_smiles.csv").exists()


@pytest.mark.slow
def test_qm9_has_the_recorded_counts(scidiff_data: Path) -> None:
    """The counts of the table, and each kept molecule of up to six atoms is a member of the universe."""
    table = scidiff_data / "qm9" / "qm9_smiles.csv"
    if not table.is_file():
        pytest.skip("SCIDIFF_DATA has no qm9/qm9_smiles.csv")
    cleaned = clean_qm9(table, progress=False)
    report = cleaned.report
    assert (report.rows, report.parsed, report.unique) == (133_247, 132_737, 132_398)
    assert (report.charged, report.fragments, report.radicals) == (28_418, 226, 11)
    assert report.kept == len(cleaned.smiles) == DATASETS["qm9"].size
    small = [key for key in cleaned.smiles if Chem.MolFromSmiles(key).GetNumHeavyAtoms() <= 6]
    assert len(small) == 723
    assert set(small) <= set(load("universe", progress=False))


@pytest.fixture
def wheel(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Give a wheel like that of MOSES with three small tables, and make its hash the expected one."""
    path = tmp_path / "mirror" / moses.MOSES_WHEEL
    path.parent.mkdir()
    with zipfile.ZipFile(path, "w") as archive:
        for place, split in enumerate(moses.MOSES_SPLITS):
            rows = "SMILES,SPLIT\n" + "".join(f"{'C' * (place + 1)}O,{split}\n" for _ in range(3))
            archive.writestr(f"moses/dataset/data/{split}.csv.gz", gzip.compress(rows.encode()))
    monkeypatch.setattr(moses, "MOSES_SHA256", hashlib.sha256(path.read_bytes()).hexdigest())
    monkeypatch.setattr(moses, "_URLS", (path.as_uri(),))
    return path


def test_moses_is_read_from_its_wheel(wheel: Path, monkeypatch: pytest.MonkeyPatch, cache: Path) -> None:
    monkeypatch.setattr(moses, "find_spec", lambda name: None)
    assert load("moses", "train", progress=False) == ["CO"] * 3
    assert load("moses", "test_scaffolds", progress=False) == ["CCCO"] * 3
    assert DATASETS["moses"].get(progress=False) == cache / "moses" / moses.MOSES_WHEEL


def test_pip_is_asked_first(wheel: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def run(command: list[str], **options: object) -> types.SimpleNamespace:
        (Path(command[command.index("--dest") + 1]) / moses.MOSES_WHEEL).write_bytes(wheel.read_bytes())
        return types.SimpleNamespace(returncode=0, stderr="")

    monkeypatch.setattr(moses.subprocess, "run", run)
    monkeypatch.setattr(moses, "_URLS", ())
    assert load("moses", "test", folder=tmp_path / "here", progress=False) == ["CCO"] * 3
    assert sorted(name.name for name in (tmp_path / "here").iterdir() if name.suffix == ".whl") == [moses.MOSES_WHEEL]


def test_no_way_to_moses_names_both_reasons(wheel: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def run(command: list[str], **options: object) -> types.SimpleNamespace:
        return types.SimpleNamespace(returncode=1, stderr="ERROR: no matching\n distribution")

    monkeypatch.setattr(moses.subprocess, "run", run)
    wheel.unlink()
    with pytest.raises(DataError, match=r"cannot fetch molsets.*pip: ERROR: no matching distribution"):
        load("moses", progress=False)


def test_a_changed_wheel_is_refused(wheel: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    wheel.write_bytes(wheel.read_bytes() + b"x")
    with pytest.raises(IntegrityError, match="delete it"):
        load("moses", folder=wheel.parent, progress=False)


def test_a_wheel_with_too_much_in_it_is_refused(wheel: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(moses, "_TABLE_LIMIT", 10)
    with pytest.raises(DataError, match="unpacks to more than 10 bytes"):
        moses.read_moses(wheel, "train")
    monkeypatch.setattr(moses, "_MEMBER_LIMIT", 10)
    with pytest.raises(DataError, match="larger than 10 bytes"):
        moses.read_moses(wheel, "train")


@pytest.mark.parametrize("content", [b"", b"PK", io.BytesIO().getvalue() + b"\x00" * 100])
def test_a_broken_wheel_is_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "a.whl").write_bytes(content)
    with pytest.raises(DataError, match="cannot read"):
        moses.read_moses(tmp_path / "a.whl", "train")


@pytest.mark.network
def test_moses_has_the_published_sizes() -> None:
    sizes = [len(load("moses", split, progress=False)) for split in moses.MOSES_SPLITS]
    assert sizes == [1_584_663, 176_074, 176_225]
    assert sum(sizes) == DATASETS["moses"].size
