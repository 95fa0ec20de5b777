"""Manifolds with geoopt: distances, logarithms and round trips against multi-precision truth, and seconds.

Pairs are drawn as a radius and a direction, or as an angle, and their distance is computed with 60 digits from those
float64 numbers. Far out in hyperbolic space the ball of Poincaré itself loses digits: ``1 - |y| = 2 / (e^r + 1)``. So
there are two rows: *as drawn* counts that loss, *as stored* takes the points that the ball does hold as the truth. All
errors are relative, the mean over 200 pairs; a value that is not finite counts as 1, one below the rounding of its
type as that.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import torch
from measure import absent, error_row, time_row
from torch import Tensor

from scidiff.domain import Row
from scidiff.random import Noise
from scidiff.spaces import Flat, Hyperbolic, ProductManifold, Sphere

__all__ = ["rows"]

PAIRS, DIGITS = 200, 60
TYPES = {"float32": torch.float32, "float64": torch.float64}
ROUNDING = {label: torch.finfo(dtype).eps / 2 for label, dtype in TYPES.items()}


def _directions(seed: int, stream: str, count: int = PAIRS, size: int = 3) -> Tensor:
    x = Noise.range(seed, count).normal((size,), step=0, stream=stream)
    return x / x.norm(dim=-1, keepdim=True)


def _relative(found: Tensor, truth: Tensor) -> float:
    error = ((found.double() - truth) / truth).abs()
    return float(torch.where(error.isfinite(), error, 1.0).clamp(max=1.0).mean())


def _hyperbolic_truth(r: Tensor, u: Tensor, s: Tensor, w: Tensor) -> Tensor:
    """Distance of ``(r, u)`` and ``(s, w)``, directions normalised exactly: the law of cosines at half angles."""
    import mpmath

    with mpmath.workdps(DIGITS):
        found = []
        for one, a, two, b in zip(r.tolist(), u.tolist(), s.tolist(), w.tolist(), strict=True):
            unit = [[mpmath.mpf(c) for c in v] for v in (a, b)]
            norms = [mpmath.sqrt(sum(c * c for c in v)) for v in unit]
            gap = sum((x / norms[0] - y / norms[1]) ** 2 for x, y in zip(*unit, strict=True))
            one, two = mpmath.mpf(one), mpmath.mpf(two)
            half = mpmath.sinh((one - two) / 2) ** 2 + mpmath.sinh(one) * mpmath.sinh(two) * gap / 4
            found.append(float(2 * mpmath.asinh(mpmath.sqrt(half))))
    return torch.tensor(found, dtype=torch.float64)


def _ball_truth(x: Tensor, y: Tensor) -> Tensor:
    """Distance of points of the ball, as they are stored; infinite where a point has left it."""
    import mpmath

    with mpmath.workdps(DIGITS):
        found = []
        for a, b in zip(x.double().tolist(), y.double().tolist(), strict=True):
            squares = [sum(mpmath.mpf(c) ** 2 for c in v) for v in (a, b)]
            gap = sum((mpmath.mpf(c) - mpmath.mpf(d)) ** 2 for c, d in zip(a, b, strict=True))
            room = (1 - squares[0]) * (1 - squares[1])
            found.append(float(2 * mpmath.asinh(mpmath.sqrt(gap / room))) if room > 0 else float("inf"))
    return torch.tensor(found, dtype=torch.float64)


def _sphere_truth(x: Tensor, y: Tensor) -> Tensor:
    """Angle of two vectors as they are stored."""
    import mpmath

    with mpmath.workdps(DIGITS):
        found = []
        for a, b in zip(x.double().tolist(), y.double().tolist(), strict=True):
            a, b = ([mpmath.mpf(c) for c in v] for v in (a, b))
            norms = [mpmath.sqrt(sum(c * c for c in v)) for v in (a, b)]
            less, more = (
                mpmath.sqrt(sum((c / norms[0] + sign * d / norms[1]) ** 2 for c, d in zip(a, b, strict=True)))
                for sign in (-1, 1)
            )
            found.append(float(2 * mpmath.atan2(less, more)))
    return torch.tensor(found, dtype=torch.float64)


def _ball(r: Tensor, u: Tensor, dtype: torch.dtype) -> Tensor:
    """Point of the ball, computed in float64 and stored once."""
    return ((r / 2).tanh().unsqueeze(-1) * u).to(dtype)


def _polar(r: Tensor, u: Tensor, dtype: torch.dtype) -> Tensor:
    return torch.cat([r.unsqueeze(-1), u], -1).to(dtype)


def _sphere_rows(geoopt: Any, seeds: range) -> Iterator[Row]:
    """Distances of close, ordinary and nearly opposite points."""
    ours, theirs = Sphere(2), geoopt.Sphere()
    for label, dtype in TYPES.items():
        for what, angle in (("1e-3 apart", 1e-3), ("1 apart", 1.0), ("1e-3 from opposite", torch.pi - 1e-3)):
            mine, other, back, their_back = [], [], [], []
            for seed in seeds:
                x = _directions(seed, "x")
                across = ours.project_tangent(x, _directions(seed, "v"))
                v = angle * across / across.norm(dim=-1, keepdim=True)
                x, y = x.to(dtype), ours.exp(x, v).to(dtype)
                truth = _sphere_truth(x, y)
                mine.append(_relative(ours.dist(x, y), truth))
                other.append(_relative(theirs.dist(x, y), truth))
                back.append(_gap(ours.exp(x, ours.log(x, y)), y))
                their_back.append(_gap(theirs.expmap(x, theirs.logmap(x, y)), y))
            name, floor = f"sphere, {label}, {what}", ROUNDING[label]
            yield error_row(f"{name}, distance", "geoopt", mine, other, note="relative, against 60 digits", floor=floor)
            yield error_row(
                f"{name}, exp(log)", "geoopt", back, their_back, note="chord to the point meant", floor=floor
            )


def _gap(x: Tensor, y: Tensor) -> float:
    gap = (x.double() - y.double()).norm(dim=-1)
    return float(torch.where(gap.isfinite(), gap, 2.0).mean())


def _hyperbolic_rows(geoopt: Any, seeds: range) -> Iterator[Row]:
    """Distances and lengths of logarithms at radii up to 15."""
    ours, theirs = Hyperbolic(3), geoopt.PoincareBall()
    for label, dtype in TYPES.items():
        for radius in (1.0, 5.0, 10.0, 15.0):
            found: dict[str, list[tuple[float, float]]] = {
                "distance as drawn": [],
                "distance as stored": [],
                "length of log": [],
            }
            for seed in seeds:
                spread = Noise.range(seed, PAIRS).uniform((2,), step=0, stream="r")
                r, s = (radius * (0.8 + 0.2 * spread)).unbind(-1)
                u, w = _directions(seed, "u"), _directions(seed, "w")
                x, y = _polar(r, u, dtype), _polar(s, w, dtype)
                a, b = _ball(r, u, dtype), _ball(s, w, dtype)
                drawn = _hyperbolic_truth(r, u, s, w)
                mine, other = _relative(ours.dist(x, y), drawn), theirs.dist(a, b)
                found["distance as drawn"].append((mine, _relative(other, drawn)))
                own = _hyperbolic_truth(x[:, 0].double(), x[:, 1:].double(), y[:, 0].double(), y[:, 1:].double())
                stored = _ball_truth(a, b)
                found["distance as stored"].append((_relative(ours.dist(x, y), own), _relative(other, stored)))
                v = theirs.logmap(a, b)
                length = theirs.norm(a, v)
                found["length of log"].append(
                    (_relative(ours.norm(x, ours.log(x, y)), drawn), _relative(length, drawn))
                )
            for what, pairs in found.items():
                note = f"relative, against 60 digits, radii {0.8 * radius:g} to {radius:g}"
                name = f"hyperbolic, {label}, radius {radius:g}, {what}"
                yield error_row(name, "geoopt", *zip(*pairs, strict=True), note=note, floor=ROUNDING[label])


def _times(geoopt: Any, repeats: int) -> Iterator[Row]:
    """Seconds of exp, log and dist for 20,000 points."""
    count = 20_000
    u, w = _directions(0, "u", count), _directions(0, "w", count)
    r, s = (3 * Noise.range(0, count).uniform((2,), step=0, stream="r")).unbind(-1)
    dtype = torch.float32
    ball, polar = geoopt.PoincareBall(), Hyperbolic(3)
    pairs: list[tuple[str, Any, Any, tuple[Tensor, ...], tuple[Tensor, ...]]] = [
        ("sphere", Sphere(2), geoopt.Sphere(), (u.to(dtype), w.to(dtype)), (u.to(dtype), w.to(dtype))),
        (
            "hyperbolic",
            polar,
            ball,
            (_polar(r, u, dtype), _polar(s, w, dtype)),
            (_ball(r, u, dtype), _ball(s, w, dtype)),
        ),
    ]
    for name, ours, theirs, (x, y), (a, b) in pairs:
        v, z = ours.log(x, y), theirs.logmap(a, b)
        tasks: dict[str, tuple[Callable[[], Any], Callable[[], Any]]] = {
            "dist": (lambda o=ours, x=x, y=y: o.dist(x, y), lambda t=theirs, a=a, b=b: t.dist(a, b)),
            "log": (lambda o=ours, x=x, y=y: o.log(x, y), lambda t=theirs, a=a, b=b: t.logmap(a, b)),
            "exp": (lambda o=ours, x=x, v=v: o.exp(x, v), lambda t=theirs, a=a, z=z: t.expmap(a, z)),
        }
        for what, (mine, other) in tasks.items():
            yield time_row(f"{name}, {what}", "geoopt", mine, other, repeats=repeats, note=f"{count} points, float32")
    yield from _product(geoopt, u, w, repeats)


def _product(geoopt: Any, u: Tensor, w: Tensor, repeats: int) -> Iterator[Row]:
    """Distance in a product of a sphere, hyperbolic space and R^3."""
    space = ProductManifold({"turn": Sphere(2), "tree": Hyperbolic(3), "place": Flat(3)})
    peer = geoopt.ProductManifold((geoopt.Sphere(), 3), (geoopt.PoincareBall(), 3), (geoopt.Euclidean(1), 3))
    r = torch.ones(len(u), dtype=torch.float64)
    x, y = ({"turn": v, "tree": _polar(r, v, torch.float64), "place": 2 * v} for v in (u, w))
    a, b = (torch.cat([v, _ball(r, v, torch.float64), 2 * v], -1) for v in (u, w))
    gap = float((peer.dist(a, b) - space.dist(x, y)).abs().max())
    yield time_row(
        "product, dist",
        "geoopt",
        lambda: space.dist(x, y),
        lambda: peer.dist(a, b),
        repeats=repeats,
        note=f"{len(u)} points of S^2 x H^3 x R^3, float64; largest difference {gap:.1e}",
    )


def rows(fast: bool, seed: int) -> Iterator[Row]:
    """Rows of all manifolds."""
    try:
        import geoopt
        import mpmath  # noqa: F401  the truth needs it
    except ImportError:
        yield absent("geoopt")
        return
    seeds = range(seed, seed + (2 if fast else 5))
    yield from _sphere_rows(geoopt, seeds)
    yield from _hyperbolic_rows(geoopt, seeds)
    yield from _times(geoopt, 5 if fast else 11)
