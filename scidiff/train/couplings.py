"""Couplings: which draw of the prior is the end of which datum's path.

A coupling returns index pairs ``(i, j)``: the path of pair ``k`` joins ``x0[i[k]]`` and ``x1[j[k]]``, and whatever
belongs to datum ``i[k]`` (conditions, masks, weights) is taken by the same index. Neither marginal law changes, since
every row appears once.

    independent          j is a random permutation
    paired               j = i, for data that come in pairs
    optimal transport    j minimises sum_k d(x0[i_k], x1[j_k])^power over permutations

Optimal transport within a batch shortens and straightens paths [1]_, [2]_. It is a bias for conditional models: the
prior that a condition sees is then no longer the prior that it is sampled from.

References
----------
.. [1] A. Tong et al., "Improving and generalizing flow-based generative models with minibatch optimal transport",
   arXiv:2302.00482
.. [2] A.-A. Pooladian et al., "Multisample flow matching: straightening flows with minibatch couplings",
   arXiv:2304.14772
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

import torch
from scipy.optimize import linear_sum_assignment
from torch import Tensor

from scidiff.errors import ConfigError, NumericalError, ShapeError
from scidiff.spaces import Space, State, first, state_map

__all__ = ["Coupling", "IndependentCoupling", "OptimalTransportCoupling", "PairedCoupling", "transport_costs"]

_PAIRS = 1 << 14


class Coupling(Protocol):
    """Chooses pairs of rows of a batch."""

    def __call__(self, space: Space, x0: State, x1: State, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        """Return rows of ``x0`` and of ``x1``, two int64 tensors of shape ``(batch,)``."""
        ...


def _count(x0: State, x1: State) -> int:
    rows = len(first(x0)), len(first(x1))
    if rows[0] != rows[1]:
        raise ShapeError(f"{rows[0]} data came with {rows[1]} draws of the prior; expected as many of each")
    return rows[0]


@dataclass(frozen=True)
class IndependentCoupling:
    """Pairs at random."""

    def __call__(self, space: Space, x0: State, x1: State, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        """Return the rows in order, and a random permutation drawn from ``generator``."""
        count = _count(x0, x1)
        return torch.arange(count), torch.randperm(count, generator=generator, device=generator.device).cpu()


@dataclass(frozen=True)
class PairedCoupling:
    """Pairs as they come: row ``k`` with row ``k``."""

    def __call__(self, space: Space, x0: State, x1: State, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        """Return the rows in order, twice; ``generator`` is not used."""
        rows = torch.arange(_count(x0, x1))
        return rows, rows.clone()


@dataclass(frozen=True)
class OptimalTransportCoupling:
    """Exact optimal transport between the rows of a batch, ``O(batch^3)``.

    Parameters
    ----------
    power
        Power of the distance in the cost; 2 is the published one.
    """

    power: float = 2.0

    def __post_init__(self) -> None:
        if not self.power > 0:
            raise ConfigError(f"power is {self.power}; expected a positive power of the distance")

    def __call__(self, space: Space, x0: State, x1: State, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        """Return the rows in order, and the permutation of least cost; ``generator`` is not used.

        Raises
        ------
        NumericalError
            If a point or a distance is not finite.
        """
        rows, columns = linear_sum_assignment(transport_costs(space, x0, x1, power=self.power).numpy())
        return torch.from_numpy(rows).long(), torch.from_numpy(columns).long()


def transport_costs(space: Space, x0: State, x1: State, *, power: float = 2.0) -> Tensor:
    """Distances between all rows, to the given power; sites add up as squares.

    Parameters
    ----------
    space
        Where the points live.
    x0, x1
        Data and draws of the prior, as many of each.
    power
        Power of the distance.

    Returns
    -------
    Tensor
        Shape ``(batch, batch)``, float64, on the CPU.

    Raises
    ------
    NumericalError
        If a point or a distance is not finite.
    """
    count = _count(x0, x1)
    _check_finite(x0, x1)
    parts = []
    for rows in torch.arange(count).split(max(1, _PAIRS // max(1, count))):
        left = state_map(lambda part, rows=rows: part.detach().double()[rows].repeat_interleave(count, 0), x0)
        right = state_map(lambda part, rows=rows: part.detach().double().repeat(len(rows), *(1,) * (part.ndim - 1)), x1)
        square = space.dist(left, right).double().reshape(len(rows), count, -1).square().sum(-1)
        parts.append(square.cpu() ** (power / 2))
    costs = torch.cat(parts)
    if not bool(costs.isfinite().all()):
        raise NumericalError("a distance between data and prior is not finite; its power overflows, scale the data")
    return costs


def _check_finite(*states: State) -> None:
    for state in states:
        for part in state.values() if isinstance(state, Mapping) else (state,):
            if not bool(part.isfinite().all()):
                raise NumericalError("points of the batch are NaN or infinite; expected finite ones: look at the data")
