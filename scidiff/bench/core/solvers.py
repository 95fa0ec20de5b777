"""Claims of the Gaussian solvers: orders of convergence, and the spread of samples of N(0, 1) data."""

from __future__ import annotations

from collections.abc import Iterator

from scidiff.bench.core.check import Claim
from scidiff.sample import analytic_dpm, ancestral, ddim, dpmpp_2m_sde, exponential_adams, sa_solver
from scidiff.testing_targets.gaussian import VE, posterior_variance, sample_variance, scalar_variances
from scidiff.testing_targets.orders import SOLVERS, Solver, copied_3m, log_grid, median_error, slope

__all__ = ["claims"]

_DATA = 1 + 0.01**2
_STEPS = (10, 25, 50)
_PRINTED = (1.152, 1.024, 1.006)
_NOISY: dict[str, tuple[Solver, int]] = {
    "DDPM": (ancestral, 1),
    "SDE-DPM-Solver++(2M)": (dpmpp_2m_sde, 2),
    "exponential Adams 2, eta 1": (lambda s, g: exponential_adams(s, g, order=2, eta=1.0), 2),
    "SA-Solver 1": (lambda s, g: sa_solver(s, g, order=1), 2),
}


def claims() -> Iterator[Claim]:
    """Yield the claims of the solvers."""
    yield from _orders()
    yield from _variances()
    yield from _noisy()


def _orders() -> Iterator[Claim]:
    """Slopes on Target A from 160 to 640 steps."""
    why = "slope of the median error on Target A, 160 to 640 steps, against Runge-Kutta; 0.25 separates orders"
    for solver, order in (*SOLVERS.values(), (copied_3m, 2)):
        yield Claim(
            f"order/{solver(VE, log_grid(8)).name}",
            f"consistent({order})",
            lambda _seed, solver=solver: slope(*(median_error(solver, log_grid(n)) for n in (160, 640)), 4),
            truth=order,
            tolerance=0.25,
            why=why,
        )


def _covariance(schedule: object, grid: object) -> object:
    return analytic_dpm(schedule, grid, posterior_variance=posterior_variance)


def _variances() -> Iterator[Claim]:
    """Variance of samples of N(0, 1) data from a ratio of 40 to 0.01, where it should be 1.0001."""
    recursion = "scalar recursion of the variance; round-off of 50 factors"
    for steps, printed in zip(_STEPS, _PRINTED, strict=True):
        cases = {
            "DDIM": (ddim, "consistent(1)", scalar_variances(steps)[0], 1e-11, recursion),
            "DDPM": (ancestral, "consistent(1)", scalar_variances(steps)[1], 1e-11, recursion),
            "exponential Adams 2": (
                SOLVERS["q2"][0],
                "consistent(2)",
                printed,
                5e-4,
                "tabulated to three decimals; half a unit",
            ),
            "Analytic-DPM": (_covariance, "exact", _DATA, 1e-11, "the law of the data itself, at every step count"),
        }
        for name, (solver, label, truth, tolerance, why) in cases.items():
            yield Claim(
                f"variance/{name}/{steps} steps",
                label,
                lambda _seed, solver=solver, steps=steps: sample_variance(solver, steps),
                truth=truth,
                tolerance=tolerance,
                why=why,
                calls=steps,
            )


def _noisy() -> Iterator[Claim]:
    """Weak orders of noisy solvers on N(0, 1) data."""
    for name, (solver, order) in _NOISY.items():
        yield Claim(
            f"order of the variance/{name}",
            f"consistent({order})",
            lambda _seed, solver=solver: slope(*(abs(sample_variance(solver, n) - _DATA) for n in (100, 300)), 3),
            truth=order,
            tolerance=0.25,
            why="error of the exact variance, 100 to 300 steps; 0.25 separates orders",
        )
