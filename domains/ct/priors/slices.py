"""Slices of volumes as a prior sees them: dimensionless, at all pixel sizes, in all directions.

A prior learns from planes through volumes (`scidiff.domains.ct.priors.sections`) and phantoms, and is judged by slices
that were held out, averaged over the pixels of some sizes from ``0.8 h`` up to where a crop just fits: an image that is
reconstructed on a coarser grid is a coarser image, so one volume teaches all of them. Values are ``x = mu / unit``,
clipped to ``[0, upper]``. Crops of three edges are learned from, large ones for the context and small ones for coarse
pixels.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from scidiff.errors import DataError

from ..units import MU_WATER
from ..volume import Volume
from .objects import beside
from .sections import COARSEST, FINEST, Sections

__all__ = [
    "SliceSet",
    "Source",
    "Stack",
    "averaged",
    "check_volumes",
    "sections_of",
    "sha256_of",
    "split",
    "stacks_of",
]

_LEVELS = 5
_EDGES = (0.75, 1.0, 1.5)
_COARSER = 1.3
_SIZES = 0.25
_SHARE_BESIDE = 0.5


class Source(Protocol):
    """Where crops come from."""

    @property
    def weight(self) -> float:
        """How often, relative to other sources."""
        ...

    def pixels(self, edge: int) -> tuple[float, float]:
        """Least and largest pixel of crops of that edge, mm; the first is above the second where none fits."""
        ...

    def crop(self, edge: int, random: np.random.Generator) -> tuple[np.ndarray, float]:
        """Draw one crop, ``(edge, edge)``, and the edge of its pixels, mm."""
        ...


@dataclass(frozen=True, eq=False)
class Stack:
    """Images of one pixel size.

    Parameters
    ----------
    images
        ``(count, rows, columns)``, float32, in units of the prior.
    pixel
        Edge of a pixel, mm.
    weight
        How often crops come from here, relative to other stacks.
    """

    images: np.ndarray
    pixel: float
    weight: float = 1.0

    def pixels(self, edge: int) -> tuple[float, float]:
        """The one pixel size, where a crop of that edge fits."""
        return self.pixel, self.pixel if min(self.images.shape[1:]) >= edge else 0.0

    def crop(self, edge: int, random: np.random.Generator) -> tuple[np.ndarray, float]:
        """Draw one crop; parameters as for `Sections.crop`."""
        count, rows, columns = self.images.shape
        k, i, j = random.integers(0, (count, rows - edge + 1, columns - edge + 1))
        patch = self.images[k, i : i + edge, j : j + edge]
        return patch, self.pixel


def check_volumes(volumes: Mapping[str, Volume], crop: int, unit: float) -> None:
    """Refuse what a prior cannot learn from.

    Parameters
    ----------
    volumes
        Volumes by name.
    crop
        Edge of the crops, pixels.
    unit
        Unit of the prior, 1/mm.

    Raises
    ------
    DataError
        If there is none, their units differ, one is too small, or its values cannot be what its unit says.
    """
    if not volumes:
        raise DataError("no volume came; expected at least one image or stack of images")
    units = {name: volume.unit for name, volume in volumes.items()}
    if len(set(units.values())) > 1:
        raise DataError(f"the volumes have different units, {units}; convert them to one unit before training")
    for name, volume in volumes.items():
        rows, columns = volume.grid.shape[-2:]
        if min(rows, columns) < crop:
            raise DataError(
                f"'{name}' has slices of {rows} x {columns} pixels; expected at least the edge of a crop, {crop}: "
                "take smaller crops, or leave it out"
            )
        high = float(torch.quantile(_sample(volume.attenuation()), 0.99)) / unit
        if not 0.1 < high < 30.0:
            raise DataError(
                f"'{name}': 99 % of the values lie below {high:.3g} units of {unit:g} per mm; expected 0.1 to 30: is "
                f"'{volume.unit}' its unit?"
            )


def _sample(values: Tensor) -> Tensor:
    """About a hundred thousand of the values."""
    flat = values.flatten()
    return flat[:: max(1, len(flat) // 100_000)]


def split(volumes: Mapping[str, Volume], hold_out: str | float) -> tuple[dict[str, Volume], dict[str, Volume]]:
    """Volumes to learn from, and volumes to validate on.

    Parameters
    ----------
    volumes
        Volumes by name.
    hold_out
        Name of the volume that is held out, or the share of slices in the middle of each volume; three slices on
        either side of them are then used for neither.

    Raises
    ------
    DataError
        If the name is none of theirs, nothing is left to learn from, or the share is out of range.
    """
    if isinstance(hold_out, str):
        if hold_out not in volumes or len(volumes) < 2:
            raise DataError(f"'{hold_out}' cannot be held out of {sorted(volumes)}; expected one of two or more")
        return {n: v for n, v in volumes.items() if n != hold_out}, {hold_out: volumes[hold_out]}
    if not 0 < hold_out < 0.5:
        raise DataError(f"hold_out is {hold_out}; expected the name of a volume, or a share between 0 and 0.5")
    train, valid = {}, {}
    for name, volume in volumes.items():
        values = volume.values if volume.values.ndim == 3 else volume.values[None]
        count = len(values)
        first = round(0.55 * count)
        last, gap = first + max(1, round(hold_out * count)), min(3, count // 16)
        if last > count or count < 3:
            raise DataError(f"'{name}' has {count} slices; expected at least 3 to hold some out; join small volumes")
        kept = [("low", slice(0, first - gap)), ("high", slice(min(last + gap, count), count))]
        train |= {f"{name}/{end}": _part(volume, values[rows]) for end, rows in kept if len(values[rows])}
        valid[name] = _part(volume, values[first:last])
    return train, valid


def _part(volume: Volume, values: Tensor) -> Volume:
    grid = volume.grid
    lengths = grid.lengths if grid.dimension == 3 else (1.0, *grid.lengths)
    return Volume(values, type(grid)(tuple(values.shape), lengths), volume.unit, volume.facts)


def sections_of(volume: Volume, unit: float = MU_WATER, upper: float = 2.5, finest: float | None = None) -> Sections:
    """Planes through a volume, weighed by the number of its slices.

    Parameters
    ----------
    volume
        Image or stack of images.
    unit, upper
        Unit of attenuation, 1/mm, and largest value in it.
    finest
        Edge of the voxels of the finest volume that is learned from, mm. A volume of much larger voxels is blurred
        where pixels are no larger than they; it then serves pixels from 1.3 voxels on.
    """
    x, pitch = _dimensionless(volume, unit, upper)
    least = FINEST if finest is None or max(pitch[1:]) <= _COARSER * finest else _COARSER
    return Sections(x, pitch, float(len(x)), least)


def stacks_of(volume: Volume, crop: int, unit: float = MU_WATER, upper: float = 2.5) -> list[Stack]:
    """Slices of a volume at some pixel sizes; the weights sum to 1.

    Parameters
    ----------
    volume
        Image or stack of images.
    crop
        Least edge of an image that is kept.
    unit, upper
        Unit of attenuation, 1/mm, and largest value in it.
    """
    x, pitch = _dimensionless(volume, unit, upper)
    extent = [size * step for size, step in zip(x.shape[1:], pitch[1:], strict=True)]
    finest, coarsest = FINEST * max(pitch[1:]), min(min(extent) / crop, max(COARSEST, *pitch[1:]))
    sizes = np.geomspace(finest, max(coarsest, finest), _LEVELS if coarsest > 1.1 * finest else 1)
    shapes = [tuple(max(crop, round(edge / pixel)) for edge in extent) for pixel in sizes]
    found = [averaged(x, shape).numpy() for shape in shapes]
    return [Stack(images, float(pixel), 1 / len(sizes)) for images, pixel in zip(found, sizes, strict=True)]


def _dimensionless(volume: Volume, unit: float, upper: float) -> tuple[Tensor, tuple[float, float, float]]:
    """Values as a stack, float32, and the edges of a voxel."""
    x = (volume.attenuation() / unit).clamp(0.0, upper).float()
    if x.ndim == 3:
        return x, volume.grid.lengths  # type: ignore[return-value]
    row, column = volume.grid.lengths
    return x[None], (max(row, column), row, column)


def averaged(x: Tensor, shape: tuple[int, ...]) -> Tensor:
    """Means over the pixels of another division of the same square, exact for images that are constant on pixels.

    Parameters
    ----------
    x
        ``(count, rows, columns)``.
    shape
        Rows and columns of the result.
    """
    rows, columns = (_overlap(old, new).to(x) for old, new in zip(x.shape[1:], shape, strict=True))
    return rows @ x @ columns.T


def _overlap(old: int, new: int) -> Tensor:
    """Share of each new interval that lies in each old one, ``(new, old)``; rows sum to 1."""
    edges, cuts = torch.arange(old + 1, dtype=torch.float64), torch.linspace(0, old, new + 1, dtype=torch.float64)
    low = torch.maximum(cuts[:-1, None], edges[:-1])
    high = torch.minimum(cuts[1:, None], edges[1:])
    return (high - low).clamp_min(0.0) * (new / old)


@dataclass(frozen=True, eq=False)
class SliceSet:
    """Sources to draw crops from.

    Parameters
    ----------
    sources
        Stacks of images, and planes of volumes.
    crop
        Edge of a crop, pixels.
    varied
        Whether lines are drawn beside bodies, and the stated pixel is off by a factor of 25 %: bodies are of different
        size.
    """

    sources: Sequence[Source]
    crop: int
    varied: bool = False

    @property
    def edges(self) -> tuple[int, ...]:
        """Edges of crops for the steps in turn: three quarters of `crop`, `crop`, and half as much again."""
        edges = {8 * round(share * self.crop / 8) for share in _EDGES} | {self.crop}
        fitting = lambda edge: any(low <= high for low, high in (one.pixels(edge) for one in self.sources))  # noqa: E731
        return tuple(edge for edge in sorted(edges) if edge > 0 and fitting(edge))

    def draw(self, count: int, random: np.random.Generator, edge: int | None = None) -> tuple[Tensor, Tensor]:
        """Crops, turned and reflected at random, with their pixel sizes.

        Parameters
        ----------
        count
            Number of crops.
        random
            Source of every choice.
        edge
            Pixels on each side, `crop` by default.

        Returns
        -------
        images, pixel
            Float32, shapes ``(count, edge, edge)`` and ``(count,)``.
        """
        edge = self.crop if edge is None else edge
        fit = [one for one in self.sources if one.pixels(edge)[0] <= one.pixels(edge)[1]]
        weights = np.array([one.weight for one in fit])
        picked = [fit[k].crop(edge, random) for k in random.choice(len(fit), size=count, p=weights / weights.sum())]
        if self.varied:
            picked = [_varied(image, pixel, random) for image, pixel in picked]
        images = np.stack([_turned(image, random) for image, _ in picked])
        return torch.from_numpy(images), torch.tensor([pixel for _, pixel in picked])


def _varied(image: np.ndarray, pixel: float, random: np.random.Generator) -> tuple[np.ndarray, float]:
    """Another size of the body, and things beside it."""
    image = beside(image, random) if random.uniform() < _SHARE_BESIDE else image
    return image, pixel * float(np.exp(_SIZES * random.normal()))


def _turned(patch: np.ndarray, random: np.random.Generator) -> np.ndarray:
    """One of eight ways, and a little lighter or darker."""
    patch = np.rot90(patch, int(random.integers(4)))
    patch = patch[:, ::-1] if random.integers(2) else patch
    return np.float32(random.uniform(0.97, 1.03)) * patch


def sha256_of(volumes: Mapping[str, Volume]) -> dict[str, str]:
    """Hash of the values of each volume."""
    return {name: hashlib.sha256(volume.values.numpy().tobytes()).hexdigest() for name, volume in volumes.items()}
