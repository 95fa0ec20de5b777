"""How far a network is from commuting with the motions of space: its error under each of them.

A motion changes the input in a way that says what the output has to be; the error is the largest difference from that,
relative to the largest entry of the output.
"""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor
from torch.nn import functional as F

from scidiff.errors import NumericalError
from scidiff.nets.equivariant import EquivariantNetwork, Prediction

__all__ = ["equivariance_errors"]

_JUNK = 7.0
_MORE = 2


@torch.no_grad()
def equivariance_errors(
    network: EquivariantNetwork, x: Tensor, h: Tensor, t: Tensor, mask: Tensor | None = None, *, seed: int = 0
) -> dict[str, float]:
    """Relative error of a network under rotation, reflection, shift, permutation, padding, and in the sparse form.

    Parameters
    ----------
    network
        Network on point clouds.
    x, h, t
        A dense batch: positions ``(batch, n, d)``, features ``(batch, n, features)``, times ``(batch,)``.
    mask
        True where a node is real, shape ``(batch, n)``; all are by default.
    seed
        Seed of the motions.

    Returns
    -------
    dict
        Error of each motion, by name; ``"reflection"`` whether the network declares it or not.

    Raises
    ------
    NumericalError
        If the vectors or the scalars are 0 everywhere, or not finite: relative errors would mean nothing.
    """
    mask = torch.ones(x.shape[:2], dtype=torch.bool, device=x.device) if mask is None else mask
    want = network(x, h, t, mask=mask)
    sizes = [float(part.abs().max()) for part in want]
    if not all(0 < size < float("inf") for size in sizes):
        raise NumericalError(
            f"vectors and scalars have sizes {sizes}; expected finite ones above 0: change the weights"
        )
    generator = torch.Generator().manual_seed(seed)
    moves = (*_turns(network, (x, h, t, mask), want, generator), *_layouts(network, (x, h, t, mask), want, generator))
    return {
        name: max(float((a - b).abs().max()) / size for a, b, size in zip(got, asked, sizes, strict=True))
        for name, got, asked in moves
    }


Moves = Iterator[tuple[str, Prediction, Prediction]]


def _turns(network: EquivariantNetwork, inputs: tuple[Tensor, ...], want: Prediction, rng: torch.Generator) -> Moves:
    """Motions of space: name, output, expected output."""
    x, h, t, mask = inputs
    d = x.shape[2]
    turn = torch.linalg.qr(torch.randn(d, d, generator=rng, dtype=torch.float64))[0]
    turn[:, 0] *= torch.linalg.det(turn)
    mirror = turn.clone()
    mirror[:, 0] *= -1
    for name, matrix in (("rotation", turn.to(x)), ("reflection", mirror.to(x))):
        turned = Prediction(want.vectors @ matrix.T, want.scalars)
        yield name, network(x @ matrix.T, h, t, mask=mask), turned
    shift = torch.randn(len(x), 1, d, generator=rng, dtype=torch.float64).to(x)
    yield "shift", network(x + shift, h, t, mask=mask), want


def _layouts(network: EquivariantNetwork, inputs: tuple[Tensor, ...], want: Prediction, rng: torch.Generator) -> Moves:
    """Orders, padding and forms of the same clouds: name, output, expected output."""
    x, h, t, mask = inputs
    n = x.shape[1]
    order = torch.randperm(n, generator=rng).to(x.device)
    moved = network(x[:, order], h[:, order], t, mask=mask[:, order])
    yield "permutation", moved, Prediction(*(part[:, order] for part in want))
    junk = (torch.where(mask.unsqueeze(-1), part, _JUNK) for part in (x, h))
    yield "values of padding", network(*junk, t, mask=mask), want
    wide = (F.pad(part, (0, 0, 0, _MORE), value=_JUNK) for part in (x, h))
    padded = network(*wide, t, mask=F.pad(mask, (0, _MORE)))
    yield "more padding", Prediction(*(part[:, :n] for part in padded)), want
    graph = torch.arange(len(x), device=x.device).unsqueeze(1).expand(mask.shape)[mask]
    nodes = torch.randperm(len(graph), generator=rng).to(x.device)
    sparse = network(x[mask][nodes], h[mask][nodes], t, batch=graph[nodes])
    yield "sparse form", sparse, Prediction(*(part[mask][nodes] for part in want))
