"""A small network of two times, ``v(x, t, s)``, for low-dimensional states on any of the spaces.

A multilayer perceptron of the features

    x     as it is in R^n and on spheres; cos k x, sin k x on tori; the entries of q q^T on rotations
    t, s  themselves, and cos pi k t, sin pi k t, cos pi k s, sin pi k s

with a tangent vector of the space as output: in the frame of the body for rotations, projected on spheres. All parts
are smooth, so that the derivatives with respect to both times and to the state exist forward and backward.
"""

from __future__ import annotations

import math
from functools import singledispatch

import torch
from torch import Tensor, nn

from scidiff.errors import ConfigError, ShapeError
from scidiff.spaces import SO3, Manifold, Power, Space, Torus
from scidiff.spaces.times import sample_time

__all__ = ["TwoTimeMLP", "point_features"]

_HARMONICS = 3
_ROWS, _COLUMNS = torch.triu_indices(4, 4).tolist()


@singledispatch
def point_features(space: Space, x: Tensor) -> Tensor:
    """Smooth functions of a point that tell all points apart, shape ``(batch, features)``.

    Parameters
    ----------
    space
        Where the points live; of a power, all sites are listed.
    x
        Points, shape ``(batch, *event)``.
    """
    return x.flatten(1)


@point_features.register
def _torus(space: Torus, x: Tensor) -> Tensor:
    return _waves(x.flatten(1), 1.0, _HARMONICS)


@point_features.register
def _rotations(space: SO3, x: Tensor) -> Tensor:
    return (x[..., _ROWS] * x[..., _COLUMNS]).flatten(1)


@point_features.register
def _power(space: Power, x: Tensor) -> Tensor:
    sites = x.reshape(-1, *space.factor.shape)
    return point_features(space.factor, sites).reshape(len(x), -1)


class TwoTimeMLP(nn.Module):
    """Mean velocity ``v(x, t, s)`` of a flow map.

    Parameters
    ----------
    space
        Where the states live; without a free axis.
    width, depth
        Size and number of the hidden layers.
    frequencies
        Waves of each time.
    conditions
        Numbers of the condition, a tensor of shape ``(batch, conditions)``; with 0 a condition is not used.
    seed
        Seed of the weights.
    """

    def __init__(
        self,
        space: Space,
        *,
        width: int = 128,
        depth: int = 3,
        frequencies: int = 4,
        conditions: int = 0,
        seed: int = 0,
    ) -> None:
        super().__init__()
        self.space, self.frequencies, self.conditions = space, frequencies, conditions
        self.output = tuple(space.tangent_shape if isinstance(space, Manifold) else space.shape)
        if None in space.shape or min(width, depth, frequencies) < 1:
            raise ConfigError(
                f"a space of shape {space.shape}, width {width}, depth {depth} and {frequencies} frequencies came; "
                "expected sizes of all axes, and at least 1 of each"
            )
        size = point_features(space, torch.zeros(1, *space.shape)).shape[1] + 2 + 4 * frequencies + conditions
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            layers: list[nn.Module] = []
            for _ in range(depth):
                layers += [nn.Linear(size, width), nn.SiLU()]
                size = width
            self.layers = nn.Sequential(*layers, nn.Linear(size, math.prod(self.output)))

    def forward(self, x: Tensor, t: Tensor, s: Tensor, condition: Tensor | None = None) -> Tensor:
        """Mean velocity from ``t`` to ``s``.

        Parameters
        ----------
        x
            States, shape ``(batch, *event)``.
        t, s
            Times; one value for a sample.
        condition
            Shape ``(batch, conditions)``.

        Returns
        -------
        Tensor
            Shape ``(batch, *tangent_shape)``, in the dtype of the weights.

        Raises
        ------
        ShapeError
            If the sites of a sample came with different times, or the condition has another shape.
        """
        dtype = self.layers[0].weight.dtype
        parts = [point_features(self.space, x.to(dtype))]
        for time in (sample_time(t, x).to(dtype), sample_time(s, x).to(dtype)):
            parts += [time.unsqueeze(1), _waves(time.unsqueeze(1), math.pi, self.frequencies)]
        if self.conditions:
            if condition is None or condition.shape != (len(x), self.conditions):
                got = None if condition is None else tuple(condition.shape)
                raise ShapeError(f"the condition has shape {got}; expected ({len(x)}, {self.conditions})")
            parts.append(condition.to(dtype))
        v = self.layers(torch.cat(parts, dim=1)).reshape(len(x), *self.output)
        return self.space.project_tangent(x.to(dtype), v) if isinstance(self.space, Manifold) else v


def _waves(value: Tensor, unit: float, count: int) -> Tensor:
    """Cosines and sines of the first multiples of ``unit value``."""
    phase = (value.unsqueeze(-1) * (unit * torch.arange(1, count + 1, dtype=value.dtype, device=value.device))).flatten(
        1
    )
    return torch.cat([phase.cos(), phase.sin()], dim=1)
