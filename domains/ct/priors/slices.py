"""Slices of volumes as a prior sees them: dimensionless, at several pixel sizes, along three directions.

A volume with pixels of ``h`` mm is resampled (bilinear, with the support of the coarser pixel) to sizes from ``0.8 h``
up to where a crop just fits, in geometric steps: an image reconstructed on a coarser grid is a coarser image, so one
volume teaches all of them. Values are ``x = mu / unit``, clipped to ``[0, upper]``. Where slices lie about as densely
as pixels, sections along the other two axes are taken as well, as rarer stacks.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import interpolate

from scidiff.errors import DataError

from ..units import MU_WATER
from ..volume import Volume

__all__ = ["SliceSet", "Stack", "check_volumes", "drawn_stacks", "sha256_of", "split", "stacks_of"]

_COARSEST = 4.5
_LEVELS = 5
_SHARE_REFORMATTED = 0.08


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
    drawn
        Whether the images are phantoms, whose attenuation is scaled at random.
    """

    images: np.ndarray
    pixel: float
    weight: float = 1.0
    drawn: bool = False


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


def stacks_of(volume: Volume, crop: int, unit: float = MU_WATER, upper: float = 2.5) -> list[Stack]:
    """All stacks of a volume, whose weights sum to 1.

    Parameters
    ----------
    volume
        Image or stack of images.
    crop
        Least edge of an image that is kept.
    unit, upper
        Unit of attenuation, 1/mm, and largest value in it.
    """
    x = (volume.attenuation() / unit).clamp(0.0, upper).float()
    x = x if x.ndim == 3 else x[None]
    depth, row, column = volume.grid.lengths if volume.grid.dimension == 3 else (math.inf, *volume.grid.lengths)
    found = _pyramid(x, (row, column), crop, 1.0)
    if len(x) >= crop and depth <= 1.5 * max(row, column):
        for axis, pitch in ((1, column), (2, row)):
            found += _pyramid(x.movedim(axis, 0).contiguous(), (depth, pitch), crop, _SHARE_REFORMATTED)
    total = sum(stack.weight for stack in found)
    return [Stack(stack.images, stack.pixel, stack.weight / total) for stack in found]


def _pyramid(x: Tensor, pitch: tuple[float, float], crop: int, share: float) -> list[Stack]:
    """Stacks from one direction; pixels become squares."""
    extent = [size * step for size, step in zip(x.shape[1:], pitch, strict=True)]
    finest, coarsest = 0.8 * max(pitch), min(min(extent) / crop, max(_COARSEST, max(pitch)))
    sizes = np.geomspace(finest, max(coarsest, finest), _LEVELS if coarsest > 1.1 * finest else 1)
    out = []
    for pixel in sizes:
        shape = [max(crop, round(edge / pixel)) for edge in extent]
        images = interpolate(x[:, None], size=shape, mode="bilinear", antialias=True, align_corners=False)[:, 0]
        out.append(Stack(images.numpy(), float(pixel), share))
    return out


def drawn_stacks(count: int, seed: int, size: int = 128, upper: float = 2.5) -> list[Stack]:
    """Random ellipses, foam, beads and discs with holes, scaled to a largest value of `upper`; weights sum to 1.

    Parameters
    ----------
    count
        Phantoms of each kind.
    seed
        Which ones.
    size
        Pixels on each edge.
    upper
        Largest value.
    """
    from ..grid import Grid
    from ..phantoms import bead_pack, disc_with_holes, foam, random_ellipses

    out = []
    for make, weight in ((random_ellipses, 0.4), (foam, 0.2), (bead_pack, 0.2), (disc_with_holes, 0.2)):
        phantoms = [make(seed, sample) for sample in range(count)]
        grid = Grid.square(size, phantoms[0].extent)
        images = np.stack([phantom.image(grid, 3).float().numpy() for phantom in phantoms])
        images *= upper / images.max(axis=(1, 2), keepdims=True)
        out.append(Stack(images.clip(0.0, upper), grid.lengths[0], weight, drawn=True))
    return out


@dataclass(frozen=True, eq=False)
class SliceSet:
    """Stacks to draw crops from.

    Parameters
    ----------
    stacks
        The stacks.
    crop
        Edge of a crop, pixels.
    """

    stacks: Sequence[Stack]
    crop: int

    def draw(self, count: int, random: np.random.Generator) -> tuple[Tensor, Tensor]:
        """Crops, turned and reflected at random, with their pixel sizes.

        Parameters
        ----------
        count
            Number of crops.
        random
            Source of every choice.

        Returns
        -------
        images, pixel
            Float32, shapes ``(count, crop, crop)`` and ``(count,)``.
        """
        weights = np.array([stack.weight for stack in self.stacks])
        picked = [self.stacks[k] for k in random.choice(len(weights), size=count, p=weights / weights.sum())]
        images = np.stack([self._crop(stack, random) for stack in picked])
        return torch.from_numpy(images), torch.tensor([stack.pixel for stack in picked])

    def _crop(self, stack: Stack, random: np.random.Generator) -> np.ndarray:
        count, rows, columns = stack.images.shape
        k, i, j = random.integers(0, (count, rows - self.crop + 1, columns - self.crop + 1))
        patch = stack.images[k, i : i + self.crop, j : j + self.crop]
        patch = np.rot90(patch, int(random.integers(4)))
        patch = patch[:, ::-1] if random.integers(2) else patch
        gain = random.uniform(0.2, 1.0) if stack.drawn else random.uniform(0.97, 1.03)
        return np.float32(gain) * patch


def sha256_of(volumes: Mapping[str, Volume]) -> dict[str, str]:
    """Hash of the values of each volume."""
    return {name: hashlib.sha256(volume.values.numpy().tobytes()).hexdigest() for name, volume in volumes.items()}
