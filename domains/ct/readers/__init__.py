"""Files in and out. Readers return a `Scan` or a `Volume` with units, never bare arrays."""

from __future__ import annotations

from .dicom import read_dicom
from .dicom_series import write_dicom
from .exchange import read_exchange
from .htc import read_htc
from .mat import read_mat
from .nexus import read_nexus
from .nifti import read_nifti, write_nifti
from .npz import read_npz, read_volume, write_scan, write_volume
from .scans import read_scan
from .tiff import read_tiff, write_tiff
from .write import save_volume
from .zarr_volume import read_zarr, write_zarr

__all__ = [
    "read_dicom",
    "read_exchange",
    "read_htc",
    "read_mat",
    "read_nexus",
    "read_nifti",
    "read_npz",
    "read_scan",
    "read_tiff",
    "read_volume",
    "read_zarr",
    "save_volume",
    "write_dicom",
    "write_nifti",
    "write_scan",
    "write_tiff",
    "write_volume",
    "write_zarr",
]
