"""The interval of a proportion.

References
----------
E. B. Wilson, J. Am. Stat. Assoc. 22 (1927) 209, doi:10.1080/01621459.1927.10502953
"""

from __future__ import annotations

import math

from scidiff.errors import ConfigError

__all__ = ["wilson"]

_Z = 1.959963984540054


def wilson(successes: int, count: int) -> tuple[float, float]:
    """Wilson's 95 % score interval of a proportion.

    Parameters
    ----------
    successes, count
        Successes among independent trials, at least one trial.

    Returns
    -------
    low, high
        Ends, in ``[0, 1]``.

    Raises
    ------
    ConfigError
        If ``0 <= successes <= count`` and ``count >= 1`` do not hold.
    """
    if count < 1 or not 0 <= successes <= count:
        raise ConfigError(f"{successes} successes of {count} trials; expected at most as many, and one trial at least")
    rate, z = successes / count, _Z
    centre = (rate + z * z / (2 * count)) / (1 + z * z / count)
    half = z / (1 + z * z / count) * math.sqrt(rate * (1 - rate) / count + z * z / (4 * count * count))
    return min(max(centre - half, 0.0), rate), max(min(centre + half, 1.0), rate)
