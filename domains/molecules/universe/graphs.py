"""Small molecular graphs as integer codes, and the rules of the universe.

A molecule with n heavy atoms is an element per atom and a bond order b_ij in {0, 1, 2, 3} per pair. It belongs to the
universe of an element set when it is connected and sum_j b_ij <= V(element i) with V = 4, 3, 2, 1 for C, N, O, F;
hydrogen fills the rest, so every atom is neutral and closed-shell. Pairs are ordered (0,1), (0,2), (1,2), (0,3), ...,
so that a new last atom appends its bonds at the end: pair (i, j), i < j, has the index j(j-1)/2 + i.

Code of a labelled graph, with pair digits in base 4 and atom digits in base 4 (indices into the element string)::

    code = 4^{n(n-1)/2} sum_i a_i 4^i + sum_{i<j} b_ij 4^{j(j-1)/2 + i}

It needs n(n+1) bits, so that n <= 7 fits a signed 64-bit integer.
"""

from __future__ import annotations

from itertools import combinations

import numpy as np

from scidiff.errors import ConfigError

__all__ = ["MAX_ATOMS", "VALENCE", "decode", "encode", "free_valence", "pairs", "valences"]

VALENCE = {"C": 4, "N": 3, "O": 2, "F": 1}
MAX_ATOMS = 7


def valences(elements: str) -> np.ndarray:
    """Check a string of element letters and return their valences.

    Parameters
    ----------
    elements
        Distinct letters out of C, N, O, F.

    Returns
    -------
    valence
        Integers of shape ``(len(elements),)``.

    Raises
    ------
    ConfigError
        If a letter is unknown or repeated, or there is none.
    """
    if not elements or len(set(elements)) != len(elements) or not set(elements) <= set(VALENCE):
        raise ConfigError(f"elements are {elements!r}; expected distinct letters out of {''.join(VALENCE)}, e.g. 'CNO'")
    return np.array([VALENCE[letter] for letter in elements], dtype=np.int64)


def pairs(atoms: int) -> list[tuple[int, int]]:
    """Return the pairs (i, j), i < j, in the order of the bond digits.

    Parameters
    ----------
    atoms
        Number of atoms n.

    Returns
    -------
    pairs
        All n(n-1)/2 index pairs.
    """
    return sorted(combinations(range(atoms), 2), key=lambda pair: (pair[1], pair[0]))


def encode(labels: np.ndarray, bonds: np.ndarray) -> np.ndarray:
    """Return the code of each labelled graph.

    Parameters
    ----------
    labels
        Element indices, shape ``(count, n)``.
    bonds
        Bond orders, shape ``(count, n(n-1)/2)``.

    Returns
    -------
    code
        Integers of shape ``(count,)``.
    """
    digits = np.concatenate([bonds, labels], axis=1).astype(np.int64)
    return digits @ (np.int64(4) ** np.arange(digits.shape[1], dtype=np.int64))


def decode(code: np.ndarray, atoms: int) -> tuple[np.ndarray, np.ndarray]:
    """Invert `encode`.

    Parameters
    ----------
    code
        Integers of shape ``(count,)``.
    atoms
        Number of atoms n.

    Returns
    -------
    labels, bonds
        Shapes ``(count, n)`` and ``(count, n(n-1)/2)``, bytes.
    """
    places = 2 * np.arange(atoms * (atoms + 1) // 2, dtype=np.int64)
    digits = ((code[:, None] >> places) & 3).astype(np.int8)
    size = atoms * (atoms - 1) // 2
    return digits[:, size:], digits[:, :size]


def free_valence(labels: np.ndarray, bonds: np.ndarray, valence: np.ndarray) -> np.ndarray:
    """Return how many further bonds each atom can take, its number of implicit hydrogens.

    Parameters
    ----------
    labels
        Element indices, shape ``(count, n)``.
    bonds
        Bond orders, shape ``(count, n(n-1)/2)``.
    valence
        Valence of each element.

    Returns
    -------
    free
        Shape ``(count, n)``; negative where a valence is exceeded.
    """
    free = valence[labels]
    for place, (i, j) in enumerate(pairs(labels.shape[1])):
        free[:, i] -= bonds[:, place]
        free[:, j] -= bonds[:, place]
    return free
