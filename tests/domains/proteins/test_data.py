"""The chains: parsed, checked against their hashes, clustered, selected; any folder of structures."""

from __future__ import annotations

import hashlib
import tarfile

import numpy as np
import pytest
from scidiff.domains.proteins import cgdms, data
from scidiff.domains.proteins.clusters import cluster
from scidiff.domains.proteins.writers import write

from scidiff.errors import DataError, IntegrityError, UnknownNameError

from .protein_cases import helix, needs_chains


def chain_text(length: int) -> str:
    xyz = helix(length).xyz[0].reshape(length, 9).numpy()
    rows = [" ".join(f"{value:.3f}" for value in [*row, 0, 0, 0]) for row in xyz]
    return "\n".join(["A" * length, "H" * length, *rows]) + "\n"


@pytest.fixture
def small(monkeypatch, tmp_path):
    """A data set of three chains, with its manifest and a mirror on this disk."""
    texts = {"1AAA_A": chain_text(12), "1BBB_B": chain_text(15), "2CCC_a": chain_text(9)}
    listed = {
        name: (part, hashlib.sha256(texts[name].encode()).hexdigest())
        for name, part in zip(texts, ("train", "valid", "train"), strict=True)
    }
    mirror = tmp_path / "mirror"
    mirror.mkdir()
    for name, text in texts.items():
        (mirror / f"{name}.txt").write_text(text)
    for module in (cgdms, data):
        monkeypatch.setattr(module, "manifest", lambda: listed)
    monkeypatch.setattr(cgdms, "_URL", f"{mirror.as_uri()}/")
    monkeypatch.setenv("SCIDIFF_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("SCIDIFF_DATA", raising=False)
    return mirror


def test_chains_are_fetched_checked_and_read(small, tmp_path):
    assert not data.at_hand()
    chains = data.load("all", progress=False)
    assert chains.names == ("1AAA_A", "1BBB_B", "2CCC_a")
    assert chains.labels == ("A", "B", "a")
    assert chains.lengths.tolist() == [12, 15, 9]
    assert float((chains.xyz[0, :12] - helix(12).xyz[0]).abs().max()) < 6e-4
    assert data.at_hand()
    assert data.DATASETS["cgdms"].get(progress=False) == tmp_path / "cache" / "proteins" / "cgdms" / "train_val"


def test_a_changed_file_is_refused(small):
    (small / "1AAA_A.txt").write_text("other")
    with pytest.raises(IntegrityError, match="1AAA_A"):
        data.load("all", progress=False)


def test_an_archive_is_checked_file_by_file(small, tmp_path, monkeypatch):
    place = tmp_path / "data" / "proteins" / "cgdms"
    place.mkdir(parents=True)
    monkeypatch.setenv("SCIDIFF_DATA", str(tmp_path / "data"))
    with tarfile.open(place / "train_val.tar.gz", "w:gz") as archive:
        for path in sorted(small.glob("*.txt"))[:2]:
            archive.add(path, f"train_val/{path.name}")
    with pytest.raises(IntegrityError, match="lacks 1 of 3 chains, first 2CCC_a"):
        data.load("valid", progress=False)


def test_the_split_keeps_neighbours_apart(small):
    """All three are poly-alanine: one cluster, with a validation chain in it."""
    assert len(data.load("valid", progress=False)) == 1
    with pytest.raises(DataError, match="every training chain"):
        data.load("train", progress=False)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("AC\nHH\n1 2 3\n", "twelve numbers"),
        ("AC\nHH\n" + "0 " * 12 + "\n", "2 letters and 1 lines"),
        ("", "0 letters"),
    ],
)
def test_broken_chains_are_refused(text, message):
    with pytest.raises(DataError, match=message):
        cgdms.parse_chain(text, "x")


def test_clusters_are_components_of_shared_words():
    base = "ACDEFGHIKLMNPQRSTVWYACDQ"
    other = "WWWWYYYYWHWHYHYHWHHWWYHW"
    found = cluster([base, other, base[3:], base[:12] + "LLLLMMMMLMML", "AC", "NPQRNPQSNPQTNPQV"])
    assert found[0] == found[2] == found[3]
    assert found[1] not in (found[0], found[4], found[5])


def test_unknown_splits_are_named():
    with pytest.raises(UnknownNameError, match="train"):
        data.load("training")


def test_a_folder_of_structures_is_a_training_set(tmp_path):
    write(tmp_path / "one.cif", helix(30))
    write(tmp_path / "two.pdb", helix(12))
    write(tmp_path / "short.pdb", helix(5))
    (tmp_path / "notes.txt").write_text("x")
    chains = data.read_folder(tmp_path)
    assert chains.names == ("one_A", "two_A")
    assert chains.lengths.tolist() == [30, 12]
    with pytest.raises(DataError, match="no file"):
        data.read_folder(tmp_path, "*.txt")


@needs_chains
def test_the_published_counts():
    everything = data.load("all", progress=False)
    assert len(everything) == 2204
    assert int(everything.lengths.sum()) == 133978
    assert int(data.intact(everything).sum()) == 2195
    assert len(data.select(everything, shortest=40, longest=100, compact=False)) == 1657
    assert len(data.select(everything, shortest=40, longest=100)) == 1064
    assert len(data.select(everything)) == 626
    train, valid = data.load("train", progress=False), data.load("valid", progress=False)
    assert (len(train), len(valid)) == (1959, 200)
    assert not set(train.names) & set(valid.names)
    labels = cluster([chains.letters(k) for chains in (train, valid) for k in range(len(chains))])
    assert not set(labels[: len(train)].tolist()) & set(labels[len(train) :].tolist())
    assert np.bincount(np.unique(labels, return_counts=True)[1])[1] > 1500
