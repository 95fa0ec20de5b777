"""Claims of the calibration tools on a linear Gaussian posterior in closed form."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
from scipy.stats import norm

from scidiff.analysis.calibration import (
    c2st,
    conformal_map,
    crps_ensemble,
    crps_gaussian,
    interval_coverage,
    neighbour_references,
    rank_test,
    ranks,
    spread_skill,
    tarp,
)
from scidiff.bench.core.check import Claim
from scidiff.testing_targets.calibration import WRONG, LinearGaussian

__all__ = ["claims"]

_RIGHT = LinearGaussian()
_COUNT, _DRAWS, _REPEATS = 300, 59, 100
_Verdict = Callable[[LinearGaussian, int], bool]


def claims() -> Iterator[Claim]:
    """Yield the claims of calibration."""
    yield from _numbers()
    yield from _finds()
    yield from _rates()


def _numbers() -> Iterator[Claim]:
    for name, model in (("right", _RIGHT), ("narrow", WRONG["narrow"]), ("wide", WRONG["wide"])):
        exact = 2 * norm.cdf(model.scale * norm.isf(0.05)) - 1
        yield Claim(
            f"calibration/coverage of 90 %/{name}",
            "exact",
            lambda seed, model=model: _coverage(model, seed),
            truth=float(exact),
            tolerance=4 * (exact * (1 - exact) / 1000) ** 0.5 + 0.01,
            why="2 Phi(f z) - 1 for deviations scaled by f; four errors of 1000 truths, and 1/100 for 99 draws",
        )
    yield Claim(
        "calibration/spread over skill, 5 draws",
        "exact",
        lambda seed: spread_skill(*_pairs(_RIGHT, 2000, 5, seed)).ratio,
        truth=1,
        tolerance=5 * (1 / (2 * 2000)) ** 0.5,
        why="(m + 1)/m var = E error^2; five relative errors of a root mean square of 2000 rows",
    )
    yield Claim(
        "calibration/fair CRPS less its closed form, 3 draws",
        "exact",
        _crps,
        truth=0,
        tolerance=5 * 0.5 / 20_000**0.5,
        why="unbiased for any number of draws; five errors of 20000 scores, whose deviation is below 1/2",
    )
    yield Claim(
        "calibration/conformal coverage of a map three times too narrow",
        "exact",
        _conformal,
        truth=0.9,
        tolerance=1 / 30 + 4 * 0.06 / 200**0.5,
        why="0.9 to 0.9 + 1/30 for 29 held-out maps, whatever the sampler; four errors of 200 sets of spread 0.06",
    )


def _finds() -> Iterator[Claim]:
    finds: dict[str, tuple[_Verdict, list[str]]] = {
        "ranks": (_sbc, ["narrow", "wide", "shifted"]),
        "TARP": (_tarp, ["narrow", "wide", "prior"]),
        "C2ST": (_c2st, [*WRONG]),
    }
    for test, (agrees, names) in finds.items():
        for name in names:
            yield Claim(
                f"calibration/{test} rejects/{name}",
                "exact",
                lambda seed, agrees=agrees, name=name: float(not agrees(WRONG[name], seed)),
                truth=1,
                tolerance=0.5,
                why=f"{_COUNT} truths; rejected in at least 11 of 12 experiments of other seeds",
            )


def _rates() -> Iterator[Claim]:
    tests: dict[str, _Verdict] = {"ranks": _sbc, "TARP": _tarp}
    for test, agrees in tests.items():
        yield Claim(
            f"calibration/{test}, rate of false alarms",
            "exact",
            lambda seed, agrees=agrees: 1 - np.mean([agrees(_RIGHT, 1000 * seed + i) for i in range(_REPEATS)]),
            truth=0.05,
            tolerance=0.05 + 4 * (0.05 * 0.95 / _REPEATS) ** 0.5,
            why="at most 5 % by Bonferroni's bound, which may leave less; four binomial errors of 100 experiments",
            full=True,
        )


def _pairs(model: LinearGaussian, count: int, draws: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    theta, _, x = model.pairs(count, draws, seed)
    return theta, x


def _coverage(model: LinearGaussian, seed: int) -> float:
    """Coverage of the first coordinate."""
    return float(interval_coverage(*_pairs(model, 1000, 99, seed), [0.9]).found[0, 0])


def _crps(seed: int) -> float:
    rng = np.random.default_rng(seed)
    y, x = rng.standard_normal((20_000, 1)), rng.standard_normal((20_000, 3, 1))
    return float((crps_ensemble(y, x) - crps_gaussian(y, np.zeros(1), np.ones(1))).mean())


def _conformal(seed: int) -> float:
    """Mean part of new maps inside, over held-out sets; residuals of a map share a factor."""
    rng, found = np.random.default_rng(seed), []
    for _ in range(200):
        y = 3 * rng.standard_normal((58, 12)) * rng.uniform(0.5, 1.5, (58, 1))
        zero, one = np.zeros((29, 12)), np.ones((29, 12))
        low, high = conformal_map(y[:29], zero, one, 0.9).interval(zero, one)
        found.append(((low <= y[29:]) & (y[29:] <= high)).mean())
    return float(np.mean(found))


def _sbc(model: LinearGaussian, seed: int) -> bool:
    theta, x = _pairs(model, _COUNT, _DRAWS, seed)
    return rank_test(ranks(theta, x, seed=seed), _DRAWS, seed=seed).agrees


def _tarp(model: LinearGaussian, seed: int) -> bool:
    theta, y, x = model.pairs(_COUNT, _DRAWS, seed)
    others = model.prior(_COUNT, 10_000_000 + seed)
    references = neighbour_references(y, model.simulate(others, 20_000_000 + seed), others)
    return tarp(theta, x, references, seed=seed).agrees


def _c2st(model: LinearGaussian, seed: int) -> bool:
    theta, y, x = model.pairs(_COUNT, 1, seed)
    rows = np.concatenate([theta, y], 1), np.concatenate([x[:, 0], y], 1)
    return c2st(*rows, seed=seed, paired=True, permutations=19).agrees
