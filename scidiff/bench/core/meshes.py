"""Claims of the meshes: topology from kernels, orthogonal decompositions, noise mode by mode."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
import torch
from scipy import linalg

from scidiff.bench.core.check import Claim
from scidiff.mesh import (
    HodgeDecomposition,
    HodgeLaplacian,
    SimplicialComplex,
    annulus,
    double_torus,
    icosphere,
    spectrum,
    torus,
    whitney_stars,
)
from scidiff.process import VPSchedule
from scidiff.process.cochain import CochainProcess
from scidiff.process.operator import OperatorSchedule
from scidiff.random import Noise
from scidiff.spaces.cochain import Cochain
from scidiff.testing_targets.gaussian import Impulse

__all__ = ["claims"]

_SHAPES: dict[str, tuple[Callable[[], SimplicialComplex], tuple[int, int, int]]] = {
    "sphere": (lambda: icosphere(1), (1, 0, 1)),
    "torus": (lambda: torus(9, 6), (1, 2, 1)),
    "double torus": (lambda: double_torus(8, 5), (1, 4, 1)),
    "annulus": (lambda: annulus(2, 10), (1, 1, 0)),
}
_ZERO = 1e-9


def claims() -> Iterator[Claim]:
    """Yield the claims of the meshes."""
    for name, (make, betti) in _SHAPES.items():
        for degree in range(3):
            yield Claim(
                f"Betti number {degree} as the dimension of a kernel/{name}",
                "exact",
                lambda _seed, make=make, degree=degree: _kernel_dimension(make(), degree),
                truth=betti[degree],
                tolerance=0.0,
                why="eigenvalues of the Hodge Laplacian below 1e-9 of the largest",
            )
    for name in ("torus", "double torus", "annulus"):
        yield Claim(
            f"Hodge parts are orthogonal and sum to the cochain/{name}",
            "exact",
            lambda seed, name=name: _orthogonality(_SHAPES[name][0](), seed),
            truth=0,
            tolerance=1e-12,
            why="mass inner products of parts over norms, and the rest; round-off times the condition of the mesh",
        )
    yield from _noise()


def _kernel_dimension(complex: SimplicialComplex, degree: int) -> float:
    """Count the eigenvalues of ``A u = l M u`` that are zero."""
    laplacian = HodgeLaplacian(whitney_stars(complex), degree)
    values = linalg.eigvalsh(laplacian.dense(), laplacian.mass.toarray())
    return float((np.abs(values) < _ZERO * np.abs(values).max()).sum())


def _orthogonality(complex: SimplicialComplex, seed: int) -> float:
    """Worst of the cosines between the parts of a random edge cochain, and of what they lack to it."""
    stars = whitney_stars(complex)
    w = Noise.range(seed, 1).normal((complex.sizes[1],), step=0, stream="cochain")[0].numpy()
    split = HodgeDecomposition(stars, 1)(w)
    parts = [split.exact, split.coexact, split.harmonic]
    norms = [float(np.sqrt(part @ (stars[1] @ part))) for part in parts]
    cosines = [
        abs(float(parts[i] @ (stars[1] @ parts[j]))) / (norms[i] * norms[j]) for i, j in ((0, 1), (0, 2), (1, 2))
    ]
    return max(*cosines, float(np.abs(sum(parts) - w).max()) / float(np.abs(w).max()))


def _process() -> CochainProcess:
    laplacian = HodgeLaplacian(whitney_stars(torus(9, 6)), 1)
    return CochainProcess(Cochain(spectrum(laplacian)), OperatorSchedule(VPSchedule(), stiffness=0.02))


def _noise() -> Iterator[Claim]:
    law = "alpha = exp(-r B/2), sigma^2 = 1 - alpha^2 with r = 1 + c l; responses of unit modes; round-off of a basis"
    yield Claim("Ornstein-Uhlenbeck law of every mode/signal", "exact", lambda _seed: _mode_error(0), 0, 1e-12, why=law)
    yield Claim(
        "Ornstein-Uhlenbeck law of every mode/variance", "exact", lambda _seed: _mode_error(1), 0, 1e-12, why=law
    )
    yield Claim(
        "Ornstein-Uhlenbeck law of every mode/two stages are one",
        "exact",
        lambda _seed: _stage_error(),
        truth=0,
        tolerance=1e-12,
        why="variance of noise to s, then from s to t, against noise to t; round-off of a basis",
    )


def _responses(process: CochainProcess, s: float | None, t: float) -> tuple[torch.Tensor, torch.Tensor]:
    """Coefficients after noise to ``t``, through ``s`` or at once: response to each mode, and variance of each mode."""
    space = process.space
    unit = space.values(torch.eye(space.modes, dtype=torch.float64))
    silence, start = Impulse(space.modes, at=space.modes), torch.zeros_like(unit)
    one = Impulse(1, at=0)
    through = t if s is None else s
    mean = process.noise(unit, through, silence)
    spread = space.coefficients(process.noise(start[:1], through, one)) ** 2
    if s is not None:
        mean = process.renoise(mean, s, t, silence)
        carried = space.coefficients(process.renoise(process.noise(start[:1], s, one), s, t, Impulse(1, at=1)))
        spread = carried**2 + space.coefficients(process.renoise(start[:1], s, t, one)) ** 2
    return space.coefficients(mean).diagonal(), spread[0]


def _mode_error(which: int) -> float:
    """Worst error over times and modes of the signal (0) or the variance (1)."""
    process, worst = _process(), 0.0
    rate = 1 + 0.02 * process.space.eigenvalues
    for t in (0.05, 0.4, 0.9):
        alpha = (0.5 * -rate * (-2 * torch.log(VPSchedule().alpha(t)))).exp()
        truth = (alpha, 1 - alpha**2)[which]
        worst = max(worst, float((_responses(process, None, t)[which] - truth).abs().max()))
    return worst


def _stage_error() -> float:
    """Worst error of signal and variance when noise comes in two stages."""
    process = _process()
    pairs = zip(_responses(process, 0.3, 0.7), _responses(process, None, 0.7), strict=True)
    return max(float((two - one).abs().max()) for two, one in pairs)
