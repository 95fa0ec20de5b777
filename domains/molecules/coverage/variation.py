"""Chi-square and total variation from uniform.

The collision rate has an unbiased estimate, and so does the chi-square divergence::

    chi2(q || u) = K sum_i q_i^2 - 1,     hat = K sum_i n_i (n_i - 1) / (n (n - 1)) - 1

Its variance is that of a U-statistic, 4 (n - 2) z_1 / (n (n - 1)) + 2 z_2 / (n (n - 1)) times K^2, with z_1 = sum q^3
- (sum q^2)^2 and z_2 = sum q^2 - (sum q^2)^2, both estimated from factorial moments [1]_. The interval is symmetric
for log(1 + chi2), because the estimate is skewed to the right; where few pairs collide its upper end is at least that
of a Poisson count.

Total variation TV(q, u) = max_A q(A) - u(A) has no good estimate when there are fewer samples than keys, but it has
bounds that hold for every law:

* below: choose A = {n_i / n > 1 / K} on one half of the samples; the other half estimates q(A) - u(A) without bias,
  and that is at most TV. The roles are then swapped and the two averaged;
* above: TV <= sqrt(chi2) / 2 (Cauchy-Schwarz); TV <= sqrt(1 - exp(-KL)) (Bretagnolle and Huber) and TV <= sqrt(KL / 2)
  (Pinsker); and TV <= E[plug-in] (Jensen), where the plug-in value moves by at most 1/n per sample, so that McDiarmid's
  inequality bounds its error by sqrt(log(1/alpha) / (2 n)). The three get a third of the error rate each.

References
----------
.. [1] W. Hoeffding, "A class of statistics with asymptotically normal distribution", Ann. Math. Statist. 19 (1948),
   doi:10.1214/aoms/1177730196
"""

from __future__ import annotations

import numpy as np
from scipy.stats import gamma, norm

from .counts import Estimate
from .entropy import kl_from_uniform

__all__ = ["chi2_from_uniform", "tv_bounds", "tv_plug_in"]


def chi2_from_uniform(counts: np.ndarray, z: float) -> Estimate:
    """Estimate chi2(q || u) without bias.

    Parameters
    ----------
    counts
        Samples on each key, shape ``(K,)``, at least three samples in all.
    z
        Half-width of the interval in standard errors.

    Returns
    -------
    estimate
        The value may be negative by chance; the interval is cut at 0.
    """
    size, count = len(counts), float(counts.sum())
    n = counts.astype(np.float64)
    second = float((n * (n - 1)).sum() / (count * (count - 1)))
    third = float((n * (n - 1) * (n - 2)).sum() / (count * (count - 1) * (count - 2)))
    first_order = max(third - second**2, 0.0)
    variance = (4 * (count - 2) * first_order + 2 * (second - second**2)) / (count * (count - 1))
    spread = np.exp(z * np.sqrt(variance) / second) if second > 0 else 1.0
    collisions = second * count * (count - 1) / 2
    most = float(gamma.isf(norm.sf(z), collisions + 1)) * 2 / (count * (count - 1))
    low, high = size * second / spread - 1, size * max(second * spread, most) - 1
    return Estimate(size * second - 1, float(max(low, 0.0)), float(min(max(high, 0.0), size - 1)))


def tv_plug_in(counts: np.ndarray) -> float:
    """Return the total variation between the frequencies and uniform, which overstates that of the law.

    Parameters
    ----------
    counts
        Samples on each key, shape ``(K,)``.

    Returns
    -------
    tv
        ``sum_i |n_i / n - 1 / K| / 2``.
    """
    return float(np.abs(counts / counts.sum() - 1 / len(counts)).sum() / 2)


def tv_bounds(counts: np.ndarray, level: float, seed: int) -> Estimate:
    """Bound TV(q, u) from both sides.

    Parameters
    ----------
    counts
        Samples on each key, shape ``(K,)``, at least four samples in all.
    level
        Confidence level of the two-sided interval.
    seed
        Seed of the split into halves.

    Returns
    -------
    estimate
        The value is the split-sample estimate of a lower bound; ``low`` and ``high`` hold the total variation itself.
    """
    alpha = (1 - level) / 2
    value, error = _lower(counts, seed)
    z = float(norm.isf(alpha / 3))
    chi2, kl = chi2_from_uniform(counts, z).high, kl_from_uniform(counts, z).high
    plug_in = tv_plug_in(counts) + np.sqrt(np.log(3 / alpha) / (2 * counts.sum()))
    high = min(np.sqrt(chi2) / 2, np.sqrt(-np.expm1(-kl)), np.sqrt(kl / 2), plug_in, 1.0)
    low = min(max(value - float(norm.isf(alpha)) * error, 0.0), high)
    return Estimate(value, float(low), float(high))


def _lower(counts: np.ndarray, seed: int) -> tuple[float, float]:
    """Return the split-sample estimate of a lower bound of TV, and a standard error that is not too small."""
    draw = np.random.Generator(np.random.Philox(seed))
    half = int(counts.sum()) // 2
    first = draw.multivariate_hypergeometric(counts, half, method="marginals")
    values, errors = [], []
    for choosing, testing in ((first, counts - first), (counts - first, first)):
        chosen = choosing * len(counts) > choosing.sum()
        mass = testing[chosen].sum() / testing.sum()
        values.append(mass - chosen.mean())
        errors.append(np.sqrt(max(mass * (1 - mass), 1 / testing.sum()) / testing.sum()))
    return float(np.mean(values)), float(np.mean(errors))
