"""Scan geometries: which ray belongs to which datum.

A ray is ``p + s d`` with a unit direction ``d``. Angles ``th`` turn the apparatus counter-clockwise; detector
coordinates are ``u = (k - k0) b`` with index ``k``, pitch ``b`` in mm and the index ``k0`` that the rotation axis
projects to. At angle ``th``, with ``e_u = (cos th, sin th)`` and ``e_s = (-sin th, cos th)``:

* parallel: ``p = u e_u``, ``d = e_s``;
* fan: source at ``-R_so e_s``, detector pixel at ``(R_sd - R_so) e_s + u e_u``;
* cone: the same with ``v e_z`` added to the pixel.

Fan and cone tend to parallel as ``R_so`` grows. All lengths are mm, all angles radians.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Self

import numpy as np
import torch
from torch import Tensor

from scidiff.errors import ConfigError

__all__ = ["Cone", "Fan", "Geometry", "Parallel", "Vectors", "chosen", "even_angles"]

_MAX_TURNS = 4


def even_angles(count: int, span: float = math.pi, start: float = 0.0) -> Tensor:
    """``count`` equal steps over ``[start, start + span)``, end left out, so that no view comes twice.

    Parameters
    ----------
    count
        Number of views.
    span
        Arc, radians.
    start
        First angle, radians.

    Returns
    -------
    Tensor
        Shape ``(count,)``, float64.
    """
    return start + span * torch.arange(count, dtype=torch.float64) / count


def _angles(angles: Tensor | np.ndarray | Sequence[float]) -> Tensor:
    """Check angles: finite, in radians."""
    values = torch.as_tensor(np.asarray(angles, dtype=np.float64)).flatten()
    if len(values) == 0 or not bool(values.isfinite().all()):
        raise ConfigError(f"angles hold {len(values)} values, not all finite; expected one finite angle for each view")
    largest = float(values.abs().max())
    if largest > _MAX_TURNS * 2 * math.pi:
        raise ConfigError(
            f"angles reach {largest:.1f}; expected radians, at most {_MAX_TURNS} turns: these look like degrees, "
            "convert them with torch.deg2rad"
        )
    return values


def chosen(views: Tensor | np.ndarray | Sequence[int] | slice) -> Tensor | slice:
    """Numbers of views; a mask becomes the numbers where it is true."""
    if isinstance(views, slice):
        return views
    index = torch.as_tensor(views)
    return torch.nonzero(index)[:, 0] if index.dtype == torch.bool else index.long()


def _positive(name: str, value: float) -> None:
    if not (value > 0 and math.isfinite(value)):
        raise ConfigError(f"{name} is {value} mm; expected a positive length in mm")


class Geometry(ABC):
    """One ray for each datum.

    Attributes
    ----------
    angles
        Radians, shape ``(views,)``.
    detector
        Shape of the detector, ``(columns,)`` or ``(rows, columns)``.
    """

    angles: Tensor
    detector: tuple[int, ...]

    @property
    def views(self) -> int:
        """Number of views."""
        return len(self.angles)

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of the data, ``(views, *detector)``."""
        return (self.views, *self.detector)

    @property
    def dimension(self) -> int:
        """2 or 3, the dimension of the image."""
        return 1 + len(self.detector)

    @abstractmethod
    def rays(self, views: slice = slice(None)) -> tuple[Tensor, Tensor]:
        """Points (mm) and unit directions of the rays, both ``(views, *detector, dimension)``, float64."""

    @abstractmethod
    def select(self, views: Tensor | Sequence[int] | slice) -> Self:
        """Keep some views."""

    @property
    @abstractmethod
    def field_of_view(self) -> float:
        """Radius around the axis that all views see, mm."""

    def _repr_html_(self) -> str:
        """Card for notebooks."""
        from .drawing import geometry_card

        return geometry_card(self)


@dataclass(frozen=True, eq=False)
class _Circular(Geometry):
    """What the three circular geometries share."""

    angles: Tensor
    columns: int
    pitch: float = 1.0
    centre: float | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "angles", _angles(self.angles))
        _positive("detector pitch", self.pitch)
        if self.columns < 1:
            raise ConfigError(f"detector has {self.columns} columns; expected at least 1")
        centre = 0.5 * (self.columns - 1) if self.centre is None else float(self.centre)
        if not 0 <= centre <= self.columns - 1:
            raise ConfigError(
                f"the axis projects to column {centre:g} of {self.columns}; expected a column of the detector: "
                "give centre in pixels"
            )
        object.__setattr__(self, "centre", centre)

    @property
    def axis(self) -> float:
        """Detector index that the rotation axis projects to."""
        return float(self.centre)  # type: ignore[arg-type]

    @property
    def detector(self) -> tuple[int, ...]:  # type: ignore[override]
        """Shape of the detector."""
        return (self.columns,)

    @property
    def u(self) -> Tensor:
        """Column coordinates, mm, shape ``(columns,)``."""
        return (torch.arange(self.columns, dtype=torch.float64) - self.axis) * self.pitch

    @property
    def reach(self) -> float:
        """Largest ``|u|`` that lies on the detector on both sides of the axis, pixel edges included, mm."""
        return (min(self.axis, self.columns - 1 - self.axis) + 0.5) * self.pitch

    def frame(self, views: slice = slice(None)) -> tuple[Tensor, Tensor]:
        """``e_u`` and ``e_s`` for each view, both ``(views, 2)``."""
        th = self.angles[views]
        return torch.stack([th.cos(), th.sin()], -1), torch.stack([-th.sin(), th.cos()], -1)

    def select(self, views: Tensor | Sequence[int] | slice) -> Self:
        """Keep some views."""
        index = chosen(views)
        return replace(self, angles=self.angles[index])


@dataclass(frozen=True, eq=False)
class Parallel(_Circular):
    """Parallel beam.

    Parameters
    ----------
    angles
        Radians, shape ``(views,)``.
    columns
        Number of detector pixels.
    pitch
        Distance of detector pixels, mm.
    centre
        Detector index (fractional) that the rotation axis projects to; the middle by default.

    Raises
    ------
    ConfigError
        If a number is impossible; angles in degrees are recognised and refused.
    """

    def rays(self, views: slice = slice(None)) -> tuple[Tensor, Tensor]:
        """Points on the line through the axis, and directions."""
        across, along = self.frame(views)
        points = self.u[None, :, None] * across[:, None, :]
        return points, along[:, None, :].expand_as(points)

    @property
    def field_of_view(self) -> float:
        """Radius that all views see, mm."""
        return self.reach


@dataclass(frozen=True, eq=False)
class Fan(_Circular):
    """Fan beam on a flat detector.

    Parameters
    ----------
    angles, columns, pitch, centre
        As for `Parallel`; the pitch is that of the detector, not its image at the axis.
    source_axis
        Distance of source and axis ``R_so``, mm.
    source_detector
        Distance of source and detector ``R_sd``, mm.

    Raises
    ------
    ConfigError
        If a number is impossible, e.g. a source that is not on the far side of the detector.
    """

    source_axis: float = math.nan
    source_detector: float = math.nan

    def __post_init__(self) -> None:
        super().__post_init__()
        _positive("source_axis", self.source_axis)
        _positive("source_detector", self.source_detector)
        if self.source_detector < self.source_axis:
            raise ConfigError(
                f"source_detector is {self.source_detector:g} mm and source_axis {self.source_axis:g} mm; expected the "
                "detector behind the axis: were they given in another order, or in cm and mm?"
            )
        widest = math.degrees(math.atan(float(self.u.abs().max()) / self.source_detector))
        if widest > 80:
            raise ConfigError(
                f"the detector reaches {widest:.0f} degrees off the central ray; expected less than 80: are the "
                "distances in cm and the pitch in mm?"
            )

    @property
    def magnification(self) -> float:
        """``R_sd / R_so``."""
        return self.source_detector / self.source_axis

    def rays(self, views: slice = slice(None)) -> tuple[Tensor, Tensor]:
        """Source for each datum, and directions to the detector pixels."""
        across, along = self.frame(views)
        step = self.source_detector * along[:, None, :] + self.u[None, :, None] * across[:, None, :]
        source = (-self.source_axis * along)[:, None, :].expand_as(step)
        return source, step / step.norm(dim=-1, keepdim=True)

    @property
    def field_of_view(self) -> float:
        """Radius that all views see, mm."""
        return self.source_axis * math.sin(math.atan(self.reach / self.source_detector))


@dataclass(frozen=True, eq=False)
class Cone(Fan):
    """Cone beam on a flat detector, source on a circle.

    Parameters
    ----------
    angles, columns, pitch, centre, source_axis, source_detector
        As for `Fan`.
    rows
        Number of detector rows.
    row_pitch
        Distance of rows, mm; the pitch of columns by default.
    row_centre
        Row index of the plane of the source; the middle by default.
    """

    rows: int = 1
    row_pitch: float | None = None
    row_centre: float | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.rows < 1:
            raise ConfigError(f"detector has {self.rows} rows; expected at least 1")
        object.__setattr__(self, "row_pitch", self.pitch if self.row_pitch is None else float(self.row_pitch))
        _positive("row_pitch", self.row_pitch or 0.0)
        object.__setattr__(self, "row_centre", 0.5 * (self.rows - 1) if self.row_centre is None else self.row_centre)

    @property
    def detector(self) -> tuple[int, ...]:  # type: ignore[override]
        """Shape of the detector."""
        return (self.rows, self.columns)

    @property
    def v(self) -> Tensor:
        """Row coordinates, mm, shape ``(rows,)``."""
        return (torch.arange(self.rows, dtype=torch.float64) - float(self.row_centre or 0.0)) * float(
            self.row_pitch or self.pitch
        )

    def rays(self, views: slice = slice(None)) -> tuple[Tensor, Tensor]:
        """Source for each datum, and directions to the detector pixels."""
        across, along = self.frame(views)
        flat = self.source_detector * along[:, None, :] + self.u[None, :, None] * across[:, None, :]
        count = len(flat)
        flat = flat[:, None].expand(count, self.rows, self.columns, 2)
        step = torch.cat([flat, self.v[None, :, None, None].expand(count, self.rows, self.columns, 1)], -1)
        source = torch.cat([-self.source_axis * along, along.new_zeros(count, 1)], -1)
        return source[:, None, None].expand_as(step), step / step.norm(dim=-1, keepdim=True)


@dataclass(frozen=True, eq=False)
class Vectors(Geometry):
    """Any geometry with a source point for each view, in vector form.

    Parameters
    ----------
    source
        Source positions, mm, shape ``(views, dimension)``.
    middle
        Positions of the middle of the detector, mm, same shape.
    steps
        Vectors from one detector pixel to the next, mm, shape ``(views, dimension - 1, dimension)``; columns last.
    detector
        Shape of the detector.

    Raises
    ------
    ConfigError
        If the shapes do not fit together.
    """

    source: Tensor
    middle: Tensor
    steps: Tensor
    detector: tuple[int, ...]

    def __post_init__(self) -> None:
        for name in ("source", "middle", "steps"):
            object.__setattr__(self, name, torch.as_tensor(getattr(self, name)).double())
        views, dimension = self.source.shape
        if self.middle.shape != (views, dimension) or self.steps.shape != (views, dimension - 1, dimension):
            raise ConfigError(
                f"source {tuple(self.source.shape)}, middle {tuple(self.middle.shape)}, steps "
                f"{tuple(self.steps.shape)}; expected (views, D), (views, D), (views, D - 1, D)"
            )
        if len(self.detector) != dimension - 1:
            raise ConfigError(f"detector has shape {self.detector}; expected {dimension - 1} numbers")
        central = self.middle - self.source
        object.__setattr__(self, "angles", torch.atan2(-central[:, 0], central[:, 1]))

    def rays(self, views: slice = slice(None)) -> tuple[Tensor, Tensor]:
        """Source for each datum, and directions to the detector pixels."""
        target = self.middle[views]
        target = target.reshape(len(target), *(1,) * len(self.detector), -1)
        for axis, count in enumerate(self.detector):
            shape = [1] * (len(self.detector) + 2)
            shape[axis + 1] = count
            index = (torch.arange(count, dtype=torch.float64) - 0.5 * (count - 1)).reshape(shape)
            step = self.steps[views, axis]
            target = target + index * step.reshape(len(step), *(1,) * len(self.detector), -1)
        source = self.source[views].reshape(len(target), *(1,) * len(self.detector), -1).expand_as(target)
        line = target - source
        return source, line / line.norm(dim=-1, keepdim=True)

    def select(self, views: Tensor | Sequence[int] | slice) -> Self:
        """Keep some views."""
        index = chosen(views)
        return replace(self, source=self.source[index], middle=self.middle[index], steps=self.steps[index])

    @property
    def field_of_view(self) -> float:
        """Least distance of the axis to the outer rays, mm."""
        points, directions = self.rays()
        points, directions = points[..., :2], directions[..., :2]
        cross = points[..., 0] * directions[..., 1] - points[..., 1] * directions[..., 0]
        distance = (cross.abs() / directions.norm(dim=-1)).reshape(self.views, -1, self.detector[-1])
        return float(torch.minimum(distance[..., 0], distance[..., -1]).min())
