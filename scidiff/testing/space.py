"""Checks of a manifold: metric, maps, tangents, gradients, batches."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from scidiff.testing.require import below, require

if TYPE_CHECKING:
    import torch
    from torch import Tensor

    from scidiff.spaces import Manifold, ProductManifold, State

__all__ = ["check_space"]


def check_space(
    space: Manifold | ProductManifold,
    points: State,
    *,
    dtype: torch.dtype | None = None,
    cut: tuple[State, State] | None = None,
    seed: int = 0,
) -> None:
    """Check that a manifold keeps the contract of `scidiff.spaces.Manifold`, in one precision.

    Checked are: ``exp(x, log(x, y)) = y``; ``|log| = dist``; symmetry and the triangle inequality; that `project` and
    `project_tangent` are idempotent and do not move what is there; that transport is isometric and carries
    ``log(x, y)`` to ``-log(y, x)``; ``grad dist^2 / 2 = -log``; that standard normal tangents have ``E |xi|^2 = dim``;
    finite gradients, also at ``x = y`` and at the cut locus; and that a batch is a loop.

    Parameters
    ----------
    space
        The manifold.
    points
        At least three points, the batch on the first axis; none is near the cut locus of its neighbour in the batch.
    dtype
        Precision of the check; that of the points if not given.
    cut
        Two batches of points, pair by pair on or near each other's cut locus, where there is one.
    seed
        Seed of the tangent vectors.

    Raises
    ------
    AssertionError
        If a law does not hold to ``64 eps (1 + dist) condition``: 64 roundings on the way, each magnified as the
        manifold's `condition` says.
    """
    import torch

    from scidiff.spaces import first, state_map

    dtype = first(points).dtype if dtype is None else dtype
    eps = 64 * torch.finfo(dtype).eps
    x = space.project(state_map(lambda s: s.to(dtype), points))
    require(len(first(x)) >= 3, f"{len(first(x))} points came; the check needs at least 3")
    y, z = (state_map(lambda s, k=k: s.roll(k, 0), x) for k in (1, 2))
    space.check(x)
    _check_metric(space, x, y, z, eps)
    _check_maps(space, x, y, eps)
    _check_tangents(space, x, y, eps, seed)
    _check_gradients(space, x, y, "of two points")
    _check_gradients(space, x, x, "at x = y")
    _check_batch(space, x, y, eps)
    if cut is not None:
        a, b = (space.project(state_map(lambda s: s.to(dtype), side)) for side in cut)
        _check_maps(space, a, b, eps)
        _check_gradients(space, a, b, "at the cut locus")


def _slack(space: Any, x: State, y: State, eps: float) -> Tensor:
    return eps * (1 + space.dist(x, y)) * space.condition(x, y)


def _check_metric(space: Any, x: State, y: State, z: State, eps: float) -> None:
    slack = _slack(space, x, y, eps)
    there = space.dist(x, y)
    below((there - space.dist(y, x)).abs(), slack, "dist is not symmetric")
    below(space.dist(x, x), _slack(space, x, x, eps), "dist(x, x) is not 0")
    gap = space.dist(x, z) - there - space.dist(y, z)
    below(gap, slack + _slack(space, y, z, eps) + _slack(space, x, z, eps), "the triangle inequality fails")
    below((space.norm(x, space.log(x, y)) - there).abs(), slack, "|log| is not dist")


def _check_maps(space: Any, x: State, y: State, eps: float) -> None:
    from scidiff.spaces import first

    v = space.log(x, y)
    reached = space.exp(x, v)
    require(first(reached).dtype == first(x).dtype, f"exp changed {first(x).dtype} to {first(reached).dtype}")
    slack = _slack(space, x, y, eps)
    below(space.dist(reached, y), slack, "exp(x, log(x, y)) is not y")
    below((space.norm(x, v) - space.dist(x, y)).abs(), slack, "|log| is not dist")
    below(space.dist(space.project(reached), reached), slack, "exp leaves the space")
    once = space.project(x)
    below(space.dist(space.project(once), once), _slack(space, x, x, eps), "project is not idempotent")
    below(space.dist(once, x), _slack(space, x, x, eps), "project moves points of the space")


def _check_tangents(space: Any, x: State, y: State, eps: float, seed: int) -> None:
    import torch

    from scidiff.random import Noise
    from scidiff.spaces import first, state_map

    count = len(first(x))
    u, w = (space.random_tangent(x, Noise.range(seed, count), step=k, stream="check") for k in (0, 1))
    slack = _slack(space, x, y, eps) * (1 + space.norm(x, u) + space.norm(x, w)) ** 2
    for name, v in (("log", space.log(x, y)), ("a random tangent", u)):
        off = state_map(lambda a, b: a - b, space.project_tangent(x, v), v)
        below(space.norm(x, off), slack, f"{name} is not tangent")
    carried, other = space.transport(x, y, u), space.transport(x, y, w)
    below((space.inner(y, carried, other) - space.inner(x, u, w)).abs(), slack, "transport is not isometric")
    turned = state_map(lambda a, b: a + b, space.transport(x, y, space.log(x, y)), space.log(y, x))
    below(space.norm(y, turned), slack * (1 + space.dist(x, y)), "transport does not carry log(x, y) to -log(y, x)")
    axis = torch.zeros(count, dtype=first(x).dtype, device=first(x).device, requires_grad=True)
    moved = space.exp(x, state_map(lambda a: a * axis.reshape(-1, *(1,) * (a.ndim - 1)), u))
    (slope,) = torch.autograd.grad((space.dist(moved, y) ** 2 / 2).sum(), axis)
    away = (slope + space.inner(x, space.log(x, y), u)).abs()
    below(away, slack * (1 + space.dist(x, y)), "the gradient of dist^2 / 2 is not -log")
    many = state_map(lambda a: a[torch.arange(2000) % count], x)
    drawn = space.random_tangent(many, Noise.range(seed, 2000), step=2, stream="check")
    squares = space.inner(many, drawn, drawn).mean()
    bound = 6 * math.sqrt(2 * space.dim / 2000)
    require(abs(float(squares) - space.dim) < bound, f"E |xi|^2 is {float(squares):.3f}, not dim = {space.dim}")


def _check_gradients(space: Any, x: State, y: State, where: str) -> None:
    import torch

    from scidiff.spaces import state_map

    a, b = (state_map(lambda s: s.detach().clone().requires_grad_(), side) for side in (x, y))
    leaves = [leaf for side in (a, b) for leaf in (side.values() if isinstance(side, Mapping) else (side,))]
    maps = {
        "log": lambda: space.log(a, b),
        "dist": lambda: space.dist(a, b),
        "exp": lambda: space.exp(a, space.log(a, b)),
        "transport": lambda: space.transport(a, b, space.log(a, b)),
    }
    for name, function in maps.items():
        value = function()
        parts = list(value.values()) if isinstance(value, Mapping) else [value]
        total = sum(
            (part * torch.linspace(0.5, 1.5, part.numel()).to(part).reshape(part.shape)).sum() for part in parts
        )
        require(bool(torch.isfinite(total)), f"{name} {where} is not finite")
        grads = torch.autograd.grad(total, leaves, allow_unused=True)
        finite = all(bool(torch.isfinite(grad).all()) for grad in grads if grad is not None)
        require(finite, f"the gradient of {name} {where} is not finite")


def _check_batch(space: Any, x: State, y: State, eps: float) -> None:
    from scidiff.spaces import first, state_map

    slack, v, there = _slack(space, x, y, eps), space.log(x, y), space.dist(x, y)
    for k in range(len(first(x))):
        row = [state_map(lambda s, k=k: s[k : k + 1], side) for side in (x, y, v)]
        off = state_map(lambda a, b: a - b, space.log(row[0], row[1]), row[2])
        below(space.norm(row[0], off), slack[k : k + 1], "log of a batch is not log of its rows")
        below(
            (space.dist(row[0], row[1]) - there[k]).abs(), slack[k : k + 1], "dist of a batch is not that of its rows"
        )
    above = [state_map(lambda s: s.unsqueeze(0), side) for side in (x, y)]
    require(space.dist(*above).shape == (1, *there.shape), "dist does not keep the axes before the points")
    below((space.dist(*above)[0] - there).abs(), slack, "dist with another leading axis differs")
