"""Splits that depend on a molecule and a seed only.

``u(key, seed) = floor(SHA-256(seed, newline, key) / 2^203) / 2^53`` is uniform on [0, 1). A molecule goes where its u
falls, so that its place does not change with the order, the size or the other rows of the list: the split of a part
of a list is the part of the split.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence

from scidiff.errors import ConfigError

__all__ = ["split_by_hash", "unit_hash"]


def unit_hash(key: str, seed: int = 0) -> float:
    """Return u(key, seed).

    Parameters
    ----------
    key
        Canonical SMILES.
    seed
        Any integer.

    Returns
    -------
    u
        A number in [0, 1).
    """
    digest = hashlib.sha256(f"{seed}\n{key}".encode()).digest()
    return (int.from_bytes(digest[:8], "big") >> 11) * 2.0**-53


def split_by_hash(keys: Iterable[str], fractions: Sequence[float], seed: int = 0) -> list[list[str]]:
    """Split keys into parts of the given expected shares.

    Parameters
    ----------
    keys
        Canonical SMILES; their order is kept within each part.
    fractions
        Positive shares that sum to 1.
    seed
        Any integer.

    Returns
    -------
    parts
        One list per share. The size of a part is binomial about its share, not exact.

    Raises
    ------
    ConfigError
        If the shares are not positive or do not sum to 1.
    """
    if not fractions or min(fractions) <= 0 or abs(sum(fractions) - 1) > 1e-9:
        raise ConfigError(f"split fractions are {list(fractions)}; expected positive numbers that sum to 1")
    edges = [sum(fractions[: place + 1]) for place in range(len(fractions) - 1)]
    parts: list[list[str]] = [[] for _ in fractions]
    for key in keys:
        u = unit_hash(key, seed)
        parts[sum(u >= edge for edge in edges)].append(key)
    return parts
