"""Two-dimensional Navier-Stokes equation for the vorticity on a square torus.

    d_t w + u . grad w = nu lap w + f,      u = (d_y psi, -d_x psi),      -lap psi = w

Fourier modes below two thirds of the Nyquist one in each direction, ETDRK4 in time. The velocity is a curl, so it has
no divergence; the mean vorticity stays 0. The independent check integrates the same modes with an explicit Runge-Kutta
method of order 8 and adaptive steps, and with the nonlinear term as ``div(u w)``.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from torch import Tensor

from scidiff.random import Source

from ..contract import Field, State
from ..evolution import Evolution
from ..laws import GaussianField, Periodic
from ..solvers.etdrk4 import Etdrk4
from ..units import Term, Unit

__all__ = ["Kolmogorov", "NavierStokes"]

_VORTICITY = Unit(time=-1)


@dataclass(frozen=True)
class NavierStokes(Evolution):
    """Forced flow from Gaussian initial vorticity, ``7^(3/2) (-lap + 49)^(-5/4)`` of white noise without mean.

    The forcing is ``amplitude (sin + cos)(2 pi (x + y))``.

    Parameters
    ----------
    size
        Number of points along an axis.
    frames, duration
        Frames, the first included, and time of the last.
    viscosity
        ``nu``.
    amplitude
        Amplitude of the forcing.
    substeps
        Steps between two frames.
    """

    size: int = 64
    frames: int = 11
    duration: float = 1.0
    viscosity: float = 1e-3
    amplitude: float = 0.1
    substeps: int = 2

    name = "navier_stokes"
    title = "Navier-Stokes equation, vorticity, unit torus"
    fields = (Field("w0", "initial vorticity", _VORTICITY, given=True), Field("u", "vorticity", _VORTICITY))
    parameters = {"velocity": Unit(length=1, time=-1), "nu": Unit(length=2, time=-1), "f": Unit(time=-2)}  # noqa: RUF012
    terms = (
        Term("d_t w", {"u": 1}, time=1),
        Term("u . grad w", {"velocity": 1, "u": 1}, space=1),
        Term("nu lap w", {"nu": 1, "u": 1}, space=2),
        Term("f", {"f": 1}),
    )
    order = math.inf
    truth_error = 1e-6
    length = 1.0

    @property
    def shape(self) -> tuple[int, ...]:
        """Frames and points."""
        return (self.frames, self.size, self.size)

    @property
    def cell(self) -> float:
        """Cell in space and time."""
        return self.interval * (self.length / self.size) ** 2

    @property
    def x(self) -> Tensor:
        """Points along an axis."""
        return self.length * torch.arange(self.size, dtype=torch.float64) / self.size

    def draw(self, noise: Source) -> State:
        """Draw initial vorticities."""
        law = GaussianField(Periodic(), alpha=2.5, tau=7.0, scale=7.0**1.5)
        return {"w0": torch.from_numpy(law.draw(noise, (self.size, self.size)))}

    @cached_property
    def _modes(self) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Wave numbers, their square, and the modes that are kept."""
        x = torch.fft.fftfreq(self.size, 1 / self.size, dtype=torch.float64)[:, None]
        y = torch.fft.rfftfreq(self.size, 1 / self.size, dtype=torch.float64)[None]
        most = (self.size - 1) // 3
        kept = ((x.abs() <= most) & (y.abs() <= most)).double()
        kx, ky = 2 * math.pi / self.length * x, 2 * math.pi / self.length * y
        return kx, ky, kx**2 + ky**2, kept

    def velocity(self, vorticity: Tensor) -> tuple[Tensor, Tensor]:
        """Velocity of a vorticity ``(..., nx, ny)``, without mean and divergence."""
        return self._velocity(torch.fft.rfft2(vorticity))

    def _velocity(self, c: Tensor) -> tuple[Tensor, Tensor]:
        kx, ky, square, kept = self._modes
        psi = kept * c / torch.where(square == 0, 1.0, square)
        return self._values(1j * ky * psi), self._values(-1j * kx * psi)

    def _values(self, c: Tensor) -> Tensor:
        return torch.fft.irfft2(c, s=(self.size, self.size))

    def forcing(self, x: Tensor, y: Tensor) -> Tensor:
        """Curl of the force at points of the torus."""
        angle = 2 * math.pi * (x + y)
        return self.amplitude * (torch.sin(angle) + torch.cos(angle))

    @cached_property
    def _force(self) -> Tensor:
        x = self.length * torch.arange(self.size, dtype=torch.float64) / self.size
        return self._modes[3] * torch.fft.rfft2(self.forcing(x[:, None], x[None, :]))

    def _convective(self, c: Tensor) -> Tensor:
        """``f - u . grad w``."""
        kx, ky, _, kept = self._modes
        u, v = self._velocity(c)
        wx, wy = self._values(1j * kx * kept * c), self._values(1j * ky * kept * c)
        return self._force - kept * torch.fft.rfft2(u * wx + v * wy)

    def _conservative(self, c: Tensor) -> Tensor:
        """``f - div(u w)``."""
        kx, ky, _, kept = self._modes
        w, (u, v) = self._values(kept * c), self._velocity(c)
        return self._force - 1j * kept * (kx * torch.fft.rfft2(u * w) + ky * torch.fft.rfft2(v * w))

    @cached_property
    def _step(self) -> Etdrk4:
        return Etdrk4(-self.viscosity * self._modes[2], self._convective, self.interval / self.substeps)

    def initial(self, inputs: State) -> Tensor:
        """The drawn one."""
        return inputs["w0"]

    def propagate(self, u: Tensor, inputs: State) -> Tensor:
        """ETDRK4."""
        return self._values(self._step.run(torch.fft.rfft2(u), self.substeps))

    def reference(self, inputs: State) -> State:
        """Runge-Kutta of order 8 on the conservative form."""
        from scipy.integrate import solve_ivp

        modes = self.size, self.size // 2 + 1
        linear = -self.viscosity * self._modes[2]

        def slope(_: float, flat: np.ndarray) -> np.ndarray:
            c = torch.from_numpy(flat.view(complex).reshape(modes))
            return torch.view_as_real(linear * c + self._conservative(c)).numpy().ravel()

        out = []
        for w0 in inputs["w0"]:
            start = torch.view_as_real(torch.fft.rfft2(w0)).numpy().ravel()
            size, times = float(np.abs(start).max()), self.times.numpy()
            done = solve_ivp(slope, (0, self.duration), start, "DOP853", times, rtol=1e-9, atol=1e-11 * size)
            frames = torch.from_numpy(np.ascontiguousarray(done.y.T)).view(torch.complex128)
            out.append(self._values(frames.reshape(self.frames, *modes)))
        return {**inputs, "u": torch.stack(out)}

    def conserved(self, state: State) -> dict[str, Tensor]:
        """Mean vorticity, which is 0 on a torus."""
        return {"circulation": state["u"].mean((-2, -1)).abs().max(1).values / self.scale(state)}


@dataclass(frozen=True)
class Kolmogorov(NavierStokes):
    """Kolmogorov flow: the force ``sin(4 y)`` along x on the torus of side 2 pi, viscosity ``1 / Re``.

    The laminar flow ``u = Re sin(4 y) / 16`` is an exact solution; the initial vorticity is a Gaussian field that
    starts the way to turbulence.

    Parameters
    ----------
    size, frames, duration
        As for `NavierStokes`.
    viscosity
        ``1 / Re``.
    amplitude
        Amplitude of the force.
    substeps
        As for `NavierStokes`.
    """

    duration: float = 0.5
    viscosity: float = 1e-2
    amplitude: float = 1.0
    substeps: int = 10

    name = "kolmogorov"
    title = "Kolmogorov flow, vorticity, torus of side 2 pi"
    length = 2 * math.pi

    def draw(self, noise: Source) -> State:
        """Draw initial vorticities."""
        law = GaussianField(Periodic((self.length, self.length)), alpha=4.0, tau=5.0, scale=400.0)
        return {"w0": torch.from_numpy(law.draw(noise, (self.size, self.size)))}

    def forcing(self, x: Tensor, y: Tensor) -> Tensor:
        """``-d_y sin(4 y)``."""
        return -4 * self.amplitude * torch.cos(4 * y) + 0 * x
