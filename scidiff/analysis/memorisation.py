"""Memorisation: at which noise levels it can happen, and whether it has happened.

*Three regimes* [1]_. For a noised point ``x = y + s eps`` (``s = sigma / alpha``) of held-out data ``y`` and training
data ``x_i`` in `d` dimensions,

    coverage         some training point has ``| |x - x_i| - s sqrt(d) | < width s / sqrt(2)``: x lies in its shell
    concentration    max_i w_i,    w_i prop. exp(-|x - x_i|^2 / (2 s^2)): the posterior is one training point
    risk             mean of their product

At low noise the posterior is one point, and new points lie in no shell; at high noise they lie in many, and the
posterior is diffuse; in between both hold, and a model that fits the empirical denoiser there moves new points
onto old ones.

*Nearest-train ratio.* With distances to training data and to a reference set of held-out data, every sample has
``r = d(train) / d(reference)``. The other half of the held-out data, the controls, have ratios too; those of a
population sampler have the same law, whatever the sizes of the sets. Reported are
``median r(samples) / median r(controls)``, 1 for a population sampler and 0 for copies, and
``P(r(sample) < r(control))``, 1/2 and 1.

References
----------
.. [1] Dodson et al., "Two Calm Ends and the Wild Middle", arXiv:2602.17846
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from scidiff.analysis.membership import Auc, auc
from scidiff.errors import ConfigError, ShapeError
from scidiff.random import Noise

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["NearestRatio", "NoiseRegimes", "euclidean", "nearest_ratio", "noise_regimes", "plot_regimes"]

Distance = Callable[[Tensor, Tensor], Tensor]


def euclidean(x: Tensor, y: Tensor) -> Tensor:
    """Euclidean distances of all pairs, shape ``(len(x), len(y))``, free of cancellation."""
    return torch.cdist(x.double().flatten(1), y.double().flatten(1), compute_mode="donot_use_mm_for_euclid_dist")


@dataclass(frozen=True, eq=False)
class NoiseRegimes:
    """Coverage and concentration by noise level.

    Parameters
    ----------
    sigma
        Noise levels ``sigma / alpha`` in the unit of the data, ascending, shape ``(levels,)``.
    coverage, concentration, risk
        Means over the queries, shape ``(levels,)``.
    error
        Standard error of the risk, shape ``(levels,)``.
    """

    sigma: np.ndarray
    coverage: np.ndarray
    concentration: np.ndarray
    risk: np.ndarray
    error: np.ndarray

    @property
    def peak(self) -> float:
        """Noise level of the highest risk."""
        return float(self.sigma[self.risk.argmax()])

    def band(self, part: float = 0.5) -> tuple[float, float]:
        """Lowest and highest noise level at which the risk is at least `part` of its peak: the middle regime."""
        inside = self.sigma[self.risk >= part * self.risk.max()]
        return float(inside.min()), float(inside.max())


def noise_regimes(
    train: Tensor, queries: Tensor, sigma: Sequence[float], *, seed: int, width: float = 2.0, chunk: int = 256
) -> NoiseRegimes:
    """Find the noise levels at which a model can memorise [1]_, from data alone.

    Parameters
    ----------
    train
        Training data, shape ``(count, *event)``.
    queries
        Held-out data, shape ``(queries, *event)``.
    sigma
        Noise levels ``sigma / alpha`` in the unit of the data.
    seed
        Seed of the noise, which is the same at every level.
    width
        Half-width of a shell in standard deviations of the length of the noise.
    chunk
        Queries compared at once.

    References
    ----------
    .. [1] Dodson et al., arXiv:2602.17846
    """
    levels = np.sort(np.asarray(sigma, dtype=np.float64))
    if train.shape[1:] != queries.shape[1:] or not len(train) or len(queries) < 2:
        raise ShapeError(
            f"train {tuple(train.shape)}, queries {tuple(queries.shape)}; expected the same event shape, at least one "
            "training datum and two queries"
        )
    if not len(levels) or levels[0] <= 0 or width <= 0:
        raise ConfigError(f"sigma {levels.tolist()}, width {width}; expected all positive")
    data, clean = train.double().flatten(1), queries.double().flatten(1)
    eps = Noise.range(seed, len(clean)).normal((clean.shape[1],), step=0, stream="regimes")
    rows = []
    for s in levels.tolist():
        parts = [
            _shells(clean[k : k + chunk] + s * eps[k : k + chunk], data, s, width) for k in range(0, len(clean), chunk)
        ]
        covered, largest = (torch.cat(part) for part in zip(*parts, strict=True))
        risk = covered * largest
        error = risk.std() / math.sqrt(len(risk))
        rows.append([float(value) for value in (covered.mean(), largest.mean(), risk.mean(), error)])
    return NoiseRegimes(levels, *np.array(rows).T)


def _shells(x: Tensor, data: Tensor, s: float, width: float) -> tuple[Tensor, Tensor]:
    """Whether each point lies in a shell, and the largest weight of its posterior."""
    gap = euclidean(x, data)
    covered = ((gap - s * math.sqrt(data.shape[1])).abs() < width * s / math.sqrt(2)).any(1)
    return covered.double(), torch.softmax(-0.5 * (gap / s) ** 2, 1).amax(1)


@dataclass(frozen=True)
class NearestRatio:
    """How much nearer to the training data samples lie than held-out data do.

    Parameters
    ----------
    value
        Median ratio of the samples over that of the controls; 1 for a population sampler, 0 for copies.
    low, high
        Bootstrap interval.
    nearer
        Probability that a sample has a smaller ratio than a control, with its interval; 1/2 and 1.
    copies
        Part of the samples that are nearer to a training point than any control is, in the ratio.
    """

    value: float
    low: float
    high: float
    nearer: Auc
    copies: float

    @property
    def memorised(self) -> bool:
        """Whether both intervals lie on the side of memorisation."""
        return self.high < 1 and self.nearer.leaks


def nearest_ratio(
    samples: Tensor,
    train: Tensor,
    holdout: Tensor,
    *,
    seed: int,
    distance: Distance = euclidean,
    repeats: int = 1000,
    confidence: float = 0.95,
) -> NearestRatio:
    """Compare the distances of samples to training and held-out data, calibrated against held-out data.

    Parameters
    ----------
    samples
        Samples of the model, shape ``(samples, *event)``.
    train, holdout
        Training data, and data of the same law that the model has not seen, at least eight; a random half is the
        reference, the other half the controls.
    seed
        Seed of the split and of the bootstrap.
    distance
        Distances of all pairs of two batches; one that knows the symmetries of the data where they have some.
    repeats
        Bootstrap resamples.
    confidence
        Coverage of the intervals.
    """
    if len(holdout) < 8 or len(samples) < 2 or not len(train):
        raise ConfigError(
            f"{len(samples)} samples, {len(train)} training and {len(holdout)} held-out data; expected at least 2, 1, 8"
        )
    rng = np.random.default_rng(seed)
    order = torch.from_numpy(rng.permutation(len(holdout)))
    reference, controls = holdout[order[: len(order) // 2]], holdout[order[len(order) // 2 :]]
    made, real = (_ratio(points, train, reference, distance) for points in (samples, controls))
    draws = [np.median(_resampled(rng, made, repeats), 1), np.median(_resampled(rng, real, repeats), 1)]
    quotients = draws[0] / draws[1]
    tail = 0.5 * (1 - confidence)
    low, high = np.quantile(quotients, [tail, 1 - tail])
    value = float(np.median(made) / np.median(real))
    copies = float((made < real.min()).mean())
    return NearestRatio(value, min(float(low), value), max(float(high), value), auc(made, real, confidence), copies)


def _ratio(points: Tensor, train: Tensor, reference: Tensor, distance: Distance) -> np.ndarray:
    near, far = (distance(points, data).amin(1).double().numpy() for data in (train, reference))
    if (far == 0).any():
        raise ConfigError(
            f"{int((far == 0).sum())} points coincide with held-out data; remove duplicates from the held-out set"
        )
    return near / far


def _resampled(rng: np.random.Generator, values: np.ndarray, repeats: int) -> np.ndarray:
    return values[rng.integers(0, len(values), (repeats, len(values)))]


def plot_regimes(regimes: NoiseRegimes) -> Figure:
    """Draw coverage, concentration and risk over the noise level.

    Parameters
    ----------
    regimes
        What `noise_regimes` found.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(6, 4), layout="constrained")
    axes = figure.subplots()
    axes.plot(regimes.sigma, regimes.coverage, label="coverage", linestyle="--")
    axes.plot(regimes.sigma, regimes.concentration, label="concentration", linestyle=":")
    axes.errorbar(regimes.sigma, regimes.risk, 1.96 * regimes.error, label="risk")
    axes.axvspan(*regimes.band(), color="0.92")
    axes.set(xscale="log", xlabel="noise level", ylim=(0, 1.02))
    axes.legend(frameon=False)
    return figure
