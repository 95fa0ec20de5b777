"""Philox-4x64-10 for many keys at once.

NumPy makes one generator per key, which costs more than a short draw. Here the ten rounds run over all keys and
blocks as arrays; the words are those of `numpy.random.Philox`, bit for bit. With ``hi(a b)`` and ``lo(a b)`` the
halves of the 128-bit product, a round maps the counter to

    (hi(M1 c2) ^ c1 ^ k0,  lo(M1 c2),  hi(M0 c0) ^ c3 ^ k1,  lo(M0 c0))

and then adds Weyl constants to the keys.

References
----------
J. Salmon et al., "Parallel random numbers: as easy as 1, 2, 3", SC 2011, doi:10.1145/2063384.2063405
"""

from __future__ import annotations

import numpy as np

__all__ = ["words"]

_MULTIPLIERS = np.uint64(0xD2E7470EE14C6C93), np.uint64(0xCA5A826395121157)
_WEYL = np.uint64(0x9E3779B97F4A7C15), np.uint64(0xBB67AE8584CAA73B)
_LOW, _HALF = np.uint64(0xFFFFFFFF), np.uint64(32)
_ROUNDS = 10
_SHORT = 512


def words(seed: int, samples: np.ndarray, stream: int, step: int, size: int) -> np.ndarray:
    """Raw 64-bit words of key ``(seed, sample)`` and counter ``(block, stream, step, 0)``.

    Parameters
    ----------
    seed
        First half of the key.
    samples
        Second half, one per row, uint64.
    stream, step
        Upper parts of the counter.
    size
        Words per row.

    Returns
    -------
    words
        Words, uint64, shape ``(len(samples), size)``.
    """
    if size > _SHORT:
        return _one_by_one(seed, samples, stream, step, size)
    block = np.arange(1, -(-size // 4) + 1, dtype=np.uint64)
    c0 = np.broadcast_to(block, (len(samples), len(block)))
    c1, c2, c3 = (np.full_like(c0, value) for value in (stream, step, 0))
    k0, k1 = np.full((1, 1), seed, dtype=np.uint64), samples[:, None]
    for _ in range(_ROUNDS):
        high0, low0 = _product(_MULTIPLIERS[0], c0)
        high1, low1 = _product(_MULTIPLIERS[1], c2)
        c0, c1, c2, c3 = high1 ^ c1 ^ k0, low1, high0 ^ c3 ^ k1, low0
        k0, k1 = k0 + _WEYL[0], k1 + _WEYL[1]
    return np.stack([c0, c1, c2, c3], axis=-1).reshape(len(samples), 4 * len(block))[:, :size]


def _product(a: np.uint64, b: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Upper and lower half of the 128-bit product, by 32-bit halves; unsigned arrays wrap without a warning."""
    a_high, a_low, b_high, b_low = a >> _HALF, a & _LOW, b >> _HALF, b & _LOW
    middle = a_high * b_low + ((a_low * b_low) >> _HALF)
    rest = (middle & _LOW) + a_low * b_high
    return a_high * b_high + (middle >> _HALF) + (rest >> _HALF), a * b


def _one_by_one(seed: int, samples: np.ndarray, stream: int, step: int, size: int) -> np.ndarray:
    """Compute the same words by NumPy's generator, which is faster where each key gives many."""
    out = np.empty((len(samples), size), dtype=np.uint64)
    counter = np.array([0, stream, step, 0], dtype=np.uint64)
    for row, sample in enumerate(samples):
        key = np.array([seed, sample], dtype=np.uint64)
        out[row] = np.random.Philox(key=key, counter=counter).random_raw(size)
    return out
