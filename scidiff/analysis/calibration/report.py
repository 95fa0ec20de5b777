"""Calibration of a sampler in one call: parameters from the prior, data from the simulator, draws from the sampler.

Each truth ``theta_i`` and its draws are exchangeable given ``y_i`` if, and only if, the sampler is right. Tested are
the ranks of every coordinate (simulation-based calibration), the ranks of test quantities ``f(theta, y)`` that the
user gives, such as the likelihood, and the coverage of balls (TARP) around the parameters of the nearest of `count`
further simulations, which sees a sampler that does not use its data. Coverage of central intervals is reported beside
them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from scidiff.analysis.calibration.coverage import Coverage, Tarp, interval_coverage, neighbour_references, tarp
from scidiff.analysis.calibration.pairs import Array, as_array, as_pairs, check_confidence
from scidiff.analysis.calibration.plots import draw_coverage, draw_ecdf, draw_tarp
from scidiff.analysis.calibration.ranks import RankTest, rank_test, ranks
from scidiff.errors import ConfigError, ShapeError

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["CalibrationReport", "calibrate"]

_LEVELS = (0.5, 0.8, 0.9, 0.95)


@dataclass(frozen=True, eq=False)
class CalibrationReport:
    """What calibration found.

    Parameters
    ----------
    sbc
        Ranks of the coordinates.
    quantities
        Ranks of the test quantities, by name.
    tarp
        Coverage of balls.
    coverage
        Coverage of central intervals.
    confidence
        Probability that a right sampler agrees.
    """

    sbc: RankTest
    quantities: Mapping[str, RankTest]
    tarp: Tarp
    coverage: Coverage
    confidence: float

    @property
    def chances(self) -> dict[str, float]:
        """Probability that a right sampler shows at least as much, by test."""
        return {
            "sbc": self.sbc.chance,
            **{name: test.chance for name, test in self.quantities.items()},
            "tarp": self.tarp.test.chance,
        }

    @property
    def agrees(self) -> bool:
        """Whether no test, at a confidence shared among all, finds the sampler wrong."""
        chances = self.chances.values()
        return min(chances) * len(chances) > 1 - self.confidence

    def as_json(self) -> dict[str, object]:
        """Plain values, ready for JSON."""
        names = ("levels", "pooled", "pooled_low", "pooled_high")
        return {
            "agrees": self.agrees,
            "chances": self.chances,
            "count": int(self.sbc.counts[:, 0].sum()),
            "draws": self.coverage.draws,
            "coverage": {name: getattr(self.coverage, name).tolist() for name in names},
        }

    def _repr_html_(self) -> str:
        """Card for notebooks."""
        import io

        from scidiff.io.html import image, report_card

        buffer = io.BytesIO()
        self.plot().savefig(buffer, format="png", dpi=80, metadata={"Software": None})
        title = "calibration: agrees with a right posterior" if self.agrees else "calibration: no right posterior"
        return report_card(title, self.as_json(), image(buffer.getvalue(), "ranks, balls and intervals"))

    def plot(self) -> Figure:
        """Draw ranks, balls and intervals side by side."""
        from matplotlib.figure import Figure

        figure = Figure(figsize=(11, 3.5), layout="constrained")
        left, middle, right = figure.subplots(1, 3)
        draw_ecdf(left, self.sbc)
        draw_tarp(middle, self.tarp)
        draw_coverage(right, self.coverage)
        figure.suptitle("agrees with a right posterior" if self.agrees else "no right posterior")
        return figure


def calibrate(
    sampler: Callable[[Array, int, int], Array],
    prior: Callable[[int, int], Array],
    simulate: Callable[[Array, int], Array],
    *,
    seed: int,
    count: int = 500,
    draws: int = 99,
    levels: Sequence[float] = _LEVELS,
    quantities: Mapping[str, Callable[[np.ndarray, np.ndarray], Array]] | None = None,
    confidence: float = 0.95,
) -> CalibrationReport:
    """Test a posterior sampler against the prior and the simulator that define the posterior [1]_ [2]_.

    Parameters
    ----------
    sampler, prior, simulate
        ``(y, draws, seed)`` to draws ``(count, draws, dim)``; ``(count, seed)`` to parameters ``(count, dim)``;
        ``(theta, seed)`` to data ``(count, *data)``.
    seed
        Seed; each function gets another one made of it.
    count, draws
        Number of independent truths, and of draws for each of them.
    levels
        Nominal coverage of the central intervals.
    quantities
        Further test quantities, by name: ``(theta, y)`` to one number per row, shape ``(rows,)``.
    confidence
        Probability that a right sampler agrees.

    Raises
    ------
    ShapeError
        If the sampler returns another shape.

    References
    ----------
    .. [1] Talts et al., arXiv:1804.06788
    .. [2] Lemos et al., arXiv:2302.03026
    """
    check_confidence(confidence)
    if count < 20 or draws < 2:
        raise ConfigError(f"count = {count}, draws = {draws}; expected at least 20 truths and 2 draws of each")
    seeds = [int(word) for word in np.random.SeedSequence(seed).generate_state(6)]
    theta, other = prior(count, seeds[0]), prior(count, seeds[1])
    data, other_data = simulate(theta, seeds[2]), simulate(other, seeds[3])
    truth, samples = as_pairs(theta, sampler(data, draws, seeds[4]))
    if samples.shape[:2] != (count, draws):
        raise ShapeError(f"{samples.shape[:2]} truths and draws came; expected {(count, draws)}")
    y, y_other = (as_array(each).reshape(count, -1) for each in (data, other_data))
    references = neighbour_references(y, y_other, other)
    test = partial(_test_quantity, truth=truth, samples=samples, y=y, confidence=confidence, seed=seeds[5])
    return CalibrationReport(
        sbc=rank_test(ranks(truth, samples, seed=seeds[5]), draws, confidence=confidence, seed=seeds[5]),
        quantities={name: test(function) for name, function in (quantities or {}).items()},
        tarp=tarp(truth, samples, references, confidence=confidence, seed=seeds[5]),
        coverage=interval_coverage(truth, samples, levels, confidence=confidence, seed=seeds[5]),
        confidence=confidence,
    )


def _test_quantity(
    function: Callable[[np.ndarray, np.ndarray], Array],
    truth: np.ndarray,
    samples: np.ndarray,
    y: np.ndarray,
    confidence: float,
    seed: int,
) -> RankTest:
    count, draws, dim = samples.shape
    own = as_array(function(truth, y)).reshape(count, 1)
    others = as_array(function(samples.reshape(-1, dim), np.repeat(y, draws, axis=0))).reshape(count, draws, 1)
    return rank_test(ranks(own, others, seed=seed), draws, confidence=confidence, seed=seed)
