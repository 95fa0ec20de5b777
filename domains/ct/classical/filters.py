"""The ramp filter of filtered back-projection, with the classical windows.

The band-limited ramp is sampled in space, ``h_0 = 1 / (4 b^2)``, ``h_k = -1 / (pi k b)^2`` for odd ``k`` and 0 for even
ones, so that its mean is right and a water disc comes out at 0 HU; a window ``w(f)`` on ``[0, 1]`` (1 = Nyquist) damps
it.

References
----------
A. C. Kak and M. Slaney, "Principles of Computerized Tomographic Imaging" (1988), section 3.3
"""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor

__all__ = ["WINDOWS", "Window", "cosine", "hamming", "hann", "ram_lak", "ramp", "shepp_logan"]

Window = Callable[[Tensor], Tensor]


def ram_lak(f: Tensor) -> Tensor:
    """Return no damping."""
    return torch.ones_like(f)


def shepp_logan(f: Tensor) -> Tensor:
    """``sinc(f / 2)``."""
    return torch.sinc(0.5 * f)


def cosine(f: Tensor) -> Tensor:
    """``cos(pi f / 2)``."""
    return torch.cos(0.5 * math.pi * f)


def hann(f: Tensor) -> Tensor:
    """``(1 + cos(pi f)) / 2``."""
    return 0.5 + 0.5 * torch.cos(math.pi * f)


def hamming(f: Tensor) -> Tensor:
    """``0.54 + 0.46 cos(pi f)``."""
    return 0.54 + 0.46 * torch.cos(math.pi * f)


WINDOWS: dict[str, Window] = {
    "cosine": cosine,
    "hamming": hamming,
    "hann": hann,
    "ram-lak": ram_lak,
    "shepp-logan": shepp_logan,
}


def ramp(projections: Tensor, pitch: float, window: Window = ram_lak) -> Tensor:
    """Filter along the last axis.

    Parameters
    ----------
    projections
        Any shape, columns last.
    pitch
        Distance of columns, mm.
    window
        Damping of high frequencies.

    Returns
    -------
    Tensor
        Filtered projections, 1/mm, float64.
    """
    columns = projections.shape[-1]
    length = 1 << math.ceil(math.log2(2 * columns))
    k = torch.arange(length, dtype=torch.float64)
    k = torch.minimum(k, length - k)
    kernel = torch.where(k % 2 == 1, -1.0 / (math.pi * k.clamp_min(1)) ** 2, 0.0)
    kernel[0] = 0.25
    response = torch.fft.rfft(kernel).real * window(torch.linspace(0, 1, length // 2 + 1, dtype=torch.float64))
    spectrum = torch.fft.rfft(projections.double(), n=length)
    return torch.fft.irfft(spectrum * response, n=length)[..., :columns] / pitch
