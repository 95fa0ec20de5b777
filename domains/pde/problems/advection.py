"""Advection on a periodic line: ``d_t u + beta d_x u = 0`` on ``[0, 1)``.

The propagator turns the phase of the Fourier mode k by ``-2 pi k beta dt``, exact for what the grid carries. The
initial value is a sum of two sine waves, whose shift in closed form is the independent check.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from scidiff.errors import ConfigError
from scidiff.random import Source

from ..contract import Field, State
from ..evolution import Evolution
from ..units import ONE, Term, Unit

__all__ = ["Advection"]

_MOST = 8


@dataclass(frozen=True)
class Advection(Evolution):
    """Family of travelling waves: speed ``U(0.1, 4)``, two waves of numbers 1 to 8, amplitude U(0, 1), free phase.

    Parameters
    ----------
    size
        Number of points, more than 16.
    frames, duration
        Frames, the first included, and time of the last.
    """

    size: int = 128
    frames: int = 64
    duration: float = 1.0

    name = "advection"
    title = "Advection, periodic line"
    fields = (
        Field("beta", "speed", Unit(length=1, time=-1), given=True),
        Field("amplitude", "amplitudes of the waves", ONE, given=True),
        Field("number", "periods of the waves", ONE, given=True),
        Field("phase", "phases of the waves", ONE, given=True),
        Field("u", "concentration", ONE),
    )
    terms = (Term("d_t u", {"u": 1}, time=1), Term("beta d_x u", {"beta": 1, "u": 1}, space=1))
    order = math.inf
    truth_error = 1e-12

    def __post_init__(self) -> None:
        if self.size <= 2 * _MOST:
            raise ConfigError(f"size is {self.size}; expected more than {2 * _MOST} points, to resolve every wave")

    @property
    def shape(self) -> tuple[int, ...]:
        """Frames and points."""
        return (self.frames, self.size)

    @property
    def cell(self) -> float:
        """Interval of x times interval of t."""
        return self.interval / self.size

    @property
    def x(self) -> Tensor:
        """Points."""
        return torch.arange(self.size, dtype=torch.float64) / self.size

    def draw(self, noise: Source) -> State:
        """Draw speed and waves."""
        beta = 0.1 + 3.9 * noise.uniform((), step=0, stream="beta")
        u, v, w = (noise.uniform((2,), step=0, stream=name) for name in ("amplitude", "number", "phase"))
        return {"beta": beta, "amplitude": u, "number": (v * _MOST).floor() + 1, "phase": 2 * math.pi * w}

    def _waves(self, inputs: State, moved: Tensor) -> Tensor:
        """Waves at the points, moved by ``moved`` of shape ``(batch, frames)``."""
        x = torch.arange(self.size, dtype=torch.float64) / self.size - moved[..., None]
        angle = 2 * math.pi * inputs["number"][:, :, None, None] * x[:, None] + inputs["phase"][:, :, None, None]
        return (inputs["amplitude"][:, :, None, None] * torch.sin(angle)).sum(1)

    def initial(self, inputs: State) -> Tensor:
        """Sum of the waves."""
        return self._waves(inputs, torch.zeros(len(inputs["beta"]), 1, dtype=torch.float64))[:, 0]

    def propagate(self, u: Tensor, inputs: State) -> Tensor:
        """Shift by ``beta dt``; the Nyquist mode, which has no shift, is dropped."""
        k = torch.arange(self.size // 2 + 1, dtype=torch.float64)
        angle = -2 * math.pi * k * inputs["beta"][:, None, None] * self.interval
        turn = torch.polar(torch.where(2 * k == self.size, 0.0, torch.ones_like(angle)), angle)
        return torch.fft.irfft(torch.fft.rfft(u) * turn, n=self.size)

    def reference(self, inputs: State) -> State:
        """Closed form."""
        return {**inputs, "u": self._waves(inputs, inputs["beta"][:, None] * self.times)}

    def conserved(self, state: State) -> dict[str, Tensor]:
        """Mean and mean square."""
        u, size = state["u"], self.scale(state)
        return {"mass": self.drift(u.mean(-1), size), "energy": self.drift((u**2).mean(-1), size**2)}
