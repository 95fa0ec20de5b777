"""Rows as a Zarr group: what is written is what is read, whole or not at all."""

from __future__ import annotations

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
