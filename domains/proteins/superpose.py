"""Superposition and scores of residue-by-residue pairs, batched: Kabsch, RMSD, TM-score, lDDT.

``kabsch(x, y)`` returns the rotation ``R`` and shift ``s`` that minimise ``sum_i w_i |R x_i + s - y_i|^2``; ``R`` is
proper. The TM-score of a given alignment is

    TM = max over R, s of (1/L) sum_i 1 / (1 + d_i^2 / d0^2)        d0 = max(0.5, 1.24 (L - 15)^(1/3) - 1.8)

with ``L`` the length that normalises. As ``1/(1 + u)`` is convex in ``u = d^2/d0^2``, its tangent bounds it from below,
and Kabsch with the weights ``(1 + u)^-2`` never lowers the score (minorise-maximise). Starts are fragments of all
sizes, as in the published program, so that the value is a lower bound of the maximum, equal to it in practice.

References
----------
W. Kabsch, Acta Cryst. A32 (1976) 922, doi:10.1107/S0567739476001873;
Y. Zhang, J. Skolnick, Proteins 57 (2004) 702, doi:10.1002/prot.20264;
V. Mariani et al., Bioinformatics 29 (2013) 2722, doi:10.1093/bioinformatics/btt473
"""

from __future__ import annotations

import torch
from torch import Tensor

from scidiff.errors import ShapeError

from .quaternion_fit import fit

__all__ = ["apply", "fragments", "kabsch", "lddt", "refine", "rmsd", "tm_scale", "tm_score"]

_THRESHOLDS = (0.5, 1.0, 2.0, 4.0)
_RADIUS = 15.0


def kabsch(x: Tensor, y: Tensor, weight: Tensor) -> tuple[Tensor, Tensor]:
    """Best rigid motion of ``x`` onto ``y``.

    Parameters
    ----------
    x, y
        Points, shape ``(..., n, 3)``.
    weight
        Weights, zero for padding, shape ``(..., n)``.

    Returns
    -------
    rotation, shift
        Shapes ``(..., 3, 3)`` and ``(..., 3)``.
    """
    w = (weight / weight.sum(-1, keepdim=True).clamp(min=1e-12)).unsqueeze(-1)
    x_mean, y_mean = (w * x).sum(-2), (w * y).sum(-2)
    cross = (w * (y - y_mean.unsqueeze(-2))).transpose(-1, -2) @ (x - x_mean.unsqueeze(-2))
    u, _, vt = torch.linalg.svd(cross)
    sign = torch.linalg.det(u) * torch.linalg.det(vt)
    last = torch.stack((torch.ones_like(sign), torch.ones_like(sign), sign), dim=-1)
    rotation = (u * last.unsqueeze(-2)) @ vt
    return rotation, y_mean - (rotation @ x_mean.unsqueeze(-1)).squeeze(-1)


def apply(motion: tuple[Tensor, Tensor], x: Tensor) -> Tensor:
    """Move points ``(..., n, 3)`` by a motion as of `kabsch`."""
    return x @ motion[0].transpose(-1, -2) + motion[1].unsqueeze(-2)


def _checked(x: Tensor, y: Tensor, mask: Tensor | None) -> Tensor:
    """Weights of the mask, in the dtype of ``x``."""
    if x.shape != y.shape or x.ndim != 3 or x.shape[-1] != 3:
        raise ShapeError(f"x and y have shapes {tuple(x.shape)} and {tuple(y.shape)}; expected (batch, n, 3) twice")
    return torch.ones(x.shape[:2], dtype=x.dtype, device=x.device) if mask is None else mask.to(x)


def rmsd(x: Tensor, y: Tensor, mask: Tensor | None = None) -> Tensor:
    """Root mean square deviation after superposition, shape ``(batch,)``; ``x, y`` of shape ``(batch, n, 3)``."""
    weight = _checked(x, y, mask)
    square = ((apply(kabsch(x, y, weight), x) - y) ** 2).sum(-1)
    return ((square * weight).sum(-1) / weight.sum(-1)).sqrt()


def tm_scale(length: Tensor) -> Tensor:
    """``d0`` in Å for a length that normalises."""
    return (1.24 * (length - 15).clamp(min=0).to(torch.float64) ** (1 / 3) - 1.8).clamp(min=0.5)


def fragments(weight: Tensor) -> Tensor:
    """Weights of the starting fragments: all pairs, halves, quarters ... down to four, shape ``(batch, starts, n)``.

    Fragments count real pairs only, so that ``weight`` may have holes.
    """
    rank = weight.cumsum(-1) - 1
    count = weight.sum(-1, keepdim=True)
    found, part = [weight], 2
    while part <= 16:
        size = (count / part).floor().clamp(min=4)
        for k in range(2 * part - 1):
            begin = (count - size).clamp(min=0) * k / (2 * part - 2)
            found.append(weight * (rank >= begin.floor()) * (rank < begin.floor() + size))
        part *= 4
    return torch.stack(found, dim=1)


def refine(x: Tensor, y: Tensor, weight: Tensor, start: Tensor, d0: Tensor, rounds: int) -> tuple[Tensor, tuple]:
    """Ascend the TM sum from several starts; the best is returned.

    Parameters
    ----------
    x, y
        Pairs, shape ``(batch, n, 3)``.
    weight
        One for a pair, zero for padding, shape ``(batch, n)``.
    start
        Weights of the first superpositions, shape ``(batch, starts, n)``.
    d0
        Scale, Å, shape ``(batch,)``.
    rounds
        Number of weighted superpositions.

    Returns
    -------
    total, motion
        ``sum_i 1/(1 + d_i^2/d0^2)``, shape ``(batch,)``, and its motion.
    """
    x, y, weight = x.unsqueeze(1), y.unsqueeze(1), weight.unsqueeze(1)
    scale = (d0 * d0).view(-1, 1, 1)
    use, motion = start, (x, y)
    for _ in range(rounds):
        motion = fit(x, y, use)
        share = weight / (1 + ((apply(motion, x) - y) ** 2).sum(-1) / scale)
        use = share * share
    total, best = share.sum(-1).max(1)
    row = torch.arange(len(best), device=best.device)
    return total, (motion[0][row, best], motion[1][row, best])


def tm_score(
    x: Tensor, y: Tensor, mask: Tensor | None = None, length: Tensor | None = None, rounds: int = 20
) -> Tensor:
    """TM-score of pairs given residue by residue.

    Parameters
    ----------
    x, y
        CA positions, Å, shape ``(batch, n, 3)``.
    mask
        True for pairs, shape ``(batch, n)``.
    length
        Length that normalises, shape ``(batch,)``; the number of pairs by default.
    rounds
        Weighted superpositions from each start.

    Returns
    -------
    Tensor
        In ``(0, 1]``, shape ``(batch,)``.
    """
    weight = _checked(x, y, mask)
    length = weight.sum(-1) if length is None else length.to(weight)
    total, _ = refine(x, y, weight, fragments(weight), tm_scale(length).to(x), rounds)
    return total / length


def lddt(x: Tensor, reference: Tensor, mask: Tensor | None = None, radius: float = _RADIUS) -> Tensor:
    """Local distance difference test of CA: share of distances kept within 0.5, 1, 2 and 4 Å, without superposition.

    Parameters
    ----------
    x, reference
        Positions, Å, shape ``(batch, n, 3)``.
    mask
        True for real residues, shape ``(batch, n)``.
    radius
        Distances of the reference up to this count, Å.

    Returns
    -------
    Tensor
        In ``[0, 1]``, over all pairs of different residues, shape ``(batch,)``.
    """
    real = _checked(x, reference, mask) > 0
    exact = "donot_use_mm_for_euclid_dist"
    want, got = torch.cdist(reference, reference, compute_mode=exact), torch.cdist(x, x, compute_mode=exact)
    pair = (
        real.unsqueeze(1)
        & real.unsqueeze(2)
        & (want < radius)
        & ~torch.eye(x.shape[1], dtype=torch.bool, device=x.device)
    )
    off = (want - got).abs()
    kept = sum((off < threshold).to(x) for threshold in _THRESHOLDS) / len(_THRESHOLDS)
    return (kept * pair).sum((1, 2)) / pair.sum((1, 2)).clamp(min=1)
