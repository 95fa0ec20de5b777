"""Laws of random fields: Gaussian fields of the Laplacian, log-normal and binary ones made of them.

A Gaussian field with covariance ``s^2 (-lap + tau^2)^-alpha`` is a sum over eigenfunctions of the Laplacian,

    f(x) = s sum_k (|w_k|^2 + tau^2)^(-alpha/2) xi_k e_k(x),      xi_k independent standard normals,

with ``e_k`` orthonormal in L2 of the box of sides ``(Lx, Ly)``:

    periodic    cas(w_k . x), cas = cos + sin, w = 2 pi k / L       points i L / n           FFT
    Neumann     cos cos, w = pi k / L, k >= 0                       cells (i + 1/2) L / n    DCT-II
    Dirichlet   sin sin, w = pi k / L, k >= 1                       nodes (i + 1) L / (n+1)  DST-I

Draws in the plane are square-integrable functions if ``alpha > 1``. The numbers ``xi_k`` are taken in the order of
``max |k|``, so that a finer grid sees the same field with more modes, and a coarser one the same field with fewer.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass

import numpy as np
from scipy import fft

from scidiff.errors import ConfigError
from scidiff.random import Noise, Source

__all__ = ["Basis", "Binary", "Dirichlet", "GaussianField", "LogNormal", "Neumann", "Periodic"]

Shape = tuple[int, int]


@dataclass(frozen=True)
class Basis(ABC):
    """Eigenfunctions of the Laplacian on a box.

    Parameters
    ----------
    lengths
        Sides of the box.
    """

    lengths: tuple[float, float] = (1.0, 1.0)

    @abstractmethod
    def numbers(self, size: int) -> np.ndarray:
        """Integers ``k`` of the modes that `size` points along an axis carry, in the order of the coefficients."""

    @abstractmethod
    def unit(self) -> float:
        """``w L / k``."""

    @abstractmethod
    def synthesis(self, coefficients: np.ndarray, shape: Shape) -> np.ndarray:
        """Values at the points of a grid, from coefficients of shape ``(..., *modes)``."""

    @abstractmethod
    def analysis(self, field: np.ndarray) -> np.ndarray:
        """Coefficients of the interpolant, the inverse of `synthesis` on its range."""

    def square(self, shape: Shape) -> np.ndarray:
        """Eigenvalues ``|w_k|^2`` of ``-lap``, in the order of the coefficients."""
        x, y = ((self.unit() * self.numbers(n) / length) ** 2 for n, length in zip(shape, self.lengths, strict=True))
        return x[:, None] + y

    def white(self, noise: Source, shape: Shape, *, step: int = 0, stream: str = "field") -> np.ndarray:
        """Standard normal coefficients, the same for the same modes on every grid."""
        kx, ky = np.meshgrid(*(self.numbers(n) for n in shape), indexing="ij")
        most = int(max(abs(kx).max(), abs(ky).max()))
        full = np.arange(-most, most + 1) if kx.min() < 0 else np.arange(kx.min(), most + 1)
        a, b = (each.ravel() for each in np.meshgrid(full, full, indexing="ij"))
        order = np.lexsort((b, a, np.maximum(abs(a), abs(b))))
        drawn = noise.normal((len(order),), step=step, stream=stream).numpy()
        table = np.empty((len(noise), len(full), len(full)))
        table[:, a[order] - full[0], b[order] - full[0]] = drawn
        return table[:, kx - full[0], ky - full[0]]


class Periodic(Basis):
    """Periodic box."""

    def numbers(self, size: int) -> np.ndarray:
        """From ``-m`` to ``m`` below the Nyquist mode, in the order of the FFT."""
        most = (size - 1) // 2
        return np.concatenate([np.arange(most + 1), np.arange(-most, 0)])

    def unit(self) -> float:
        """``2 pi``."""
        return 2 * np.pi

    def synthesis(self, coefficients: np.ndarray, shape: Shape) -> np.ndarray:
        """Real plus imaginary part of an inverse FFT."""
        kx, ky = (self.numbers(n) for n in shape)
        full = np.zeros((*coefficients.shape[:-2], *shape))
        full[..., kx[:, None], ky] = coefficients
        wave = fft.ifft2(full, norm="forward") / np.sqrt(np.prod(self.lengths))
        return wave.real + wave.imag

    def analysis(self, field: np.ndarray) -> np.ndarray:
        """Real minus imaginary part of an FFT."""
        kx, ky = (self.numbers(n) for n in field.shape[-2:])
        wave = fft.fft2(field, norm="forward") * np.sqrt(np.prod(self.lengths))
        return (wave.real - wave.imag)[..., kx[:, None], ky]


class Neumann(Basis):
    """Zero normal derivative; values in cells."""

    def numbers(self, size: int) -> np.ndarray:
        """``0, ..., size - 1``."""
        return np.arange(size)

    def unit(self) -> float:
        """``pi``."""
        return np.pi

    def synthesis(self, coefficients: np.ndarray, shape: Shape) -> np.ndarray:
        """Inverse DCT-II."""
        return fft.idctn(coefficients, axes=(-2, -1), norm="ortho") * np.sqrt(np.prod(shape) / np.prod(self.lengths))

    def analysis(self, field: np.ndarray) -> np.ndarray:
        """DCT-II."""
        scale = np.sqrt(np.prod(field.shape[-2:]) / np.prod(self.lengths))
        return fft.dctn(field, axes=(-2, -1), norm="ortho") / scale


class Dirichlet(Basis):
    """Zero on the boundary; values at interior nodes."""

    def numbers(self, size: int) -> np.ndarray:
        """``1, ..., size``."""
        return np.arange(1, size + 1)

    def unit(self) -> float:
        """``pi``."""
        return np.pi

    def synthesis(self, coefficients: np.ndarray, shape: Shape) -> np.ndarray:
        """DST-I."""
        scale = np.sqrt((shape[0] + 1) * (shape[1] + 1) / np.prod(self.lengths))
        return fft.dstn(coefficients, type=1, axes=(-2, -1), norm="ortho") * scale

    def analysis(self, field: np.ndarray) -> np.ndarray:
        """DST-I."""
        scale = np.sqrt((field.shape[-2] + 1) * (field.shape[-1] + 1) / np.prod(self.lengths))
        return fft.dstn(field, type=1, axes=(-2, -1), norm="ortho") / scale


@dataclass(frozen=True)
class GaussianField:
    """Gaussian field with covariance ``scale^2 (-lap + tau^2)^-alpha``.

    Parameters
    ----------
    basis
        Box and boundary condition.
    alpha
        Smoothness; above 1 for fields with finite variance.
    tau
        Inverse correlation length, at least 0.
    scale
        Factor of the field.
    centred
        Leave the constant mode out.
    """

    basis: Basis
    alpha: float = 2.0
    tau: float = 3.0
    scale: float = 1.0
    centred: bool = True

    def __post_init__(self) -> None:
        if not self.alpha > 1 or self.tau < 0 or not self.scale > 0:
            raise ConfigError(
                f"alpha = {self.alpha}, tau = {self.tau}, scale = {self.scale}; expected alpha > 1 (finite variance), "
                "tau >= 0 and scale > 0"
            )
        if self.tau == 0 and not self.centred:
            raise ConfigError("tau is 0 and the constant mode is kept, whose variance is then infinite; set centred")

    def deviations(self, shape: Shape) -> np.ndarray:
        """Standard deviation of each coefficient on a grid."""
        square = self.basis.square(shape)
        constant = square == 0
        base = np.where(constant & (self.tau == 0), 1.0, square + self.tau**2)
        return np.where(constant & self.centred, 0.0, self.scale * base ** (-self.alpha / 2))

    def draw(self, noise: Source | int, shape: Shape, count: int = 1, *, stream: str = "field") -> np.ndarray:
        """Draw fields.

        Parameters
        ----------
        noise
            Noise of the batch, or a seed for samples ``0, ..., count - 1``.
        shape
            Grid.
        count
            Number of fields where a seed was given.
        stream
            Name of the draw.

        Returns
        -------
        ndarray
            Shape ``(batch, *shape)``.
        """
        source = Noise.range(noise, count) if isinstance(noise, int) else noise
        return self.basis.synthesis(self.deviations(shape) * self.basis.white(source, shape, stream=stream), shape)

    def apply_root(self, field: np.ndarray) -> np.ndarray:
        """Square root ``C^(1/2)`` of the covariance per cell, ``E f f^T``, symmetric, for fields on the grid."""
        shape: Shape = field.shape[-2], field.shape[-1]
        cell = np.sqrt(np.prod(self.basis.lengths) / np.prod(shape))
        return self.basis.synthesis(self.deviations(shape) * self.basis.analysis(field), shape) / cell


@dataclass(frozen=True)
class LogNormal:
    """``exp(mean + f)`` with a Gaussian field ``f``: positive everywhere."""

    field: GaussianField
    mean: float = 0.0

    def draw(self, noise: Source | int, shape: Shape, count: int = 1, *, stream: str = "field") -> np.ndarray:
        """Draw fields, as `GaussianField.draw`."""
        return np.exp(self.mean + self.field.draw(noise, shape, count, stream=stream))


@dataclass(frozen=True)
class Binary:
    """``high`` where a Gaussian field is at least 0, ``low`` elsewhere."""

    field: GaussianField
    low: float = 3.0
    high: float = 12.0

    def draw(self, noise: Source | int, shape: Shape, count: int = 1, *, stream: str = "field") -> np.ndarray:
        """Draw fields, as `GaussianField.draw`."""
        return np.where(self.field.draw(noise, shape, count, stream=stream) >= 0, self.high, self.low)
