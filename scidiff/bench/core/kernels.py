"""Claims of the kernels of discrete noise: the semigroup law, and likelihood bounds that are tight."""

from __future__ import annotations

from collections.abc import Iterator

from scidiff.bench.core.check import Claim
from scidiff.process import Kernel, Kind
from scidiff.testing_targets.kernels import KERNELS, chapman_kolmogorov_defect
from scidiff.testing_targets.likelihood import EVERY, HIERARCHIES, X0, P, constant, continuous, discrete

__all__ = ["claims"]

_TIMES = ((0.1, 0.35, 0.8), (0.0, 0.5, 1.0), (1e-6, 0.6, 0.999999))
_STEPS = (1, 2, 7, 50)
_TRUTH = -float(P[X0].log())


def _farthest(kernel: Kernel, kind: Kind) -> float:
    """Bound of a constant predictor over grids of 1, 2, 7 and 50 steps, the one farthest from the truth."""
    return max((discrete(kernel, constant(kind), n) for n in _STEPS), key=lambda bound: abs(bound - _TRUTH))


def claims() -> Iterator[Claim]:
    """Yield the claims of the kernels."""
    for name, kernel in KERNELS.items():
        yield Claim(
            f"Chapman-Kolmogorov/{name}",
            "exact",
            lambda _seed, kernel=kernel: max(chapman_kolmogorov_defect(kernel, *times) for times in _TIMES),
            truth=0,
            tolerance=2e-15,
            why="sums of a few products of numbers in [0, 1], at three triples of times",
        )
    for name, kernel in HIERARCHIES.items():
        yield from _bound(f"posterior/{name}", kernel, Kind.LOGITS)
    for name, kernel in EVERY.items():
        if name not in HIERARCHIES:
            yield from _bound(f"leave-one-out/{name}", kernel, Kind.LOO_LOGITS)


def _bound(name: str, kernel: Kernel, kind: Kind) -> Iterator[Claim]:
    """Bounds of a constant predictor, which are ``-log p(x_0)`` for every schedule."""
    yield Claim(
        f"likelihood bound, integral/{name}",
        "exact",
        lambda _seed: continuous(kernel, constant(kind)),
        truth=_TRUTH,
        tolerance=1e-12,
        why="-log p(x_0) of a constant predictor; 400 Gauss nodes leave the round-off of their sum",
    )
    yield Claim(
        f"likelihood bound, sum/{name}",
        "exact",
        lambda _seed: _farthest(kernel, kind),
        truth=_TRUTH,
        tolerance=1e-13,
        why="-log p(x_0) of a constant predictor; the worst of 1, 2, 7 and 50 steps; round-off of their sum",
    )
