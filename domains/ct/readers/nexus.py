"""NeXus files of the application definition NXtomo: one stack of frames, of which an ``image_key`` says what each is.

Beamlines put the entry at different places (``/entry``, ``/entry1/tomo_entry``, ...), so that it is found by its
``NX_class`` and its ``definition``, and the datasets by their names: ``data`` (frames, y, x), ``image_key`` with 0 for
a projection, 1 for a flat, 2 for a dark and 3 for a frame that is not to be used, and ``rotation_angle``, one for each
frame. A frame whose ``image_key_control`` is -1 (alignment) is not used either.

References
----------
NeXus application definition NXtomo, https://manual.nexusformat.org/classes/applications/NXtomo.html
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from scidiff.errors import DataError

from ..scan import Scan
from .angles import to_radians
from .exchange import parallel_scan
from .hdf5 import datasets, length, opened, text
from .places import in_file, numbers

__all__ = ["read_nexus"]

_ENTRIES = ("NXentry", "NXsubentry")
_PROJECTION, _FLAT, _DARK, _UNUSED = range(4)


def read_nexus(
    path: str | Path,
    row: int = 0,
    pitch: float | None = None,
    centre: float | None = None,
    gain: float | None = None,
    i0: float | None = None,
    entry: str = "",
) -> Scan:
    """Read one detector row of an NXtomo entry as a parallel-beam scan.

    Parameters
    ----------
    path
        ``.nxs`` or ``.h5``.
    row
        Detector row.
    pitch
        Distance of detector pixels, mm; by default ``x_pixel_size`` of the file, and 1 where it has none, so that
        lengths are in pixels.
    centre
        Detector column of the rotation axis. By default it is found: over a full turn from opposite views, which holds
        for half acquisition, else from the centre of mass.
    gain
        Variance per count; by default estimated from at least 4 flats.
    i0
        Unattenuated count, for files without flats.
    entry
        Path of the entry, where a file has several.

    Returns
    -------
    Scan
        With weights from the counts; ``facts["axis"]`` is the column of the axis.

    Raises
    ------
    MissingPackageError
        If h5py is not installed.
    DataError
        If the file or a field is missing, or the fields contradict each other.
    """
    with opened(path, "a NeXus file") as file:
        found = _read(file, path, row, entry)
    stated = found.pitch if pitch is None else pitch
    flats = _flats(found.frames[_FLAT], i0, f"{path}: {found.name}")
    darks = found.frames[_DARK] if len(found.frames[_DARK]) else None
    facts = found.facts | {"length_unit": "pixel" if stated is None else "mm"}
    name = found.name
    with in_file(path, counts=name, flats=f"{name} with image_key 1", darks=f"{name} with image_key 2"):
        step = 1.0 if stated is None else stated
        return parallel_scan(found.frames[_PROJECTION], found.angles, flats, darks, step, centre, gain, facts)


@dataclass(frozen=True)
class _Found:
    """What an entry holds of one row."""

    name: str
    frames: dict[int, np.ndarray]
    angles: np.ndarray
    pitch: float | None
    facts: dict[str, Any]


def _read(file: Any, path: str | Path, row: int, entry: str) -> _Found:
    """Frames of one row by their image key, and their angles."""
    group = _entry(file, entry, str(path))
    place = f"{path}: {group.name}"
    fields = _fields(group, place)
    key = _keys(fields, place)
    name, data = fields["data"]
    if not 0 <= row < data.shape[1]:
        raise DataError(f"{path}: {name} has shape {data.shape}; expected (frames, y, x) with row {row}")
    frames = {which: _frames(data, key == which, row) for which in (_PROJECTION, _FLAT, _DARK)}
    facts = {"file": Path(path).name, "entry": group.name, "row": row, "flats": len(frames[_FLAT])}
    facts |= {"darks": len(frames[_DARK]), "unused": int((key == _UNUSED).sum())}
    return _Found(name, frames, _angles(fields, key, place), _pitch(fields, str(path)), facts)


def _entry(file: Any, wanted: str, path: str) -> Any:
    """The one group that is an NXtomo entry."""
    if wanted:
        if wanted not in file:
            raise DataError(f"{path} has no group '{wanted}'; it has {', '.join(file)}")
        return file[wanted]
    groups = [file[name] for name in file if hasattr(file.get(name), "keys")]
    groups += [item for group in groups for item in group.values() if item is not None and hasattr(item, "keys")]
    entries = [g for g in groups if text(g.attrs.get("NX_class", "")) in _ENTRIES]
    named = [g for g in entries if "definition" in g and text(np.asarray(g["definition"])).strip() == "NXtomo"]
    keyed = [g for g in entries if any(name.endswith("/image_key") for name, _ in datasets(g))]
    found = named or keyed
    if not found:
        raise DataError(
            f"{path} has no entry of NX_class NXentry or NXsubentry with the definition NXtomo or an image_key; it has "
            f"{', '.join(file) or 'nothing'}: was it written as NXtomo?"
        )
    if len(found) > 1:
        raise DataError(f"{path} has {len(found)} entries; give one as entry: {', '.join(g.name for g in found)}")
    return found[0]


def _fields(group: Any, place: str) -> dict[str, tuple[str, Any]]:
    """Datasets of the entry by their names; of the stacks the one beside the image key."""
    found: dict[str, tuple[str, Any]] = {}
    stacks = []
    for path, item in datasets(group):
        name = path.rsplit("/", 1)[1]
        if name == "data" and len(item.shape) == 3:
            stacks.append((path, item))
        elif name in ("image_key", "image_key_control", "rotation_angle", "x_pixel_size"):
            found.setdefault(name, (path, item))
    if "image_key" in found:
        beside = found["image_key"][0].rsplit("/", 1)[0]
        stacks.sort(key=lambda stack: stack[0].rsplit("/", 1)[0] != beside)
    if stacks:
        found["data"] = stacks[0]
    missing = [name for name in ("data", "image_key", "rotation_angle") if name not in found]
    if missing:
        raise DataError(
            f"{place} lacks {', '.join(missing)}; expected data (frames, y, x), image_key and rotation_angle; "
            "links to other files have to lie beside this one"
        )
    return found


def _keys(fields: dict[str, tuple[str, Any]], place: str) -> np.ndarray:
    """What each frame is; alignment counts as unused."""
    name, item = fields["image_key"]
    key = numbers(item, f"{place}: {name}").reshape(-1).astype(np.int64)
    frames = fields["data"][1].shape[0]
    if len(key) != frames:
        raise DataError(f"{place}: {name} has {len(key)} values for {frames} frames of {fields['data'][0]}")
    if "image_key_control" in fields:
        control = np.asarray(fields["image_key_control"][1]).reshape(-1)
        key = np.where(control == -1, _UNUSED, key) if len(control) == len(key) else key
    strange = sorted(set(key.tolist()) - {_PROJECTION, _FLAT, _DARK, _UNUSED})
    if strange:
        raise DataError(
            f"{place}: {name} holds {strange}; expected 0 (projection), 1 (flat), 2 (dark) and 3 (not to be used)"
        )
    if not (key == _PROJECTION).any():
        raise DataError(f"{place}: {name} marks no frame as a projection (0); was this a scan of flats only?")
    return key


def _angles(fields: dict[str, tuple[str, Any]], key: np.ndarray, place: str) -> np.ndarray:
    """Radians of the projections; some files state an angle for each frame, some for each projection."""
    name, item = fields["rotation_angle"]
    values, shown = np.asarray(item).reshape(-1), key == _PROJECTION
    if len(values) == len(key):
        values = values[shown]
    unit = text(item.attrs.get("units", "degrees"))
    return to_radians(values, unit, f"{place}: {name}", int(shown.sum()))


def _pitch(fields: dict[str, tuple[str, Any]], path: str) -> float | None:
    """Distance of detector pixels in mm, where the file states it."""
    if "x_pixel_size" not in fields:
        return None
    name, item = fields["x_pixel_size"]
    return length(item, f"{path}: {name}")


def _frames(data: Any, mask: np.ndarray, row: int) -> np.ndarray:
    """One row of some frames."""
    chosen = np.flatnonzero(mask)
    if not len(chosen):
        return np.zeros((0, data.shape[2]))
    return np.stack([np.asarray(data[int(k), row], dtype=np.float64) for k in chosen])


def _flats(frames: np.ndarray, i0: float | None, place: str) -> np.ndarray | float:
    if len(frames):
        return frames
    if i0 is None:
        raise DataError(
            f"{place}: no frame has image_key 1 (flat), and without flats counts are no line integrals; give i0, the "
            "count without the object, or add flats"
        )
    return float(i0)
