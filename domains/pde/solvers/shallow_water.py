"""Well-balanced finite volumes for the shallow water equations on a periodic plane, second order in space and time.

With depth h, momenta ``q = (h u, h v)``, bottom b and gravity g,

    d_t h + div q = 0,      d_t q + div(q q / h) + grad(g h^2 / 2) = -g h grad b.

Surface ``h + b`` and velocities are reconstructed in each cell with the slopes of van Albada's limiter, the bottom with
what is left, so that a surface at rest stays flat. At a face with the bottom values ``b-`` and ``b+`` depths are cut to
``h* = (h + b - max(b-, b+))_+`` and enter the flux of Rusanov; the pressures that the cut took away come back as
``g (h^2 - h*^2) / 2``, and the slope of the bottom inside the cell as ``g (h_W + h_E) (b_E - b_W) / 2`` [1]_. For
``u = 0, h + b = const`` all of this cancels to round-off over any bottom. Mass is conserved because h changes by fluxes
only. Steps in time are those of Heun's strong-stability-preserving method.

References
----------
.. [1] E. Audusse et al., SIAM J. Sci. Comput. 25, 2050 (2004), doi:10.1137/S1064827503431090
"""

from __future__ import annotations

import torch
from torch import Tensor

__all__ = ["fastest", "shallow_step", "tendency"]

_SMALL = 1e-12


def fastest(state: Tensor, gravity: float) -> Tensor:
    """Largest ``|u| + sqrt(g h)`` or ``|v| + sqrt(g h)`` of states ``(batch, ..., 3, nx, ny)``, shape ``(batch,)``."""
    h = state[..., 0, :, :].clamp_min(_SMALL)
    speed = state[..., 1:, :, :].abs().amax(-3) / h + (gravity * h).sqrt()
    return speed.flatten(1).amax(1)


def _slope(field: Tensor, axis: int) -> Tensor:
    """Half of van Albada's slope over a cell: smooth, second order, and no new extremum."""
    ahead = torch.roll(field, -1, axis) - field
    behind = field - torch.roll(field, 1, axis)
    product = ahead * behind
    mean = product.clamp_min(0) * (ahead + behind) / (ahead**2 + behind**2 + _SMALL**2)
    return 0.5 * mean


def _sides(field: Tensor, axis: int) -> tuple[Tensor, Tensor]:
    """Values of a cell at its low and high face."""
    half = _slope(field, axis)
    return field - half, field + half


def _flux(h: Tensor, across: Tensor, along: Tensor, gravity: float) -> tuple[Tensor, Tensor, Tensor]:
    """Flux of depth, of the momentum across the face, and of that along it."""
    return h * across, h * across**2 + 0.5 * gravity * h**2, h * across * along


def _axis(state: Tensor, bottom: Tensor, gravity: float, spacing: float, axis: int) -> Tensor:
    """``-d_x F + S`` along one axis, -2 for x and -1 for y."""
    h = state[..., 0, :, :]
    first, second = (1, 2) if axis == -2 else (2, 1)
    u, v = state[..., first, :, :] / h, state[..., second, :, :] / h
    (eta_w, eta_e), (h_w, h_e) = _sides(h + bottom, axis), _sides(h, axis)
    (u_w, u_e), (v_w, v_e) = _sides(u, axis), _sides(v, axis)
    b_w, b_e = eta_w - h_w, eta_e - h_e
    # the face at the high end of each cell: this cell on its left, the next one on its right
    b_next, h_next, u_next, v_next = (torch.roll(part, -1, axis) for part in (b_w, h_w, u_w, v_w))
    top = torch.maximum(b_e, b_next)
    left, right = (h_e + b_e - top).clamp_min(0), (h_next + b_next - top).clamp_min(0)
    speed = torch.maximum(u_e.abs() + (gravity * left).sqrt(), u_next.abs() + (gravity * right).sqrt())
    one, other = _flux(left, u_e, v_e, gravity), _flux(right, u_next, v_next, gravity)
    jump = (right - left, right * u_next - left * u_e, right * v_next - left * v_e)
    fluxes = [0.5 * (a + b) - 0.5 * speed * c for a, b, c in zip(one, other, jump, strict=True)]
    high = fluxes[1] + 0.5 * gravity * (h_e**2 - left**2)
    low = torch.roll(fluxes[1] + 0.5 * gravity * (h_next**2 - right**2), 1, axis)
    source = -0.5 * gravity * (h_w + h_e) * (b_e - b_w)
    parts = {
        0: torch.roll(fluxes[0], 1, axis) - fluxes[0],
        first: low - high + source,
        second: torch.roll(fluxes[2], 1, axis) - fluxes[2],
    }
    return torch.stack([parts[0], parts[1], parts[2]], -3) / spacing


def tendency(state: Tensor, bottom: Tensor, gravity: float, spacing: float) -> Tensor:
    """Time derivative of ``(h, h u, h v)``.

    Parameters
    ----------
    state
        Shape ``(..., 3, nx, ny)``, depths positive.
    bottom
        Height of the bottom in cells, broadcasts against a depth.
    gravity
        ``g``.
    spacing
        Width of a cell.
    """
    return sum(_axis(state, bottom, gravity, spacing, axis) for axis in (-2, -1))


def shallow_step(state: Tensor, bottom: Tensor, gravity: float, spacing: float, dt: float) -> Tensor:
    """State after one step of Heun's method; parameters as for `tendency`, ``dt`` the length of the step."""
    first = state + dt * tendency(state, bottom, gravity, spacing)
    return 0.5 * (state + first + dt * tendency(first, bottom, gravity, spacing))
