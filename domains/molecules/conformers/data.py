"""Reference conformers: RDKit's ETKDGv3 [1]_ relaxed with MMFF94 [2]_, for molecules of the enumerated universe.

Every molecule gets `each` conformers from its own seed, a hash of the seed of the set and of its SMILES, so that a set
does not depend on the order or on the company of its molecules. Hydrogens take part in embedding and relaxation and
are then dropped; positions are centred at the mean of the heavy atoms. A molecule is left out, and counted, if fewer
conformers than asked for can be embedded, if MMFF94 lacks a parameter, or if a relaxation does not converge: of the
universe about a tenth, strained rings for the most part.

Stereo is free: ETKDG embeds all stereoisomers of a graph without marks, mirror images among them.

References
----------
.. [1] S. Wang et al., J. Chem. Inf. Model. 60 (2020) 2044, doi:10.1021/acs.jcim.0c00025
.. [2] T. A. Halgren, J. Comput. Chem. 17 (1996) 490; P. Tosco et al., J. Cheminf. 6 (2014) 37,
   doi:10.1186/s13321-014-0037-3 (the implementation)
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
from rdkit import Chem, rdBase
from rdkit import __version__ as rdkit_version
from rdkit.Chem import rdDistGeom, rdForceFieldHelpers

from scidiff.errors import DataError
from scidiff.io.files import atomic_write, cache_folder, sha256_lines
from scidiff.io.progress import track

from ..graphs import parse
from .graph import LARGEST, Graphs

__all__ = ["ConformerSet", "common", "conformer_set", "embed"]

_ATTEMPTS = 10
_RELAXATION_STEPS = 2000


def embed(molecule: Chem.Mol, each: int, seed: int, *, relax: bool = True) -> np.ndarray | None:
    """Make conformers of one molecule.

    Parameters
    ----------
    molecule
        Without hydrogens.
    each
        Number of conformers.
    seed
        Seed of the embedding, below 2^31.
    relax
        Whether MMFF94 relaxes what ETKDGv3 embedded.

    Returns
    -------
    positions
        Centred positions of the heavy atoms in Å, float64, shape ``(each, n, 3)``; ``None`` if they cannot be made.
    """
    parameters = rdDistGeom.ETKDGv3()
    parameters.randomSeed = seed
    parameters.maxIterations = _ATTEMPTS
    with rdBase.BlockLogs():
        full = Chem.AddHs(molecule)
        found = len(rdDistGeom.EmbedMultipleConfs(full, each, parameters))
        if found < each or not (_relaxed(full) if relax else True):
            return None
    heavy = molecule.GetNumAtoms()
    positions = np.stack([conformer.GetPositions()[:heavy] for conformer in full.GetConformers()])
    return positions - positions.mean(1, keepdims=True)


def _relaxed(molecule: Chem.Mol) -> bool:
    """Relax all conformers in place; whether all of them converged."""
    if not rdForceFieldHelpers.MMFFHasAllMoleculeParams(molecule):
        return False
    results = rdForceFieldHelpers.MMFFOptimizeMoleculeConfs(molecule, maxIters=_RELAXATION_STEPS)
    return all(status == 0 for status, _ in results)


@dataclass(frozen=True)
class ConformerSet:
    """Conformers of many molecules.

    Parameters
    ----------
    smiles
        Molecules that have conformers, canonical SMILES.
    positions
        Å, float32, shape ``(molecules, each, LARGEST, 3)``, centred, 0 at padding.
    left_out
        Molecules that have none.
    """

    smiles: list[str]
    positions: np.ndarray
    left_out: int

    def __len__(self) -> int:
        return len(self.smiles)

    @cached_property
    def molecules(self) -> list[Chem.Mol]:
        """The molecules, without hydrogens."""
        return [parse(smiles) for smiles in self.smiles]

    @cached_property
    def graphs(self) -> Graphs:
        """The molecules as arrays."""
        return Graphs.of(self.molecules)

    def take(self, smiles: Sequence[str]) -> ConformerSet:
        """Chosen molecules, in the given order."""
        row = {one: k for k, one in enumerate(self.smiles)}
        return ConformerSet(list(smiles), self.positions[[row[one] for one in smiles]], self.left_out)


def common(*sets: ConformerSet) -> tuple[ConformerSet, ...]:
    """Cut several sets to the molecules that all of them have."""
    shared = set.intersection(*(set(each.smiles) for each in sets))
    order = [smiles for smiles in sets[0].smiles if smiles in shared]
    return tuple(each.take(order) for each in sets)


def conformer_set(
    smiles: Sequence[str], each: int, seed: int, *, relax: bool = True, progress: bool = True
) -> ConformerSet:
    """Make conformers of many molecules, or read them from the cache.

    Parameters
    ----------
    smiles
        Canonical SMILES without stereo, of at most `LARGEST` heavy atoms.
    each
        Conformers of each molecule.
    seed
        Seed of the set.
    relax
        As for `embed`.
    progress
        Show a bar on a terminal.

    Raises
    ------
    DataError
        If a cached file is damaged.
    """
    path = _path(smiles, each, seed, relax)
    if path.exists():
        return _load(path)
    kept: list[str] = []
    positions: list[np.ndarray] = []
    for one in track(smiles, len(smiles), "making conformers", progress):
        found = embed(parse(one), each, _seed_of(one, seed), relax=relax)
        if found is not None:
            kept.append(one)
            positions.append(np.pad(found, ((0, 0), (0, LARGEST - found.shape[1]), (0, 0))).astype(np.float32))
    array = np.stack(positions) if positions else np.zeros((0, each, LARGEST, 3), dtype=np.float32)
    made = ConformerSet(kept, array, len(smiles) - len(kept))
    path.parent.mkdir(parents=True, exist_ok=True)
    with atomic_write(path, "wb") as file:
        np.savez(file, smiles=np.array(kept), positions=array, left_out=np.array(made.left_out))
    return made


def _seed_of(smiles: str, seed: int) -> int:
    """Seed of one molecule, below 2^31."""
    digest = hashlib.sha256(f"{seed}\n{smiles}".encode()).digest()
    return int.from_bytes(digest[:4], "big") >> 1


def _path(smiles: Sequence[str], each: int, seed: int, relax: bool) -> Path:
    method = "mmff" if relax else "etkdg"
    name = f"conformers-{sha256_lines(smiles)[:16]}-{method}-{each}-seed{seed}-rdkit{rdkit_version}.npz"
    return cache_folder() / "molecules" / name


def _load(path: Path) -> ConformerSet:
    try:
        with np.load(path, allow_pickle=False) as arrays:
            return ConformerSet(arrays["smiles"].tolist(), arrays["positions"], int(arrays["left_out"]))
    except (ValueError, KeyError, OSError) as error:
        raise DataError(f"cached file {path} is damaged ({error}); delete it, it will be made again") from error
