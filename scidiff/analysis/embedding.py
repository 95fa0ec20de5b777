"""Embeddings of a finite metric space into products of curved spaces, with the radii of curvature learned.

Given distances ``D_ij``, find points ``x_i`` of a product ``M = M_1 x M_2 x ...`` and radii ``R_k`` that make

    d_ij^2 = sum_k R_k^2 d_k(x_i^k, x_j^k)^2,        loss = mean over pairs of (d_ij / D_ij - 1)^2

small [1]_. The curvature of factor k is that of ``M_k`` divided by ``R_k^2``; a flat factor has no radius. The loss is
the smooth form of the average distortion, the mean of ``|d_ij / D_ij - 1|``, which is what is reported.

The loss has many local minima, of two sorts. Axes of the data go to the wrong factor: so there are many starts from
classical scaling (`scidiff.analysis.spectral_starts`), each is improved a little, and the best go on. A few points sit
where no small move helps: so after every descent each point may *relocate*, one factor at a time, to where another
point sits, if that lowers its own part of the loss. The descent is L-BFGS in float64 over ``log R`` and over tangent
vectors at the points reached so far, so that any `Manifold` serves as a factor.

References
----------
.. [1] A. Gu et al., "Learning mixed-curvature representations in product spaces", ICLR 2019
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import singledispatch

import numpy as np
import torch
from scipy.optimize import minimize
from torch import Tensor

from scidiff.analysis.spectral_starts import axes_of, classical_scaling, deal, start
from scidiff.errors import ConfigError, DataError, NumericalError, ShapeError
from scidiff.random import Noise
from scidiff.spaces import (
    Flat,
    Hyperbolic,
    Manifold,
    ProductManifold,
    Scaled,
    State,
    average_distortion,
    worst_distortion,
)
from scidiff.spaces.smooth import safe_sqrt

__all__ = ["Embedding", "embed"]

_SHORT, _ROUND, _FINALISTS = 30, 100, 3
_SMALLEST, _LARGEST = 40.0, 30.0
_EXACT = 1e-18
_ALONE = "space"


@dataclass(frozen=True, eq=False)
class Embedding:
    """A finite metric space, embedded.

    Parameters
    ----------
    space
        Where the points live, every curved factor with its learned radius as a `Scaled`.
    points
        The points, float64; a mapping where `space` is a product.
    target
        The distances wanted, shape ``(count, count)``.
    radii
        Radius of each factor, in the unit of the target; infinite for `Flat`. A manifold alone is called ``"space"``.
    losses
        Loss of every start that was carried to the end, best first. Where they differ, the loss has local minima.
    """

    space: Manifold | ProductManifold
    points: State
    target: Tensor
    radii: Mapping[str, float]
    losses: tuple[float, ...]

    @property
    def distances(self) -> Tensor:
        """Distances reached, shape ``(count, count)``."""
        factors, points = _named(self.space, self.points)
        return safe_sqrt(sum(_squares(factors[name], points[name]) for name in factors) + 0.0)

    def _pairs(self) -> tuple[Tensor, Tensor]:
        i, j = _indices(len(self.target))
        return self.distances[i, j], self.target[i, j]

    @property
    def average_distortion(self) -> float:
        """Mean of ``|d / D - 1|`` over pairs."""
        return float(average_distortion(*self._pairs()))

    @property
    def worst_distortion(self) -> float:
        """Largest ``d / D`` over the smallest; infinite where two points coincide."""
        return float(worst_distortion(*self._pairs()))

    @property
    def stress(self) -> float:
        """Kruskal's stress-1, the root of ``sum (d - D)^2 / sum D^2``."""
        reached, wanted = self._pairs()
        return float(((reached - wanted).square().sum() / wanted.square().sum()).sqrt())

    @property
    def extents(self) -> dict[str, float]:
        """Largest distance within each factor over its radius: far below 1 where the factor is as good as flat."""
        factors, points = _named(self.space, self.points)
        return {
            name: float(_squares(space, points[name]).max().sqrt()) / self.radii[name]
            for name, space in factors.items()
        }


def embed(
    target: Tensor | np.ndarray,
    space: Manifold | ProductManifold,
    *,
    seed: int = 0,
    starts: int = 16,
    iterations: int = 600,
) -> Embedding:
    """Embed a finite metric space and learn the radii of curvature.

    Parameters
    ----------
    target
        Distances, shape ``(count, count)``: symmetric, zero on the diagonal, positive elsewhere. The triangle
        inequality is not needed.
    space
        Manifold of scale 1, or a product of such. A factor that is a `Scaled` keeps the radius that it has.
    seed
        Seed of the starts.
    starts
        Number of starts; the best three are carried to the end.
    iterations
        Most iterations of L-BFGS for each of those; fewer where the loss has settled.

    Returns
    -------
    Embedding
        The best one found: a local minimum, global only where the loss is zero.

    Raises
    ------
    ShapeError
        If the target is not a square matrix of at least 3 points.
    DataError
        If it holds no distances.
    ConfigError
        If the space has no fixed size, or starts or iterations are not positive.
    NumericalError
        If no start has a finite loss.

    Notes
    -----
    A tree has distortion 0 in the hyperbolic plane only in the limit of radius 0, where float64 coordinates end; radii
    stay above 1/40 of the largest distance, and below 30 times that, where a factor is flat to 1e-4.
    """
    distances = _checked(target)
    if starts < 1 or iterations < 1:
        raise ConfigError(f"starts {starts}, iterations {iterations}; expected both positive")
    problem = _Problem.of(distances, space)
    tried = [problem.relocate(problem.descend(fit, _SHORT)) for fit in problem.starts(distances, seed, starts)]
    tried = sorted((fit for fit in tried if math.isfinite(fit.loss)), key=lambda fit: fit.loss)
    if not tried:
        raise NumericalError(f"no start of {starts} has a finite loss in {space!r}; scale the target, or ask for more")
    ended = sorted((problem.settle(fit, iterations) for fit in _distinct(tried)), key=lambda fit: fit.loss)
    return problem.embedding(ended[0], distances, space, tuple(fit.loss for fit in ended))


@singledispatch
def _carried(space: Manifold, points: Tensor, factor: Tensor) -> Tensor:
    """Points of a space whose radius is divided by ``factor``; where it helps, at the same length from the origin."""
    return points


@_carried.register
def _(space: Hyperbolic, points: Tensor, factor: Tensor) -> Tensor:
    return torch.cat((points[..., :1] * factor, points[..., 1:]), dim=-1)


@dataclass(frozen=True, eq=False)
class _Fit:
    """Points of every factor, logarithms of the radii, and the loss."""

    points: dict[str, Tensor]
    logs: dict[str, float]
    loss: float = math.inf


@dataclass(frozen=True, eq=False)
class _Problem:
    """Factors of scale 1, radii that are given, pairs with their distances."""

    factors: dict[str, Manifold]
    given: dict[str, float]
    pairs: tuple[Tensor, Tensor]
    wanted: Tensor

    @classmethod
    def of(cls, distances: Tensor, space: Manifold | ProductManifold) -> _Problem:
        named = dict(space.factors) if isinstance(space, ProductManifold) else {_ALONE: space}
        given = {name: float(factor.scale.detach()) for name, factor in named.items() if isinstance(factor, Scaled)}
        bare = {name: factor.space if isinstance(factor, Scaled) else factor for name, factor in named.items()}
        for name, factor in bare.items():
            if not isinstance(factor, Manifold) or isinstance(factor, Scaled) or None in factor.shape:
                raise ConfigError(f"factor '{name}' is {factor!r}; expected a Manifold of fixed size, scaled once")
            if isinstance(factor, Flat):
                given.setdefault(name, 1.0)
        pairs = _indices(len(distances))
        return cls(bare, given, pairs, distances[pairs])

    @property
    def learned(self) -> list[str]:
        """Names of the factors whose radius is learned."""
        return [name for name in self.factors if name not in self.given]

    def starts(self, distances: Tensor, seed: int, count: int) -> list[_Fit]:
        """Deal the spectral axes out, `count` times."""
        scaled, widths = classical_scaling(distances), {name: axes_of(each) for name, each in self.factors.items()}
        noises, made = Noise.range(seed, count), []
        for row in range(count):
            points, logs = {}, {}
            axes = deal(scaled, widths, noises.take([row]), mixed=row > 0)
            for name, space in self.factors.items():
                noise = noises.take([row]).scoped(name)
                coin = noise.uniform((space.dim,), step=0, stream="embedding/bent")[0]
                bent = [row == 0 or float(draw) > 0.3 for draw in coin] if row != 1 else [False] * space.dim
                points[name], radius = start(space, axes[name], self.given.get(name), bent, noise)
                logs[name] = math.log(radius)
            made.append(_Fit(points, logs))
        return made

    def _state(self, theta: Tensor, fit: _Fit) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
        """Points and logarithms of the radii at the coordinates ``theta`` around a fit."""
        learned, count, at = self.learned, len(next(iter(fit.points.values()))), 0
        tail = theta[len(theta) - len(learned) :]
        logs = {name: torch.tensor(log, dtype=torch.float64) for name, log in fit.logs.items()}
        logs |= dict(zip(learned, tail, strict=True))
        points = {}
        for name, space in self.factors.items():
            size = count * math.prod(space.tangent_shape)
            v = theta[at : at + size].reshape(count, *space.tangent_shape)
            base = fit.points[name]
            if name in learned:
                base = _carried(space, base, (fit.logs[name] - logs[name]).exp())
            points[name] = space.exp(base, space.project_tangent(base, v))
            at += size
        return points, logs

    def _loss(self, points: dict[str, Tensor], logs: dict[str, Tensor]) -> Tensor:
        parts = [
            (space.dist(*(points[n].index_select(0, k) for k in self.pairs)) * logs[n].exp()) ** 2
            for n, space in self.factors.items()
        ]
        return (safe_sqrt(torch.stack(parts).sum(0)) / self.wanted - 1).square().mean()

    def descend(self, fit: _Fit, iterations: int) -> _Fit:
        """Minimise the loss by L-BFGS in tangent vectors at the points of the fit."""
        learned, count = self.learned, len(next(iter(fit.points.values())))
        size = count * sum(math.prod(space.tangent_shape) for space in self.factors.values())

        def value(theta: np.ndarray) -> tuple[float, np.ndarray]:
            leaf = torch.tensor(theta, requires_grad=True)
            loss = self._loss(*self._state(leaf, fit))
            (gradient,) = torch.autograd.grad(loss, leaf)
            return float(loss.detach()), gradient.numpy()

        largest = float(self.wanted.max())
        bounds = (math.log(largest / _SMALLEST), math.log(largest * _LARGEST))
        theta = np.concatenate((np.zeros(size), np.clip([fit.logs[name] for name in learned], *bounds)))
        options = {"maxiter": iterations, "maxcor": 20, "ftol": 1e-7 * min(1.0, fit.loss), "gtol": 1e-12}
        limits = [(None, None)] * size + [bounds] * len(learned)
        found = minimize(value, theta, jac=True, method="L-BFGS-B", bounds=limits, options=options)
        with torch.no_grad():
            points, logs = self._state(torch.from_numpy(found.x), fit)
            points = {name: self.factors[name].project(each) for name, each in points.items()}
            logs = {name: float(each) for name, each in logs.items()}
        return _Fit(points, logs, float(found.fun))

    def relocate(self, fit: _Fit) -> _Fit:
        """Let every point try, in one factor at a time, the place of every other point; keep what lowers the loss."""
        points = {name: each.clone() for name, each in fit.points.items()}
        squares = {n: _squares(space, points[n]) * math.exp(2 * fit.logs[n]) for n, space in self.factors.items()}
        count = len(next(iter(points.values())))
        weights = torch.zeros(count, count, dtype=torch.float64)
        weights[self.pairs] = 1 / self.wanted
        weights = weights + weights.T
        moved = False
        for p in range(count):
            for name in self.factors if len(self.factors) > 1 else ():
                rest = sum((squares[n][p] for n in squares if n != name), torch.zeros(count, dtype=torch.float64))
                tries = (rest + squares[name]).sqrt() * weights[p] - 1
                tries[:, p] = 0
                costs = tries.square().sum(1)
                q = int(costs.argmin())
                if q != p and float(costs[q]) < 0.99 * float(costs[p]):
                    points[name][p] = points[name][q]
                    row = squares[name][q].clone()
                    row[p] = 0.0
                    squares[name][p], squares[name][:, p] = row, row
                    moved = True
        return replace(fit, points=points, loss=self.loss_at(points, fit.logs)) if moved else fit

    def loss_at(self, points: dict[str, Tensor], logs: dict[str, float]) -> float:
        """Loss, without a gradient."""
        with torch.no_grad():
            return float(self._loss(points, {name: torch.tensor(log) for name, log in logs.items()}))

    def settle(self, fit: _Fit, iterations: int) -> _Fit:
        """Descend and relocate until the loss has settled."""
        for begin in range(0, iterations, _ROUND):
            before = fit.loss
            fit = self.descend(fit, min(_ROUND, iterations - begin))
            jumped = self.relocate(fit)
            if jumped is fit and (fit.loss < _EXACT or fit.loss > (1 - 1e-3) * before):
                break
            fit = jumped if begin + _ROUND < iterations else fit
        return fit

    def embedding(self, fit: _Fit, distances: Tensor, space: Manifold | ProductManifold, losses: tuple) -> Embedding:
        """Give the spaces their radii."""
        radii, factors = {}, {}
        for name, factor in self.factors.items():
            flat = isinstance(factor, Flat)
            radii[name] = math.inf if flat else math.exp(fit.logs[name])
            factors[name] = factor if flat and fit.logs[name] == 0 else Scaled(factor, fit.logs[name])
        if isinstance(space, ProductManifold):
            return Embedding(ProductManifold(factors), fit.points, distances, radii, losses)
        return Embedding(factors[_ALONE], fit.points[_ALONE], distances, radii, losses)


def _distinct(fits: list[_Fit]) -> list[_Fit]:
    """Choose the best few fits whose losses differ."""
    chosen: list[_Fit] = []
    for fit in fits:
        if len(chosen) < _FINALISTS and (not chosen or fit.loss > chosen[-1].loss * (1 + 1e-3)):
            chosen.append(fit)
    return chosen


def _indices(count: int) -> tuple[Tensor, Tensor]:
    """Indices of the pairs ``i < j``."""
    i, j = torch.triu_indices(count, count, 1)
    return i, j


def _squares(space: Manifold, points: Tensor) -> Tensor:
    """Squared distances between all points, shape ``(count, count)``."""
    return space.dist(points.unsqueeze(1), points.unsqueeze(0)) ** 2


def _named(space: Manifold | ProductManifold, points: State) -> tuple[dict[str, Manifold], dict[str, Tensor]]:
    if isinstance(space, ProductManifold) and isinstance(points, Mapping):
        return dict(space.factors), dict(points)
    return {_ALONE: space}, {_ALONE: points}  # type: ignore[dict-item]


def _checked(target: Tensor | np.ndarray) -> Tensor:
    """Distances in float64, or an error."""
    distances = torch.as_tensor(target).detach().to("cpu", torch.float64)
    if distances.ndim != 2 or distances.shape[0] != distances.shape[1] or len(distances) < 3:
        raise ShapeError(f"target has shape {tuple(distances.shape)}; expected a square matrix of at least 3 points")
    if not bool(distances.isfinite().all()):
        raise DataError("target has entries that are not finite; expected distances: join the parts, or leave them out")
    skew, size = float((distances - distances.T).abs().max()), float(distances.abs().max())
    trace = float(distances.diagonal().abs().max())
    if skew > 1e-6 * size or trace > 1e-6 * size:
        raise DataError(
            f"target differs from its transpose by {skew:.3g} and has {trace:.3g} on its diagonal; expected a "
            "symmetric matrix with zeros there: pass (target + target.T) / 2 if the difference is noise"
        )
    least = float(distances[_indices(len(distances))].min())
    if least <= 0:
        raise DataError(
            f"two points of the target are {least:.3g} apart; expected positive distances: merge such points"
        )
    return ((distances + distances.T) / 2).fill_diagonal_(0.0)
