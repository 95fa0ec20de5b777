"""Claims of the noisy solvers on bimodal data: weak orders by quadrature of the law, without Monte-Carlo error."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from scidiff.bench.core.check import Claim
from scidiff.sample import ancestral, dpmpp_2m_sde, exponential_adams
from scidiff.testing_targets.line import observable_errors
from scidiff.testing_targets.orders import Solver

__all__ = ["claims"]

_SOLVERS: dict[str, tuple[Solver, int]] = {
    "DDPM": (ancestral, 1),
    "SDE-DPM-Solver++(2M)": (dpmpp_2m_sde, 2),
    "exponential Adams 2, eta 1": (lambda s, g: exponential_adams(s, g, order=2, eta=1.0), 2),
    "exponential Adams 1 with corrector, eta 1": (
        lambda s, g: exponential_adams(s, g, order=1, eta=1.0, corrector=True),
        2,
    ),
}


def _slope(solver: Solver) -> float:
    """Least slope between 6 and 12 steps over three observables."""
    coarse, fine = observable_errors(solver, 6), observable_errors(solver, 12)
    return float(np.log2(np.abs(coarse / fine)).min())


def claims() -> Iterator[Claim]:
    """Yield the claims on weak orders."""
    for name, (solver, order) in _SOLVERS.items():
        yield Claim(
            f"weak order/{name}",
            f"consistent({order})",
            lambda _seed, solver=solver: _slope(solver),
            truth=order,
            least=order - 0.4,
            why="least slope of mean, second moment and mean cosine, 6 to 12 steps; so few may lack 0.4",
        )
