"""The data sets of the molecules domain, under one door.

`DATASETS` names them; `load(name, split)` returns SMILES; `read_smiles` reads a file of one's own. The universe is the
default: it is enumerated on the spot, needs no download and has no licence, and its distribution is known exactly.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

from scidiff.errors import DataError, UnknownNameError

from .datasets.cleaning import CleaningReport, clean
from .datasets.moses import MOSES_SPLITS, moses_path, read_moses
from .datasets.qm9 import QM9_SPLITS, CleanedList, clean_qm9, qm9_path, qm9_split
from .datasets.smiles_file import BadRow, SmilesFile, read_smiles
from .universe import universe, universe_path, universe_split

__all__ = [
    "DATASETS",
    "BadRow",
    "CleanedList",
    "CleaningReport",
    "Dataset",
    "SmilesFile",
    "clean",
    "clean_qm9",
    "load",
    "read_smiles",
]


@dataclass(frozen=True)
class Dataset:
    """A data set that is known by name.

    Parameters
    ----------
    name
        Its name on the command line.
    title
        One line about it.
    size
        Number of molecules over all parts.
    source
        Where it comes from.
    licence
        Its terms.
    splits
        Names of its parts; the first is the default.
    fetch
        ``(folder, progress) -> path`` of the local file.
    read
        ``(folder, split, progress) -> SMILES``.
    """

    name: str
    title: str
    size: int
    source: str
    licence: str
    splits: tuple[str, ...]
    fetch: Callable[[Path | None, bool], Path]
    read: Callable[[Path | None, str, bool], list[str]]

    def get(self, folder: str | Path | None = None, progress: bool = True) -> Path:
        """Make the data set available on this computer.

        Parameters
        ----------
        folder
            Where it is or shall be; by default `$SCIDIFF_DATA` where it has it, else the cache.
        progress
            Show a bar on a terminal.

        Returns
        -------
        path
            The local file.

        Raises
        ------
        DataError
            If it cannot be fetched.
        IntegrityError
            If a file has another hash than it should have.
        """
        return self.fetch(None if folder is None else Path(folder), progress)


def load(name: str, split: str | None = None, *, folder: str | Path | None = None, progress: bool = True) -> list[str]:
    """Return the SMILES of one part of a data set, fetching what is missing.

    Parameters
    ----------
    name
        A key of `DATASETS`.
    split
        One of the parts of the data set; its first by default.
    folder
        As of `Dataset.get`.
    progress
        Show a bar on a terminal.

    Returns
    -------
    smiles
        ``"universe"``: all, train or rest (a fifth is train). ``"qm9"``: all, train, valid or test of the cleaned list.
        ``"moses"``: train, test or test_scaffolds as published.

    Raises
    ------
    UnknownNameError
        If the data set or its part does not exist.
    DataError
        If it cannot be fetched or read.
    """
    if name not in DATASETS:
        raise UnknownNameError("data set", name, DATASETS)
    found = DATASETS[name]
    part = found.splits[0] if split is None else split
    if part not in found.splits:
        raise UnknownNameError(f"split of {name}", part, found.splits)
    return found.read(None if folder is None else Path(folder), part, progress)


def _fetch_universe(folder: Path | None, progress: bool) -> Path:
    """Enumerate the default universe and return the file of its list."""
    universe(folder=folder, progress=progress)
    path = universe_path(folder=folder)
    if not path.is_file():
        raise DataError(f"the universe could not be kept at {path}; choose a folder that you may write to")
    return path


def _read_universe(folder: Path | None, split: str, progress: bool) -> list[str]:
    """Return all of the default universe or a part of its default split."""
    smiles = universe(folder=folder, progress=progress)
    train, rest = universe_split(smiles)
    return {"all": smiles, "train": train, "rest": rest}[split]


def _read_qm9(folder: Path | None, split: str, progress: bool) -> list[str]:
    """Return a part of the cleaned QM9."""
    return qm9_split(clean_qm9(folder, progress).smiles, split)


def _read_moses(folder: Path | None, split: str, progress: bool) -> list[str]:
    """Return a part of MOSES."""
    return read_moses(moses_path(folder, progress), split)


DATASETS = MappingProxyType(
    {
        "universe": Dataset(
            "universe",
            "all neutral closed-shell molecules of up to six C, N, O, F atoms",
            47_521,
            "enumerated by this package",
            "none needed",
            ("all", "train", "rest"),
            _fetch_universe,
            _read_universe,
        ),
        "qm9": Dataset(
            "qm9",
            "QM9 without hydrogens, neutral rows, up to nine C, N, O, F atoms",
            103_954,
            "qm9_smiles.csv in SCIDIFF_DATA, or PyTorch Geometric (doi:10.1038/sdata.2014.22)",
            "open release on figshare; not redistributed here",
            QM9_SPLITS,
            qm9_path,
            _read_qm9,
        ),
        "moses": Dataset(
            "moses",
            "MOSES, drug-like molecules from ZINC",
            1_936_962,
            "wheel of molsets 0.3.1 on the Python package index (arXiv:1811.12823)",
            "MIT (code); data as published with it",
            MOSES_SPLITS,
            moses_path,
            _read_moses,
        ),
    }
)
