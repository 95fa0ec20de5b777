"""Claims of the rate-based samplers for finite sets: leaps, two-stage rules, uniformisation, by enumeration."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

from scidiff.bench.core.check import Claim
from scidiff.denoise import markov_chain
from scidiff.process import Kernel, marginal, mask, uniform
from scidiff.process.flow import MixtureFlow
from scidiff.sample.discrete.discrete_flow import campbell, defog, polydec_grid
from scidiff.sample.discrete.exact_laws import ExactLaws
from scidiff.sample.discrete.predictor_corrector import ForwardBackward
from scidiff.sample.discrete.trapezoidal import Trapezoidal
from scidiff.sample.discrete.uniformisation import Uniformisation
from scidiff.sample.grids import uniform_grid
from scidiff.testing_targets.enumeration import INITIAL, TRANSITION
from scidiff.testing_targets.orders import slope

__all__ = ["claims"]

_KERNELS: dict[str, Kernel] = {"mask": mask(3), "uniform": uniform(3), "marginal": marginal([0.5, 0.3, 0.2])}


def claims() -> Iterator[Claim]:
    """Yield the claims of the rate-based samplers."""
    for name, kernel in _KERNELS.items():
        yield Claim(
            f"TV when steps double/rate leaping/{name}",
            "consistent(1)",
            lambda _seed, kernel=kernel: _leaps(kernel),
            truth=2,
            tolerance=0.24,
            why="ratio of the errors of 32 and 64 steps, arXiv:2402.04997; the next order leaves 12 %",
        )
        yield Claim(
            f"order/trapezoidal, 16 to 32 steps/{name}",
            "consistent(2)",
            lambda _seed, kernel=kernel: _trapezoidal(kernel),
            truth=2,
            least=1.7,
            why="weakly dependent sites, where no rate is cut off; logarithms near t = 0 cost up to 0.3",
        )
        yield Claim(
            f"uniformisation, TV at its floor 0.05/{name}",
            "exact",
            lambda _seed, kernel=kernel: _uniformised(kernel),
            truth=0,
            tolerance=1e-8,
            why="Poisson times are integrated by a Runge-Kutta method of that error; there is no other",
        )
        yield Claim(
            f"forward-backward corrector, law when its size halves/{name}",
            "consistent(1)",
            lambda _seed, kernel=kernel: _corrector(kernel),
            truth=4,
            tolerance=0.2,
            why="ratio of |p G - p| at 1 % and 0.5 % of the clock: second order in the size; 5 % for the next",
        )
    yield Claim(
        "target guidance of DeFoG does not converge",
        "biased",
        lambda _seed: _guided(),
        least=0.8,
        why="ratio of the errors of 128 and 64 steps, arXiv:2410.04263; 0.5 for a method of first order",
    )


def _laws(kernel: Kernel) -> ExactLaws:
    return ExactLaws(markov_chain(INITIAL, TRANSITION, 2), kernel)


def _weak() -> Tensor:
    """Two sites whose conditional laws differ by less than a factor of 2."""
    transition = torch.tensor([[0.45, 0.33, 0.22], [0.38, 0.4, 0.22], [0.4, 0.3, 0.3]], dtype=torch.float64)
    return markov_chain(torch.tensor([0.45, 0.3, 0.25], dtype=torch.float64), transition, 2)


def _leaps(kernel: Kernel) -> float:
    laws = _laws(kernel)
    coarse, fine = (laws.tv(laws.grid(campbell().probs, uniform_grid(steps))) for steps in (32, 64))
    return coarse / fine


def _trapezoidal(kernel: Kernel) -> float:
    laws = ExactLaws(_weak(), kernel)
    return slope(*(laws.tv(laws.trapezoidal(Trapezoidal(polydec_grid(steps)))) for steps in (16, 32)), 2)


def _uniformised(kernel: Kernel) -> float:
    laws = _laws(kernel)
    return laws.tv(laws.uniformised(Uniformisation(laws.process, floor=0.05, rates=MixtureFlow())), 0.05)


def _corrector(kernel: Kernel) -> float:
    laws, t = _laws(kernel), 0.5
    law = laws.marginal(t)
    coarse, fine = (
        float((laws.correct(law, ForwardBackward(size).probs, t) - law).abs().sum()) for size in (0.01, 0.005)
    )
    return coarse / fine


def _guided() -> float:
    laws = _laws(uniform(3))
    fine, finer = (laws.tv(laws.grid(defog(omega=0.3).probs, polydec_grid(steps))) for steps in (64, 128))
    return finer / fine
