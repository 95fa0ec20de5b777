"""Split-conformal intervals: held-out truths give the factor by which a map of standard deviations must grow.

With scaled residuals ``r = |y - m| / s`` of `n` held-out examples, exchangeable with the next one, the interval ``m
+- q s`` holds the next truth with probability at least ``level`` and at most ``level + 1 / (n + 1)``, whatever the
sampler, if ``q`` is the ``k``-th smallest of the ``r``, ``k = ceil((n + 1) level)`` [1]_. This is a statement about
the average over the draw of the held-out examples; given these, the coverage has the law ``Beta(k, n + 1 - k)``
(where no residuals are equal).

The example is what is exchangeable, not its entries. For maps there are three factors: of every entry by itself; of
the largest residual of an example, for bands that hold a whole map at once; and one for the average over the entries.
The last is conformal risk control [2]_: the missed part of a map, ``L(q) = mean(r > q)``, falls with ``q`` and is at
most 1, so the least ``q`` with ``(sum_i L_i(q) + 1) / (n + 1) <= 1 - level`` misses at most ``1 - level`` of a new
map on average.

References
----------
.. [1] J. Lei et al., "Distribution-free predictive inference for regression", arXiv:1604.04173
.. [2] A. N. Angelopoulos et al., "Conformal risk control", arXiv:2208.02814
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from scipy.stats import beta, norm

from scidiff.analysis.calibration.pairs import Array, as_array, check_confidence
from scidiff.errors import ConfigError, DataError, ShapeError

__all__ = ["Conformal", "conformal_entries", "conformal_map", "conformal_whole"]


@dataclass(frozen=True, eq=False)
class Conformal:
    """Factor of the standard deviations, and what it promises.

    Parameters
    ----------
    factor
        ``q``, shape ``()``, or that of an example where every entry has its own.
    level
        Promised coverage.
    count
        Number of held-out examples.
    """

    factor: np.ndarray
    level: float
    count: int

    @property
    def inflation(self) -> np.ndarray:
        """Factor over that of a normal law: 1 for a calibrated normal posterior, above 1 for one too narrow."""
        return self.factor / float(norm.isf(0.5 * (1 - self.level)))

    def interval(self, mean: Array, sd: Array) -> tuple[np.ndarray, np.ndarray]:
        """Rescaled intervals ``mean -+ factor sd``.

        Parameters
        ----------
        mean, sd
            Mean and standard deviation of new examples, shape ``(count, *event)``.
        """
        centre, half = as_array(mean), self.factor * as_array(sd)
        return centre - half, centre + half

    def rescale(self, sd: Array) -> np.ndarray:
        """Standard deviations whose normal intervals at `level` are the rescaled ones."""
        return self.inflation * as_array(sd)

    def spread(self, confidence: float = 0.95) -> tuple[float, float]:
        """Interval of the coverage given the held-out examples, of `conformal_entries` and `conformal_whole`."""
        k = math.ceil((self.count + 1) * self.level - 1e-9)
        ends = beta.ppf([0.5 * (1 - confidence), 0.5 * (1 + confidence)], k, self.count + 1 - k)
        return float(ends[0]), float(ends[1])


def conformal_entries(truth: Array, mean: Array, sd: Array, level: float = 0.9) -> Conformal:
    """One factor for each entry: each is covered with the level by itself.

    Parameters
    ----------
    truth, mean, sd
        Held-out truths, and mean and standard deviation of their draws, shape ``(count, *event)``; ``sd > 0``.
    level
        Wanted coverage.

    Raises
    ------
    ConfigError
        If there are fewer than ``level / (1 - level)`` examples: no finite factor keeps the promise.
    DataError
        If a value is not finite.

    References
    ----------
    .. [1] Lei et al., arXiv:1604.04173
    """
    r = _residuals(truth, mean, sd, level)
    return Conformal(_quantile(r, level), level, len(r))


def conformal_whole(truth: Array, mean: Array, sd: Array, level: float = 0.9) -> Conformal:
    """One factor for bands that hold all entries of an example at once; parameters as in `conformal_entries`."""
    r = _residuals(truth, mean, sd, level)
    return Conformal(_quantile(r.reshape(len(r), -1).max(1), level), level, len(r))


def conformal_map(truth: Array, mean: Array, sd: Array, level: float = 0.9) -> Conformal:
    """One factor for a map of standard deviations: on average the level of its entries is covered [1]_.

    Parameters
    ----------
    truth, mean, sd, level
        As for `conformal_entries`.

    References
    ----------
    .. [1] Angelopoulos et al., arXiv:2208.02814
    """
    r = _residuals(truth, mean, sd, level)
    flat = np.sort(r, axis=None)
    # the missed entries of all examples may number at most this
    allowed = ((len(r) + 1) * (1 - level) - 1) * (flat.size // len(r))
    return Conformal(np.asarray(flat[flat.size - 1 - math.floor(allowed + 1e-9)]), level, len(r))


def _residuals(truth: Array, mean: Array, sd: Array, level: float) -> np.ndarray:
    check_confidence(level)
    y, m, s = as_array(truth), as_array(mean), as_array(sd)
    if not y.shape == m.shape == s.shape or y.ndim < 1 or not y.size:
        raise ShapeError(f"truth {y.shape}, mean {m.shape}, sd {s.shape}; expected one shape (count, *event)")
    if not (np.isfinite(y).all() and np.isfinite(m).all() and np.isfinite(s).all()):
        raise DataError("truth, mean or sd hold a value that is not finite; leave such examples out and say how many")
    if not (s > 0).all():
        raise ConfigError(f"the least sd is {s.min()}; expected positive numbers: put a floor under the map")
    if (len(y) + 1) * (1 - level) < 1 - 1e-9:
        raise ConfigError(
            f"{len(y)} held-out examples came for a level of {level}; expected "
            f"{math.ceil(level / (1 - level) - 1e-9)} or more"
        )
    return np.abs(y - m) / s


def _quantile(r: np.ndarray, level: float) -> np.ndarray:
    k = math.ceil((len(r) + 1) * level - 1e-9)
    return np.partition(r, k - 1, axis=0)[k - 1]
