"""The flat torus T^n: ``n`` angles in radians, ``log_x(y) = y - x`` brought to ``[-pi, pi]``.

Every angle has its own cut locus, half a turn away. Tie rule: where ``y - x`` is exactly half a turn, up to whole
turns, ``log`` keeps the sign that rounding ``(y - x) / 2 pi`` to the nearest even integer gives.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from scidiff.errors import ConfigError
from scidiff.random import Source
from scidiff.spaces.manifold import Manifold

__all__ = ["Torus", "wrap"]

_TURN = 2 * math.pi


def wrap(angle: Tensor) -> Tensor:
    """Subtract whole turns until the angle lies in ``[-pi, pi]``; an angle that lies there is returned as it is."""
    return angle - _TURN * torch.round(angle.detach() / _TURN)


@dataclass(frozen=True)
class Torus(Manifold):
    """Angles, each on its own circle of radius 1.

    Parameters
    ----------
    angles
        Number of angles of one point.

    Examples
    --------
    >>> import torch
    >>> from scidiff.spaces import Torus
    >>> x, y = torch.tensor([[3.0]]), torch.tensor([[-3.0]])
    >>> [round(float(value), 4) for value in (Torus(1).log(x, y), Torus(1).dist(x, y))]  # across the cut: 2 pi - 6
    [0.2832, 0.2832]
    """

    angles: int = 1

    def __post_init__(self) -> None:
        if self.angles < 1:
            raise ConfigError(f"angles is {self.angles}; expected at least 1")

    @property
    def shape(self) -> tuple[int]:
        """Shape of one point."""
        return (self.angles,)

    @property
    def dim(self) -> int:
        """Number of degrees of freedom."""
        return self.angles

    def exp(self, x: Tensor, v: Tensor) -> Tensor:
        """Turn every angle by ``v``."""
        return self.project(x + v)

    def log(self, x: Tensor, y: Tensor) -> Tensor:
        """Shortest turn of every angle."""
        return wrap(y - x)

    def transport(self, x: Tensor, y: Tensor, v: Tensor) -> Tensor:
        """Return ``v``: the torus is flat."""
        return v

    def project_tangent(self, x: Tensor, v: Tensor) -> Tensor:
        """Return ``v``: every vector is tangent."""
        return v

    def project(self, x: Tensor) -> Tensor:
        """Bring every angle to ``[-pi, pi)``."""
        angle = wrap(x)
        return torch.where(angle >= math.pi, angle - _TURN, angle)

    def uniform(self, noise: Source, shape: Sequence[int], *, step: int, stream: str) -> Tensor:
        """Draw every angle uniformly, float64."""
        return (noise.uniform(tuple(shape), step=step, stream=stream) - 0.5) * _TURN
