"""Model collapse: what happens when generations of models are trained on each other's samples.

On a finite grid with the true law ``p``, generation `i` learns from a mixture of fresh and generated data,

    q_i = a p + (1 - a) r_i,        r_(i+1) = q_i + error_i,        D_i = chi2(r_i || p),        r_0 = p,

with the fresh part ``a``. The deviation obeys ``r_(i+1) - p = (1 - a)(r_i - p) + error_i``: in `D` old errors are
discounted by ``(1 - a)^2`` for every generation. For errors of size ``chi2 = e^2`` (measured against ``p``)

    independent    E D_i = e^2 (1 - (1-a)^(2i)) / (1 - (1-a)^2)        D_inf = e^2 / (1 - (1-a)^2)
    coherent         D_i = e^2 ((1 - (1-a)^i) / a)^2                   D_inf = (e / a)^2

both exact. Without fresh data they grow without end, as ``i e^2`` and ``(i e)^2``.

References
----------
.. [1] Khelifa, Turner, Venkataramanan, "Error Propagation and Model Collapse in Diffusion Models", arXiv:2602.16601
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from scidiff.errors import ConfigError, NumericalError, ShapeError
from scidiff.random import Noise

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = [
    "CoherentError",
    "Collapse",
    "IndependentErrors",
    "chi2",
    "coherent_divergence",
    "independent_divergence",
    "plot_collapse",
    "recurse",
]

Generation = Callable[[np.ndarray, int], np.ndarray]


def chi2(r: np.ndarray, p: np.ndarray) -> np.ndarray:
    """Divergence ``sum (r - p)^2 / p`` of laws on a grid, over the last axis."""
    return ((r - p) ** 2 / p).sum(-1)


def independent_divergence(error: float, fresh: float, generation: np.ndarray | float) -> np.ndarray:
    """Return ``E D_i`` for independent errors of chi-square `error`^2; ``generation = inf`` gives the limit.

    Parameters
    ----------
    error, fresh, generation
        As for `coherent_divergence`.
    """
    _check(error, fresh)
    keep = (1 - fresh) ** 2
    i = np.asarray(generation, dtype=np.float64)
    return error**2 * (i if fresh == 0 else (1 - keep**i) / (1 - keep))


def coherent_divergence(error: float, fresh: float, generation: np.ndarray | float) -> np.ndarray:
    """Return ``D_i`` where every generation errs in the same way; ``generation = inf`` gives the limit.

    Parameters
    ----------
    error
        Size ``e`` of the error of one generation, the root of its chi-square.
    fresh
        Share of fresh data in each training set, in [0, 1].
    generation
        Number ``i`` of the generation, or several.
    """
    _check(error, fresh)
    i = np.asarray(generation, dtype=np.float64)
    return (error * (i if fresh == 0 else (1 - (1 - fresh) ** i) / fresh)) ** 2


def _check(error: float, fresh: float) -> None:
    if not (error >= 0 and 0 <= fresh <= 1):
        raise ConfigError(f"error {error}, fresh {fresh}; expected error >= 0 and 0 <= fresh <= 1")


def _direction(p: np.ndarray, xi: np.ndarray) -> np.ndarray:
    """Deviation ``p (xi - E xi) / std``: sums to 0 and has chi-square 1 against ``p``."""
    xi = xi - (p * xi).sum(-1, keepdims=True)
    return p * xi / np.sqrt((p * xi**2).sum(-1, keepdims=True))


@dataclass(frozen=True, eq=False)
class IndependentErrors:
    """A generation that errs by a new random deviation each time.

    Parameters
    ----------
    law
        The true law ``p``, shape ``(cells,)``.
    error
        Root of the chi-square of one error.
    seed
        Seed; every row of a batch of runs draws its own errors.
    """

    law: np.ndarray
    error: float
    seed: int

    def __call__(self, q: np.ndarray, generation: int) -> np.ndarray:
        """Learn ``q`` with an error."""
        noise = Noise.range(self.seed, len(q))
        xi = noise.normal((q.shape[1],), step=generation, stream="collapse").numpy()
        return q + self.error * _direction(self.law, xi)


@dataclass(frozen=True, eq=False)
class CoherentError:
    """A generation that errs in the same way each time, as a model of too little capacity does.

    Parameters
    ----------
    law
        The true law ``p``, shape ``(cells,)``.
    error
        Root of the chi-square of the error.
    direction
        Shape of the relative error, shape ``(cells,)``; mean and size do not matter.
    """

    law: np.ndarray
    error: float
    direction: np.ndarray

    def __call__(self, q: np.ndarray, generation: int) -> np.ndarray:
        """Learn ``q`` with the error."""
        return q + self.error * _direction(self.law, np.asarray(self.direction, dtype=np.float64))


@dataclass(frozen=True, eq=False)
class Collapse:
    """Divergences of a chain of generations.

    Parameters
    ----------
    divergence
        ``D_i = chi2(r_i || p)``, shape ``(runs, generations + 1)``.
    errors
        ``I_i = chi2(r_(i+1) || q_i)``, shape ``(runs, generations)``.
    fresh
        Part of fresh data.
    """

    divergence: np.ndarray
    errors: np.ndarray
    fresh: float

    @property
    def mean(self) -> np.ndarray:
        """Mean divergence over the runs, shape ``(generations + 1,)``."""
        return self.divergence.mean(0)

    @property
    def error(self) -> np.ndarray:
        """Standard error of the mean; not a number for a single run."""
        runs = len(self.divergence)
        return self.divergence.std(0, ddof=1) / np.sqrt(runs) if runs > 1 else np.full_like(self.mean, np.nan)

    def discounted(self) -> np.ndarray:
        """Sum of past errors ``sum_j (1 - a)^(2(i - 1 - j)) I_j``: ``D`` where they are independent and small."""
        out = np.zeros_like(self.divergence)
        for i in range(self.errors.shape[1]):
            out[:, i + 1] = (1 - self.fresh) ** 2 * out[:, i] + self.errors[:, i]
        return out


def recurse(law: np.ndarray, generation: Generation, *, fresh: float, generations: int, runs: int = 1) -> Collapse:
    """Train generation after generation on fresh and generated data.

    Parameters
    ----------
    law
        The true law ``p``, positive, shape ``(cells,)``.
    generation
        What a model makes of its data: ``(q, i) -> r``, both of shape ``(runs, cells)``.
    fresh
        Part ``a`` of fresh data.
    generations
        Length of the chain.
    runs
        Chains that run side by side.

    Raises
    ------
    NumericalError
        If a generation returns no law.
    """
    p = np.asarray(law, dtype=np.float64)
    if p.ndim != 1 or (p <= 0).any() or abs(p.sum() - 1) > 1e-9:
        raise ShapeError(f"law of shape {p.shape} sums to {p.sum():.6g}; expected one axis, positive, sum 1")
    if generations < 1 or runs < 1:
        raise ConfigError(f"generations {generations}, runs {runs}; expected both positive")
    _check(0.0, fresh)
    r = np.tile(p, (runs, 1))
    divergences, errors = [chi2(r, p)], []
    for i in range(generations):
        q = fresh * p + (1 - fresh) * r
        r = np.asarray(generation(q, i), dtype=np.float64)
        if r.shape != q.shape or not (r >= 0).all() or not np.allclose(r.sum(1), 1, rtol=0, atol=1e-9):
            raise NumericalError(
                f"generation {i} returned shape {r.shape} with least entry {r.min():.3g}; expected laws of shape "
                f"{q.shape}: use smaller errors or fewer generations"
            )
        divergences.append(chi2(r, p))
        errors.append(chi2(r, q))
    return Collapse(np.stack(divergences, 1), np.stack(errors, 1), fresh)


def plot_collapse(collapse: Collapse, error: float) -> Figure:
    """Draw the divergence over the generations between the closed forms for errors of the given size.

    Parameters
    ----------
    collapse
        What `recurse` measured.
    error
        Size of the error of one generation, as in the closed forms.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(6, 4), layout="constrained")
    axes = figure.subplots()
    i = np.arange(collapse.divergence.shape[1])
    axes.plot(i, collapse.divergence.T, color="0.8", linewidth=0.8)
    axes.plot(i, collapse.mean, label="mean of the runs")
    axes.plot(i, independent_divergence(error, collapse.fresh, i), linestyle="--", label="independent errors")
    axes.plot(i, coherent_divergence(error, collapse.fresh, i), linestyle=":", label="coherent errors")
    axes.set(xlabel="generation", ylabel="chi-square from the truth")
    axes.legend(frameon=False)
    return figure
