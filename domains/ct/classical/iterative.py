"""SIRT with positivity, weighted CGLS, and penalised weighted least squares.

* SIRT+: ``x <- max(0, x + C A^T R (y - A x))``, ``R = 1 / (A 1)``, ``C = 1 / (A^T 1)``.
* CGLS: conjugate gradients on ``A^T W A x = A^T W y`` from 0; the number of iterations regularises, and the discrepancy
  principle stops them: the first image with ``chi^2 / n <= 1``.
* PWLS: the minimiser of ``(1/2) |y - A x|_W^2 + (beta / 2) |D x|^2`` with forward differences ``D``, by conjugate
  gradients on the normal equations to a relative residual.

References
----------
P. Gilbert, J. Theor. Biol. 36 (1972) 105, doi:10.1016/0022-5193(72)90180-4; Å. Björck, "Numerical Methods for Least
Squares Problems" (1996), section 7.4; J. A. Fessler, IEEE Trans. Med. Imaging 13 (1994) 290, doi:10.1109/42.293921
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from scidiff.errors import ConfigError

from ..grid import Grid
from ..scan import Scan
from .differences import divergence, gradient
from .result import Reconstruction

__all__ = ["cgls", "conjugate_gradients", "pwls", "sirt"]

_EMPTY = 1e-8


def _limits(iterations: int) -> None:
    if iterations < 1:
        raise ConfigError(f"iterations is {iterations}; expected at least 1")


def sirt(scan: Scan, grid: Grid, iterations: int = 200, stop: float = 1.0) -> Reconstruction:
    """SIRT with positivity, stopped by discrepancy.

    Parameters
    ----------
    scan
        The data.
    grid
        Image grid.
    iterations
        Largest number of iterations.
    stop
        The first image with ``chi^2 / n`` at most this is returned; 0 runs all iterations.

    Returns
    -------
    Reconstruction
        The image; `converged` says whether `stop` was reached.
    """
    _limits(iterations)
    operator = scan.operator(grid)
    used = (scan.weights > 0).double()[None]
    rows = operator.apply(torch.ones(1, *grid.shape, dtype=torch.float64))
    columns = operator.adjoint(used)
    by_row = torch.where(rows > _EMPTY, used / rows.clamp_min(_EMPTY), 0.0)
    by_column = torch.where(columns > _EMPTY, 1.0 / columns.clamp_min(_EMPTY), 0.0)
    x, y = torch.zeros(1, *grid.shape, dtype=torch.float64), scan.projections[None]
    projected, count = torch.zeros_like(y), 0
    while count < iterations:
        count += 1
        x = (x + by_column * operator.adjoint(by_row * (y - projected))).clamp_min(0.0)
        projected = operator.apply(x)
        if float(scan.chi2(projected)[0]) <= stop:
            break
    chi2 = float(scan.chi2(projected)[0])
    return Reconstruction(x[0], grid, "SIRT+", chi2, count, chi2 <= stop or stop == 0, state=(x,))


def cgls(scan: Scan, grid: Grid, iterations: int = 100, stop: float = 1.0) -> Reconstruction:
    """Weighted CGLS, stopped by discrepancy.

    Parameters
    ----------
    scan, grid, iterations, stop
        As for `sirt`.

    Returns
    -------
    Reconstruction
        The image, which may be negative.
    """
    _limits(iterations)
    operator, root = scan.operator(grid), scan.weights.sqrt()[None]
    x = torch.zeros(1, *grid.shape, dtype=torch.float64)
    r = root * scan.projections[None]
    s = operator.adjoint(root * r)
    p, gamma, count = s.clone(), float((s * s).sum()), 0
    while count < iterations and gamma > 0:
        count += 1
        q = root * operator.apply(p)
        step = gamma / float((q * q).sum())
        x, r = x + step * p, r - step * q
        if float((r * r).sum()) / scan.used <= stop:
            break
        s = operator.adjoint(root * r)
        new = float((s * s).sum())
        p, gamma = s + new / gamma * p, new
    chi2 = float((r * r).sum()) / scan.used
    return Reconstruction(x[0], grid, "CGLS", chi2, count, chi2 <= stop or stop == 0, state=(x,))


def pwls(
    scan: Scan,
    grid: Grid,
    weight: float,
    tolerance: float = 1e-5,
    iterations: int = 500,
    start: Reconstruction | None = None,
) -> Reconstruction:
    """Penalised weighted least squares with a quadratic penalty.

    Parameters
    ----------
    scan, grid
        Data and image grid.
    weight
        ``beta``, mm^2: differences of neighbours count in 1/mm.
    tolerance
        Largest relative residual of the normal equations.
    iterations
        Largest number of iterations.
    start
        Image to start from.

    Returns
    -------
    Reconstruction
        The minimiser; `converged` says whether the tolerance was reached.
    """
    _limits(iterations)
    if not weight >= 0:
        raise ConfigError(f"weight is {weight}; expected 0 or more")
    operator, w = scan.operator(grid), scan.weights[None]

    def normal(x: Tensor) -> Tensor:
        return operator.adjoint(w * operator.apply(x)) - weight * divergence(gradient(x))

    b = operator.adjoint(w * scan.projections[None])
    x0 = torch.zeros_like(b) if start is None else start.image[None].clone()
    x, residual, count = conjugate_gradients(normal, b, x0, tolerance, iterations)
    chi2 = float(scan.chi2(operator.apply(x))[0])
    facts = {"weight": weight, "residual": residual}
    return Reconstruction(x[0], grid, "PWLS", chi2, count, residual <= tolerance, facts, (x,))


def conjugate_gradients(
    normal: Callable[[Tensor], Tensor], b: Tensor, x: Tensor, tolerance: float, iterations: int
) -> tuple[Tensor, float, int]:
    """Solve ``N x = b`` for a symmetric positive ``N``; each row of the batch by itself.

    Parameters
    ----------
    normal
        ``N``.
    b, x
        Right-hand side and start, ``(batch, *event)``.
    tolerance
        Stop once ``|b - N x| <= tolerance |b|`` in every row.
    iterations
        Largest number of iterations.

    Returns
    -------
    x, residual, count
        Solution, largest relative residual, number of iterations.
    """
    shape = (-1, *(1,) * (b.ndim - 1))
    dot = lambda u, v: (u * v).flatten(1).sum(1)  # noqa: E731
    r = b - normal(x)
    p, rr = r.clone(), dot(r, r)
    scale = dot(b, b).sqrt().clamp_min(torch.finfo(b.dtype).tiny)
    count = 0
    while count < iterations and float((rr.sqrt() / scale).max()) > tolerance:
        q = normal(p)
        step = rr / dot(p, q).clamp_min(torch.finfo(b.dtype).tiny)
        x, r = x + step.reshape(shape) * p, r - step.reshape(shape) * q
        new = dot(r, r)
        p = r + (new / rr.clamp_min(torch.finfo(b.dtype).tiny)).reshape(shape) * p
        rr, count = new, count + 1
    return x, float((rr.sqrt() / scale).max()), count
