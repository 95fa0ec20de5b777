"""System matrices on the disk: the same bits, or built again."""

from __future__ import annotations

import json
import os
import shutil
import warnings
import zipfile

import numpy as np
import pytest
import scipy.sparse
import torch
from scidiff.domains.ct.geometry import Fan, Parallel, even_angles
from scidiff.domains.ct.grid import Grid
from scidiff.domains.ct.operators import MatrixFileWarning, MatrixFolder, joseph_matrix, matrix, system_matrix
from scidiff.domains.ct.operators.matrix_folder import matrix_key

from scidiff.errors import ConfigError

GRID = Grid.square(16, 32.0)
GEOMETRY = Parallel(even_angles(5), 24, 2.0)


def never() -> scipy.sparse.csr_matrix:
    raise RuntimeError("the matrix was built again")


def same(a: scipy.sparse.csr_matrix, b: scipy.sparse.csr_matrix) -> bool:
    parts = ("data", "indices", "indptr")
    return a.shape == b.shape and all(np.array_equal(getattr(a, name), getattr(b, name)) for name in parts)


@pytest.fixture
def forget(monkeypatch):
    """Empty the cache in memory, so that the one on the disk is asked."""

    def empty() -> None:
        monkeypatch.setattr(matrix, "_cache", type(matrix._cache)())

    empty()
    return empty


def test_a_kept_matrix_is_the_built_one_bit_by_bit(tmp_path, dtype):
    built = joseph_matrix(GEOMETRY, GRID, dtype)
    kept = MatrixFolder(tmp_path)
    key = matrix_key(GEOMETRY, GRID, dtype)
    assert same(kept.get(key, lambda: built), built)
    assert same(kept.get(key, never), built)
    with np.load(tmp_path / f"{key}.npz", allow_pickle=False) as archive:
        assert not any(archive[name].dtype.hasobject for name in archive), "no pickle"
        assert json.loads(str(archive["about"]))["key"] == key


def test_the_operator_reads_it(tmp_path, forget, monkeypatch):
    x = torch.arange(256.0, dtype=torch.float64).reshape(1, 16, 16)
    first = system_matrix(GEOMETRY, GRID, torch.float64, folder=tmp_path).apply(x)
    forget()
    monkeypatch.setattr(matrix, "joseph_matrix", lambda *_: never())
    assert torch.equal(system_matrix(GEOMETRY, GRID, torch.float64, folder=tmp_path).apply(x), first)


def test_nothing_is_kept_unless_a_folder_is_named(tmp_path, forget, monkeypatch):
    monkeypatch.delenv("SCIDIFF_CT_MATRICES", raising=False)
    monkeypatch.chdir(tmp_path)
    system_matrix(GEOMETRY, GRID)
    assert MatrixFolder.named() is None
    assert list(tmp_path.rglob("*")) == []
    forget()
    monkeypatch.setenv("SCIDIFF_CT_MATRICES", str(tmp_path / "kept"))
    system_matrix(GEOMETRY, GRID)
    assert len(list((tmp_path / "kept").glob("*.npz"))) == 1


@pytest.mark.parametrize(
    "other",
    [
        (Parallel(even_angles(5), 24, 2.0, 11.6), GRID, torch.float32),
        (Parallel(even_angles(5) + 1e-12, 24, 2.0), GRID, torch.float32),
        (Fan(even_angles(5), 24, 2.0, source_axis=1e6, source_detector=1e6), GRID, torch.float32),
        (GEOMETRY, Grid.square(16, 32.1), torch.float32),
        (GEOMETRY, Grid((16, 16), (2.0, 2.1)), torch.float32),
        (GEOMETRY, GRID, torch.float64),
    ],
    ids=["axis", "angles", "fan", "extent", "voxel", "dtype"],
)
def test_whatever_differs_has_another_key(other):
    assert matrix_key(*other) != matrix_key(GEOMETRY, GRID, torch.float32)


def spoil(path):
    """Change one byte in the middle, which is one of the entries."""
    raw = bytearray(path.read_bytes())
    raw[len(raw) // 2] ^= 1
    path.write_bytes(raw)


def flip(path):
    """Change one byte of the entries, and the checksum of the archive with it: only the inner hash can tell."""
    with zipfile.ZipFile(path) as archive:
        parts = {name: archive.read(name) for name in archive.namelist()}
    data = bytearray(parts["data.npy"])
    data[-1] ^= 1
    parts["data.npy"] = bytes(data)
    with zipfile.ZipFile(path, "w") as archive:
        for name, part in parts.items():
            archive.writestr(name, part)


@pytest.mark.parametrize(
    "damage",
    [
        lambda path: path.write_bytes(path.read_bytes()[:-200]),
        lambda path: path.write_bytes(b""),
        spoil,
        flip,
        lambda path: scipy.sparse.save_npz(path, joseph_matrix(GEOMETRY, GRID)),
        lambda path: scipy.sparse.save_npz(path, scipy.sparse.coo_matrix(np.eye(3))),
    ],
    ids=["cut", "empty", "byte", "entry", "no-text", "other-kind"],
)
def test_a_damaged_file_is_told_and_built_again(tmp_path, damage):
    kept, key, built = MatrixFolder(tmp_path), matrix_key(GEOMETRY, GRID, torch.float32), joseph_matrix(GEOMETRY, GRID)
    kept.get(key, lambda: built)
    damage(tmp_path / f"{key}.npz")
    with pytest.warns(MatrixFileWarning, match=r"cannot be used .* built again"):
        assert same(kept.get(key, lambda: built), built)
    assert same(kept.get(key, never), built)


def refuse(*_, **__):
    raise PermissionError(13, "Permission denied")


def test_a_matrix_whose_time_cannot_be_set_is_used(tmp_path, monkeypatch):
    kept, built = MatrixFolder(tmp_path), joseph_matrix(GEOMETRY, GRID)
    kept.get("0", lambda: built)
    monkeypatch.setattr("os.utime", refuse)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert same(kept.get("0", never), built)


def test_a_damaged_file_that_cannot_be_removed_does_no_harm(tmp_path, monkeypatch):
    kept, built = MatrixFolder(tmp_path), joseph_matrix(GEOMETRY, GRID)
    kept.get("0", lambda: built)
    (tmp_path / "0.npz").write_bytes(b"")
    monkeypatch.setattr("pathlib.Path.unlink", refuse)
    with pytest.warns(MatrixFileWarning, match=r"cannot be used .* built again"):
        assert same(kept.get("0", lambda: built), built)


def test_a_file_under_the_name_of_another_is_not_used(tmp_path):
    kept, key, other = MatrixFolder(tmp_path), "a" * 64, "b" * 64
    kept.get(key, lambda: joseph_matrix(GEOMETRY, GRID))
    shutil.copy(tmp_path / f"{key}.npz", tmp_path / f"{other}.npz")
    small = joseph_matrix(GEOMETRY, Grid.square(8, 32.0))
    with pytest.warns(MatrixFileWarning, match="another name"):
        assert same(kept.get(other, lambda: small), small)


def test_the_oldest_go_when_the_folder_is_full(tmp_path):
    built = joseph_matrix(GEOMETRY, GRID)
    MatrixFolder(tmp_path).get("0", lambda: built)
    size = (tmp_path / "0.npz").stat().st_size
    kept = MatrixFolder(tmp_path, 3 * size)
    for k in (1, 2):
        kept.get(str(k), lambda: built)
    for age, name in enumerate(("0", "1", "2")):
        os.utime(tmp_path / f"{name}.npz", (1e9 + age, 1e9 + age))
    kept.get("0", never)  # used now, so that 1 is the oldest
    kept.get("3", lambda: built)
    assert {file.stem for file in tmp_path.glob("*.npz")} == {"0", "2", "3"}
    assert sum(file.stat().st_size for file in tmp_path.glob("*.npz")) <= kept.limit
    MatrixFolder(tmp_path, 10).get("4", lambda: built)
    assert not (tmp_path / "4.npz").exists()


def test_a_folder_that_cannot_be_written_is_told_and_does_no_harm(tmp_path):
    (tmp_path / "file").write_text("")
    built = joseph_matrix(GEOMETRY, GRID)
    with pytest.warns(MatrixFileWarning, match="could not be kept"):
        assert MatrixFolder(tmp_path / "file").get("0", lambda: built) is built


def test_a_wrong_limit_is_refused(monkeypatch, tmp_path):
    monkeypatch.setenv("SCIDIFF_CT_MATRICES_BYTES", "much")
    with pytest.raises(ConfigError, match="SCIDIFF_CT_MATRICES_BYTES is 'much'"):
        MatrixFolder.named(tmp_path)
    monkeypatch.setenv("SCIDIFF_CT_MATRICES_BYTES", "1000")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert MatrixFolder.named(tmp_path).limit == 1000
