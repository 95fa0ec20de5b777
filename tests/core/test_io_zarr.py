"""Rows as a Zarr group: what is written is what is read, whole or not at all."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from scidiff.errors import DataError
from scidiff.io.zarr_rows import write_zarr

zarr = pytest.importorskip("zarr")


def rows(count: int, shape: tuple[int, ...] = (2, 3)) -> list[dict]:
    return [{"index": k, "x": 0.5 * k, "text": "a", "field": np.full(shape, k, dtype=np.float32)} for k in range(count)]


def test_rows_of_more_than_one_chunk_come_back(tmp_path):
    assert write_zarr(tmp_path / "a.zarr", iter(rows(37)), {"seed": 3}, {"field": ("y", "x")}) == 37
    group = zarr.open_group(tmp_path / "a.zarr", mode="r")
    assert sorted(group.array_keys()) == ["field", "index", "x"]
    assert group["field"].metadata.dimension_names == ("row", "y", "x")
    assert (group["field"][:] == np.arange(37)[:, None, None]).all() and group["field"].dtype == np.float32
    assert (group["x"][:] == 0.5 * np.arange(37)).all()
    assert group.attrs["provenance"] == {"seed": 3}


@pytest.mark.parametrize("bad", [[], rows(20) + rows(1, (3, 3))], ids=["none", "shape"])
def test_a_group_that_cannot_be_written_leaves_the_old_one(tmp_path, bad):
    write_zarr(tmp_path / "a.zarr", iter(rows(3)), {}, {})
    with pytest.raises(DataError):
        write_zarr(tmp_path / "a.zarr", iter(bad), {}, {})
    assert zarr.open_group(tmp_path / "a.zarr", mode="r")["field"].shape[0] == 3
    assert [path.name for path in tmp_path.iterdir()] == ["a.zarr"]


def test_a_number_that_is_missing_in_the_first_row_is_kept(tmp_path):
    """Gaps in the first row, the first chunk of 16, and a later one; each becomes NaN, and no other value moves."""
    count = 40
    have = {
        "first": [None, *range(1, count)],
        "late": [None] * 20 + list(range(20, count)),
        "gap": [*range(30), None, *range(31, count)],
        "good": [k % 2 == 0 for k in range(35)] + [None] * 5,
        "whole": list(range(count)),
        "never": [None] * count,
    }
    write_zarr(tmp_path / "a.zarr", ({name: each[k] for name, each in have.items()} for k in range(count)), {}, {})
    group = zarr.open_group(tmp_path / "a.zarr", mode="r")
    assert sorted(group.array_keys()) == ["first", "gap", "good", "late", "whole"]
    for name in group.array_keys():
        wanted = [np.nan if value is None else float(value) for value in have[name]]
        np.testing.assert_array_equal(group[name][:].astype(float), wanted)
        assert group[name].metadata.dimension_names == ("row",)
    assert group["whole"].dtype.kind == "i"


def test_scalars_of_numpy_are_numbers(tmp_path):
    write_zarr(tmp_path / "a.zarr", iter([{"n": np.int64(3), "b": np.bool_(True)}]), {}, {})
    group = zarr.open_group(tmp_path / "a.zarr", mode="r")
    assert group["n"][0] == 3 and bool(group["b"][0])


def test_an_array_that_begins_late_is_refused(tmp_path):
    late = [{"index": k, "field": None if k < 20 else np.zeros(3)} for k in range(40)]
    with pytest.raises(DataError, match="'field' has arrays of shapes"):
        write_zarr(tmp_path / "a.zarr", iter(late), {}, {})


@pytest.mark.parametrize("error", [OSError, KeyboardInterrupt], ids=["disk", "ctrl-c"])
def test_the_old_group_is_there_whenever_the_new_one_is_not(tmp_path, monkeypatch, error):
    write_zarr(tmp_path / "a.zarr", iter(rows(3)), {}, {})
    rename = Path.rename

    def broken(path: Path, target: Path) -> Path:
        if path.name.endswith(".part"):
            raise error
        return rename(path, target)

    monkeypatch.setattr(Path, "rename", broken)
    with pytest.raises(error):
        write_zarr(tmp_path / "a.zarr", iter(rows(5)), {}, {})
    assert zarr.open_group(tmp_path / "a.zarr", mode="r")["field"].shape[0] == 3
    assert [path.name for path in tmp_path.iterdir()] == ["a.zarr"]


def test_two_writers_of_one_name_do_not_meet(tmp_path):
    """The second begins and ends while the first is writing."""

    def slow():
        yield from rows(20)
        write_zarr(tmp_path / "a.zarr", iter(rows(3)), {}, {})
        yield from rows(20)

    assert write_zarr(tmp_path / "a.zarr", slow(), {}, {}) == 40
    assert zarr.open_group(tmp_path / "a.zarr", mode="r")["field"].shape[0] == 40
    assert [path.name for path in tmp_path.iterdir()] == ["a.zarr"]
