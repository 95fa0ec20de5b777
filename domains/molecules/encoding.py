"""Encoded training sets: from SMILES to arrays, kept in the cache.

Reading a million SMILES takes minutes, the arrays a second. The cache is keyed by the hash of the SMILES and by RDKit's
version, which decides aromaticity; it holds plain arrays and text, no pickle.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from rdkit import Chem
from rdkit import __version__ as rdkit_version

from scidiff.errors import DataError
from scidiff.io.files import atomic_write, cache_folder, sha256_lines
from scidiff.io.progress import track

from .graphs import GraphSet, encode, parse
from .vocabulary import Vocabulary

__all__ = ["encode_known", "encode_training", "usable"]


def encode_training(smiles: Sequence[str], *, progress: bool = True) -> tuple[Vocabulary, GraphSet]:
    """Derive the vocabulary of a training set and encode it.

    Parameters
    ----------
    smiles
        SMILES that RDKit can read.
    progress
        Show a bar on a terminal.
    """
    path = cache_folder() / "molecules" / f"graphs-{sha256_lines(smiles)[:16]}-rdkit{rdkit_version}.npz"
    if path.exists():
        return _load(path)
    molecules = [parse(one) for one in track(smiles, len(smiles), "reading molecules", progress)]
    vocabulary = Vocabulary.from_molecules(molecules)
    graphs = GraphSet.from_molecules(molecules, vocabulary)
    _save(path, vocabulary, graphs)
    return vocabulary, graphs


def encode_known(smiles: Sequence[str], vocabulary: Vocabulary, largest: int) -> GraphSet:
    """Encode the molecules that fit: of known tokens and at most `largest` heavy atoms; the others are left out."""
    fitting: list[Chem.Mol] = []
    for molecule in map(parse, smiles):
        try:
            encode(molecule, vocabulary)
        except DataError:
            continue
        if molecule.GetNumAtoms() <= largest:
            fitting.append(molecule)
    return GraphSet.from_molecules(fitting, vocabulary)


def usable(smiles: Sequence[str]) -> list[str]:
    """Distinct canonical SMILES, without stereo, of the connected closed-shell molecules of a list, sorted."""
    found = set()
    for molecule in map(parse, smiles):
        radical = any(atom.GetNumRadicalElectrons() for atom in molecule.GetAtoms())
        if not radical and len(Chem.GetMolFrags(molecule)) == 1:
            found.add(Chem.MolToSmiles(molecule))
    return sorted(found)


def _save(path: Path, vocabulary: Vocabulary, graphs: GraphSet) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    text = np.array(json.dumps(vocabulary.to_json()))
    with atomic_write(path, "wb") as file:
        np.savez_compressed(file, vocabulary=text, atoms=graphs.atoms, bonds=graphs.bonds, sizes=graphs.sizes)


def _load(path: Path) -> tuple[Vocabulary, GraphSet]:
    try:
        with np.load(path, allow_pickle=False) as arrays:
            vocabulary = Vocabulary.from_json(json.loads(str(arrays["vocabulary"])))
            return vocabulary, GraphSet(arrays["atoms"], arrays["bonds"], arrays["sizes"])
    except (ValueError, KeyError, OSError) as error:
        raise DataError(f"cached file {path} is damaged ({error}); delete it, it will be made again") from error
