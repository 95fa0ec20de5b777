"""Heat equation on a periodic line: ``d_t u = nu d_xx u``, ``u(x, 0) = sin(x + phi)`` on ``[0, 2 pi)``.

The propagator multiplies the Fourier mode k by ``exp(-nu k^2 dt)``: exact in time, spectral in space. The closed form
``u = sin(x + phi) exp(-nu t)`` is the independent check.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from scidiff.random import Source

from ..contract import Field, State
from ..evolution import Evolution
from ..units import ONE, Term, Unit

__all__ = ["Heat"]


@dataclass(frozen=True)
class Heat(Evolution):
    """Family of decaying waves, ``nu ~ U(1, 5)``, ``phi ~ U(0, pi)``.

    Parameters
    ----------
    size
        Number of points.
    frames, duration
        Frames, the first included, and time of the last.
    """

    size: int = 100
    frames: int = 100
    duration: float = 1.0

    name = "heat"
    title = "Heat equation, periodic line"
    fields = (
        Field("nu", "diffusivity", Unit(length=2, time=-1), given=True),
        Field("phi", "phase", ONE, given=True),
        Field("u", "temperature", Unit(temperature=1)),
    )
    terms = (Term("d_t u", {"u": 1}, time=1), Term("nu d_xx u", {"nu": 1, "u": 1}, space=2))
    order = math.inf
    truth_error = 1e-13

    @property
    def shape(self) -> tuple[int, ...]:
        """Frames and points."""
        return (self.frames, self.size)

    @property
    def cell(self) -> float:
        """Interval of x times interval of t."""
        return 2 * math.pi / self.size * self.interval

    @property
    def x(self) -> Tensor:
        """Points."""
        return 2 * math.pi * torch.arange(self.size, dtype=torch.float64) / self.size

    def draw(self, noise: Source) -> State:
        """Draw diffusivity and phase."""
        nu, phi = (noise.uniform((), step=0, stream=name) for name in ("nu", "phi"))
        return {"nu": 1 + 4 * nu, "phi": math.pi * phi}

    def initial(self, inputs: State) -> Tensor:
        """``sin(x + phi)``."""
        return torch.sin(self.x + inputs["phi"][:, None])

    def propagate(self, u: Tensor, inputs: State) -> Tensor:
        """Decay of every mode."""
        k = torch.arange(self.size // 2 + 1, dtype=torch.float64)
        decay = torch.exp(-inputs["nu"][:, None, None] * k**2 * self.interval)
        return torch.fft.irfft(torch.fft.rfft(u) * decay, n=self.size)

    def reference(self, inputs: State) -> State:
        """Closed form."""
        decay = torch.exp(-inputs["nu"][:, None] * self.times)
        return {**inputs, "u": decay[..., None] * self.initial(inputs)[:, None]}

    def conserved(self, state: State) -> dict[str, Tensor]:
        """Mean temperature."""
        return {"heat": self.drift(state["u"].mean(-1), self.scale(state))}
