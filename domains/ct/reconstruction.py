r"""What a reconstruction returns: images, how sure they are, and what in them was measured.

*Fit.* For samples ``x_1 ... x_K`` with mean ``xm``,

    mean_k chi2(x_k) = chi2(xm) + mean_k |A (x_k - xm)|_W^2,

so that ``chi^2 / n`` of the mean is below 1 even for an exact posterior: fit is judged on the samples, and the band of
the mean is that of the samples less the second term.

*Intervals.* Pointwise, ``xm -+ f t sd sqrt(1 + 1 / K)`` with Student's quantile ``t`` of ``K - 1`` degrees, which holds
the truth with its nominal probability for Gaussian posteriors at every ``K >= 2``; `f` is a conformal factor.

*Measured or invented.* The mean is split by the ridge projector at the noise level, ``R = (H + 1 / c^2)^-1 H`` with
``H = A^T W A``: what `R` leaves of a structure of the contrast ``c`` was measured, the rest comes from the prior.
A structure ``d`` has the signal-to-noise ratio ``|A d|_W`` in the data, whatever the prior says.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from scipy.stats import t as student
from torch import Tensor

from scidiff.errors import ConfigError, DataError, ShapeError
from scidiff.io.files import atomic_write
from scidiff.io.provenance import provenance

from .grid import Grid
from .pictures import panel_png
from .units import MU_WATER, to_hu

__all__ = ["PosteriorImages"]

_FITTING = (0.7, 1.3)
"""``chi^2 / n`` of samples that explain the data, with a margin for few samples and inexact methods."""


@dataclass(frozen=True, eq=False)
class PosteriorImages:
    """Images drawn by one method, or the one image of a method that makes one.

    Parameters
    ----------
    samples
        ``(count, rows, columns)``, 1/mm, float64.
    grid
        Their grid.
    method
        Published name.
    label
        ``exact``, ``consistent(order)`` or ``biased``.
    chi2
        ``chi^2 / n`` of each sample, ``(count,)``.
    chi2_mean
        ``chi^2 / n`` of the mean.
    band
        95 % band of ``chi^2 / n`` of a sample of an exact posterior.
    spread
        ``mean_k |A (x_k - xm)|_W^2 / n``, by which the mean is expected below the samples.
    measured
        Part of the mean that the data carry at the noise level, 1/mm, shape of the grid.
    held_out
        ``chi^2 / n`` of views that the method has not seen, predicted by the mean; None without any.
    calls
        Network calls for each sample.
    seconds
        Wall-clock time.
    memory
        Growth of the peak of resident memory in MB; 0 where it did not grow.
    ok
        False for samples that are not finite.
    facts
        Seed, steps, prior, solver residuals, and what else the method says.
    """

    samples: Tensor
    grid: Grid
    method: str
    label: str
    chi2: Tensor
    chi2_mean: float
    band: tuple[float, float]
    spread: float
    measured: Tensor
    held_out: float | None
    calls: float
    seconds: float
    memory: float
    ok: Tensor
    facts: Mapping[str, Any] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.samples)

    @property
    def mean(self) -> Tensor:
        """Mean of the finite samples, 1/mm."""
        return self.samples[self.ok].mean(0)

    @property
    def sd(self) -> Tensor:
        """Standard deviation of every pixel, 1/mm; 0 for a single sample."""
        good = self.samples[self.ok]
        return good.std(0) if len(good) > 1 else torch.zeros_like(good[0])

    @property
    def invented(self) -> Tensor:
        """Part of the mean that comes from the prior, 1/mm."""
        return self.mean - self.measured

    @property
    def hu(self) -> Tensor:
        """Mean in Hounsfield units."""
        return to_hu(self.mean)

    @property
    def band_mean(self) -> tuple[float, float]:
        """Band of ``chi^2 / n`` of the mean of an exact posterior."""
        return self.band[0] - self.spread, self.band[1] - self.spread

    def interval(self, level: float = 0.9, factor: float = 1.0) -> tuple[Tensor, Tensor]:
        """Pointwise credible interval, 1/mm.

        Parameters
        ----------
        level
            Nominal coverage.
        factor
            Conformal factor of the half-width.

        Raises
        ------
        ConfigError
            If there are fewer than two samples, or the level is not between 0 and 1.
        """
        count = int(self.ok.sum())
        if count < 2 or not 0 < level < 1 or not factor > 0:
            raise ConfigError(
                f"{count} samples, level {level}, factor {factor}; expected at least 2, a level in (0, 1), a factor > 0"
            )
        half = factor * float(student.ppf(0.5 * (1 + level), count - 1)) * (1 + 1 / count) ** 0.5 * self.sd
        return self.mean - half, self.mean + half

    def coverage(self, truth: Tensor, level: float = 0.9, factor: float = 1.0) -> float:
        """Share of pixels of a known truth, 1/mm, inside the interval."""
        if tuple(truth.shape) != self.grid.shape:
            raise ShapeError(f"truth has shape {tuple(truth.shape)}; expected {self.grid.shape}")
        low, high = self.interval(level, factor)
        return float(((low <= truth) & (truth <= high)).double().mean())

    @property
    def remarks(self) -> tuple[str, ...]:
        """What to mend before the error bars are believed: images that do not explain the data, or follow the noise."""
        chi2, pixel = float(self.chi2[self.ok].mean()), max(self.grid.lengths[-2:])
        fit = f"chi^2/n of the samples is {chi2:.3g}; expected {self.band[0]:.3g} to {self.band[1]:.3g}"
        if chi2 > _FITTING[1]:
            return (
                f"{fit}: the images do not explain the data, and their intervals do not hold. Is the grid, with pixels "
                f"of {pixel:.3g} mm, coarser than the detector, the noise level too low (i0, gain, sd), the object "
                "beyond the grid; are there rings; does the method need more steps?",
            )
        if chi2 < _FITTING[0]:
            return (f"{fit}: the images follow the noise. Is the noise level too high (i0, gain, sd)?",)
        return ()

    def as_json(self) -> dict[str, Any]:
        """Numbers of the result as a JSON object."""
        return {
            "method": self.method,
            "label": self.label,
            "count": len(self),
            "failed": int((~self.ok).sum()),
            "chi2": float(self.chi2[self.ok].mean()),
            "chi2_each": [round(value, 6) for value in self.chi2.tolist()],
            "chi2_band": list(self.band),
            "chi2_mean": self.chi2_mean,
            "chi2_mean_band": list(self.band_mean),
            "held_out_chi2": self.held_out,
            "remarks": list(self.remarks),
            "calls": self.calls,
            "seconds": round(self.seconds, 3),
            "memory_mb": round(self.memory, 1),
            **self.facts,
        }

    def save(self, path: str | Path) -> Path:
        """Write samples, mean, sd and the measured part in 1/mm, the mean in HU, and the numbers; or a picture.

        Parameters
        ----------
        path
            Name ending with ``.npz`` or ``.png``.

        Raises
        ------
        DataError
            If the ending is another one.
        """
        target = Path(path)
        if target.suffix == ".png":
            with atomic_write(target, "wb") as file:
                file.write(self.picture())
            return target
        if target.suffix != ".npz":
            raise DataError(f"{path} ends with '{target.suffix}'; expected .npz or .png")
        about = provenance(unit="1/mm", voxel_mm=self.grid.lengths, mu_water_per_mm=MU_WATER, **self.as_json())
        arrays = {"samples": self.samples, "values": self.mean, "sd": self.sd, "measured": self.measured, "hu": self.hu}
        with atomic_write(target, "wb") as file:
            np.savez_compressed(
                file,
                about=np.array(json.dumps(about, default=str)),
                **{k: v.float().numpy() for k, v in arrays.items()},
            )
        return target

    def picture(self) -> bytes:
        """Mean, a sample, sd, measured and invented part side by side, as a PNG file."""
        mean = self.mean
        top = float(torch.quantile(mean.flatten()[:: max(1, mean.numel() // 100_000)], 0.995))
        sd = self.sd / self.sd.max().clamp_min(1e-12) * top
        images = [
            ("mean", mean),
            ("one sample", self.samples[self.ok][0]),
            (f"sd, white {float(self.sd.max()):.2g}/mm", sd),
            ("measured", self.measured),
            ("invented", self.invented + 0.3 * top),
        ]
        return panel_png(images, (-0.05 * top, 1.1 * top))

    def _repr_html_(self) -> str:
        """Card for notebooks."""
        from .display import images_card

        return images_card(self)
