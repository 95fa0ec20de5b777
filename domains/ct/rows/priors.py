"""Rows of the priors: exactness of the analytic ones, and what the learned one removes of white noise.

Denoising is measured on slices of a patient and a scanner that no training or choice has seen (a Siemens body CT, where
``SCIDIFF_DATA`` is at hand; random ellipses and foam elsewhere), against the Wiener filter of the Gaussian prior and
against total variation whose weight is chosen with the truth.
"""

from __future__ import annotations

import math
import time
from collections.abc import Iterator

import torch
from scipy.stats import t as student
from torch import Tensor
from torch.nn.functional import avg_pool2d

from scidiff.domain import Row
from scidiff.guidance.reward import GaussianLikelihood
from scidiff.io.files import data_folder
from scidiff.random import Noise

from ..classical.differences import divergence, gradient
from ..geometry import Parallel, even_angles
from ..grid import Grid
from ..metrics import psnr
from ..operators import system_matrix
from ..phantoms import foam, random_ellipses
from ..priors.gaussian import GaussianPrior
from ..priors.learned import load_prior
from ..readers import read_dicom
from ..units import MU_WATER

__all__ = ["prior_rows", "tv_denoise"]

_SPAN = 2.0
_LEVELS = (0.01, 0.05, 0.1, 0.2, 0.5, 1.0)
_WEIGHTS = (0.35, 0.5, 0.7, 1.0, 1.4)


def prior_rows(fast: bool, seed: int) -> Iterator[Row]:
    """Measure exactness and denoising.

    Parameters
    ----------
    fast
        Whether the short protocol is run.
    seed
        Seed of every draw.
    """
    yield from _exact(seed)
    for images, grid, where in _images(fast):
        for level in _LEVELS[1:4:2] if fast else _LEVELS:
            yield from _denoising(images, grid, level, where, seed, _WEIGHTS[1:4] if fast else _WEIGHTS)


def _exact(seed: int) -> Iterator[Row]:
    """The Gaussian prior against matrices, and the coverage of its posterior through a projector."""
    prior, grid = GaussianPrior(length=40.0), Grid((16, 16), 6.0)
    covariance = prior.covariance(grid).dense()
    x = Noise.range(seed, 2).normal(grid.shape, step=0, stream="bench/x")
    gain = covariance @ torch.linalg.inv(covariance + 0.01 * torch.eye(grid.size, dtype=torch.float64))
    mean = prior.mean(grid).flatten()
    gap = prior.denoise(x, 0.1, grid).flatten(1) - (mean + (x.flatten(1) - mean) @ gain.T)
    note = "16 x 16, sigma 0.1; largest difference from dense algebra; round-off"
    yield Row("Gaussian prior: denoiser", "exact", float(gap.abs().max()), bar=1e-10, above=False, calls=0, note=note)
    operator = system_matrix(Parallel(even_angles(8), 24, 6.0), grid, torch.float64)
    truth = prior.draw(100, grid, seed=seed)
    noise = 2.0 * Noise.range(seed, 100).normal(operator.range, step=0, stream="bench/noise")
    held = []
    for row, data in zip(truth, operator.apply(truth) + noise, strict=True):
        posterior = prior.posterior(GaussianLikelihood(operator, data, 2.0), grid).dense()
        held.append(float(((row - posterior.mean).abs() < 1.6449 * posterior.sd).double().mean()))
    value, half = _interval(torch.tensor(held))
    note = "16 x 16, 8 views, 100 truths drawn from the prior; per-pixel intervals of nominal 0.9"
    yield Row(
        "Gaussian prior: coverage of 90 % intervals", "exact", value, (value - half, value + half), bar=0.88, note=note
    )


def _images(fast: bool) -> Iterator[tuple[Tensor, Grid, str]]:
    """Images that are denoised: slices of the test series, else phantoms."""
    root = data_folder()
    folder = None if root is None else root / "ct" / "totalseg" / "dicom"
    if folder is None or not folder.is_dir():
        grid = Grid.square(64 if fast else 128, 200.0)
        truth = [make(1000, k).image(grid, 3) for make in (random_ellipses, foam) for k in range(2 if fast else 5)]
        yield torch.stack(truth).clamp(0.0, 2.5 * MU_WATER) / MU_WATER, grid, "phantoms"
        return
    series = read_dicom(folder)
    full = (series.attenuation() / MU_WATER).clamp(0.0, 2.5)[2 :: 8 if fast else 4]
    for factor in (4,) if fast else (4, 2):
        images = avg_pool2d(full if factor == 4 else full[::2], factor)
        grid = Grid(tuple(images.shape[1:]), factor * series.grid.lengths[-1])
        yield images, grid, f"Siemens {images.shape[1]}^2"


def _denoising(
    images: Tensor, grid: Grid, level: float, where: str, seed: int, weights: tuple[float, ...]
) -> Iterator[Row]:
    """PSNR of the learned prior, the Wiener filter, and TV with the oracle's weight."""
    noisy = images + level * Noise.range(seed, len(images)).normal(grid.shape, step=0, stream="bench/denoising")
    begun = time.perf_counter()
    learned = load_prior("ct").denoise(noisy, level, grid)
    seconds = (time.perf_counter() - begun) / len(images)
    tried = [tv_denoise(noisy, weight * level) for weight in weights]
    best = torch.stack([_psnr(x, images) for x in tried]).max(0).values
    wiener = _psnr(GaussianPrior().denoise(noisy, level, grid), images)
    value, half = _interval(_psnr(learned, images))
    pixel = f"{grid.lengths[0]:.2f} mm"
    note = (
        f"n = {len(images)} images, {pixel} pixels, range {_SPAN:g}; Wiener filter of the Gaussian prior "
        f"{float(wiener.mean()):.2f} dB; mean gain over TV with the oracle's weight "
        f"{float((_psnr(learned, images) - best).mean()):+.2f} dB"
    )
    yield Row(
        f"denoising, {where}, sigma {level:g}: learned prior", "measured", value, (value - half, value + half),
        bar=float(best.mean()), baseline=float(best.mean()), baseline_name="TV, oracle weight", unit="dB", calls=1,
        seconds=seconds, note=note,
    )  # fmt: skip


def _psnr(x: Tensor, truth: Tensor) -> Tensor:
    return torch.stack([psnr(a, b, _SPAN) for a, b in zip(x, truth, strict=True)])


def _interval(values: Tensor) -> tuple[float, float]:
    """Mean, and half of its 95 % interval by Student's t."""
    half = student.ppf(0.975, len(values) - 1) * float(values.double().std()) / math.sqrt(len(values))
    return float(values.mean()), float(half)


def tv_denoise(y: Tensor, weight: float, iterations: int = 200) -> Tensor:
    """Minimise ``|x - y|^2 / 2 + weight |D x|_{2,1}`` by the fast gradient projection on the dual.

    Parameters
    ----------
    y
        Noisy images, ``(count, rows, columns)``.
    weight
        Weight of total variation.
    iterations
        Number of steps; the error of the objective falls with their square.

    References
    ----------
    A. Beck and M. Teboulle, IEEE Trans. Image Process. 18 (2009) 2419, doi:10.1109/TIP.2009.2028250
    """
    q = torch.zeros_like(gradient(y))
    ahead, t = q, 1.0
    for _ in range(iterations):
        step = ahead + gradient(y + divergence(ahead)) / 8.0
        new = step / (step.norm(dim=1, keepdim=True) / weight).clamp_min(1.0)
        t_new = 0.5 * (1.0 + math.sqrt(1.0 + 4.0 * t * t))
        ahead, q, t = new + (t - 1.0) / t_new * (new - q), new, t_new
    return y + divergence(q)
