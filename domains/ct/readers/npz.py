"""Scans and volumes in numpy's archive, without pickles: arrays, and one JSON text that says what they are."""

from __future__ import annotations

import json
import struct
import warnings
import zipfile
import zlib
from collections.abc import Mapping
from dataclasses import astuple
from pathlib import Path
from typing import Any

import numpy as np
import torch

from scidiff.errors import DataError
from scidiff.io.files import atomic_write
from scidiff.io.provenance import provenance

from ..checks import Finding, ScanWarning
from ..geometry import Cone, Fan, Geometry, Parallel
from ..grid import Grid
from ..scan import Scan
from ..volume import Volume
from .places import in_file

__all__ = ["read_npz", "read_volume", "write_scan", "write_volume"]

_BROKEN = (
    OSError, ValueError, TypeError, EOFError, RuntimeError, MemoryError, zipfile.BadZipFile, zlib.error, struct.error,
)  # fmt: skip
_KINDS: dict[str, type[Parallel] | type[Fan] | type[Cone]] = {"parallel": Parallel, "fan": Fan, "cone": Cone}
_WHOLE = ("columns", "rows")
_FIELDS = ("columns", "pitch", "centre", "source_axis", "source_detector", "rows", "row_pitch", "row_centre")


def write_scan(path: str | Path, scan: Scan) -> None:
    """Write projections, weights, geometry and findings.

    Parameters
    ----------
    path
        ``.npz``.
    scan
        Parallel, fan or cone beam.

    Raises
    ------
    DataError
        If the geometry has no name.
    """
    kind = next((name for name, cls in _KINDS.items() if type(scan.geometry) is cls), None)
    if kind is None:
        raise DataError(f"a scan with {type(scan.geometry).__name__} cannot be written; expected one of {list(_KINDS)}")
    numbers = {name: getattr(scan.geometry, name) for name in _FIELDS if hasattr(scan.geometry, name)}
    about = provenance(
        kind=kind, geometry=numbers, facts=dict(scan.facts), findings=[astuple(f) for f in scan.findings]
    )
    _write(
        path,
        about,
        projections=scan.projections.numpy(),
        weights=scan.weights.numpy(),
        angles=scan.geometry.angles.numpy(),
    )


def read_npz(path: str | Path) -> Scan:
    """Read what `write_scan` wrote, or arrays ``projections``, ``weights``, ``angles`` with such a text ``about``.

    Parameters
    ----------
    path
        ``.npz``.

    Returns
    -------
    Scan
        With the findings of the checks, which are made again, and those of the counts, which are no longer at hand.

    Raises
    ------
    DataError
        If the file or a field is missing, or the fields contradict each other.
    """
    arrays, about = _read(path, ("projections", "weights", "angles"))
    geometry, known = _geometry(path, about, arrays["angles"]), about.get("facts", {})
    if not isinstance(known, dict):
        raise DataError(f"{path}: facts are {known!r}; expected a JSON object")
    weights = torch.from_numpy(arrays["weights"]).double()
    if weights.shape != arrays["projections"].shape or not bool((weights >= 0).all() and weights.isfinite().all()):
        raise DataError(
            f"{path}: weights of shape {tuple(weights.shape)} are not all >= 0 and finite, one for each ray"
        )
    used = weights > 0
    sd = torch.where(used, weights, 1.0).rsqrt()
    facts, told = {**known, "file": Path(path).name}, _findings(path, about)
    with in_file(path):
        scan = Scan.from_projections(arrays["projections"], geometry, sd=sd, facts=facts)
    again = {finding.code for finding in scan.findings}
    kept = tuple(finding for finding in told if finding.code not in again)
    for finding in kept:
        warnings.warn(f"{finding.code}: {finding.message}", ScanWarning, stacklevel=2)
    return Scan(scan.projections, torch.where(used, weights, 0.0), geometry, (*kept, *scan.findings), scan.facts)


def _geometry(path: str | Path, about: Mapping[str, Any], angles: np.ndarray) -> Geometry:
    """The geometry that the text of an archive states."""
    kind, stated = about.get("kind"), about.get("geometry")
    if not isinstance(kind, str) or kind not in _KINDS:
        raise DataError(f"{path}: geometry is '{kind}'; expected one of {list(_KINDS)}")
    if not isinstance(stated, dict):
        raise DataError(
            f"{path}: the geometry cannot be used: it is {stated!r}; expected a JSON object with columns and pitch"
        )
    for name in _WHOLE:
        if name in stated and type(stated[name]) is not int:
            raise DataError(f"{path}: geometry has {name} {stated[name]!r}; expected a whole number, without a point")
    try:
        return _KINDS[kind](torch.from_numpy(angles), **stated)
    except (TypeError, ValueError) as error:
        raise DataError(f"{path}: the geometry cannot be used: {error}") from error


def _findings(path: str | Path, about: Mapping[str, Any]) -> list[Finding]:
    """What the checks remarked when the scan was made."""
    told = about.get("findings", [])
    if not isinstance(told, list) or not all(
        isinstance(pair, list) and len(pair) == 2 and all(isinstance(text, str) for text in pair) for pair in told
    ):
        raise DataError(f"{path}: findings are {told!r}; expected a list of pairs of a code and a message")
    return [Finding(code, message) for code, message in told]


def write_volume(path: str | Path, volume: Volume, facts: Mapping[str, Any] | None = None) -> None:
    """Write values, voxel size and unit.

    Parameters
    ----------
    path
        ``.npz``.
    volume
        Image or stack.
    facts
        What else the text should say.
    """
    about = provenance(**{**volume.facts, **(facts or {}), "unit": volume.unit, "voxel_mm": volume.grid.lengths})
    _write(path, about, values=volume.values.float().numpy())


def read_volume(path: str | Path) -> Volume:
    """Read what `write_volume` wrote.

    Parameters
    ----------
    path
        ``.npz``.

    Raises
    ------
    DataError
        If a field is missing.
    """
    arrays, about = _read(path, ("values",))
    values = torch.from_numpy(arrays["values"])
    if "voxel_mm" not in about:
        raise DataError(f"{path} does not state voxel_mm; expected the edge of a voxel in mm")
    lengths = about["voxel_mm"]
    if not isinstance(lengths, list) or not all(isinstance(h, int | float) for h in lengths):
        raise DataError(f"{path}: voxel_mm is {lengths}; expected a list of lengths in mm")
    with in_file(path, voxel="voxel_mm"):
        return Volume(values, Grid(tuple(values.shape), tuple(lengths)), str(about.get("unit", "")), about)


def _write(path: str | Path, about: dict[str, Any], **arrays: np.ndarray) -> None:
    if not str(path).endswith(".npz"):
        raise DataError(f"{path} does not end with .npz")
    with atomic_write(path, "wb") as file:
        np.savez_compressed(file, about=np.array(json.dumps(about, default=str)), **arrays)


def _read(path: str | Path, names: tuple[str, ...]) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    """Arrays and the text of an archive."""
    try:
        with np.load(path, allow_pickle=False) as file:
            missing = [name for name in (*names, "about") if name not in file]
            if missing:
                raise DataError(f"{path} lacks {missing}; it holds {sorted(file)}")
            about = json.loads(str(file["about"]))
            if not isinstance(about, dict):
                raise DataError(f"{path}: about is {about!r}; expected a JSON object")
            return {name: np.asarray(file[name], dtype=np.float64) for name in names}, about
    except _BROKEN as error:
        if isinstance(error, DataError):
            raise
        raise DataError(f"cannot read {path}: {error}; expected a whole .npz file") from error
