"""Affine constraints of fields as operators: values at sites, weighted sums, slices; and rows put together.

    values       (A x)_k = x[site_k]                          sensors, boundary values, initial slices
    sums         (A x)_k = sum over the summed axes of w x     masses and means, one for each index of the others

Weights are those of a quadrature, so that a mass has the unit of the field times that of the volume.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from scidiff.errors import ConfigError, ShapeError
from scidiff.spaces.linear import LinearOperator, Selection

from ..errors import SensorError

__all__ = ["Stack", "WeightedSums", "boundary", "initial_slice", "means", "sites"]


class WeightedSums(LinearOperator):
    """Weighted sums over some axes of a field, one for each index of the others.

    Parameters
    ----------
    domain
        Event shape of a field.
    axes
        Axes of the event that are summed.
    weights
        Quadrature weights, broadcast to the domain; 1 over the number of terms by default, which gives means.

    Raises
    ------
    ConfigError
        If an axis is not one of the event, or comes twice.
    """

    def __init__(self, domain: Sequence[int], axes: Sequence[int], weights: Tensor | None = None) -> None:
        self.domain, self.axes = tuple(domain), tuple(axes)
        if not axes or len(set(axes)) != len(self.axes) or not set(axes) <= set(range(len(self.domain))):
            raise ConfigError(f"axes {self.axes} of a field of shape {self.domain}; expected different axes of it")
        count = math.prod(self.domain[axis] for axis in self.axes)
        mean = torch.tensor(1.0 / count, dtype=torch.float64)
        self.weights = (mean if weights is None else torch.as_tensor(weights).double()).expand(self.domain)
        kept = tuple(side for axis, side in enumerate(self.domain) if axis not in self.axes)
        self.range = kept or (1,)

    def apply(self, x: Tensor) -> Tensor:
        """Sums, shape ``(batch, *range)``."""
        self.check(x, self.domain, "x")
        return (x * self.weights.to(x)).sum([axis + 1 for axis in self.axes]).reshape(len(x), *self.range)

    def adjoint(self, y: Tensor) -> Tensor:
        """Spread the sums over the sites with their weights."""
        self.check(y, self.range, "y")
        shape = [1 if axis in self.axes else side for axis, side in enumerate(self.domain)]
        return y.reshape(len(y), *shape) * self.weights.to(y)


class Stack(LinearOperator):
    """Rows of several operators on one domain, their data flattened one behind the other.

    Parameters
    ----------
    parts
        The operators.
    """

    def __init__(self, parts: Sequence[LinearOperator]) -> None:
        domains = {tuple(part.domain) for part in parts}
        if len(domains) != 1:
            raise ShapeError(f"operators on fields of shapes {sorted(domains)} came; expected one shape")
        self.parts, self.domain = tuple(parts), domains.pop()
        self.range = (sum(part.size for part in parts),)

    def apply(self, x: Tensor) -> Tensor:
        """Data of all parts."""
        return torch.cat([part.apply(x).flatten(1) for part in self.parts], 1)

    def adjoint(self, y: Tensor) -> Tensor:
        """Sum of the adjoints."""
        self.check(y, self.range, "y")
        pieces = y.split([part.size for part in self.parts], 1)
        pulled = [
            part.adjoint(piece.reshape(len(y), *part.range)) for part, piece in zip(self.parts, pieces, strict=True)
        ]
        return torch.stack(pulled).sum(0)


def sites(domain: Sequence[int], places: Sequence[Sequence[int]] | Tensor) -> Selection:
    """Values at sites of a grid, in the order of the grid.

    Parameters
    ----------
    domain
        Event shape of a field.
    places
        Indices of the sites, shape ``(count, axes)``.

    Raises
    ------
    SensorError
        If a site lies outside the field, or comes twice.
    """
    index = torch.as_tensor(places).long().reshape(-1, len(domain))
    outside = (index < 0).any(1) | (index >= torch.tensor(tuple(domain))).any(1)
    if bool(outside.any()):
        where = torch.nonzero(outside)[:, 0].tolist()
        raise SensorError(
            f"sensors {where[:5]} lie at {index[where[:5]].tolist()}, outside a field of shape {tuple(domain)}; "
            "expected indices within it",
            where,
        )
    flat = torch.zeros(len(index), dtype=torch.long)
    for axis, side in enumerate(domain):
        flat = flat * side + index[:, axis]
    _, counts = torch.unique(flat, return_counts=True)
    if bool((counts > 1).any()):
        again = [k for k in range(len(flat)) if bool((flat[:k] == flat[k]).any())]
        raise SensorError(f"sensors {again[:5]} stand where another one does; expected one sensor a site", again)
    mask = torch.zeros(math.prod(domain), dtype=torch.bool)
    mask[flat] = True
    return Selection(mask.reshape(tuple(domain)))


def boundary(domain: Sequence[int], axis: int, *, first: bool = True, last: bool = True) -> Selection:
    """Values on the first and last slice of an axis, in the order of the grid."""
    mask = torch.zeros(tuple(domain), dtype=torch.bool)
    if first:
        mask.narrow(axis, 0, 1).fill_(True)
    if last:
        mask.narrow(axis, domain[axis] - 1, 1).fill_(True)
    return Selection(mask)


def initial_slice(domain: Sequence[int], axis: int = -1) -> Selection:
    """Values at the first index of the axis of time."""
    return boundary(domain, axis % len(domain), last=False)


def means(domain: Sequence[int], axes: Sequence[int]) -> WeightedSums:
    """Means over some axes, one for each index of the others."""
    return WeightedSums(domain, axes)
