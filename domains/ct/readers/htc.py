"""Fan-beam sinograms of the Helsinki Tomography Challenge 2022, and others of its toolbox, from a MATLAB file.

One struct (``CtDataFull``, ``CtDataLimited``, ...) holds ``sinogram``, whose logarithm was taken, views by columns, and
``parameters``: angles in degrees, distances of the source from the detector and from the axis, and pixel size and
number of the detector after binning. Names are looked up whatever the case of their letters; every number comes from
the file. The files state

    effectivePixelSizePost = pixelSizePost * distanceSourceOrigin / distanceSourceDetector,

which is checked, so that lengths of mixed units are found. They do not state the noise: with ``var(y) = exp(y) / I_0``
and the second differences ``d`` over three successive views,

    1 / sqrt(I_0) = 1.4826 median |d exp(-y / 2)| / sqrt(6).

What changes from view to view counts as noise, so that ``I_0`` is rather too small than too large.

References
----------
A. Meaney, F. Silva de Moura and S. Siltanen, Helsinki Tomography Challenge 2022 open tomographic dataset,
doi:10.5281/zenodo.6984868
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch

from scidiff.errors import DataError

from ..checks import check_projections
from ..geometry import Fan
from ..scan import Scan
from .angles import to_radians
from .mat import pick, read_mat
from .places import in_file, numbers

__all__ = ["estimate_i0", "read_htc"]

_UNITS = {"m": 1e3, "cm": 10.0, "mm": 1.0, "um": 1e-3}
_NUMBERS = ("distanceSourceDetector", "distanceSourceOrigin", "pixelSizePost", "numDetectorsPost")
_LEAST_VIEWS = 8


def read_htc(path: str | Path, i0: float | None = None, centre: float | None = None) -> Scan:
    """Read a scan.

    Parameters
    ----------
    path
        ``.mat``, version 5 or 7.3.
    i0
        Unattenuated count; by default estimated from the differences of successive views.
    centre
        Detector column of the rotation axis; the middle by default, as the toolbox moves it there.

    Returns
    -------
    Scan
        Fan beam, lengths in mm.

    Raises
    ------
    DataError
        If the file cannot be read, a field is missing (all that are missing are listed), or fields contradict each
        other.
    """
    name, data = _struct(read_mat(path), str(path))
    parameters = pick(data, "parameters")
    y = numbers(pick(data, "sinogram"), f"{path}: {name}.sinogram")
    place = f"{path}: {name}.parameters"
    known = {field: _number(parameters, field, place) for field in _NUMBERS}
    if y.ndim != 2 or y.shape[1] != known["numDetectorsPost"]:
        raise DataError(
            f"{path}: {name}.sinogram has shape {y.shape}; expected views x {known['numDetectorsPost']:g} columns, "
            "as numDetectorsPost states"
        )
    angles = to_radians(pick(parameters, "angles"), "degrees", f"{place}.angles", len(y))
    scale = _scale(parameters, place)
    _agree(parameters, known, place)
    values, found = torch.from_numpy(np.ascontiguousarray(y)), i0 is None
    with in_file(path, projections=f"{name}.sinogram"):
        geometry = Fan(
            torch.from_numpy(angles), y.shape[1], known["pixelSizePost"] * scale, centre,
            source_axis=known["distanceSourceOrigin"] * scale,
            source_detector=known["distanceSourceDetector"] * scale,
        )  # fmt: skip
        check_projections(values, geometry)
        level = estimate_i0(values) if i0 is None else i0
        facts = {"file": Path(path).name, "struct": name, "i0": level, "i0_found": found}
        return Scan.from_projections(values, geometry, i0=level, facts=facts)


def estimate_i0(projections: torch.Tensor) -> float:
    """Unattenuated count of log-projections, from what changes between successive views.

    Parameters
    ----------
    projections
        Line integrals, ``(views, columns)``, views in their order.

    Returns
    -------
    float
        ``I_0``.

    Raises
    ------
    DataError
        If there are fewer than 8 views, or they do not vary.
    """
    y = projections.double()
    if len(y) < _LEAST_VIEWS:
        raise DataError(f"{len(y)} views came; expected at least {_LEAST_VIEWS} to see their noise: give i0")
    change = (y[:-2] - 2 * y[1:-1] + y[2:]) * torch.exp(-0.5 * y[1:-1])
    sd = 1.4826 * float(change.abs().median()) / 6**0.5
    if not sd > 0:
        raise DataError("projections do not vary from view to view, so that their noise is unknown; give i0")
    return sd**-2


def _struct(variables: Mapping[str, Any], path: str) -> tuple[str, Mapping[str, Any]]:
    """The variable that holds a sinogram and its parameters."""
    for name, value in variables.items():
        if isinstance(value, Mapping) and isinstance(pick(value, "parameters"), Mapping):
            wanted = {field: pick(pick(value, "parameters"), field) for field in ("angles", *_NUMBERS)}
            missing = [f"parameters.{field}" for field, found in wanted.items() if found is None]
            missing += ["sinogram"] if pick(value, "sinogram") is None else []
            if missing:
                raise DataError(f"{path}: {name} lacks {', '.join(missing)}; it has {_told(value)}")
            return name, value
    raise DataError(
        f"{path} holds {', '.join(variables) or 'no variable'}; expected a struct such as CtDataFull or CtDataLimited "
        "with the fields sinogram and parameters"
    )


def _told(value: Mapping[str, Any]) -> str:
    """Names of all fields, those of the parameters too."""
    return ", ".join(value) + " and parameters." + ", parameters.".join(pick(value, "parameters"))


def _number(parameters: Mapping[str, Any], field: str, place: str) -> float:
    """One positive number."""
    values = numbers(pick(parameters, field), f"{place}.{field}")
    if values.size != 1 or not (np.isfinite(values).all() and float(values.flat[0]) > 0):
        raise DataError(f"{place}.{field} is {values.tolist()}; expected one positive number")
    return float(values.flat[0])


def _scale(parameters: Mapping[str, Any], place: str) -> float:
    """Millimetres in one unit of length; the toolbox writes mm."""
    found = pick(parameters, "distanceUnit")
    unit = ("" if found is None or np.size(found) == 0 else str(found).strip().lower()) or "mm"
    if unit not in _UNITS:
        raise DataError(f"{place}.distanceUnit is '{unit}'; expected one of {', '.join(_UNITS)}")
    return _UNITS[unit]


def _agree(parameters: Mapping[str, Any], numbers: Mapping[str, float], place: str) -> None:
    """Refuse a pixel size whose image at the axis is not the one that the file states."""
    if pick(parameters, "effectivePixelSizePost") is None:
        return
    stated = _number(parameters, "effectivePixelSizePost", place)
    expected = numbers["pixelSizePost"] * numbers["distanceSourceOrigin"] / numbers["distanceSourceDetector"]
    if abs(stated - expected) > 0.01 * expected:
        raise DataError(
            f"{place}.effectivePixelSizePost is {stated:g}; pixelSizePost and the distances make it {expected:g}: are "
            "some lengths in cm and others in mm?"
        )
