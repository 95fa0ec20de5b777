"""Claims of mixed curvature: products find the radii of their factors and distort less than any single curvature."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache

from torch import Tensor

from scidiff.analysis.embedding import embed
from scidiff.analysis.geometries import Comparison, compare_geometries, constant_curvature
from scidiff.bench.core.check import Claim
from scidiff.spaces import Flat, Hyperbolic, Manifold, ProductManifold, Sphere, Torus
from scidiff.testing_targets.metrics import (
    cycle_metric,
    hyperbolic_metric,
    product_metric,
    sphere_metric,
    tree_metric,
)

__all__ = ["CASES", "Case", "claims", "compared"]

_TURN = 2 * math.pi
_EXACT = 1e-3


@dataclass(frozen=True)
class Case:
    """A product of two metrics.

    Parameters
    ----------
    target
        Makes the distances.
    label
        Name of the matching product, its factors called ``a`` and ``b``.
    factors
        Factors of the matching product.
    other
        A product of the same dimension with one wrong factor, by its name.
    radii
        Radii that are known, with the relative tolerance.
    """

    target: Callable[[], Tensor]
    label: str
    factors: tuple[Manifold, Manifold]
    other: dict[str, tuple[Manifold, Manifold]]
    radii: dict[str, tuple[float, float]]


CASES = {
    "tree x cycle": Case(
        lambda: product_metric(tree_metric(3, 2), cycle_metric(5)),
        "H^2 x S^1",
        (Hyperbolic(2), Torus(1)),
        {"E^2 x S^1": (Flat(2), Torus(1))},
        {"b": (5 / _TURN, 0.02)},
    ),
    "cycle x cycle": Case(
        lambda: product_metric(cycle_metric(8), cycle_metric(7, 12.0)),
        "S^1 x S^1",
        (Torus(1), Torus(1)),
        {"E^1 x S^1": (Flat(1), Torus(1))},
        {"larger": (12 / _TURN, _EXACT), "smaller": (8 / _TURN, _EXACT)},
    ),
    "tree x tree": Case(
        lambda: product_metric(tree_metric(3, 2), tree_metric(4, 1)),
        "H^2 x H^2",
        (Hyperbolic(2), Hyperbolic(2)),
        {"H^2 x E^2": (Hyperbolic(2), Flat(2))},
        {},
    ),
    "sphere x cycle": Case(
        lambda: product_metric(sphere_metric(10, 1.5), cycle_metric(6)),
        "S^2 x S^1",
        (Sphere(2), Torus(1)),
        {"H^2 x S^1": (Hyperbolic(2), Torus(1))},
        {"a": (1.5, _EXACT), "b": (6 / _TURN, _EXACT)},
    ),
    "disc x cycle": Case(
        lambda: product_metric(hyperbolic_metric(10, 1.5, 2.0), cycle_metric(5)),
        "H^2 x S^1",
        (Hyperbolic(2), Torus(1)),
        {"S^2 x S^1": (Sphere(2), Torus(1))},
        {"a": (1.5, _EXACT), "b": (5 / _TURN, _EXACT)},
    ),
}


def _space(factors: tuple[Manifold, Manifold]) -> ProductManifold:
    return ProductManifold({"a": factors[0], "b": factors[1]})


@cache
def compared(name: str, seed: int) -> Comparison:
    """Compare the matching product of a case with a mismatched one and with all single curvatures.

    Parameters
    ----------
    name
        Name of the case.
    seed
        Seed of the starts.
    """
    case = CASES[name]
    products = {case.label: case.factors} | case.other
    candidates = {label: _space(factors) for label, factors in products.items()}
    singles = constant_curvature(sum(factor.dim for factor in case.factors))
    return compare_geometries(case.target(), candidates | singles, seed=seed, starts=8, iterations=200)


def claims() -> Iterator[Claim]:
    """Yield the claims of mixed curvature."""
    yield Claim(
        "curvature/radius of a cycle of length 9",
        "exact",
        lambda seed: embed(cycle_metric(9), Torus(1), seed=seed, starts=2).radii["space"],
        truth=9 / _TURN,
        tolerance=_EXACT,
        why="circumference / 2 pi, an isometry; the descent ends at a loss below 1e-12, a distortion below 1e-6",
    )
    yield Claim(
        "curvature/radius of a hyperbolic disc",
        "exact",
        lambda seed: embed(hyperbolic_metric(12, 1.5), Hyperbolic(2), seed=seed, starts=2).radii["space"],
        truth=1.5,
        tolerance=_EXACT,
        why="12 points of the plane of curvature -1/1.5^2, an isometry",
    )
    for name, case in CASES.items():
        yield from _case(name, case)


def _case(name: str, case: Case) -> Iterator[Claim]:
    """Yield the radii of a product, how curved it is, and what it gains."""
    for factor, (truth, tolerance) in case.radii.items():
        yield Claim(
            f"curvature/{name}, radius of factor {factor}",
            "exact" if tolerance == _EXACT else "biased",
            lambda seed, factor=factor: _radius(compared(name, seed), case.label, factor),
            truth=truth,
            tolerance=tolerance * truth,
            why="known radius or circumference / 2 pi; "
            + ("an isometry" if tolerance == _EXACT else "no better known than the tree's own distortion, about 1 %"),
            full=True,
        )
    if name.startswith("tree"):
        yield Claim(
            f"curvature/{name}, least extent of the hyperbolic factors in radii",
            "measured",
            lambda seed: _extent(compared(name, seed), case),
            least=2.0,
            why="a flat factor would have an extent far below 1; two radii bend an equilateral triangle to angles of "
            "38 degrees",
            full=True,
        )
    yield Claim(
        f"curvature/{name}, gain of {case.label} over the best of {', '.join(case.other)}, E, H, S, T",
        "measured",
        lambda seed: compared(name, seed).gain(case.label),
        least=0.5,
        why="part of the average distortion of the best other space of equal dimension that the product removes",
        full=True,
    )


def _radius(comparison: Comparison, label: str, factor: str) -> float:
    """Radius of a factor, by name, or by rank where both factors are alike."""
    radii = comparison.embeddings[label].radii
    ranked = {"smaller": min(radii.values()), "larger": max(radii.values())}
    return (dict(radii) | ranked)[factor]


def _extent(comparison: Comparison, case: Case) -> float:
    extents = comparison.embeddings[case.label].extents
    return min(extents[name] for name, space in zip("ab", case.factors, strict=True) if isinstance(space, Hyperbolic))
