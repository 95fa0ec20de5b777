"""Files in and out. Readers return a `Scan` or a `Volume` with units, never bare arrays."""

from __future__ import annotations

from .dicom import read_dicom
from .exchange import read_exchange
from .nifti import read_nifti, write_nifti
from .npz import read_scan, read_volume, write_scan, write_volume
from .tiff import read_tiff, write_tiff
from .write import save_volume

__all__ = [
    "read_dicom",
    "read_exchange",
    "read_nifti",
    "read_scan",
    "read_tiff",
    "read_volume",
    "save_volume",
    "write_nifti",
    "write_scan",
    "write_tiff",
    "write_volume",
]
