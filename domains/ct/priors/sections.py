"""Crops of planes through a volume: any place, any turn, a slight tilt, any pixel size.

A plane at the centre ``c`` is spanned by orthonormal ``u``, ``v``; the value of a pixel of edge ``h`` is the mean of
the volume, interpolated trilinearly, at ``s x s`` points of the pixel no farther apart than the voxels,

    x_ij = s^-2 sum_ab f(c + h (i + (2 a + 1 - s) / 2 s) u + h (j + (2 b + 1 - s) / 2 s) v),      s = ceil(h / pitch):

a detail between the pixels of a coarse image is averaged, as a scanner does, not blurred over its neighbours. The
volume has first been given twice the voxels along each axis by cubic splines, as trilinear interpolation between its
own voxels would blur them. Few patients give many images in this way. All lies within the volume; nothing is made up
beyond its border.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from scipy.ndimage import zoom
from torch import Tensor
from torch.nn.functional import avg_pool2d, grid_sample

__all__ = ["COARSEST", "FINEST", "Sections"]

FINEST, COARSEST = 0.8, 6.0
"""Least pixel, relative to that of the volume, and largest, mm."""

_TILT = math.radians(8.0)
_OTHER_AXES = 0.14
_TRIES = 4


@dataclass(frozen=True, eq=False)
class Sections:
    """Planes of one volume.

    Parameters
    ----------
    values
        ``(slices, rows, columns)``, float32, in units of the prior.
    pitch
        Edges of a voxel along these axes, mm.
    weight
        How often crops come from here, relative to other sources.
    finest
        Least pixel, relative to the voxel.
    """

    values: Tensor
    pitch: tuple[float, float, float]
    weight: float = 1.0
    finest: float = FINEST

    @cached_property
    def finer(self) -> Tensor:
        """The volume on half the voxels."""
        factors = [2.0 if n > 1 else 1.0 for n in self.values.shape]
        low, high = float(self.values.min()), float(self.values.max())
        values = zoom(self.values.numpy(), factors, order=3, mode="nearest", grid_mode=True)
        return torch.from_numpy(values.clip(low, high))

    @property
    def extent(self) -> np.ndarray:
        """Edges of the volume, mm."""
        return np.array(self.values.shape) * np.array(self.pitch)

    @property
    def dense(self) -> bool:
        """Whether slices lie about as close as pixels, so that planes may tilt."""
        return len(self.values) > 1 and self.pitch[0] <= 1.5 * max(self.pitch[1:])

    def pixels(self, edge: int) -> tuple[float, float]:
        """Least and largest pixel of crops of `edge` pixels, mm; the first is above the second where none fits."""
        return self.finest * max(self.pitch[1:]), min(
            float(self.extent[1:].min()) / edge, max(COARSEST, *self.pitch[1:])
        )

    def crop(self, edge: int, random: np.random.Generator) -> tuple[np.ndarray, float]:
        """Draw one crop.

        Parameters
        ----------
        edge
            Pixels on each side.
        random
            Source of every choice.

        Returns
        -------
        image, pixel
            ``(edge, edge)``, float32; and the edge of its pixels, mm.
        """
        low, high = self.pixels(edge)
        h = float(np.exp(random.uniform(math.log(min(low, high)), math.log(high))))
        frame, centre = self._place(0.5 * edge * h, random)
        return self.sample(centre, frame, edge, h).numpy(), h

    def sample(self, centre: np.ndarray, frame: np.ndarray, edge: int, pixel: float) -> Tensor:
        """Means over the pixels of a plane, ``(edge, edge)``.

        Parameters
        ----------
        centre
            Of the plane, mm from the centre of the volume, along slices, rows, columns.
        frame
            ``u`` and ``v``, shape ``(2, 3)``.
        edge, pixel
            Number of pixels on each side, and their edge, mm.
        """
        fine = max(1, math.ceil(pixel / min(self.pitch[1:]) - 1e-9))
        at = (np.arange(edge * fine) - (edge * fine - 1) / 2) * pixel / fine
        points = centre + at[:, None, None] * frame[0] + at[None, :, None] * frame[1]
        scaled = torch.from_numpy((2 * points / self.extent)[None, None, :, :, ::-1].astype(np.float32))
        values = grid_sample(self.finer[None, None], scaled, "bilinear", "border", align_corners=False)[0, 0]
        return avg_pool2d(values, fine)[0] if fine > 1 else values[0]

    def _place(self, half: float, random: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        """A frame, and a centre for which a square of that half edge lies within the volume."""
        axis = int(random.integers(1, 3)) if self.dense and random.uniform() < _OTHER_AXES else 0
        tilt = random.normal(0.0, _TILT, 2) if self.dense else np.zeros(2)
        for attempt in range(_TRIES):
            frame = _frame(axis, random.uniform(0, 2 * math.pi), tilt / (1 + attempt))
            if self._fits(frame, half):
                break
        else:
            straight = [a for a in (axis, 0) if self._fits(_frame(a, 0.0, np.zeros(2)), half)]
            frame = _frame((*straight, 0)[0], 0.5 * math.pi * random.integers(4), np.zeros(2))
        room = np.maximum(0.5 * self.extent - half * np.abs(frame).sum(0), 0.0)
        centre = random.uniform(-1.0, 1.0, 3) * room
        if not self.dense:
            count = len(self.values)
            centre[0] = (random.integers(count) - (count - 1) / 2) * self.pitch[0]
        return frame, centre

    def _fits(self, frame: np.ndarray, half: float) -> bool:
        return bool((half * np.abs(frame).sum(0) <= 0.5 * self.extent * (1 + 1e-9)).all())


def _frame(axis: int, turn: float, tilt: np.ndarray) -> np.ndarray:
    """Orthonormal ``u``, ``v`` across an axis, turned within the plane and tilted out of it."""
    first, second = (k for k in range(3) if k != axis)
    u, v = np.zeros(3), np.zeros(3)
    u[first], v[second] = 1.0, 1.0
    u[axis], v[axis] = math.tan(float(tilt[0])), math.tan(float(tilt[1]))
    u /= np.linalg.norm(u)
    v -= (v @ u) * u
    v /= np.linalg.norm(v)
    return np.stack([math.cos(turn) * u + math.sin(turn) * v, math.cos(turn) * v - math.sin(turn) * u])
