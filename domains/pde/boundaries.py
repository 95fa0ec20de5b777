"""Rectangles with a typed condition on each side, the fluxes of finite volumes on them, and lifting of boundary values.

Values are in the cells of a grid. With the coefficient a the outward flux density through a side is

    Dirichlet    u = g               2 a (u - g) / h      (half a cell lies between the value and the side)
    Neumann      a du/dn = -q        q                    (what flows out is prescribed)

so that each is ``weight * 2 a / h * u + known``, and the equation ``-div(a grad u) = f`` becomes the balance of each
cell. If every side is of Neumann's kind, a solution exists only if as much flows out as the sources supply, and then up
to a constant.

*Lifting* removes boundary values: with any field G that has them, ``u = G + w`` and w vanishes on the boundary, so that
a law of w gives fields with exact boundary values. `transfinite` is such a G in closed form [1]_.

References
----------
.. [1] W. Gordon and C. Hall, Numer. Math. 21, 109 (1973), doi:10.1007/BF01436298
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from scidiff.errors import ConfigError

from .errors import ConstraintError, FluxError

__all__ = ["Dirichlet", "Neumann", "Rectangle", "transfinite"]

Value = float | np.ndarray
_BALANCE = 1e-9


@dataclass(frozen=True, eq=False)
class Dirichlet:
    """A given value.

    Parameters
    ----------
    value
        One number, or one for each cell along the side.
    """

    value: Value = 0.0
    weight = 1.0

    def known(self, half: Tensor) -> Tensor:
        """``-2 a g / h``, from ``2 a / h`` along the side."""
        return -half * torch.as_tensor(self.value, dtype=half.dtype)


@dataclass(frozen=True, eq=False)
class Neumann:
    """A given outward flux density.

    Parameters
    ----------
    outflow
        One number, or one for each cell along the side.
    """

    outflow: Value = 0.0
    weight = 0.0

    def known(self, half: Tensor) -> Tensor:
        """The flux itself."""
        return torch.zeros_like(half) + torch.as_tensor(self.outflow, dtype=half.dtype)


Condition = Dirichlet | Neumann


@dataclass(frozen=True, eq=False)
class Rectangle:
    """Cells of a rectangle and the condition on each side.

    Parameters
    ----------
    shape
        Number of cells along x and y.
    left, right, bottom, top
        Conditions at the smallest and largest x, the smallest and largest y.
    lengths
        Sides.
    """

    shape: tuple[int, int]
    left: Condition = Dirichlet()
    right: Condition = Dirichlet()
    bottom: Condition = Dirichlet()
    top: Condition = Dirichlet()
    lengths: tuple[float, float] = (1.0, 1.0)

    def __post_init__(self) -> None:
        if min(self.shape) < 2 or not min(self.lengths) > 0:
            raise ConfigError(f"shape {self.shape}, lengths {self.lengths}; expected 2 cells or more, positive lengths")

    @property
    def spacing(self) -> tuple[float, float]:
        """Size of a cell."""
        return self.lengths[0] / self.shape[0], self.lengths[1] / self.shape[1]

    @property
    def sides(self) -> tuple[tuple[Condition, Condition], tuple[Condition, Condition]]:
        """Conditions at the low and the high end of x and of y."""
        return (self.left, self.right), (self.bottom, self.top)

    @property
    def closed(self) -> bool:
        """Whether the flux is given on every side."""
        return all(isinstance(side, Neumann) for pair in self.sides for side in pair)

    def fluxes(self, a: Tensor, u: Tensor) -> tuple[Tensor, Tensor]:
        """Flux densities towards larger x and larger y through all faces, those of the boundary included.

        Parameters
        ----------
        a, u
            Coefficient and values in cells, shape ``(..., nx, ny)``.

        Returns
        -------
        x, y
            Shapes ``(..., nx + 1, ny)`` and ``(..., nx, ny + 1)``.
        """
        out = []
        for axis, (h, (low, high)) in enumerate(zip(self.spacing, self.sides, strict=True), start=-2):
            n = a.shape[axis]
            inner = conductances(a, axis) * -torch.diff(u, dim=axis) / h
            ends = []
            for condition, cell, sign in ((low, 0, -1.0), (high, n - 1, 1.0)):
                half = 2 * a.select(axis, cell) / h
                flux = condition.weight * half * u.select(axis, cell) + condition.known(half)
                ends.append((sign * flux).unsqueeze(axis))
            out.append(torch.cat([ends[0], inner, ends[1]], axis))
        return out[0], out[1]

    def outflow(self, a: Tensor, u: Tensor) -> Tensor:
        """Flux through the whole boundary, shape ``(...)``."""
        x, y = self.fluxes(a, u)
        hx, hy = self.spacing
        return hy * (x[..., -1, :] - x[..., 0, :]).sum(-1) + hx * (y[..., -1] - y[..., 0]).sum(-1)

    def divergence(self, a: Tensor, u: Tensor) -> Tensor:
        """``-div(a grad u)`` in cells."""
        x, y = self.fluxes(a, u)
        return torch.diff(x, dim=-2) / self.spacing[0] + torch.diff(y, dim=-1) / self.spacing[1]

    def check_balance(self, f: Tensor) -> None:
        """Raise `FluxError` where all fluxes are given and do not match the sources, shape ``(batch, nx, ny)``."""
        if not self.closed:
            return
        one = torch.ones(self.shape, dtype=f.dtype)
        out = float(self.outflow(one, torch.zeros_like(one)))
        cell = self.spacing[0] * self.spacing[1]
        net, size = f.sum((-2, -1)) * cell - out, f.abs().sum((-2, -1)) * cell + abs(out)
        wrong = torch.nonzero(net.abs() > _BALANCE * size)
        if len(wrong):
            row = int(wrong[0])
            raise FluxError(
                f"sample {row}: the sources supply {float(net[row]) + out:.6g} and {out:.6g} flows out through the "
                "boundary; expected equal numbers, because every side has a given flux: balance them or fix a value",
                row,
            )


def conductances(a: Tensor, axis: int) -> Tensor:
    """Harmonic means of neighbours along an axis: two half cells in series."""
    n = a.shape[axis]
    low, high = a.narrow(axis, 0, n - 1), a.narrow(axis, 1, n - 1)
    return 2 * low * high / (low + high)


def transfinite(left: np.ndarray, right: np.ndarray, bottom: np.ndarray, top: np.ndarray) -> np.ndarray:
    """Field with given values on the four sides of a rectangle of nodes, exactly; bilinear data give a bilinear field.

    Parameters
    ----------
    left, right
        Values at the nodes of the sides of smallest and largest x, shape ``(ny,)``.
    bottom, top
        Values at the nodes of the sides of smallest and largest y, shape ``(nx,)``.

    Returns
    -------
    ndarray
        Shape ``(nx, ny)``.

    Raises
    ------
    ConstraintError
        If two sides disagree at their common corner; it names the corner.
    """
    corners = {"left bottom": (left[0], bottom[0]), "left top": (left[-1], top[0]),
               "right bottom": (right[0], bottom[-1]), "right top": (right[-1], top[-1])}  # fmt: skip
    for name, (a, b) in corners.items():
        if not np.isclose(a, b, rtol=1e-12, atol=1e-12):
            raise ConstraintError(f"the sides that meet at '{name}' have {a:.6g} and {b:.6g} there; expected one", name)
    x, y = np.linspace(0, 1, len(bottom))[:, None], np.linspace(0, 1, len(left))[None]
    across = (1 - x) * left + x * right + (1 - y) * bottom[:, None] + y * top[:, None]
    edges = (1 - x) * ((1 - y) * left[0] + y * left[-1]) + x * ((1 - y) * right[0] + y * right[-1])
    out = across - edges
    out[0], out[-1], out[:, 0], out[:, -1] = left, right, bottom, top
    return out
