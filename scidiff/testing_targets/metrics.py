"""Finite metric spaces whose geometry is known: trees, cycles, spheres, hyperbolic discs, and their l2 products.

    cycle of length L                  isometric to points of the circle of radius L / 2 pi
    points of S^2 of radius R          sphere of radius R
    points of H^2 of radius R          hyperbolic plane of curvature -1 / R^2
    tree                               no radius of its own: distortion in H^2 falls to 0 as R does [1]_
    l2 product, D^2 = sum_k D_k^2      product of the above, each with its own radius

All return float64 matrices of shape ``(count, count)``.

References
----------
.. [1] R. Sarkar, "Low distortion Delaunay embedding of trees in hyperbolic plane", GD 2011,
   doi:10.1007/978-3-642-25878-7_34
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from scidiff.errors import ConfigError, ShapeError
from scidiff.spaces import Hyperbolic, Manifold, Sphere

__all__ = ["cycle_metric", "hyperbolic_metric", "product_metric", "sphere_metric", "tree_metric"]

_GOLDEN = math.pi * (3 - math.sqrt(5))


def cycle_metric(count: int, circumference: float | None = None) -> Tensor:
    """Distances along a closed path.

    Parameters
    ----------
    count
        Number of points, evenly spaced, at least 3.
    circumference
        Length of the path; one unit between neighbours where it is not given.

    Raises
    ------
    ConfigError
        If there are too few points, or the length is not positive.
    """
    _check(count, 3, 1.0 if circumference is None else circumference)
    place = torch.arange(count, dtype=torch.float64)
    hops = (place - place.unsqueeze(1)).abs()
    return torch.minimum(hops, count - hops) * ((count if circumference is None else circumference) / count)


def tree_metric(degree: int, depth: int, edge: float = 1.0) -> Tensor:
    """Distances along a regular tree: every node that is not a leaf has `degree` neighbours.

    Parameters
    ----------
    degree
        Number of neighbours, at least 3: that of the root's children, and one more than the children of any other node.
    depth
        Number of edges from the root to a leaf.
    edge
        Length of an edge.

    Raises
    ------
    ConfigError
        If the tree would be a path or have no edge.
    """
    if degree < 3 or depth < 1 or not 0 < edge < math.inf:
        raise ConfigError(f"degree {degree}, depth {depth}, edge {edge}; expected at least 3, at least 1, positive")
    parents, level = [0], [0]
    for step in range(depth):
        grown = [parent for parent in level for _ in range(degree if step == 0 else degree - 1)]
        level = list(range(len(parents), len(parents) + len(grown)))
        parents += grown
    distances = torch.zeros(len(parents), len(parents), dtype=torch.float64)
    for node in range(1, len(parents)):
        row = distances[parents[node], :node] + edge
        distances[node, :node], distances[:node, node] = row, row
    return distances


def sphere_metric(count: int, radius: float = 1.0) -> Tensor:
    """Great-circle distances of points spread evenly over the sphere S^2, on a spiral of golden angles.

    Parameters
    ----------
    count
        Number of points, at least 5.
    radius
        Radius of the sphere.
    """
    _check(count, 5, radius)
    place = torch.arange(count, dtype=torch.float64) + 0.5
    height, turn = 1 - 2 * place / count, _GOLDEN * place
    across = (1 - height**2).sqrt()
    return _between(Sphere(2), torch.stack((across * turn.cos(), across * turn.sin(), height), dim=-1), radius)


def hyperbolic_metric(count: int, radius: float = 1.0, extent: float = 2.0) -> Tensor:
    """Distances of points spread over a disc of the hyperbolic plane, evenly in area, on a spiral of golden angles.

    Parameters
    ----------
    count
        Number of points, at least 5.
    radius
        Radius of curvature: the curvature is ``-1 / radius^2``.
    extent
        Radius of the disc in units of `radius`.
    """
    _check(count, 5, min(radius, extent))
    place = torch.arange(count, dtype=torch.float64) + 0.5
    reach = 2 * torch.asinh(math.sinh(extent / 2) * (place / count).sqrt())
    turn = _GOLDEN * place
    return _between(Hyperbolic(2), torch.stack((reach, turn.cos(), turn.sin()), dim=-1), radius)


def product_metric(*metrics: Tensor) -> Tensor:
    """L2 product: points are tuples, in the order of nested loops, and squared distances add up.

    Parameters
    ----------
    *metrics
        Matrices of distances.

    Raises
    ------
    ShapeError
        If one is not square.
    """
    shapes = [tuple(metric.shape) for metric in metrics]
    if not shapes or any(len(shape) != 2 or shape[0] != shape[1] for shape in shapes):
        raise ShapeError(f"metrics have shapes {shapes}; expected at least one square matrix")
    total = torch.zeros(1, 1, dtype=torch.float64)
    for metric in metrics:
        count = len(total) * len(metric)
        total = (total[:, None, :, None] + metric.double().square()[None, :, None, :]).reshape(count, count)
    return total.sqrt()


def _between(space: Manifold, points: Tensor, radius: float) -> Tensor:
    distances = radius * space.dist(points.unsqueeze(1), points.unsqueeze(0))
    distances = (distances + distances.T) / 2
    return distances.fill_diagonal_(0.0)


def _check(count: int, least: int, length: float) -> None:
    if count < least or not 0 < length < math.inf:
        raise ConfigError(f"{count} points, length {length}; expected at least {least} points and a positive length")
