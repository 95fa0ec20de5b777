"""Training chains: `load` and `select`, and any folder of structure files through `read_folder`.

``load("train")`` leaves out every chain of the published training list that shares a sequence cluster (`clusters`)
with a chain of the validation list, so that novelty and memorisation mean something. ``load("valid")`` is the
validation list as published. `select` keeps *intact* chains (every C-N at most 1.6 Å), a range of lengths, and, by
default, *compact* ones: ``Rg <= 1.25 * 2.2 L^0.38``.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from types import MappingProxyType

import torch
from torch import Tensor

from scidiff.errors import DataError, UnknownNameError
from scidiff.io.files import cache_folder, data_folder

from .cgdms import cgdms_path, chains_of, manifest, read_cgdms
from .chains import Chains
from .clusters import cluster
from .shape import COMPACT, rg_ratio
from .torsions import linked, measure

__all__ = ["DATASETS", "SPLITS", "Dataset", "at_hand", "intact", "load", "read_folder", "select"]

SPLITS = ("train", "valid", "all")
_BROKEN = 1.6


@dataclass(frozen=True)
class Dataset:
    """A data set that is known by name.

    Parameters
    ----------
    title
        One line about it.
    size
        Number of chains.
    source
        Where it comes from.
    licence
        Its terms.
    fetch
        ``(folder, progress) -> path``.
    """

    title: str
    size: int
    source: str
    licence: str
    fetch: Callable[[Path | None, bool], Path]

    def get(self, folder: str | Path | None = None, progress: bool = True) -> Path:
        """Make the data set available on this computer and return its path; see `cgdms.cgdms_path`."""
        return self.fetch(None if folder is None else Path(folder), progress)


DATASETS = MappingProxyType(
    {
        "cgdms": Dataset(
            "2,204 protein chains of 20 to 100 residues: N, CA, C and sequence",
            2204,
            "github.com/psipred/cgdms; coordinates from the Protein Data Bank",
            "MIT; coordinates CC0",
            cgdms_path,
        )
    }
)


def at_hand() -> bool:
    """Whether the chains are on this computer, so that `load` needs no network."""
    data = data_folder()
    places = [cache_folder() / "proteins" / "cgdms"] + ([] if data is None else [data / "proteins" / "cgdms"])
    archives = any((place / "train_val.tar.gz").is_file() for place in places)
    return archives or any(len(list((place / "train_val").glob("*.txt"))) >= len(manifest()) for place in places)


@lru_cache(maxsize=2)
def _everything(path: Path) -> dict:
    return read_cgdms(path)


def load(split: str = "train", *, folder: str | Path | None = None, progress: bool = True) -> Chains:
    """Return the chains of one part, fetching what is missing.

    Parameters
    ----------
    split
        ``"train"`` (without neighbours of validation chains), ``"valid"``, or ``"all"``.
    folder
        Where the files are or shall be; see `cgdms.cgdms_path`.
    progress
        Show a bar on a terminal.

    Returns
    -------
    Chains
        One padded batch, float64, with sequences; `Chains.names` are like ``3TZD_A``.

    Raises
    ------
    UnknownNameError
        If there is no such part.
    DataError
        If the chains cannot be fetched or read.
    """
    if split not in SPLITS:
        raise UnknownNameError("split", split, SPLITS)
    read = _everything(cgdms_path(None if folder is None else Path(folder), progress))
    names = list(manifest())
    part = {name: manifest()[name][0] for name in names}
    if split == "train":
        label = dict(zip(names, cluster([read[name][0] for name in names]).tolist(), strict=True))
        taken = {label[name] for name in names if part[name] == "valid"}
        kept = [name for name in names if part[name] == "train" and label[name] not in taken]
        if not kept:
            raise DataError("every training chain shares a sequence cluster with a validation chain; use split 'all'")
        return chains_of(read, kept)
    return chains_of(read, [name for name in names if split in ("all", part[name])])


def intact(chains: Chains) -> Tensor:
    """True where every C-N bond of a chain is at most 1.6 Å, shape ``(batch,)``."""
    bonds = measure(chains.xyz, chains.mask).bonds[..., 2]
    return ((bonds <= _BROKEN) | ~linked(chains.mask)).all(1)


def select(chains: Chains, *, shortest: int = 40, longest: int = 80, compact: bool = True) -> Chains:
    """Keep intact chains of some lengths.

    Parameters
    ----------
    chains
        A batch.
    shortest, longest
        Range of lengths, both ends included.
    compact
        Keep only chains with a radius of gyration of at most 1.25 times ``2.2 L^0.38`` Å.

    Returns
    -------
    Chains
        Those that fit, in order.

    Raises
    ------
    DataError
        If none fits.
    """
    keep = intact(chains) & (chains.lengths >= shortest) & (chains.lengths <= longest)
    if compact:
        keep &= rg_ratio(chains.ca, chains.mask) <= COMPACT
    if not bool(keep.any()):
        raise DataError(
            f"none of {len(chains)} chains is intact with {shortest} to {longest} residues; widen the range"
        )
    return chains.take(torch.nonzero(keep).squeeze(1))


def read_folder(folder: str | Path, pattern: str = "*") -> Chains:
    """Read every mmCIF, BinaryCIF and PDB file of a folder as training chains.

    Chains are divided at gaps and at residues that lack N, CA or C, and modified residues become the residue they were
    made from: a training set wants intact pieces. `structures.read` refuses these by default.

    Parameters
    ----------
    folder
        The folder.
    pattern
        Names to take.

    Returns
    -------
    Chains
        All pieces of ten residues and more; names are ``file_chain``.

    Raises
    ------
    DataError
        If the folder holds no such file.
    """
    from .structures import PERMISSIVE, READERS, read

    files = sorted(path for path in Path(folder).glob(pattern) if path.suffix.lower() in READERS)
    if not files:
        raise DataError(f"{folder} holds no file with an ending of {', '.join(READERS)}; give a folder of structures")
    pieces = Chains.cat([read(path, PERMISSIVE).chains for path in files])
    return select(pieces, shortest=10, longest=pieces.xyz.shape[1], compact=False)
