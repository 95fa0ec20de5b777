"""Structural alignment of chains of different length and sequence by TM-score, batched over pairs.

The scheme of TM-align [1]_, with fewer starts: alignments come from gapless threading and from secondary structure;
each is improved by turns of superposition (`superpose.refine`) and dynamic programming on ``S_ij = 1/(1 +
d_ij^2/d0^2)``, with gap penalties 0.6 and 0. The dynamic programme runs over anti-diagonals for all pairs at once. The
result is a lower bound of the best TM-score; on real pairs it stays a few hundredths below that of the published
program.

References
----------
.. [1] Y. Zhang, J. Skolnick, Nucleic Acids Res. 33 (2005) 2302, doi:10.1093/nar/gki524
"""

from __future__ import annotations

import torch
from torch import Tensor

from .chains import Chains
from .prefilter import shortlist
from .quaternion_fit import fit
from .superpose import apply, fragments, refine, tm_scale

__all__ = ["align_paths", "nearest", "pair_tm"]

_GAPS = (-0.6, 0.0)
_THREADS = 2
_ROUNDS = 4


def align_paths(score: Tensor, gap: float) -> Tensor:
    """Align by dynamic programming: a gap costs ``gap`` where it opens, nothing where it goes on or at the ends.

    Parameters
    ----------
    score
        Match scores, shape ``(batch, rows, columns)``; very negative where a residue is not real.
    gap
        Penalty, at most 0.

    Returns
    -------
    Tensor
        Partner of each row, or -1, int64, shape ``(batch, rows)``.
    """
    batch, rows, columns = score.shape
    i, d = torch.arange(1, rows + 1), torch.arange(rows + columns + 1)
    j = d.unsqueeze(1) - i
    inside = (j >= 1) & (j <= columns)
    skewed = score[:, i - 1, (j - 1).clamp(0, columns - 1)].permute(1, 0, 2).contiguous()
    zero = score.new_zeros(batch, rows + 1)
    gapless = torch.zeros(batch, rows + 1, dtype=torch.bool)
    before, last, last_match = zero, zero, gapless
    steps = torch.zeros(rows + columns + 1, batch, rows + 1, dtype=torch.int8)
    for diagonal in range(2, rows + columns + 1):
        match = before[:, :-1] + skewed[diagonal]
        opened = last + gap * last_match
        left, up = opened[:, 1:], opened[:, :-1]
        value = torch.maximum(torch.maximum(left, match), up)
        is_match = (match >= left) & (match > up)
        step = torch.where(is_match, 1, torch.where(left >= up, 0, 2)).to(torch.int8)
        valid = inside[diagonal]
        steps[diagonal, :, 1:] = step
        before, last = last, torch.cat((zero[:, :1], value * valid), dim=1)
        last_match = torch.cat((gapless[:, :1], is_match & valid), dim=1)
    return _trace(steps, columns)


def _trace(steps: Tensor, columns: int) -> Tensor:
    """Follow the steps back from the last corner; ``steps[i + j, batch, i]``."""
    diagonals, batch, size = steps.shape
    i, j = torch.full((batch,), size - 1), torch.full((batch,), columns)
    partner = torch.full((batch, size), -1)
    row = torch.arange(batch)
    for _ in range(diagonals - 1):
        alive = (i > 0) & (j > 0)
        which = steps[i + j, row, i]
        match, up = alive & (which == 1), alive & (which == 2)
        partner[row, i] = torch.where(match, j - 1, partner[row, i])
        i = i - (match | up).long()
        j = j - (alive & ~up).long()
    return partner[:, 1:]


def _gather(y: Tensor, partner: Tensor) -> Tensor:
    return y.gather(1, partner.clamp(min=0).unsqueeze(-1).expand(-1, -1, 3))


class _Pairs:
    """Pairs ``(x, y)`` under alignment, with the best total so far."""

    def __init__(self, x: Tensor, x_mask: Tensor, y: Tensor, y_mask: Tensor) -> None:
        self.x, self.y, self.x_mask, self.y_mask = x, y, x_mask, y_mask
        self.lengths = torch.stack((x_mask.sum(1), y_mask.sum(1)))
        self.d0 = tm_scale(self.lengths.min(0).values).to(x)
        self.real = x_mask.unsqueeze(2) & y_mask.unsqueeze(1)
        self.partner = torch.full(x_mask.shape, -1)
        self.total = x.new_zeros(len(x))

    def superpose(self, partner: Tensor, rounds: int = 6) -> tuple[Tensor, Tensor]:
        """Superpose an alignment and remember it where it is the best so far."""
        weight = (partner >= 0).to(self.x)
        other = _gather(self.y, partner)
        total, motion = refine(self.x, other, weight, weight.unsqueeze(1), self.d0, rounds)
        better = total > self.total
        self.total = torch.where(better, total, self.total)
        self.partner = torch.where(better.unsqueeze(1), partner, self.partner)
        return motion

    def climb(self, motion: tuple[Tensor, Tensor], rounds: int) -> None:
        """Alternate dynamic programming and superposition."""
        for gap in _GAPS:
            here = motion
            for _ in range(rounds):
                apart = torch.cdist(apply(here, self.x), self.y) ** 2 / (self.d0**2).view(-1, 1, 1)
                score = torch.where(self.real, 1 / (1 + apart), -1.0)
                here = self.superpose(align_paths(score, gap))


def _threading(pairs: _Pairs) -> list[tuple[Tensor, Tensor]]:
    """Motions of the best gapless alignments."""
    place = torch.arange(pairs.x.shape[1])
    least = int(pairs.lengths.min()) // 2
    offsets = range(-(pairs.x.shape[1] - least), pairs.y.shape[1] - least + 1, 1)
    totals, motions = [], []
    for offset in offsets:
        target = place + offset
        inside = (target >= 0) & (target < pairs.y.shape[1])
        partner = torch.where(inside, target, 0).expand(len(pairs.x), -1)
        weight = (inside & pairs.x_mask & pairs.y_mask.gather(1, partner)).to(pairs.x)
        other = _gather(pairs.y, partner)
        motion = fit(pairs.x, other, weight)
        apart = ((apply(motion, pairs.x) - other) ** 2).sum(-1) / (pairs.d0**2).unsqueeze(1)
        totals.append((weight / (1 + apart)).sum(1))
        motions.append(motion)
    order = torch.stack(totals).argsort(0, descending=True)
    row = torch.arange(len(pairs.x))
    turns, shifts = torch.stack([m[0] for m in motions]), torch.stack([m[1] for m in motions])
    return [(turns[order[k], row], shifts[order[k], row]) for k in range(_THREADS)]


def _states(ca: Tensor) -> Tensor:
    """Helix 2, strand 1, coil 0 by distances of CA to the second and fourth next, as in the published scheme."""
    state = torch.zeros(ca.shape[:2], dtype=torch.int64)
    if ca.shape[1] < 5:
        return state
    two, three, four = ((ca[:, k:] - ca[:, :-k]).norm(dim=-1) for k in (2, 3, 4))
    size = four.shape[1]

    def near(helix: tuple[float, float, float], slack: float) -> Tensor:
        parts = ((two, helix[0]), (three, helix[1]), (four, helix[2]))
        return torch.stack([(d[:, :size] - want).abs() < slack for d, want in parts]).all(0)

    state[:, 2:-2] = torch.where(near((5.45, 5.18, 6.37), 2.1), 2, torch.where(near((6.1, 10.4, 13.0), 1.42), 1, 0))
    return state


def _by_states(pairs: _Pairs) -> tuple[Tensor, Tensor]:
    """Motion of the alignment of secondary structures."""
    same = (_states(pairs.x).unsqueeze(2) == _states(pairs.y).unsqueeze(1)).to(pairs.x)
    return pairs.superpose(align_paths(torch.where(pairs.real, same, -1.0), -1.0))


def pair_tm(x: Tensor, x_mask: Tensor, y: Tensor, y_mask: Tensor, rounds: int = _ROUNDS) -> Tensor:
    """TM-score of structural alignments.

    Parameters
    ----------
    x
        CA positions, Å, shape ``(batch, n, 3)``.
    x_mask
        True for real residues of `x`.
    y
        CA positions, Å, shape ``(batch, m, 3)``.
    y_mask
        True for real residues of `y`.
    rounds
        Turns of dynamic programming for each start and gap penalty.

    Returns
    -------
    Tensor
        Normalised by the length of ``x`` and of ``y``, shape ``(batch, 2)``.
    """
    pairs = _Pairs(x, x_mask, y, y_mask)
    for motion in [*_threading(pairs), _by_states(pairs)]:
        pairs.climb(motion, rounds)
    weight, other = (pairs.partner >= 0).to(x), _gather(y, pairs.partner)
    scores = []
    for length in pairs.lengths:
        total, _ = refine(x, other, weight, fragments(weight), tm_scale(length).to(x), 10)
        scores.append(total / length)
    return torch.stack(scores, dim=1)


def nearest(
    chains: Chains, library: Chains, keep: int = 16, batch: int = 256, glance: int = 200
) -> tuple[Tensor, Tensor]:
    """Highest TM-score of each chain to a library, normalised by the chain itself.

    The `glance` chains of the library with the most similar coarse distance maps (`prefilter`) are aligned once by the
    cheapest start; the `keep` best of them are aligned in full.

    Parameters
    ----------
    chains, library
        Batches.
    keep
        Library chains that are aligned in full.
    batch
        Pairs at once.
    glance
        Library chains that are looked at.

    Returns
    -------
    score, row
        Shape ``(batch,)`` each: the score, and the row of the library.
    """
    scores, rows = [], []
    every, every_mask = library.ca.float(), library.mask
    for k, size in enumerate(chains.lengths.tolist()):
        x, mask = chains.ca[k : k + 1, :size].float(), chains.mask[k : k + 1, :size]

        def run(index: Tensor, full: bool, x: Tensor = x, mask: Tensor = mask) -> Tensor:
            parts = []
            for piece in index.split(batch):
                longest = int(every_mask[piece].sum(1).max())
                y, y_mask = every[piece, :longest], every_mask[piece, :longest]
                own, own_mask = x.expand(len(piece), -1, -1), mask.expand(len(piece), -1)
                parts.append(pair_tm(own, own_mask, y, y_mask)[:, 0] if full else _glance(own, own_mask, y, y_mask))
            return torch.cat(parts)

        index = shortlist(x[0], library, glance)
        if len(index) > keep:
            index = index[run(index, False).topk(keep).indices]
        found = run(index, True)
        scores.append(found.max())
        rows.append(index[found.argmax()])
    return torch.stack(scores), torch.stack(rows)


def _glance(x: Tensor, x_mask: Tensor, y: Tensor, y_mask: Tensor) -> Tensor:
    """Cheap bound: the alignment of secondary structures and one turn of dynamic programming."""
    pairs = _Pairs(x, x_mask, y, y_mask)
    motion = _by_states(pairs)
    apart = torch.cdist(apply(motion, x), y) ** 2 / (pairs.d0**2).view(-1, 1, 1)
    pairs.superpose(align_paths(torch.where(pairs.real, 1 / (1 + apart), -1.0), -0.6))
    return pairs.total / pairs.lengths[0]
