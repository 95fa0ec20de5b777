"""Calibration of an estimator of guidance on an oracle: a Gaussian mixture seen through a linear measurement.

The data are a mixture of four Gaussians of unit total spread in ``d`` dimensions; one datum ``y = a x_0 + n`` is
measured. For truths ``x_0`` drawn from the mixture and their data, the posterior is a mixture in closed form (see
`linear_posterior_of`), and the guided sampler, with the schedule, rule, plan and particles of a run, should draw from
it. Three numbers say how far it does:

    sliced W2    root mean over directions and quantiles of the squared gap to many exact draws, averaged over truths;
                 relative to that of as many exact draws (the floor), so that 1 is as good as exact
    moments      mean and standard deviation along random directions against those of the posterior, in units of its
                 standard deviation; the mean error is a root mean square and has a floor of its own
    coverage     share of truths between the 2nd and the 38th of 39 draws along a random direction: 36 of the 40 ranks
                 of an exact sampler, hence 90 %
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Hashable
from dataclasses import dataclass, fields, is_dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from scidiff.denoise.mixture import GaussianMixture
from scidiff.errors import ConfigError
from scidiff.guidance.draws import ExactDraws
from scidiff.guidance.particles import Particles
from scidiff.guidance.reward import GaussianLikelihood
from scidiff.guidance.tilt import Estimator, Tilt
from scidiff.process.gaussian import GaussianProcess
from scidiff.process.schedule import Schedule
from scidiff.random import Noise
from scidiff.sample.loop import Plan, Rule, run
from scidiff.spaces.euclidean import Euclidean
from scidiff.spaces.linear import MatrixOperator

__all__ = ["OracleCalibration", "calibrate_estimator", "oracle_mixture", "posterior_of"]

_DRAWS, _LOW, _HIGH, _LEVEL = 39, 2, 37, 0.9
_REFERENCE, _DIRECTIONS = 1000, 16
_CHUNKS = (4, 8, 16, 32)
_SD = 0.3


@dataclass(frozen=True)
class OracleCalibration:
    """What a guided sampler did to posteriors that are known.

    Parameters
    ----------
    dim
        Dimension of the oracle.
    truths
        Number of posteriors, 39 draws each.
    w2, floor
        Sliced 2-Wasserstein distance to the posterior, and that of exact draws; means over the truths.
    mean_error, mean_floor
        Root mean square error of the mean of 39 draws, and that of exact draws, in standard deviations.
    spread
        Standard deviation of the draws over that of the posterior, root mean square over truths; exact: 1.
    coverage
        Share of truths inside the interval of 90 %.
    interval
        Wilson interval of 95 % of the coverage.
    seconds
        How long it took.
    complete
        Whether all truths that were wanted fitted into the time.
    """

    dim: int
    truths: int
    w2: float
    floor: float
    mean_error: float
    mean_floor: float
    spread: float
    coverage: float
    interval: tuple[float, float]
    seconds: float
    complete: bool

    @property
    def ratio(self) -> float:
        """Distance over floor."""
        return self.w2 / self.floor

    def __str__(self) -> str:
        """Two lines."""
        low, high = self.interval
        cut = "" if self.complete else ", cut off by the limit of time"
        return (
            f"oracle, d = {self.dim}, {self.truths} posteriors, {self.seconds:.1f} s{cut}: sliced W2 {self.w2:.3g}, "
            f"{self.ratio:.2f} of the floor {self.floor:.3g}; mean off by {self.mean_error:.2f} sd (exact draws "
            f"{self.mean_floor:.2f}), spread {self.spread:.2f} of the posterior's\n"
            f"coverage of the 90 % interval: {100 * self.coverage:.0f} % [{100 * low:.0f}, {100 * high:.0f}]"
        )


def oracle_mixture(schedule: Schedule, dim: int, seed: int = 0) -> GaussianMixture:
    """Mixture of four isotropic Gaussians with zero mean and total variance 1 a coordinate."""
    rng = np.random.default_rng([seed, dim])
    means = rng.standard_normal((4, dim))
    means = 0.97 * (means - means.mean(0)) / np.sqrt(((means - means.mean(0)) ** 2).mean())
    return GaussianMixture(
        schedule, torch.full((4,), 0.25), torch.from_numpy(means), torch.full((4,), 1 - 0.97**2, dtype=torch.float64)
    )


def posterior_of(mixture: GaussianMixture, a: Tensor, y: Tensor, sd: float) -> GaussianMixture:
    """Posterior of an isotropic mixture given one datum ``y = a x_0 + n``, ``n ~ N(0, sd^2)``, in closed form."""
    v = mixture.covariances
    s = v * (a @ a) + sd**2
    e = y - mixture.means @ a
    log_weights = mixture.weights.log() - 0.5 * (e**2 / s + s.log())
    means = mixture.means + (v * e / s).unsqueeze(1) * a
    identity = torch.eye(len(a), dtype=torch.float64)
    covariances = v[:, None, None] * identity - (v**2 / s)[:, None, None] * torch.outer(a, a)
    return GaussianMixture(mixture.schedule, torch.softmax(log_weights, 0), means, covariances)


_KNOWN: dict[Hashable, OracleCalibration] = {}


def calibrate_estimator(
    estimator: Estimator,
    schedule: Schedule,
    rule: Rule,
    plan: Plan,
    *,
    dim: int = 2,
    guide: bool = True,
    particles: Callable[[Tilt], Particles] | None = None,
    seed: int = 0,
    seconds: float = 20.0,
) -> OracleCalibration:
    """Measure an estimator on the oracle. A second question for the same measurement is answered from memory.

    Parameters
    ----------
    estimator
        The estimator. Exact draws from a mixture are replaced by those of the oracle.
    schedule, rule, plan
        Of the run that is to be trusted.
    dim
        Dimension of the oracle.
    guide
        Whether the tilt steers.
    particles
        Makes the particles of a tilt, if the run has any.
    seed
        Seed of the truths and draws.
    seconds
        Limit of time: the number of posteriors, 4 to 60, is doubled for as long as that fits.
    """
    if dim < 1 or not seconds >= 0:
        raise ConfigError(f"dim is {dim} and seconds {seconds}; expected a dimension >= 1 and a time >= 0")
    prior = oracle_mixture(schedule, dim, seed)
    estimator = _on_oracle(estimator, prior)
    trial = None if particles is None else particles(Tilt(lambda x: x.flatten(1).sum(1), estimator, guide))
    size = 1 if trial is None else trial.size
    weighed = None if trial is None else (type(trial), trial.size, trial.threshold, trial.rule)
    key = _name((estimator, schedule, rule, plan, weighed, dim, guide, seed, seconds))
    if key not in _KNOWN:
        start = time.perf_counter()
        process, rows = GaussianProcess(Euclidean((dim,)), schedule), []
        for chunk in _CHUNKS:
            # twice the truths take twice the time of the chunk before
            if rows and (time.perf_counter() - start) * 3 > seconds:
                break
            first = len(rows)
            posteriors, x0, likelihood = _problems(prior, first, chunk, seed, size)
            tilt = Tilt(likelihood, estimator, guide)
            filter_ = None if particles is None else particles(tilt)
            transforms = (tilt,) if filter_ is None else (tilt, filter_)
            noise = Noise.range(seed, chunk * _DRAWS * size, first=first * _DRAWS * size)
            state = run(prior.denoiser, process, rule, plan, noise=noise, shape=(dim,), transforms=transforms)
            x = (state if filter_ is None else filter_.pick(state)).x.reshape(chunk, _DRAWS, dim)
            rows.extend(_score(p, x0[j], x[j], seed, first + j) for j, p in enumerate(posteriors))
        _KNOWN[key] = _collect(np.stack(rows), dim, time.perf_counter() - start)
    return _KNOWN[key]


def _problems(
    prior: GaussianMixture, first: int, count: int, seed: int, size: int
) -> tuple[list[GaussianMixture], Tensor, GaussianLikelihood]:
    """Truths, their posteriors, and the likelihood of the whole batch."""
    dim = prior.means.shape[1]
    noise = Noise.range(seed, count, first=first)
    a = torch.ones(dim, dtype=torch.float64) / math.sqrt(dim)
    x0 = prior.draw(noise, stream="oracle/truth")
    y = x0 @ a + _SD * noise.normal((), step=0, stream="oracle/noise")
    data = y.repeat_interleave(_DRAWS * size).unsqueeze(1)
    return (
        [posterior_of(prior, a, each, _SD) for each in y],
        x0,
        GaussianLikelihood(MatrixOperator(a.unsqueeze(0)), data, _SD),
    )


def _score(posterior: GaussianMixture, x0: Tensor, x: Tensor, seed: int, number: int) -> np.ndarray:
    """Distance, floor, squared mean errors of draws and exact draws, squared spread, whether the truth is inside."""
    rng = np.random.default_rng([seed, number])
    u = rng.standard_normal((x.shape[1], _DIRECTIONS))
    u = torch.from_numpy(u / np.linalg.norm(u, axis=0))
    count = _REFERENCE + _DRAWS
    exact = posterior.draw(Noise.range(seed, count, first=number * count), stream="oracle/exact") @ u
    reference, same, found = exact[:_REFERENCE], exact[_REFERENCE:], x @ u
    level = (torch.arange(_DRAWS).double() + 0.5) / _DRAWS
    wanted = torch.quantile(reference, level, dim=0)
    gaps = [float((part.sort(0).values - wanted).pow(2).mean().sqrt()) for part in (found, same)]
    mean, sd = _moments(posterior, u)
    errors = [float((((part.mean(0) - mean) / sd) ** 2).mean()) for part in (found, same)]
    spread = float((found.var(0) / sd**2).mean())
    rank = int((found[:, 0] < x0 @ u[:, 0]).sum())
    return np.array([*gaps, *errors, spread, float(_LOW <= rank <= _HIGH)])


def _moments(mixture: GaussianMixture, u: Tensor) -> tuple[Tensor, Tensor]:
    """Mean and standard deviation along directions."""
    means = mixture.means @ u
    within = torch.einsum("di,kde,ei->ki", u, mixture.covariances, u)
    mean = mixture.weights @ means
    return mean, (mixture.weights @ (within + means**2) - mean**2).sqrt()


def _collect(rows: np.ndarray, dim: int, seconds: float) -> OracleCalibration:
    w2, floor, error, error_floor, spread, inside = rows.mean(0)
    truths = len(rows)
    return OracleCalibration(
        dim,
        truths,
        float(w2),
        float(floor),
        math.sqrt(error),
        math.sqrt(error_floor),
        math.sqrt(spread),
        float(inside),
        _wilson(inside, truths),
        seconds,
        truths == sum(_CHUNKS),
    )


def _wilson(share: float, count: int, z: float = 1.96) -> tuple[float, float]:
    """Wilson interval of a share."""
    centre = (share + z**2 / (2 * count)) / (1 + z**2 / count)
    half = z / (1 + z**2 / count) * math.sqrt(share * (1 - share) / count + z**2 / (4 * count**2))
    return max(0.0, centre - half), min(1.0, centre + half)


def _on_oracle(estimator: Any, prior: GaussianMixture) -> Any:
    """Exact draws belong to the law of the data, so on the oracle they are its own."""
    if is_dataclass(estimator) and isinstance(getattr(estimator, "draws", None), ExactDraws):
        return replace(estimator, draws=ExactDraws(prior))  # type: ignore[type-var]
    return estimator


class _Same:
    """Equal for one object alone, which it keeps, so that no other object gets its address."""

    def __init__(self, thing: object) -> None:
        self.thing = thing

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Same) and self.thing is other.thing

    def __hash__(self) -> int:
        return id(self.thing)


def _name(thing: Any) -> Hashable:
    """Key that tells two measurements apart: types and values, arrays by their bytes, other objects by identity."""
    if isinstance(thing, Tensor):
        return _name(thing.detach().cpu().numpy())
    if isinstance(thing, np.ndarray):
        return thing.dtype.str, thing.shape, thing.tobytes()
    if is_dataclass(thing) and not isinstance(thing, type):
        return type(thing), *(_name(getattr(thing, f.name)) for f in fields(thing))
    if isinstance(thing, tuple | list):
        return type(thing), *map(_name, thing)
    if thing is None or isinstance(thing, bool | int | float | complex | str | bytes):
        return type(thing), repr(thing)
    return _Same(thing)
