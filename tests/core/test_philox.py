"""The vectorised generator against NumPy's, word for word."""

from __future__ import annotations

import numpy as np
import pytest

from scidiff.philox import _one_by_one, words


@pytest.mark.parametrize("size", [1, 3, 4, 36, 512, 513])
def test_words_equal_those_of_numpy(size: int) -> None:
    """Keys and counters at both ends of their range."""
    samples = np.array([0, 1, 2**63, 2**64 - 1, 12345], dtype=np.uint64)
    for seed in (0, 7, 2**64 - 1):
        for stream, step in ((0, 0), (2**64 - 1, 3), (987654321, 2**32)):
            expected = _one_by_one(seed, samples, stream, step, size)
            assert np.array_equal(words(seed, samples, stream, step, size), expected)


def test_no_words_of_an_empty_event() -> None:
    """A molecule of one atom has no pair."""
    assert words(0, np.zeros(3, dtype=np.uint64), 1, 1, 0).shape == (3, 0)
