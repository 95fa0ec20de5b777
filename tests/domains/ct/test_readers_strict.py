"""Files that other programs wrote in their own way: read whole, or refused with file and field."""

from __future__ import annotations

import json
import warnings
from pathlib import Path

import numpy as np
import pytest
import torch
from scidiff.domains.ct.checks import ScanWarning
from scidiff.domains.ct.datasets.files import image
from scidiff.domains.ct.readers import read_exchange, read_scan, read_tiff, write_scan
from scidiff.domains.ct.scan import Scan

from scidiff.errors import DataError

from .scan_cases import DISC, GEOMETRY, quiet

PAGES = np.random.default_rng(0).random((5, 4, 6)).astype(np.float32)


def pages(path: Path, shown, **options) -> Path:
    """A file whose pages are written one by one; every second one compressed, so that they are no single series."""
    tifffile = pytest.importorskip("tifffile")
    with tifffile.TiffWriter(path) as file:
        for k, page in enumerate(shown):
            file.write(page, compression="zlib" if k % 2 else None, **options)
    return path


@pytest.mark.parametrize("options", [{}, {"metadata": None}], ids=["described", "bare"])
def test_pages_that_were_written_one_by_one_are_all_read(tmp_path, options):
    path = pages(tmp_path / "a.tif", PAGES, **options)
    assert np.array_equal(read_tiff(path, 1.0).values.numpy(), PAGES)
    with pytest.raises(DataError, match=r"a.tif has shape \(5, 4, 6\); expected a grey image"):
        image(path)


def test_pages_of_several_shapes_are_refused(tmp_path):
    path = pages(tmp_path / "a.tif", [PAGES[0], PAGES[1, :3]])
    for read in (image, lambda path: read_tiff(path, 1.0)):
        with pytest.raises(DataError, match=r"a.tif has pages of the shapes \(3, 6\), \(4, 6\); expected grey images"):
            read(path)


def test_a_preview_is_no_slice(tmp_path):
    tifffile = pytest.importorskip("tifffile")
    with tifffile.TiffWriter(tmp_path / "a.tif") as file:
        for page in PAGES:
            file.write(page)
            file.write(page[::2, ::2], subfiletype=1)
    assert np.array_equal(read_tiff(tmp_path / "a.tif", 1.0).values.numpy(), PAGES)


@pytest.mark.parametrize(
    ("field", "value", "says"),
    [
        ("theta", ["north"] * 24, r"a.h5: /exchange/theta holds no numbers"),
        ("data", np.full((24, 1, 64), b"bright"), r"a.h5: /exchange/data holds no numbers"),
        ("data/inner", np.zeros(3), r"cannot read .*a.h5"),
    ],
    ids=["angles", "counts", "group"],
)
def test_texts_where_numbers_belong_are_refused(tmp_path, field, value, says):
    h5py = pytest.importorskip("h5py")
    fields = {"data": np.ones((24, 1, 64)), "data_white": np.ones((4, 1, 64)), "data_dark": np.zeros((4, 1, 64))}
    fields["theta"] = np.arange(24.0)
    fields = {name: known for name, known in fields.items() if name != field.split("/")[0]} | {field: value}
    with h5py.File(tmp_path / "a.h5", "w") as file:
        for name, known in fields.items():
            file[f"exchange/{name}"] = known
    with pytest.raises(DataError, match=says):
        read_exchange(tmp_path / "a.h5")


def test_what_the_counts_told_is_still_told_after_writing(tmp_path):
    counts = (1e4 * torch.exp(-DISC.project(GEOMETRY))).round()
    counts[3, 30], counts[:, 2] = 0.0, 20_000.0
    scan = quiet(Scan.from_counts, counts, GEOMETRY, 1e4)
    codes = [finding.code for finding in scan.findings]
    assert {"saturated", "starved"} <= set(codes)
    write_scan(tmp_path / "s.npz", scan)
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always", ScanWarning)
        back = read_scan(tmp_path / "s.npz")
    kept = {finding.code: finding.message for finding in back.findings}
    assert {code: kept[code] for code in ("saturated", "starved")} == {
        finding.code: finding.message for finding in scan.findings if finding.code in ("saturated", "starved")
    }
    assert len(kept) == len(back.findings), "none comes twice"
    assert sum(str(one.message).startswith(("saturated:", "starved:")) for one in told) == 2
    write_scan(tmp_path / "t.npz", back)
    assert quiet(read_scan, tmp_path / "t.npz").findings == back.findings


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda about: about["geometry"].update(columns=64.0), r"geometry has columns 64.0; expected a whole number"),
        (lambda about: about["geometry"].update(pitch="wide"), r"the geometry cannot be used"),
        (lambda about: about["geometry"].update(centre="middle"), r"the geometry cannot be used"),
        (lambda about: about.update(geometry=[64, 3.0]), r"the geometry cannot be used: it is \[64, 3.0\]; expected"),
        (lambda about: about.update(kind=["fan"]), r"geometry is '\['fan'\]'; expected one of"),
        (lambda about: about.update(facts=["a", "b"]), r"facts are \['a', 'b'\]; expected a JSON object"),
        (lambda about: about.update(findings={"starved": 3}), r"findings are .*expected a list of pairs"),
    ],
    ids=["columns", "pitch", "centre", "list", "kind", "facts", "findings"],
)
def test_a_foreign_archive_with_another_text_is_refused(tmp_path, change, says):
    write_scan(tmp_path / "s.npz", Scan.from_projections(DISC.project(GEOMETRY), GEOMETRY, i0=1e4))
    with np.load(tmp_path / "s.npz") as file:
        parts = dict(file)
    about = json.loads(str(parts.pop("about")))
    change(about)
    np.savez(tmp_path / "a.npz", about=np.array(json.dumps(about)), **parts)
    with pytest.raises(DataError, match=f"a.npz: {says}"):
        read_scan(tmp_path / "a.npz")
