"""Conformance checks, for the package's own tests and for those of third parties.

Each check raises `AssertionError` with one sentence about what does not hold; called from a test, it makes the test
fail.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from scidiff.domain import DemoSection, Domain, Row

if TYPE_CHECKING:
    import torch
    from torch import Tensor

    from scidiff.nets.equivariant import EquivariantNetwork
    from scidiff.spaces import Manifold, ProductManifold, State

__all__ = ["check_bench", "check_demo", "check_domain", "check_equivariant", "check_space"]


def _require(holds: object, message: str) -> None:
    if not holds:
        raise AssertionError(message)


def check_domain(domain: Domain) -> None:
    """Check what a domain declares: names, folder, commands, data sets, bundled models.

    Parameters
    ----------
    domain
        The domain.

    Raises
    ------
    AssertionError
        If the declaration breaks the contract of `scidiff.domain.Domain`.
    """
    from typer import Typer

    from scidiff.io.checkpoint import card_path

    _require(isinstance(domain, Domain), f"{domain!r:.80} is not a scidiff.domain.Domain")
    _require(
        domain.name.isidentifier() and domain.name.islower(), f"name '{domain.name}' is no lower-case Python identifier"
    )
    _require(domain.title and "\n" not in domain.title, "the title is not one line")
    _require(domain.home.is_dir(), f"home '{domain.home}' is not a folder")
    _require(callable(domain.demo) and callable(domain.bench_rows), "demo and bench_rows have to be functions")
    cli = domain.load_cli()
    _require(isinstance(cli, Typer), f"'{domain.cli}' is a {type(cli).__name__}, not a typer.Typer")
    for name, one in domain.load_datasets().items():
        for attribute in ("title", "size", "source", "licence", "get"):
            _require(hasattr(one, attribute), f"data set '{name}' lacks '{attribute}'")
    for path in domain.models:
        _require(card_path(path).is_file(), f"model '{path.name}' has no card '{card_path(path).name}' beside it")


def check_demo(domain: Domain, folder: Path, seed: int = 0) -> DemoSection:
    """Run the fast demonstration of a domain and check what it returns.

    Parameters
    ----------
    domain
        The domain.
    folder
        An empty folder.
    seed
        Seed of the demonstration.

    Returns
    -------
    DemoSection
        The section.

    Raises
    ------
    AssertionError
        If the section says nothing or shows nothing.
    """
    section = domain.demo(folder, seed, True)
    _require(isinstance(section, DemoSection), f"demo returned a {type(section).__name__}, not a DemoSection")
    _require(section.title and section.lead, "the section has no title or no lead")
    _require(section.rows and section.pictures, "the section has no numbers or no pictures")
    for picture in section.pictures:
        content = picture.content
        image = "<svg" in content if isinstance(content, str) else content.startswith(b"\x89PNG\r\n\x1a\n")
        _require(image and picture.caption, f"picture '{picture.caption}' is neither SVG nor PNG, or has no caption")
    return section


def check_bench(domain: Domain, seed: int = 0) -> tuple[Row, ...]:
    """Run the fast benchmark of a domain and check its rows.

    Parameters
    ----------
    domain
        The domain.
    seed
        Seed of the benchmark.

    Returns
    -------
    tuple of Row
        The rows.

    Raises
    ------
    AssertionError
        If there is no row, a name comes twice, an interval does not hold its value, or no row has a baseline.
    """
    rows = tuple(domain.bench_rows(True, seed))
    names = [row.name for row in rows]
    _require(rows, "the benchmark has no rows")
    _require(all(isinstance(row, Row) for row in rows), "the benchmark yields something else than rows")
    _require(len(set(names)) == len(names), f"row names repeat: {sorted({n for n in names if names.count(n) > 1})}")
    for row in rows:
        inside = row.interval is None or row.interval[0] <= row.value <= row.interval[1]
        _require(inside, f"the interval {row.interval} of row '{row.name}' does not hold its value {row.value}")
    _require(any(row.baseline is not None for row in rows), "no row has a baseline")
    return rows


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
    _require(len(first(x)) >= 3, f"{len(first(x))} points came; the check needs at least 3")
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


def _below(value: Tensor, bound: Tensor, message: str) -> None:
    worst = (value - bound).argmax()
    value, bound = value.flatten()[worst], bound.flatten()[worst]
    _require(bool(value <= bound), f"{message}: off by {float(value):.3g}, allowed {float(bound):.3g}")


def _check_metric(space: Any, x: State, y: State, z: State, eps: float) -> None:
    slack = _slack(space, x, y, eps)
    there = space.dist(x, y)
    _below((there - space.dist(y, x)).abs(), slack, "dist is not symmetric")
    _below(space.dist(x, x), _slack(space, x, x, eps), "dist(x, x) is not 0")
    gap = space.dist(x, z) - there - space.dist(y, z)
    _below(gap, slack + _slack(space, y, z, eps) + _slack(space, x, z, eps), "the triangle inequality fails")
    _below((space.norm(x, space.log(x, y)) - there).abs(), slack, "|log| is not dist")


def _check_maps(space: Any, x: State, y: State, eps: float) -> None:
    from scidiff.spaces import first

    v = space.log(x, y)
    reached = space.exp(x, v)
    _require(first(reached).dtype == first(x).dtype, f"exp changed {first(x).dtype} to {first(reached).dtype}")
    slack = _slack(space, x, y, eps)
    _below(space.dist(reached, y), slack, "exp(x, log(x, y)) is not y")
    _below((space.norm(x, v) - space.dist(x, y)).abs(), slack, "|log| is not dist")
    _below(space.dist(space.project(reached), reached), slack, "exp leaves the space")
    once = space.project(x)
    _below(space.dist(space.project(once), once), _slack(space, x, x, eps), "project is not idempotent")
    _below(space.dist(once, x), _slack(space, x, x, eps), "project moves points of the space")


def _check_tangents(space: Any, x: State, y: State, eps: float, seed: int) -> None:
    import torch

    from scidiff.random import Noise
    from scidiff.spaces import first, state_map

    count = len(first(x))
    u, w = (space.random_tangent(x, Noise.range(seed, count), step=k, stream="check") for k in (0, 1))
    slack = _slack(space, x, y, eps) * (1 + space.norm(x, u) + space.norm(x, w)) ** 2
    for name, v in (("log", space.log(x, y)), ("a random tangent", u)):
        off = state_map(lambda a, b: a - b, space.project_tangent(x, v), v)
        _below(space.norm(x, off), slack, f"{name} is not tangent")
    carried, other = space.transport(x, y, u), space.transport(x, y, w)
    _below((space.inner(y, carried, other) - space.inner(x, u, w)).abs(), slack, "transport is not isometric")
    turned = state_map(lambda a, b: a + b, space.transport(x, y, space.log(x, y)), space.log(y, x))
    _below(space.norm(y, turned), slack * (1 + space.dist(x, y)), "transport does not carry log(x, y) to -log(y, x)")
    axis = torch.zeros(count, dtype=first(x).dtype, device=first(x).device, requires_grad=True)
    moved = space.exp(x, state_map(lambda a: a * axis.reshape(-1, *(1,) * (a.ndim - 1)), u))
    (slope,) = torch.autograd.grad((space.dist(moved, y) ** 2 / 2).sum(), axis)
    away = (slope + space.inner(x, space.log(x, y), u)).abs()
    _below(away, slack * (1 + space.dist(x, y)), "the gradient of dist^2 / 2 is not -log")
    many = state_map(lambda a: a[torch.arange(2000) % count], x)
    drawn = space.random_tangent(many, Noise.range(seed, 2000), step=2, stream="check")
    squares = space.inner(many, drawn, drawn).mean()
    bound = 6 * math.sqrt(2 * space.dim / 2000)
    _require(abs(float(squares) - space.dim) < bound, f"E |xi|^2 is {float(squares):.3f}, not dim = {space.dim}")


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
        _require(bool(torch.isfinite(total)), f"{name} {where} is not finite")
        grads = torch.autograd.grad(total, leaves, allow_unused=True)
        finite = all(bool(torch.isfinite(grad).all()) for grad in grads if grad is not None)
        _require(finite, f"the gradient of {name} {where} is not finite")


def _check_batch(space: Any, x: State, y: State, eps: float) -> None:
    from scidiff.spaces import first, state_map

    slack, v, there = _slack(space, x, y, eps), space.log(x, y), space.dist(x, y)
    for k in range(len(first(x))):
        row = [state_map(lambda s, k=k: s[k : k + 1], side) for side in (x, y, v)]
        off = state_map(lambda a, b: a - b, space.log(row[0], row[1]), row[2])
        _below(space.norm(row[0], off), slack[k : k + 1], "log of a batch is not log of its rows")
        _below(
            (space.dist(row[0], row[1]) - there[k]).abs(), slack[k : k + 1], "dist of a batch is not that of its rows"
        )
    above = [state_map(lambda s: s.unsqueeze(0), side) for side in (x, y)]
    _require(space.dist(*above).shape == (1, *there.shape), "dist does not keep the axes before the points")
    _below((space.dist(*above)[0] - there).abs(), slack, "dist with another leading axis differs")


def check_equivariant(
    network: EquivariantNetwork,
    x: Tensor,
    h: Tensor,
    t: Tensor,
    *,
    mask: Tensor | None = None,
    seed: int = 0,
    tolerance: float | None = None,
) -> dict[str, float]:
    """Check the contract of `scidiff.nets.equivariant` on one dense batch.

    Parameters
    ----------
    network, x, h, t, mask, seed
        As for `scidiff.nets.motions.equivariance_errors`.
    tolerance
        Largest relative error; by default 1e-10 in float64 and 1e-4 in float32.

    Returns
    -------
    dict
        The relative error of each motion, by name.

    Raises
    ------
    AssertionError
        If an error exceeds the tolerance, or if a network that promises rotations only commutes with reflections too.
    """
    import torch

    from scidiff.nets.motions import equivariance_errors

    bound = {torch.float64: 1e-10, torch.float32: 1e-4}[x.dtype] if tolerance is None else tolerance
    errors = equivariance_errors(network, x, h, t, mask, seed=seed)
    for name, error in errors.items():
        if name != "reflection" or network.reflections:
            _require(error <= bound, f"{name}: relative error {error:.3g}, more than {bound:.3g}")
    _require(
        network.reflections or errors["reflection"] > bound,
        "the network commutes with reflections and does not say so: set reflections",
    )
    return errors
