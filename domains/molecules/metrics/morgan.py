"""Morgan fingerprints as packed bits.

A Morgan fingerprint [1]_ hashes the neighbourhoods of each atom up to a radius into a bit vector. Packed, 1024 bits
take 128 bytes. This module needs RDKit only, so that the processes which compute fingerprints start fast.

References
----------
.. [1] D. Rogers, M. Hahn, J. Chem. Inf. Model. 50 (2010) 742, doi:10.1021/ci100050t
"""

from __future__ import annotations

from functools import lru_cache, partial

import numpy as np
from rdkit import Chem
from rdkit.Chem import rdFingerprintGenerator

from .parallel import parallel_map

__all__ = ["morgan"]


@lru_cache
def _generator(radius: int, bits: int) -> rdFingerprintGenerator.FingerprintGenerator64:
    """Make RDKit's generator once for each setting."""
    return rdFingerprintGenerator.GetMorganGenerator(radius=radius, fpSize=bits)


def _packed(smiles: str, radius: int, bits: int) -> np.ndarray:
    """Fingerprint of one valid SMILES as packed bits."""
    return np.packbits(_generator(radius, bits).GetFingerprintAsNumPy(Chem.MolFromSmiles(smiles)))


def morgan(smiles: list[str], radius: int = 2, bits: int = 1024, workers: int = 1) -> np.ndarray:
    """Morgan fingerprints of valid SMILES, as packed bits.

    Parameters
    ----------
    smiles
        Valid SMILES.
    radius
        Radius in bonds.
    bits
        Length of the fingerprint, a multiple of 8.
    workers
        Number of processes.

    Returns
    -------
    packed
        Bytes, shape ``(len(smiles), bits / 8)``.
    """
    rows = parallel_map(partial(_packed, radius=radius, bits=bits), smiles, workers)
    return np.array(rows, dtype=np.uint8).reshape(len(smiles), bits // 8)
