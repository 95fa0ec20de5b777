"""The matter: a pair energy, its crystals at a temperature, and what a cell of atoms is.

A cell is a cube of edge 1 with four A and four B atoms, repeated without end: eight points of the torus of fractional
coordinates, here as angles ``x = 2 pi u``. With image vectors ``n``, cores ``c`` and charges of opposite sign

    U(x) = sum over pairs and images of  (c / r)^12 +- 3 exp(-r / l) / r,      r = |u_i - u_j + n|,  l = 0.3

has three crystals: A on a face-centred lattice, and B on the same lattice moved along the diagonal by 1/2 (rock salt,
Fm-3m), 1/4 or 3/4 (zinc blende and its mirror image, F-43m). Data are harmonic crystals: with ``H`` the Hessian of
``U``, displacements have the covariance ``kT H^+``, so that ``d.H d / 2`` is ``kT / 2`` times a chi-squared of 21.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import permutations, product

import torch
from torch import Tensor

from scidiff.random import Noise
from scidiff.spaces import Power, Torus

__all__ = ["KT", "PHASES", "SPACE", "Certificate", "align", "certify", "draw_cells", "energy"]

SPACE = Power(Torus(3), (8,))
KT, WARM, APART = 0.01, 0.234, 0.05
"""Temperature; excess energy that one crystal in a thousand has, ``kT / 2`` chi^2_21; displacement, cell edges."""
PHASES = {"rock salt": 1 / 2, "zinc blende": 1 / 4, "zinc blende, mirrored": 3 / 4}
_FCC = torch.tensor([[0, 0, 0], [0, 0.5, 0.5], [0.5, 0, 0.5], [0.5, 0.5, 0]], dtype=torch.float64)
_CRYSTALS = SPACE.project(2 * math.pi * torch.stack([torch.cat([_FCC, _FCC + shift]) for shift in PHASES.values()]))
_IMAGES = torch.tensor(list(product((-1, 0, 1), repeat=3)), dtype=torch.float64)
_ORDERS = torch.tensor(list(permutations(range(4))))
_I, _J = torch.triu_indices(8, 8, 1)
_LIKE = ((_I < 4) == (_J < 4))[:, None]


def distances(x: Tensor) -> Tensor:
    """Distances of all pairs and their images, cell edges, shape ``(..., 28, 27)``."""
    return (SPACE.log(x[..., _J, :], x[..., _I, :])[..., None, :] / (2 * math.pi) + _IMAGES).norm(dim=-1)


def energy(x: Tensor, *, reach: float = 0.95) -> Tensor:
    """Energy ``U`` of cells ``(..., 8, 3)``; it ends smoothly at `reach`."""
    r = distances(x)
    pair = (torch.where(_LIKE, 0.6, 0.4) / r) ** 12 + torch.where(_LIKE, 3.0, -3.0) * torch.exp(-r / 0.3) / r
    return torch.where(r < reach, (1 - (r / reach) ** 2) ** 2 * pair, 0.0).sum((-1, -2))


def thermal_modes(x: Tensor) -> Tensor:
    """Root of ``H^+`` at a crystal, shape ``(24, 21)``: all modes but the three translations."""
    value, mode = torch.linalg.eigh(torch.func.hessian(energy)(x).reshape(24, 24))
    return mode[:, 3:] / value[3:].sqrt()


def draw_cells(count: int, seed: int) -> Tensor:
    """Crystals at ``KT``, half of them rock salt, anywhere in the cell; angles, shape ``(count, 8, 3)``."""
    noise = Noise.range(seed, count)
    phase = (4 * noise.uniform((), step=0, stream="phase")).long().sub(1).clamp_min(0)
    modes = torch.stack([thermal_modes(x) for x in _CRYSTALS])[phase]
    heat = math.sqrt(KT) * (modes @ noise.normal((21, 1), step=0, stream="heat")).reshape(count, 8, 3)
    return SPACE.project(_CRYSTALS[phase] + heat + 2 * math.pi * noise.uniform((1, 3), step=0, stream="place"))


def align(x: Tensor, to: Tensor, *, rounds: int = 3) -> Tensor:
    """Exchange like atoms of ``x`` and move all, in turn, each time to the least sum of squares to `to`."""
    for _ in range(rounds):
        kinds = [SPACE.log(x[:, k : k + 4, None], to[:, None, k : k + 4]).square().sum(-1) for k in (0, 4)]
        cost = torch.stack(kinds, 1)[:, :, _ORDERS, torch.arange(4)].sum(-1)
        order = _ORDERS[cost.argmin(-1)] + torch.tensor([[0], [4]])
        x = x.gather(1, order.reshape(-1, 8, 1).expand(-1, -1, 3))
        x = SPACE.project(x + SPACE.log(x, to).mean(1, keepdim=True))
    return x


@dataclass(frozen=True)
class Certificate:
    """What holds for each cell: nearest phase, displacement from it, energy above it, shortest distance."""

    phase: list[str]
    displacement: Tensor
    excess: Tensor
    contact: Tensor

    @property
    def valid(self) -> Tensor:
        """Atoms stand on the sites of one space group within `APART`, and no warmer than `WARM`."""
        return (self.displacement <= APART) & (self.excess <= WARM)


def certify(x: Tensor) -> Certificate:
    """Compare cells with the three crystals."""
    x = SPACE.project(x - x[:, :1])
    moved = torch.stack([SPACE.log(align(x, c.expand_as(x)), c) for c in _CRYSTALS], 1) / (2 * math.pi)
    root, phase = moved.square().sum(-1).mean(-1).sqrt().min(1)
    contact = distances(x).flatten(1).amin(1)
    return Certificate([list(PHASES)[k] for k in phase], root, energy(x) - energy(_CRYSTALS)[phase], contact)
