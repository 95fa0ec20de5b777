"""The cgdms chains: 2,204 chains of the PDB with 20 to 100 residues, N, CA, C and sequence.

One text file a chain: the sequence, a predicted secondary structure, then a line of twelve numbers a residue: N, CA, C
and a side-chain centroid, Å. The centroid is not read: for glycine it is a dummy, and for large residues it folds back.

The files come from the folder ``proteins/cgdms`` of `$SCIDIFF_DATA` (the archive ``train_val.tar.gz``, or the
folder ``train_val``), or are fetched one by one from the public repository at a fixed commit. Every file, wherever
it comes from, is held against the manifest of hashes in this package.

References
----------
J. G. Greener and D. T. Jones, "Differentiable molecular simulation can learn all the parameters in a coarse-grained
force field for proteins", PLoS ONE 16 (2021) e0256990, doi:10.1371/journal.pone.0256990; data github.com/psipred/cgdms,
MIT
"""

from __future__ import annotations

import hashlib
import tarfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from pathlib import Path

import numpy as np

from scidiff.errors import DataError, IntegrityError
from scidiff.io.download import download
from scidiff.io.files import cache_folder, data_folder
from scidiff.io.progress import track

from .chains import Chains

__all__ = ["COMMIT", "cgdms_path", "manifest", "parse_chain", "read_cgdms"]

COMMIT = "9cf98b3f1578366719c3ea2d41f3dc4fc4290542"
_URL = f"https://raw.githubusercontent.com/psipred/cgdms/{COMMIT}/cgdms/protein_data/train_val/"
_ARCHIVE = "train_val.tar.gz"
_FOLDER = "train_val"
_MANIFEST = Path(__file__).parent / "data" / "cgdms.txt"
_FILE_LIMIT = 1 << 16
_WORKERS = 8


@cache
def manifest() -> dict[str, tuple[str, str]]:
    """Return the part (``train`` or ``valid``) and the SHA-256 of the file of each chain, by name."""
    rows = [line.split() for line in _MANIFEST.read_text(encoding="ascii").splitlines() if not line.startswith("#")]
    return {name: (part, digest) for name, part, digest in rows}


def cgdms_path(folder: Path | None = None, progress: bool = True) -> Path:
    """Return the archive or folder that holds the chains; fetch what is nowhere.

    Parameters
    ----------
    folder
        Where the chains are or shall be; by default ``$SCIDIFF_DATA/proteins/cgdms`` where they are there, else the
        cache.
    progress
        Show a bar on a terminal.

    Returns
    -------
    Path
        The archive ``train_val.tar.gz``, or the folder ``train_val``.

    Raises
    ------
    DataError
        If a file cannot be fetched.
    IntegrityError
        If a file has another hash than it should have.
    """
    data = data_folder()
    cached = cache_folder() / "proteins" / "cgdms"
    places = [folder] if folder is not None else [*([] if data is None else [data / "proteins" / "cgdms"]), cached]
    for place in places:
        if (place / _ARCHIVE).is_file():
            return place / _ARCHIVE
        if len(list((place / _FOLDER).glob("*.txt"))) >= len(manifest()):
            return place / _FOLDER
    target = (folder or cached) / _FOLDER

    def fetch(name: str) -> Path:
        return download([f"{_URL}{name}.txt"], manifest()[name][1], target, f"{name}.txt", False, limit=_FILE_LIMIT)

    with ThreadPoolExecutor(_WORKERS) as pool:
        for _ in track(pool.map(fetch, manifest()), len(manifest()), "chains", progress):
            continue
    return target


def read_cgdms(path: Path) -> dict[str, tuple[str, np.ndarray]]:
    """Read and check all chains.

    Parameters
    ----------
    path
        As of `cgdms_path`.

    Returns
    -------
    dict
        Sequence and coordinates ``(length, 3, 3)`` of each chain, by name, in the order of the manifest.

    Raises
    ------
    IntegrityError
        If a file is missing or has another hash.
    DataError
        If the archive cannot be read.
    """
    found: dict[str, tuple[str, np.ndarray]] = {}
    for name, content in _members(path):
        if name not in manifest():
            continue
        digest = hashlib.sha256(content).hexdigest()
        if digest != manifest()[name][1]:
            raise IntegrityError(f"{name} in {path} has sha256 {digest}, expected {manifest()[name][1]}; fetch it anew")
        found[name] = parse_chain(content.decode("ascii"), name)
    missing = [name for name in manifest() if name not in found]
    if missing:
        raise IntegrityError(
            f"{path} lacks {len(missing)} of {len(manifest())} chains, first {missing[0]}; fetch it anew"
        )
    return {name: found[name] for name in manifest()}


def _members(path: Path) -> Iterator[tuple[str, bytes]]:
    """Names and contents of the chain files of an archive or a folder."""
    if path.is_dir():
        for file in sorted(path.glob("*.txt")):
            yield file.stem, file.read_bytes()[:_FILE_LIMIT]
        return
    try:
        with tarfile.open(path) as archive:
            for member in archive:
                file = archive.extractfile(member) if member.isfile() and member.size <= _FILE_LIMIT else None
                if file is not None:
                    yield Path(member.name).stem, file.read()
    except (OSError, EOFError, tarfile.TarError) as error:
        raise DataError(f"cannot read {path} ({error}); delete it to fetch it anew") from error


def parse_chain(text: str, name: str) -> tuple[str, np.ndarray]:
    """Parse the file of one chain.

    Parameters
    ----------
    text
        Content of the file.
    name
        Name of the chain, for messages.

    Returns
    -------
    sequence, xyz
        One-letter sequence and N, CA, C, Å, ``(length, 3, 3)``.

    Raises
    ------
    DataError
        If a line does not hold twelve numbers, or the numbers of letters and lines differ.
    """
    sequence, _, *rows = text.split("\n") if text.count("\n") > 1 else ("", "")
    try:
        values = np.array([row.split() for row in rows if row.strip()], dtype=np.float64).reshape(-1, 4, 3)
    except ValueError as error:
        raise DataError(f"chain {name}: {error}; expected twelve numbers a line") from error
    if len(values) != len(sequence.strip()) or not np.isfinite(values).all() or not len(values):
        raise DataError(
            f"chain {name}: {len(sequence.strip())} letters and {len(values)} lines; expected as many, finite"
        )
    return sequence.strip(), values[:, :3]


def chains_of(read: dict[str, tuple[str, np.ndarray]], names: list[str]) -> Chains:
    """Collect chains in one batch; the chain label is the part of the name after the underscore."""
    labels = tuple(name.partition("_")[2] or "A" for name in names)
    return Chains.of([read[n][1] for n in names], [read[n][0] for n in names], names=tuple(names), labels=labels)
