"""The images of the 2016 Low Dose CT Grand Challenge (AAPM, Mayo Clinic), one patient at a time.

*From the publication*: a folder for each patient (``L067``, ``L096``, ...) with one folder for each reconstruction,
such as ``full_1mm_sharp`` (full dose, 1 mm, sharp kernel) and ``quarter_1mm_sharp``; in it one DICOM file for each
slice, 512 x 512. The terms of the data do not allow to pass them on.

References
----------
C. McCollough et al., "Low-dose CT for the detection and classification of metastatic liver lesions: results of the
2016 Low Dose CT Grand Challenge", Med. Phys. 44 (2017) e339, doi:10.1002/mp.12345
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from scidiff.errors import DataError

from ..readers import read_dicom
from ..volume import Volume
from .files import PUBLISHED, checked, folder_of

__all__ = ["load_ldgc"]

_AIR = -500.0


def load_ldgc(path: str | Path, sha256: str = "", reconstruction: str = "full_1mm_sharp") -> Volume:
    """Read one reconstruction of one patient.

    Parameters
    ----------
    path
        Folder of the patient, or of the reconstruction itself.
    sha256
        Hash of the files of the reconstruction.
    reconstruction
        Name of the folder within that of the patient.

    Returns
    -------
    Volume
        Values in HU.

    Raises
    ------
    MissingPackageError
        If pydicom is not installed.
    IntegrityError
        If the files have another hash.
    DataError
        If files are missing, are no series, or hold no HU.
    """
    folder = folder_of(path, f"one of a patient with a folder {reconstruction}, or that folder")
    inner = folder / reconstruction
    if not inner.is_dir():
        if not any(file.is_file() for file in folder.iterdir()):
            found = ", ".join(sorted(p.name for p in folder.iterdir())) or "nothing"
            raise DataError(f"{folder} has no folder {reconstruction} and no files; it has {found}")
        inner = folder
    files = [file for file in inner.iterdir() if file.is_file() and not file.name.startswith(".")]
    known = checked(files, sha256, inner) if files else {}
    volume = read_dicom(inner)
    low = float(volume.values.min())
    if low > _AIR:
        raise DataError(
            f"{inner}: the least value is {low:g} HU; expected air near -1000: are RescaleSlope and RescaleIntercept "
            "lost?"
        )
    facts = {"data": "Low Dose CT Grand Challenge 2016", "layout": PUBLISHED, **known}
    return replace(volume, facts={**volume.facts, **facts})
