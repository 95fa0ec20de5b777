"""The alphabet of residues: twenty letters in alphabetical order, and ``X`` (UNK) for a residue of unknown type.

A sequence is a tensor of codes ``0 ... 20``; 20 is unknown. An unknown residue is never written as glycine.
"""

from __future__ import annotations

from collections.abc import Iterable
from types import MappingProxyType

import torch
from torch import Tensor

from scidiff.errors import DataError

__all__ = ["LETTERS", "MODIFIED", "THREE", "UNKNOWN", "decode_sequence", "encode_sequence"]

LETTERS = "ACDEFGHIKLMNPQRSTVWYX"
UNKNOWN = 20
THREE = (
    *("ALA", "CYS", "ASP", "GLU", "PHE", "GLY", "HIS", "ILE", "LYS", "LEU"),
    *("MET", "ASN", "PRO", "GLN", "ARG", "SER", "THR", "VAL", "TRP", "TYR", "UNK"),
)
# the standard residue that each frequent modification of the PDB was made from (chemical component dictionary)
MODIFIED = MappingProxyType(
    {
        "MSE": "MET", "FME": "MET", "SEP": "SER", "TPO": "THR", "PTR": "TYR", "CSO": "CYS", "CME": "CYS", "OCS": "CYS",
        "CSD": "CYS", "SEC": "CYS", "KCX": "LYS", "MLY": "LYS", "M3L": "LYS", "ALY": "LYS", "LLP": "LYS", "PYL": "LYS",
        "HYP": "PRO", "PCA": "GLN", "CGU": "GLU", "MEN": "ASN", "HIC": "HIS", "NEP": "HIS", "CXM": "MET", "SAC": "SER",
    }
)  # fmt: skip
_CODE = {letter: code for code, letter in enumerate(LETTERS)}


def encode_sequence(letters: str) -> Tensor:
    """Return the codes of a one-letter sequence.

    Parameters
    ----------
    letters
        Upper-case one-letter codes; ``X`` is unknown.

    Returns
    -------
    Tensor
        Classes, int64, shape ``(len(letters),)``.

    Raises
    ------
    DataError
        If a letter is not one of the 21.
    """
    for place, letter in enumerate(letters):
        if letter not in _CODE:
            raise DataError(f"letter '{letter}' at place {place + 1} of the sequence; expected one of {LETTERS}")
    return torch.tensor([_CODE[letter] for letter in letters], dtype=torch.int64)


def decode_sequence(codes: Iterable[int] | Tensor) -> str:
    """Return the one-letter sequence of codes."""
    return "".join(LETTERS[int(code)] for code in codes)
