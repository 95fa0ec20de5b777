"""Projection of vector fields onto those without divergence, on staggered grids with obstacles and in Fourier space.

**Staggered.** Let ``F`` keep the free faces and ``g`` hold the prescribed flux of the fixed ones. The projection of
``w`` is the nearest field with ``w = g`` on fixed faces and ``D w = 0`` in fluid cells:

    w0 = F w + g,      (D F D^T) p = D w0,      P w = w0 - F D^T p

``D F D^T`` has one constant in its kernel for each connected component, so one pressure is pinned in each; the equation
has a solution only if the flux into each component adds up to 0. The factor is kept with the geometry. A solve leaves
the round-off of the condition number; a second one on the remainder removes it. For ``g = 0`` the map is linear,
symmetric and idempotent, hence equal to its own adjoint, which is what its gradient uses.

What remains of ``ker D`` once gradients are gone is ``C psi`` with psi constant on the classes of corners, and the
mean flows. Those orthogonal to every ``C psi`` with psi = 0 on solid bodies are *harmonic*: one coordinate for each
hole and each period that the fluid winds around, which no pressure can change.

**Fourier.** ``w^ - k (k . w^) / |k|^2`` with the mean flow untouched. An odd derivative of a Nyquist mode is not a real
field, so these modes are set to 0 [1]_.

References
----------
.. [1] C. Canuto et al., "Spectral Methods: Fundamentals in Single Domains", Springer 2006, section 2.1
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import torch
from scipy.linalg import qr
from scipy.sparse.linalg import splu
from torch import Tensor

from scidiff.errors import ShapeError

from .errors import FluxError, check_finite
from .grids import Array, MacGrid, curl

__all__ = ["MacLeray", "leray", "spectral_divergence", "spectral_leray"]

_BALANCE = 1e-10
_SYMMETRIC = {"permc_spec": "MMD_AT_PLUS_A", "diag_pivot_thresh": 0.0, "options": {"SymmetricMode": True}}


@dataclass(frozen=True, eq=False)
class MacLeray:
    """The projection of one geometry.

    Parameters
    ----------
    grid
        Staggered grid with its obstacles.
    rounds
        Number of solves; the second removes the round-off of the first.
    """

    grid: MacGrid
    rounds: int = 2

    @cached_property
    def _unknown(self) -> np.ndarray:
        """Fluid cells but one of each component."""
        label = self.grid.component.ravel()
        first = np.unique(label, return_index=True)[1]
        keep = label >= 0
        keep[first] = False
        return np.flatnonzero(keep)

    @cached_property
    def _free(self) -> np.ndarray:
        return self.grid.free.ravel().astype(float)

    @cached_property
    def _divergence(self) -> Any:
        return self.grid.divergence_matrix[self._unknown] * self._free[None, :]

    @cached_property
    def _gradient(self) -> Any:
        return self._divergence.T.tocsr()

    @cached_property
    def _factor(self) -> Any:
        return splu((self._divergence @ self._gradient).tocsc(), **_SYMMETRIC)

    def project(self, u: Array, v: Array, flux: tuple[np.ndarray, np.ndarray] | None = None) -> tuple[Array, Array]:
        """Nearest flow without divergence, and with the prescribed flux on fixed faces.

        Parameters
        ----------
        u, v
            Normal velocities, shape ``(..., nx, ny)``; tensors may require a gradient. What they hold on fixed faces
            is ignored. The result has their type, dtype and device; the work is done in float64 on the CPU.
        flux
            Normal velocities of the fixed faces, shape ``(nx, ny)`` each, for all of the batch; 0 by default.

        Raises
        ------
        FluxError
            If the flux into a component does not add up to 0; it names the component, the net flux and a cell.
        FieldError
            If a velocity is NaN or infinite.
        ShapeError
            If a shape is not that of the grid.
        """
        for name, field in (("u", u), ("v", v)):
            if tuple(field.shape[-2:]) != self.grid.shape or field.shape != u.shape:
                raise ShapeError(f"{name} has shape {tuple(field.shape)}; expected (..., {self.grid.shape}) for both")
            check_finite(field, name)
        lift = None if flux is None else self._lift(flux)
        if isinstance(u, Tensor):
            both = torch.stack([u, v], -3)
            projected = (
                _Project.apply(both, self) if lift is None else _to_tensor(self._apply(_array(both), lift), both)
            )
            return projected.unbind(-3)
        out = self._apply(np.stack([u, v], -3), lift)
        return out[..., 0, :, :], out[..., 1, :, :]

    def _apply(self, w: np.ndarray, lift: np.ndarray | None) -> np.ndarray:
        rows = w.reshape(-1, self._free.size).astype(np.float64).T * self._free[:, None]
        source = 0.0 if lift is None else (self.grid.divergence_matrix[self._unknown] @ lift)[:, None]
        for _ in range(self.rounds):
            if len(self._unknown):
                rows = rows - self._gradient @ self._factor.solve(self._divergence @ rows + source)
        if lift is not None:
            rows = rows + lift[:, None]
        return rows.T.reshape(w.shape)

    def _lift(self, flux: tuple[np.ndarray, np.ndarray]) -> np.ndarray:
        """Prescribed flux as one vector, checked to balance in each component."""
        g = np.stack([np.asarray(part, dtype=np.float64) for part in flux])
        if g.shape != self.grid.free.shape:
            raise ShapeError(f"flux has shape {g.shape}; expected {self.grid.free.shape}")
        check_finite(g, "flux")
        g = g.ravel() * (1 - self._free)
        label = self.grid.component.ravel()
        inside = label >= 0
        net = np.bincount(label[inside], weights=(self.grid.divergence_matrix @ g)[inside])
        total = np.bincount(label[inside], weights=(abs(self.grid.divergence_matrix) @ abs(g))[inside])
        for number in np.flatnonzero(abs(net) > _BALANCE * total):
            cell = np.argwhere(self.grid.component == number)[0]
            area = self.grid.spacing[0] * self.grid.spacing[1]
            raise FluxError(
                f"the flux out of component {number} (around cell {tuple(map(int, cell))}) adds up to "
                f"{net[number] * area:.6g}; expected 0: balance what flows in and out of it",
                int(number),
            )
        return g

    @cached_property
    def harmonic(self) -> np.ndarray:
        """Orthonormal basis of the harmonic flows, float64, shape ``(b1, 2, nx, ny)``."""
        grid, size = self.grid, self.grid.fluid.size
        fields = []
        for number in np.unique(grid.corner_class[~grid.free_corners]):
            psi = (grid.corner_class == number).astype(float)
            fields.append(np.stack(curl(psi, grid.spacing)).ravel())
        for axis in (0, 1):
            uniform = np.zeros((2, *grid.shape))
            uniform[axis] = 1.0
            fields.append(self._apply(uniform, None).ravel())
        w = np.stack(fields, 1) * self._free[:, None]
        inner = np.flatnonzero(grid.free_corners.ravel())
        if len(inner) == size:
            inner = inner[1:]
        if len(inner):
            c = grid.curl_matrix[:, inner]
            factor = splu((c.T @ c).tocsc(), **_SYMMETRIC)
            for _ in range(2):
                w = w - c @ factor.solve(c.T @ w)
        free = np.flatnonzero(self._free)
        out = np.zeros((self.betti, self._free.size))
        if self.betti:
            q = np.asarray(qr(w[free], mode="economic", pivoting=True)[0])
            out[:, free] = q[:, : self.betti].T
        return out.reshape(self.betti, 2, *grid.shape)

    @property
    def betti(self) -> int:
        """Number of harmonic flows: free faces - (cells - components) - free corners; an exact count."""
        grid = self.grid
        corners = int(grid.free_corners.sum()) - bool(grid.free_corners.all())
        return int(grid.free.sum()) - len(self._unknown) - corners

    def coordinates(self, u: Array, v: Array) -> np.ndarray:
        """Coefficients of a flow in `harmonic`, shape ``(..., b1)``; a projection leaves them as they are."""
        w = np.stack([_array(u), _array(v)], -3)
        return np.einsum("...cij,bcij->...b", w, self.harmonic)


class _Project(torch.autograd.Function):
    """The projection with zero flux, whose adjoint is itself."""

    @staticmethod
    def forward(ctx: Any, w: Tensor, operator: MacLeray) -> Tensor:
        ctx.operator = operator
        return _to_tensor(operator._apply(_array(w), None), w)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None]:
        return _Project.apply(grad, ctx.operator), None


def _array(field: Array) -> np.ndarray:
    return field.detach().cpu().double().numpy() if isinstance(field, Tensor) else np.asarray(field, dtype=np.float64)


def _to_tensor(values: np.ndarray, like: Tensor) -> Tensor:
    return torch.from_numpy(np.ascontiguousarray(values)).to(like)


_KEPT: OrderedDict[tuple[bytes, tuple[int, int], tuple[float, float]], MacLeray] = OrderedDict()
_MOST = 64


def leray(grid: MacGrid) -> MacLeray:
    """Projection of a geometry, with its factor kept for the last 64 geometries asked for."""
    key = grid.obstacles.tobytes(), grid.shape, grid.spacing
    found = _KEPT.pop(key, None) or MacLeray(grid)
    _KEPT[key] = found
    while len(_KEPT) > _MOST:
        _KEPT.popitem(last=False)
    return found


def _waves(shape: tuple[int, ...], lengths: tuple[float, float]) -> tuple[Tensor, Tensor, Tensor]:
    """Wave numbers along x and y, and 1 except at Nyquist modes."""
    nx, ny = shape[-2:]
    mx, my = torch.fft.fftfreq(nx, 1 / nx, dtype=torch.float64), torch.fft.rfftfreq(ny, 1 / ny, dtype=torch.float64)
    good = (2 * mx.abs() != nx).double()[:, None] * (2 * my.abs() != ny).double()
    kx, ky = 2 * torch.pi * mx / lengths[0], 2 * torch.pi * my / lengths[1]
    return kx[:, None].expand_as(good), ky.expand_as(good), good


def spectral_leray(u: Tensor, v: Tensor, lengths: tuple[float, float] = (1.0, 1.0)) -> tuple[Tensor, Tensor]:
    """Projection on a periodic box, both components at the same points; Nyquist modes become 0.

    Parameters
    ----------
    u, v
        Velocities at the points ``(i Lx / nx, j Ly / ny)``, shape ``(..., nx, ny)``.
    lengths
        Sides ``(Lx, Ly)`` of the box.
    """
    check_finite(u, "u")
    check_finite(v, "v")
    kx, ky, good = (each.to(u.device) for each in _waves(tuple(u.shape), lengths))
    a, b = (torch.fft.rfft2(field.double()) * good for field in (u, v))
    square = kx**2 + ky**2
    pressure = (kx * a + ky * b) / torch.where(square == 0, 1.0, square)
    inverse = lambda w: torch.fft.irfft2(w, s=u.shape[-2:]).to(u.dtype)  # noqa: E731
    return inverse(a - kx * pressure), inverse(b - ky * pressure)


def spectral_divergence(u: Tensor, v: Tensor, lengths: tuple[float, float] = (1.0, 1.0)) -> Tensor:
    """Divergence of the trigonometric interpolants, shape ``(..., nx, ny)``; Nyquist modes have none."""
    kx, ky, good = (each.to(u.device) for each in _waves(tuple(u.shape), lengths))
    a, b = torch.fft.rfft2(u.double()), torch.fft.rfft2(v.double())
    return torch.fft.irfft2(1j * good * (kx * a + ky * b), s=u.shape[-2:])
