"""The universe as a sorted list of keys, kept in the cache, and its split.

`universe` runs enumeration B (`skeletons`), merges Kekulé forms by the key, and sorts by (number of heavy atoms, key).
Enumeration A (`growth`) gives the same classes and the Burnside sum (`burnside`) their number.

References
----------
T. Fink and J.-L. Reymond, "Virtual exploration of the chemical universe up to 11 atoms of C, N, O, F", J. Chem. Inf.
Model. 47 (2007), doi:10.1021/ci600423u (the idea of a complete enumeration; its filters for stability are not used
here)
"""

from __future__ import annotations

import warnings
from collections.abc import Iterable
from pathlib import Path

from scidiff.errors import ConfigError, DataError
from scidiff.io.files import cache_folder
from scidiff.io.progress import track

from ..datasets.lines import read_lines, write_lines
from ..datasets.splits import split_by_hash
from .graphs import MAX_ATOMS, VALENCE, valences
from .keys import keys
from .skeletons import decorate

__all__ = ["enumerate_universe", "universe", "universe_path", "universe_split"]


def universe(
    max_atoms: int = 6, elements: str = "CNOF", *, folder: str | Path | None = None, progress: bool = False
) -> list[str]:
    """Return all neutral closed-shell connected molecules of a few heavy atoms, without stereochemistry.

    The list is read from the cache where it is there, else enumerated and kept. It depends on RDKit's spelling of
    canonical SMILES, so each RDKit version has its own file.

    Parameters
    ----------
    max_atoms
        Largest number of heavy atoms, 1 to 7.
    elements
        Distinct letters out of C, N, O, F (valences 4, 3, 2, 1), in any order.
    folder
        Where the list is kept; `cache_folder() / "molecules"` by default.
    progress
        Show a bar on a terminal.

    Returns
    -------
    smiles
        Canonical SMILES, sorted by (heavy atoms, SMILES). 47,521 for six atoms of CNOF.

    Raises
    ------
    ConfigError
        If a parameter is out of range.
    IntegrityError
        If the kept list was changed.
    """
    path = universe_path(max_atoms, elements, folder)
    if path.exists():
        return read_lines(path)[0]
    smiles, counts = enumerate_universe(max_atoms, elements, progress=progress)
    header = {
        "title": "universe",
        "elements": _ordered(elements),
        "max_atoms": max_atoms,
        "sizes": counts,
        "rdkit": _rdkit(),
    }
    try:
        write_lines(path, smiles, header)
    except DataError as error:
        warnings.warn(f"the universe is used but not kept: {error}", stacklevel=2)
    return smiles


def universe_path(max_atoms: int = 6, elements: str = "CNOF", folder: str | Path | None = None) -> Path:
    """Return the file in which `universe` keeps its list.

    Parameters
    ----------
    max_atoms, elements, folder
        As of `universe`.

    Returns
    -------
    path
        The file; it need not exist yet.

    Raises
    ------
    ConfigError
        If a parameter is out of range.
    """
    _check(max_atoms, elements)
    place = Path(folder) if folder is not None else cache_folder() / "molecules"
    return place / f"universe-{_ordered(elements)}-{max_atoms}-rdkit{_rdkit()}.txt"


def enumerate_universe(max_atoms: int, elements: str, *, progress: bool = False) -> tuple[list[str], list[int]]:
    """Enumerate the universe without looking at the cache.

    Parameters
    ----------
    max_atoms, elements, progress
        As of `universe`.

    Returns
    -------
    smiles, counts
        The sorted keys, and their number for each size 1, 2, ..., `max_atoms`.

    Raises
    ------
    ConfigError
        If a parameter is out of range.
    """
    _check(max_atoms, elements)
    letters = _ordered(elements)
    smiles: list[str] = []
    counts: list[int] = []
    for atoms in range(1, max_atoms + 1):
        codes = decorate(atoms, letters)
        text = f"molecules with {atoms} heavy atoms"
        found = sorted(set(track(keys(codes, atoms, letters), len(codes), text, progress)))
        smiles += found
        counts.append(len(found))
    return smiles, counts


def universe_split(smiles: Iterable[str], fraction: float = 0.2, seed: int = 0) -> tuple[list[str], list[str]]:
    """Split a universe into molecules for training and the rest, which a model never sees.

    The place of a molecule depends on its key and the seed only: a larger universe keeps the split of a smaller one.

    Parameters
    ----------
    smiles
        Keys, as of `universe`.
    fraction
        Expected share of the training part, in (0, 1).
    seed
        Any integer.

    Returns
    -------
    train, rest
        Two lists in the order of `smiles`; the size of `train` is binomial about `fraction` of all.

    Raises
    ------
    ConfigError
        If `fraction` is not in (0, 1).
    """
    if not 0 < fraction < 1:
        raise ConfigError(f"fraction is {fraction}; expected a number between 0 and 1, both excluded")
    train, rest = split_by_hash(smiles, (fraction, 1 - fraction), seed)
    return train, rest


def _check(max_atoms: int, elements: str) -> None:
    """Check the parameters of a universe."""
    valences(elements)
    if not 1 <= max_atoms <= MAX_ATOMS:
        raise ConfigError(f"max_atoms is {max_atoms}; expected 1 to {MAX_ATOMS}, the reach of the graph atlas")


def _ordered(elements: str) -> str:
    """Return the element letters in their fixed order."""
    return "".join(letter for letter in VALENCE if letter in elements)


def _rdkit() -> str:
    """Return the version of RDKit."""
    from rdkit import __version__

    return __version__
