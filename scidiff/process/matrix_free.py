"""Noise of the Ornstein-Uhlenbeck process on large meshes, without eigenvectors.

`CochainProcess` needs the modes of the Laplacian. Where there are too many of them the same law is drawn by Chebyshev
polynomials of sparse matrices, with diagonal stars, in one of two ways:

    x_t = alpha_t(L) x_0 + sigma_t(L) w        w = M^-1/2 z, white
    x_t = alpha_t(L) x_0 + g_t(L) xi           xi rough, of covariance (i + c L) M^-1;  g_t^2 = (1 - exp(-r B)) / r

for ``Q = i + c L``, the default. Rough noise is drawn exactly, see `scidiff.mesh.rough_noise`. ``sigma_t`` has a branch
point at ``l = -i / c`` at every time, on the spectrum itself for ``i = 0``; that of ``g_t`` nearest to the spectrum is
at ``|r| = 2 pi / B``, far away at small times, and its degree is then of the order of ``sqrt(c B bound)`` only. At
large times ``sigma_t`` is nearly 1. The way of fewer products is taken.

Errors are measured against signal and noise together: the norm of the error of ``x_t`` in the mass is at most
`tolerance` times that of ``x_0`` plus that of white noise, where the larger of ``alpha`` and ``sigma`` is the unit. So
a signal that has almost vanished is not computed to more digits than the noise on it; and ``g_t`` gets a tolerance that
is smaller by ``sqrt(i + c mean(l))``, the ratio of rough noise to white.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from torch import Tensor

from scidiff.errors import ConfigError, ShapeError
from scidiff.mesh import Chebyshev, HodgeChebyshev, HodgeCoefficients, HodgeLaplacian, neighbour_degrees, rough_noise
from scidiff.process.operator import OperatorSchedule
from scidiff.random import Source

__all__ = ["Levels", "MatrixFreeNoising"]

Level = Callable[[np.ndarray], np.ndarray]
_Coefficients = np.ndarray | HodgeCoefficients
_LOOSEST = 0.1


@dataclass(frozen=True)
class Levels:
    """Functions of arrays of eigenvalues at one time.

    Parameters
    ----------
    signal
        ``alpha_t``.
    white
        ``sigma_t``, for white noise.
    rough
        ``g_t``, for rough noise.
    """

    signal: Level
    white: Level
    rough: Level


@dataclass(frozen=True, eq=False)
class MatrixFreeNoising:
    """Draws ``x_t`` given ``x_0`` on a mesh with diagonal stars.

    Parameters
    ----------
    laplacian
        The operator; its stars have to be diagonal and positive, `barycentric_stars` always are.
    schedule
        Levels of the modes, with the default strength ``q = i + c l`` of the noise.
    tolerance
        Largest error, see above; half of it for the signal and half for the noise.

    Raises
    ------
    ConfigError
        If the stars are not diagonal, or the schedule has a strength of its own.
    """

    laplacian: HodgeLaplacian
    schedule: OperatorSchedule
    tolerance: float = 1e-6

    def __post_init__(self) -> None:
        self.laplacian.stars.require_diagonal()
        if self.schedule.power is not None:
            raise ConfigError("the schedule has a strength of its own; expected the default, power=None")

    @cached_property
    def functions(self) -> Chebyshev | HodgeChebyshev:
        """What applies functions of the Laplacian."""
        return (HodgeChebyshev if self.laplacian.degree == 1 else Chebyshev)(self.laplacian)

    def noise(self, x0: Tensor, t: float, noise: Source, *, step: int = 0, stream: str = "noise") -> Tensor:
        """Draw ``x_t`` given ``x_0``.

        Parameters
        ----------
        x0
            Cochains, shape ``(batch, simplices)``.
        t
            One time for the batch: every time has coefficients of its own.
        noise, step, stream
            Source of the draws.

        Returns
        -------
        Tensor
            Shape and dtype of ``x0``.
        """
        if x0.ndim != 2 or x0.shape[1] != self.laplacian.size:
            raise ShapeError(f"x0 has shape {tuple(x0.shape)}; expected (batch, {self.laplacian.size})")
        if t == 0:
            return x0.clone()
        signal, spread, rough = self.plan(t)
        clean = np.ascontiguousarray(x0.detach().cpu().double().numpy().T)
        drawn = self._draw(noise, rough, step=step, stream=stream)
        x_t = np.empty_like(clean)
        # single columns: products of sparse matrices with several are slower than one by one
        for column in range(len(x0)):
            x_t[:, column] = self.functions.apply(signal, clean[:, column])
            x_t[:, column] += self.functions.apply(spread, drawn[:, column])
        return torch.from_numpy(x_t.T.copy()).to(x0)

    def plan(self, t: float) -> tuple[_Coefficients, _Coefficients, bool]:
        """Coefficients of signal and noise at time ``t > 0``, and whether the noise is rough."""
        levels, end = self.levels(t), np.array([0.0, self.functions.bound])
        # all three are monotone, their largest values stand at the ends of the spectrum
        top = max(float(level(end).max()) for level in (levels.signal, levels.white))

        def fitted(level: Level, ratio: float = 1.0) -> _Coefficients:
            share = 0.5 * self.tolerance * top / (ratio * float(level(end).max()))
            return self.functions.coefficients(level, tolerance=min(share, _LOOSEST))

        roughness = (self.schedule.identity + self.schedule.stiffness * self.functions.mean) ** 0.5
        rough = fitted(levels.rough, max(roughness, 1.0))
        if self.schedule.identity == 0:
            # sigma is a square root at l = 0, which no polynomial approaches
            return fitted(levels.signal), rough, True
        white = fitted(levels.white)
        shorter = len(rough) < len(white)
        return fitted(levels.signal), rough if shorter else white, shorter

    def levels(self, t: float) -> Levels:
        """Functions of the eigenvalues at a time."""
        schedule = self.schedule

        def rough(l: np.ndarray) -> np.ndarray:
            eigenvalues = torch.from_numpy(l)
            # where the strength vanishes, at l = 0 without an identity term, the limit is sqrt(B)
            strength, variance = schedule.strength(eigenvalues), schedule.sigma(t, eigenvalues).square()
            ratio = variance / torch.where(strength > 0, strength, 1.0)
            return torch.where(strength > 0, ratio, schedule.integral(t)).sqrt().numpy()

        return Levels(
            lambda l: schedule.alpha(t, torch.from_numpy(l)).numpy(),
            lambda l: schedule.sigma(t, torch.from_numpy(l)).numpy(),
            rough,
        )

    def _draw(self, noise: Source, rough: bool, *, step: int, stream: str) -> np.ndarray:
        """White or rough noise, shape ``(simplices, batch)``."""
        sizes, own = self.laplacian.stars.complex.sizes, self.laplacian.degree
        normals = {
            k: noise.normal((sizes[k],), step=step, stream=f"{stream}/{k}").cpu().numpy().T
            for k in (neighbour_degrees(own) if rough else (own,))
        }
        if not rough:
            return self.functions.white(normals[own])
        return rough_noise(self.laplacian, normals, stiffness=self.schedule.stiffness, identity=self.schedule.identity)
