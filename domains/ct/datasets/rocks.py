"""The two rocks of DM4CT: synchrotron scans in parallel beam whose axis is off the middle of the detector.

*From the publication and the programs of its authors*: folders ``F3_1_mono`` and ``F3_2_mono`` with ``dark_0001.tif``
to ``dark_0020.tif``, ``flat_0001.tif`` and on, and ``tomo_0001.tif`` to ``tomo_1200.tif``, 679 rows of 1653 pixels,
1200 views over half a turn with its end left out; the same scans lie at TomoBank (``tomo_00108``, ``tomo_00109``) as
one data-exchange HDF5 file each. The axis is quoted there as a shift of -61 (``F3_1``) and -62 (``F3_2``) pixels of the
whole detector, in ASTRA's sense: with ``N`` columns it projects to ``(N - 1) / 2 - shift``. The edge of a pixel is not
in the files; with ``pitch=1`` all lengths are in pixels.

References
----------
DM4CT, data doi:10.5281/zenodo.15420527 (CC BY 4.0)
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np

from scidiff.errors import ConfigError, DataError

from ..geometry import even_angles
from ..readers.exchange import parallel_scan, read_exchange
from ..readers.hdf5 import opened
from ..readers.places import in_file
from ..scan import Scan
from .files import PUBLISHED, checked, image

__all__ = ["load_rock"]


def load_rock(
    path: str | Path,
    row: int,
    shift: float | None = None,
    columns: range | None = None,
    pitch: float = 1.0,
    sha256: str = "",
    gain: float | None = None,
) -> Scan:
    """Read one detector row of one rock.

    Parameters
    ----------
    path
        Folder of TIFF files, or data-exchange HDF5 file.
    row
        Detector row.
    shift
        Shift of the axis in pixels of the whole detector: -61 for ``F3_1`` and -62 for ``F3_2`` (quoted). By default
        the axis is found from the centre of mass, which needs the whole rock on the detector.
    columns
        Columns to keep, ``range(463, 1231)`` in DM4CT; all by default. The axis moves with them.
    pitch
        Distance of detector pixels, mm.
    sha256
        Hash of the files.
    gain
        Variance per count; by default estimated from the flats.

    Returns
    -------
    Scan
        Parallel beam, with weights from the counts.

    Raises
    ------
    MissingPackageError
        If tifffile, or h5py, is not installed.
    ConfigError
        If row or columns lie outside of the detector.
    IntegrityError
        If the files have another hash.
    DataError
        If files are missing, damaged, or do not fit each other.
    """
    source = Path(path)
    if source.is_dir():
        scan = _from_folder(source, row, shift, pitch, sha256, gain)
    else:
        known = checked([source], sha256, source.parent)
        with opened(source, "a data-exchange file, or a folder of TIFF files") as file:
            shape = file["exchange/data"].shape if "exchange/data" in file else (0,)
        scan = read_exchange(source, row, pitch, None if shift is None else 0.5 * (shape[-1] - 1) - shift, gain)
        scan = replace(scan, facts={**scan.facts, **known})
    cut = _cropped(scan, columns, source)
    return replace(cut, facts={**cut.facts, "data": "DM4CT rocks", "layout": PUBLISHED})


def _from_folder(folder: Path, row: int, shift: float | None, pitch: float, sha256: str, gain: float | None) -> Scan:
    """One row of all TIFF files."""
    found = {kind: sorted(folder.glob(f"{kind}_*.tif")) for kind in ("tomo", "flat", "dark")}
    missing = [f"{kind}_0001.tif" for kind, files in found.items() if not files]
    if missing:
        raise DataError(f"{folder} has no {', '.join(missing)}; expected tomo_, flat_ and dark_ images of one scan")
    _complete(folder, found["tomo"])
    known = checked([file for files in found.values() for file in files], sha256, folder)
    shape = image(found["tomo"][0]).shape
    if not 0 <= row < shape[0]:
        raise ConfigError(f"row is {row}; expected one of the {shape[0]} rows of {found['tomo'][0]}")
    counts, flats, darks = (np.stack([image(file, shape)[row] for file in found[k]]) for k in ("tomo", "flat", "dark"))
    centre = None if shift is None else 0.5 * (shape[1] - 1) - shift
    angles = even_angles(len(counts)).numpy()
    with in_file(folder, counts="tomo_*.tif", flats="flat_*.tif", darks="dark_*.tif"):
        facts = {"file": folder.name, "row": row, **known}
        return parallel_scan(counts, angles, flats, darks, pitch, centre, gain, facts)


def _complete(folder: Path, files: list[Path]) -> None:
    """The angle of a view is its number, so that none may be missing."""
    for k, file in enumerate(files, start=1):
        if file.stem != f"tomo_{k:04d}":
            raise DataError(
                f"{folder} has no tomo_{k:04d}.tif but {file.name}; expected all views from 1: copy it again"
            )


def _cropped(scan: Scan, columns: range | None, source: Path) -> Scan:
    """Some columns, with the axis where it was."""
    if columns is None:
        return scan
    geometry = scan.geometry
    count = geometry.detector[-1]
    if columns.step != 1 or not 0 <= columns.start < columns.stop <= count:
        raise ConfigError(f"columns is {columns} for {source} of {count} columns; expected a range within them")
    axis = float(scan.facts["axis"]) - columns.start
    cut = slice(columns.start, columns.stop)
    narrow = replace(geometry, columns=len(columns), centre=axis)  # type: ignore[call-arg]
    return replace(
        scan, projections=scan.projections[:, cut], weights=scan.weights[:, cut], geometry=narrow,
        facts={**scan.facts, "axis": axis, "columns": [columns.start, columns.stop]},
    )  # fmt: skip
