"""Oracle audit: is a sampler exact, consistent or biased, when its denoiser is exact?

A sampler is run with a denoiser known in closed form, at several numbers ``N`` of network calls, and the distance of
its output law to the true one is fitted by

    distance(N) = plateau + b N^(-order),        plateau, b >= 0.

*exact*: no distance stands out of its noise; *consistent*: it falls with an order above 1/4 and the plateau is at most
a fifth of the least distance; *biased*: the plateau, at the low end of its interval, is more than half of it;
*undecided* otherwise: use more calls or more samples. A verdict is about these numbers of samples and calls, no proof.

For `n` samples of a law on `K` states the plug-in ``TV = 1/2 sum |n_i / n - p_i|`` of an exact sampler is not 0 but the
*floor*, whose law is simulated. Above it, ``TV_hat / floor = g(r) / g(0)`` with the folded normal mean
``g(r) = sqrt(2/pi) exp(-r^2/2) + r erf(r / sqrt 2)`` gives the corrected value ``sqrt(pi/2) r floor``, as if all states
were off by the same number `r` of standard errors.

References
----------
.. [1] "Is Your Diffusion Sampler Actually Correct?", arXiv:2602.19619
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING

import numpy as np
from scipy.optimize import brentq
from scipy.special import erf
from scipy.stats import norm
from torch import Tensor

from scidiff.errors import ConfigError, ShapeError

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = [
    "Audit",
    "Distance",
    "Verdict",
    "audit_discrete",
    "budgets",
    "judge",
    "plot_audit",
    "tv_of_counts",
    "tv_of_law",
    "unfold",
]

ROUND_OFF = 1e-12
_ORDERS = np.linspace(0.25, 5.0, 96)
_MODEL = 0.01
_CONSISTENT, _BIASED = 0.2, 0.5
_DRAWS = 1000


class Verdict(Enum):
    """What an audit says of a sampler."""

    EXACT = "exact"
    CONSISTENT = "consistent"
    BIASED = "biased"
    UNDECIDED = "undecided"


@dataclass(frozen=True)
class Distance:
    """Distance of an output law to the truth.

    Parameters
    ----------
    value
        Distance, corrected for the floor.
    low, high
        Interval.
    error
        Standard error; 0 where the law is exact.
    raw
        Distance as measured.
    floor
        Mean of what an exact sampler would show.
    chance
        Probability that an exact sampler shows at least as much.
    """

    value: float
    low: float
    high: float
    error: float
    raw: float
    floor: float
    chance: float


@dataclass(frozen=True, eq=False)
class Audit:
    """Distances over calls, and what follows from them.

    Parameters
    ----------
    calls
        Network calls, ascending, shape ``(budgets,)``.
    distances
        One for each number of calls.
    verdict
        The verdict.
    order, order_interval
        Fitted order of convergence, and its interval; the interval of exact laws is a point.
    plateau, plateau_interval
        Fitted distance at infinitely many calls, and its interval.
    """

    calls: np.ndarray
    distances: tuple[Distance, ...]
    verdict: Verdict
    order: float
    order_interval: tuple[float, float]
    plateau: float
    plateau_interval: tuple[float, float]

    @property
    def label(self) -> str:
        """The verdict as a label of the package: exact, consistent(order) with one decimal, biased or undecided."""
        return f"consistent({self.order:.1f})" if self.verdict is Verdict.CONSISTENT else self.verdict.value


def tv_of_law(law: np.ndarray | Tensor, target: np.ndarray | Tensor) -> Distance:
    """Total variation between an exact output law and the target; round-off up to 1e-12 is no distance."""
    q, p = _law(law, "law"), _law(target, "target")
    if q.shape != p.shape:
        raise ShapeError(f"law has {len(q)} states, target {len(p)}; expected the same states in the same order")
    value = 0.5 * float(np.abs(q - p).sum())
    return Distance(value, value, value, 0.0, value, 0.0, float(value <= ROUND_OFF))


def tv_of_counts(
    counts: np.ndarray | Tensor, target: np.ndarray | Tensor, *, seed: int, confidence: float = 0.95
) -> Distance:
    """Total variation between the frequencies of samples and the target, with floor and interval.

    Parameters
    ----------
    counts
        Samples on each state, shape ``(states,)``.
    target
        The law, shape ``(states,)``.
    seed
        Seed of the simulated floor and of the bootstrap.
    confidence
        Coverage of the interval.
    """
    n_i, p = np.asarray(counts).reshape(-1), _law(target, "target")
    total = int(n_i.sum())
    if n_i.shape != p.shape or (n_i < 0).any() or total < 1:
        raise ShapeError(
            f"counts of shape {n_i.shape} sum to {total}; expected counts on {len(p)} states, at least one"
        )
    rng = np.random.default_rng(seed)
    raw = 0.5 * float(np.abs(n_i / total - p).sum())
    null = 0.5 * np.abs(rng.multinomial(total, p, _DRAWS) / total - p).sum(1)
    spread = 0.5 * np.abs(rng.multinomial(total, n_i / total, _DRAWS) / total - p).sum(1)
    floor, error = float(null.mean()), float(spread.std(ddof=1))
    z = float(norm.isf(0.5 * (1 - confidence)))
    low, value, high = (unfold(each, floor) for each in (raw - z * error, raw, raw + z * error))
    chance = (1 + int((null >= raw - ROUND_OFF).sum())) / (1 + _DRAWS)
    return Distance(value, low, high, error, raw, floor, chance)


def _law(values: np.ndarray | Tensor, name: str) -> np.ndarray:
    p = np.asarray(values, dtype=np.float64).reshape(-1)
    if not len(p) or (p < 0).any() or abs(p.sum() - 1) > 1e-9:
        raise ShapeError(f"{name} has {len(p)} states and sum {p.sum():.6g}; expected probabilities that sum to 1")
    return p


def unfold(raw: float, floor: float) -> float:
    """Distance whose plug-in value is `raw` on average, given that of distance 0."""
    if raw <= floor or floor == 0:
        return max(raw, 0.0) if floor == 0 else 0.0
    start = math.sqrt(2 / math.pi)

    def gap(r: float) -> float:
        return start * math.exp(-0.5 * r * r) + r * float(erf(r / math.sqrt(2))) - start * raw / floor

    return float(brentq(gap, 0.0, start * raw / floor + 1.0)) * floor / start


def audit_discrete(
    laws: Mapping[int, np.ndarray | Tensor], target: np.ndarray | Tensor, *, seed: int = 0, confidence: float = 0.95
) -> Audit:
    """Audit a sampler on a finite set of states against an enumerated law.

    Parameters
    ----------
    laws
        By the number of network calls: the exact output law (floating point), or the counts of samples on each state
        (integers), shape ``(states,)``. At least three numbers of calls that span a factor of four.
    target
        The true law, shape ``(states,)``.
    seed
        Seed of the simulated floors and of the bootstrap.
    confidence
        Coverage of the intervals, and probability that an exact sampler is found to be exact.
    """
    calls = budgets(laws)
    distances = []
    for i, count in enumerate(calls.tolist()):
        values = np.asarray(laws[count])
        exact = np.issubdtype(values.dtype, np.floating)
        found = (
            tv_of_law(values, target) if exact else tv_of_counts(values, target, seed=seed + i, confidence=confidence)
        )
        distances.append(found)
    return judge(calls, tuple(distances), seed, confidence)


def budgets(runs: Mapping[int, object]) -> np.ndarray:
    """Numbers of calls of an audit, ascending."""
    calls = np.array(sorted(runs), dtype=np.int64)
    if len(calls) < 3 or calls[0] < 1 or calls[-1] < 4 * calls[0]:
        raise ConfigError(
            f"calls are {calls.tolist()}; expected at least three positive numbers that span a factor of four"
        )
    return calls


def judge(calls: np.ndarray, distances: tuple[Distance, ...], seed: int, confidence: float) -> Audit:
    """Fit the distances over the calls, and come to a verdict."""
    value, error = (np.array([getattr(each, name) for each in distances]) for name in ("value", "error"))
    plateau, order = _fit(calls, value[None], error)
    tail = [0.5 * (1 - confidence), 0.5 * (1 + confidence)]
    drawn = value + error * np.random.default_rng(seed).standard_normal((_DRAWS, len(value)))
    plateaus, orders = _fit(calls, np.maximum(drawn, 0.0), error)
    low, high = np.quantile(plateaus, tail)
    slow, quick = np.quantile(orders, tail)
    least = float(value.min())
    if min(each.chance for each in distances) > (1 - confidence) / len(distances):
        verdict = Verdict.EXACT
    elif low > _BIASED * least and low > ROUND_OFF:
        verdict = Verdict.BIASED
    elif float(plateau[0]) <= _CONSISTENT * least and slow > _ORDERS[0]:
        verdict = Verdict.CONSISTENT
    else:
        verdict = Verdict.UNDECIDED
    spans = (float(slow), float(quick)), (float(low), float(high))
    return Audit(calls, distances, verdict, float(order[0]), spans[0], float(plateau[0]), spans[1])


def _fit(calls: np.ndarray, values: np.ndarray, error: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Plateau and order of each row, by least squares over a list of orders; orders below 1/4 count as a plateau.

    The model itself is granted an error of 1 %.
    """
    weight = 1 / (error**2 + (_MODEL * values.mean(0)) ** 2 + ROUND_OFF**2)
    shape = (calls / calls[0])[None, :] ** -_ORDERS[:, None]
    total, first, second = weight.sum(), shape @ weight, shape**2 @ weight
    mean, slope = (values @ weight)[:, None], values @ (weight * shape).T
    determinant = total * second - first**2
    a = (second * mean - first * slope) / determinant
    b = (total * slope - first * mean) / determinant
    a, b = np.where(b < 0, mean / total, a), np.maximum(b, 0.0)
    b = np.where(a < 0, slope / second, b)
    a = np.maximum(a, 0.0)
    misfit = (weight * (values[:, None, :] - a[..., None] - b[..., None] * shape) ** 2).sum(-1)
    best = misfit.argmin(1)
    rows = np.arange(len(values))
    return a[rows, best], _ORDERS[best]


def plot_audit(audit: Audit, name: str = "distance") -> Figure:
    """Draw the distances over the calls with their intervals, floors and the fitted plateau.

    Parameters
    ----------
    audit
        What `audit_discrete` or `audit_gaussian` found.
    name
        Name of the distance, on the axis.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(6, 4), layout="constrained")
    axes = figure.subplots()
    value, low, high, floor = (
        np.array([getattr(each, key) for each in audit.distances]) for key in ("value", "low", "high", "floor")
    )
    axes.errorbar(audit.calls, value, [value - low, high - value], marker="o", label=audit.label)
    if floor.any():
        axes.plot(audit.calls, floor, color="0.6", linestyle="--", label="floor of an exact sampler")
    axes.axhline(audit.plateau, color="0.6", linewidth=0.8, linestyle=":")
    axes.set(xscale="log", yscale="symlog" if (low <= 0).any() else "log", xlabel="network calls", ylabel=name)
    axes.legend(frameon=False)
    return figure
