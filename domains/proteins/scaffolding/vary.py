"""Partial diffusion: a chain brought to some noise and denoised again, while chosen residues do not move at all."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from scidiff.errors import ConfigError, ShapeError

from ..chains import Chains
from ..contigs import parse_contigs
from ..design import locate
from ..superpose import kabsch
from ..validation import Report, validate
from .closure import Kept
from .placing import place

if TYPE_CHECKING:
    from ..torsion.model import TorsionModel

__all__ = ["Varied", "frozen_mask", "vary"]


@dataclass(frozen=True, eq=False)
class Varied:
    """Variants of a chain.

    Parameters
    ----------
    chains
        The variants, in the frame of the start.
    moved
        Largest distance of a frozen atom from where it was, Å, shape ``(count,)``; zero where all linkers closed.
    changed
        RMSD of CA of the other residues from the start, Å, shape ``(count,)``.
    report
        Verdicts.
    """

    chains: Chains
    moved: Tensor
    changed: Tensor
    report: Report


def frozen_mask(start: Chains, ranges: str) -> Tensor:
    """Residues named by ranges such as ``A5-12/A30-40``.

    Parameters
    ----------
    start
        A single chain.
    ranges
        The ranges, in the numbering of the chain; empty for none.

    Returns
    -------
    Tensor
        Mask, shape ``(length,)``.

    Raises
    ------
    ConfigError
        If a range cannot be read or is free.
    StructureError
        If a residue is not in the chain.
    """
    mask = torch.zeros(start.xyz.shape[1], dtype=torch.bool)
    if not ranges.strip():
        return mask
    design = parse_contigs(ranges)
    if len(design.fixed) != len(design.segments):
        raise ConfigError(f"'{ranges}' names residues without a chain; write {start.labels[0]}5-12")
    for part in design.fixed:
        for _, place_ in locate(part, start):
            mask[place_] = True
    return mask


def vary(
    model: TorsionModel,
    start: Chains,
    freeze: Tensor | None = None,
    *,
    count: int = 8,
    level: float = 0.5,
    steps: int = 20,
    seed: int = 0,
    temperature: float = 1.0,
) -> Varied:
    """Vary a chain around frozen residues.

    Parameters
    ----------
    model
        The model.
    start
        A single chain.
    freeze
        True for residues that stay where they are, shape ``(length,)``; none by default.
    count, level, steps, seed, temperature
        See `torsion.model.TorsionModel.sample`.

    Returns
    -------
    Varied
        The variants.

    Raises
    ------
    ShapeError
        If there are several chains, or the mask does not fit.
    ConfigError
        If every residue is frozen.
    """
    length = start.xyz.shape[1]
    if len(start) != 1 or (freeze is not None and tuple(freeze.shape) != (length,)):
        raise ShapeError(f"{len(start)} chains of {length} residues; expected one chain and a mask of its length")
    frozen = torch.zeros(length, dtype=torch.bool) if freeze is None else freeze
    if bool(frozen.all()):
        raise ConfigError(f"all {length} residues are frozen; leave some free")
    mask = frozen if bool(frozen.any()) else None
    drawn = model.sample(count, start=start, freeze=mask, level=level, steps=steps, seed=seed, temperature=temperature)
    chains, given = drawn.chains, start.xyz.double()
    if mask is not None:
        kept = Kept(frozen.long().expand(count, -1), given.expand(count, -1, -1, -1))
        types = torch.where(frozen, start.sequence[0], chains.sequence)
        chains = place(chains, kept, types=types).chains
        moved = ((chains.xyz - given).norm(dim=-1) * frozen[None, :, None]).flatten(1).max(1).values
    else:
        x, y = chains.ca, given[:, :, 1].expand(count, -1, -1)
        chains = chains.moved(*kabsch(x, y, torch.ones_like(x[..., 0])))
        moved = torch.zeros(count, dtype=torch.float64)
    square = ((chains.ca - given[:, :, 1]) ** 2).sum(-1)[:, ~frozen]
    return Varied(chains, moved, square.mean(1).sqrt(), validate(chains))
