"""Chains as one typed object: a padded batch of backbones with sequence, numbering and confidence.

``xyz[b, i]`` holds N, CA and C of residue ``i`` of chain ``b`` in Å; ``mask`` is True where a residue is real, and the
real residues of a chain come first. Every two neighbours of a chain are bonded: a gap divides a chain into two. What a
chain does not hold is derived: frames, O, CB (`geometry`), torsions (`torsions`).

The frame of a residue has its origin at CA, its first axis along C - CA, its second axis in the plane of N, CA and C on
the side of N, and its third axis completes a right-handed system.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Self

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from scidiff.errors import ConfigError, ShapeError

from .geometry import ideal_cb, place_oxygen
from .residues import UNKNOWN, decode_sequence, encode_sequence

__all__ = ["Chains", "frames_of"]


def frames_of(xyz: Tensor) -> tuple[Tensor, Tensor]:
    """Return the frames of residues.

    Parameters
    ----------
    xyz
        N, CA, C, Å, shape ``(..., 3, 3)``.

    Returns
    -------
    rotation, origin
        Axes as columns, shape ``(..., 3, 3)``, and CA, shape ``(..., 3)``: ``x = rotation @ local + origin``.
    """
    n, ca, c = xyz.unbind(-2)
    first = F.normalize(c - ca, dim=-1)
    side = n - ca
    second = F.normalize(side - (side * first).sum(-1, keepdim=True) * first, dim=-1)
    return torch.stack((first, second, torch.linalg.cross(first, second)), dim=-1), ca


@dataclass(frozen=True, eq=False)
class Chains:
    """A batch of protein chains.

    Parameters
    ----------
    xyz
        N, CA, C, Å, shape ``(batch, length, 3, 3)``, floating point.
    mask
        True where a residue is real, shape ``(batch, length)``, a prefix of every row; at least one residue a row.
    sequence
        Codes of `residues`, int64, shape ``(batch, length)``; unknown by default.
    names
        Name of each chain; numbers by default.
    labels
        Chain label of each chain as written in files, case-sensitive; A, B, ... by default.
    numbers
        Residue numbers, int64, shape ``(batch, length)``; 1, 2, ... by default.
    confidence
        Per-residue confidence, written as B factor, shape ``(batch, length)``; zero by default.

    Raises
    ------
    ShapeError
        If the shapes do not fit, or the mask is no prefix.
    """

    xyz: Tensor
    mask: Tensor
    sequence: Tensor = None  # pyright: ignore[reportAssignmentType]
    names: tuple[str, ...] = ()
    labels: tuple[str, ...] = ()
    numbers: Tensor = None  # pyright: ignore[reportAssignmentType]
    confidence: Tensor = None  # pyright: ignore[reportAssignmentType]

    def __post_init__(self) -> None:
        batch, length = self._check()
        filled = {
            "sequence": torch.full((batch, length), UNKNOWN, device=self.mask.device),
            "names": tuple(str(k) for k in range(batch)),
            "labels": tuple(default_label(k) for k in range(batch)),
            "numbers": torch.arange(1, length + 1, device=self.mask.device).expand(batch, length),
            "confidence": torch.zeros(batch, length, dtype=self.xyz.dtype, device=self.mask.device),
        }
        for name, value in filled.items():
            given = getattr(self, name)
            object.__setattr__(
                self, name, value if given is None or (isinstance(given, tuple) and not given) else given
            )
        self._check_fields(batch, length)

    def _check(self) -> tuple[int, int]:
        shape, mask = tuple(self.xyz.shape), self.mask
        if len(shape) != 4 or shape[2:] != (3, 3) or not self.xyz.is_floating_point():
            raise ShapeError(
                f"xyz is {self.xyz.dtype} of shape {shape}; expected floats (batch, length, 3, 3) of N, CA, C"
            )
        if tuple(mask.shape) != shape[:2] or mask.dtype != torch.bool:
            raise ShapeError(f"mask is {mask.dtype} of shape {tuple(mask.shape)}; expected bool {shape[:2]}")
        if not bool((mask[:, 1:] <= mask[:, :-1]).all()) or not bool(mask.any(1).all()):
            raise ShapeError("the mask is no prefix of its row, or a row is empty; divide a chain with a gap in two")
        return shape[0], shape[1]

    def _check_fields(self, batch: int, length: int) -> None:
        for name in ("sequence", "numbers", "confidence"):
            if tuple(getattr(self, name).shape) != (batch, length):
                raise ShapeError(f"{name} has shape {tuple(getattr(self, name).shape)}; expected {(batch, length)}")
        for name in ("names", "labels"):
            if len(getattr(self, name)) != batch:
                raise ShapeError(f"{len(getattr(self, name))} {name} for {batch} chains; give one for each")

    @classmethod
    def of(
        cls, coordinates: Sequence[Tensor | np.ndarray], sequences: Sequence[str] | None = None, **fields: object
    ) -> Self:
        """Pad chains of different lengths to one batch.

        Parameters
        ----------
        coordinates
            N, CA, C of each chain, shape ``(length, 3, 3)``, Å.
        sequences
            One-letter sequence of each chain.
        **fields
            Further fields of `Chains`, as they are.

        Returns
        -------
        Chains
            The batch, float64.
        """
        if not len(coordinates):
            raise ConfigError("no chain came; expected at least one")
        sizes = [len(one) for one in coordinates]
        xyz = torch.zeros(len(sizes), max(sizes), 3, 3, dtype=torch.float64)
        codes = torch.full((len(sizes), max(sizes)), UNKNOWN)
        for row, one in enumerate(coordinates):
            xyz[row, : sizes[row]] = torch.as_tensor(one, dtype=torch.float64)
            if sequences is not None:
                codes[row, : sizes[row]] = encode_sequence(sequences[row])
        mask = torch.arange(max(sizes)) < torch.tensor(sizes).unsqueeze(1)
        return cls(xyz, mask, codes, **fields)

    def __len__(self) -> int:
        return len(self.xyz)

    @property
    def lengths(self) -> Tensor:
        """Number of residues of each chain, int64, shape ``(batch,)``."""
        return self.mask.sum(1)

    @property
    def ca(self) -> Tensor:
        """CA positions, shape ``(batch, length, 3)``."""
        return self.xyz[:, :, 1]

    @property
    def oxygen(self) -> Tensor:
        """Carbonyl O positions, shape ``(batch, length, 3)``; see `geometry.place_oxygen`."""
        return place_oxygen(*self.xyz.unbind(2), self.mask)

    @property
    def cb(self) -> Tensor:
        """Ideal CB positions, of glycine too, shape ``(batch, length, 3)``."""
        return ideal_cb(*self.xyz.unbind(2))

    @property
    def frames(self) -> tuple[Tensor, Tensor]:
        """Rotations ``(batch, length, 3, 3)`` and origins ``(batch, length, 3)``; see `frames_of`."""
        return frames_of(self.xyz)

    def letters(self, row: int) -> str:
        """One-letter sequence of one chain."""
        return decode_sequence(self.sequence[row, self.mask[row]])

    def take(self, rows: Sequence[int] | Tensor | np.ndarray) -> Self:
        """Chains of the given rows, by numbers or by a boolean mask, trimmed to the longest of them."""
        index = np.arange(len(self))[np.asarray(rows, dtype=None if len(rows) else np.int64)]
        if not len(index):
            raise ConfigError("no row was chosen; expected at least one chain")
        place = torch.as_tensor(index, device=self.mask.device)
        size = int(self.lengths[place].max())
        pick = {
            name: getattr(self, name)[place, :size] for name in ("xyz", "mask", "sequence", "numbers", "confidence")
        }
        text = {name: tuple(getattr(self, name)[k] for k in index) for name in ("names", "labels")}
        return replace(self, **pick, **text)

    def part(self, row: int, start: int, stop: int) -> Self:
        """Residues ``start ... stop - 1`` of one chain, as a batch of one."""
        one = self.take([row])
        if not 0 <= start < stop <= one.xyz.shape[1]:
            raise ConfigError(f"residues {start} to {stop} of a chain of {one.xyz.shape[1]}; expected a part of it")
        cut = {name: getattr(one, name)[:, start:stop] for name in ("xyz", "mask", "sequence", "numbers", "confidence")}
        return replace(one, **cut)

    @classmethod
    def cat(cls, parts: Sequence[Chains]) -> Self:
        """Join batches; shorter ones are padded."""
        size = max(part.xyz.shape[1] for part in parts)
        values = {"xyz": 0.0, "mask": False, "sequence": UNKNOWN, "numbers": 0, "confidence": 0.0}
        joined = {
            name: torch.cat([_pad(getattr(p, name), size, value) for p in parts]) for name, value in values.items()
        }
        text = {name: tuple(x for part in parts for x in getattr(part, name)) for name in ("names", "labels")}
        return cls(**joined, **text)

    def moved(self, rotation: Tensor, shift: Tensor) -> Self:
        """Apply ``x -> rotation @ x + shift``: one motion for all chains, or one for each, stacked."""
        rotation, shift = rotation.to(self.xyz), shift.to(self.xyz)
        turned = torch.einsum("...ij,blaj->blai" if rotation.ndim == 2 else "bij,blaj->blai", rotation, self.xyz)
        return replace(self, xyz=turned + (shift if shift.ndim == 1 else shift[:, None, None]))

    def _repr_html_(self) -> str:
        """Card for notebooks."""
        from .display import chains_card

        return chains_card(self)

    def to(self, *args: object) -> Self:
        """Move to a device, or give the coordinates another dtype."""
        names = ("mask", "sequence", "numbers")
        device = self.xyz.to(*args).device
        rest = {name: getattr(self, name).to(device) for name in names}
        return replace(self, xyz=self.xyz.to(*args), confidence=self.confidence.to(*args), **rest)


def default_label(row: int) -> str:
    """Chain label of a row: A ... Z, then AA, AB, ..."""
    letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
    return letters[row] if row < 26 else default_label(row // 26 - 1) + letters[row % 26]


def _pad(x: Tensor, size: int, value: float) -> Tensor:
    """Lengthen axis 1 to ``size``."""
    if x.shape[1] == size:
        return x
    tail = x.new_full((len(x), size - x.shape[1], *x.shape[2:]), value)
    return torch.cat((x, tail), dim=1)
