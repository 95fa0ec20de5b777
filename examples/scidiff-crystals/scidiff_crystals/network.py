"""The network: atoms pull each other along the gradients of lattice waves.

The invariants of a pair are sums of ``cos k.(x_i - x_j)`` over the shells ``|k|^2 = 1 .. 6``, and its vectors are their
gradients. Messages of invariants weigh the vectors, atoms move, and the next block sees them where they are. So the
velocity commutes with translations, exchanges of like atoms and the 48 symmetries of the cube, and its mean is zero.
"""

from __future__ import annotations

from itertools import product
from typing import Any

import torch
from torch import Tensor, nn

from scidiff.process import sample_time

__all__ = ["Network"]

_WAVES = torch.tensor([k for k in product((-2, -1, 0, 1, 2), repeat=3) if k > (0, 0, 0) and sum(a * a for a in k) < 7])
_SHELLS = nn.functional.one_hot(_WAVES.square().sum(1) - 1, 6)
_KIND = torch.block_diag(torch.ones(4, 4), torch.ones(4, 4))


class Network(nn.Module):
    """Velocity of every atom."""

    def __init__(self, width: int = 64, blocks: int = 3) -> None:
        super().__init__()
        self.start = nn.Linear(2, width)
        self.blocks = nn.ModuleList(_Block(width) for _ in range(blocks))

    def forward(self, x: Tensor, t: Tensor, s: Tensor, condition: Any = None) -> Tensor:
        """Velocities ``dx/dt``, shape ``(batch, 8, 3)``; the time is one for a sample, and ``s`` is not used."""
        x = x.to(self.start.weight)
        t = sample_time(t, x).to(x)[:, None]
        h = self.start(torch.cat([t, t * t], 1))[:, None].expand(-1, 8, -1)
        velocity = torch.zeros_like(x)
        for block in self.blocks:
            more, h = block(x - t[:, :, None] * velocity, h)
            velocity = velocity + more
        return velocity


class _Block(nn.Module):
    """Messages between all atoms, and the pull of each on each."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.near, self.other, self.own = nn.Linear(8, width), nn.Linear(width, width), nn.Linear(width, width)
        self.message = nn.Sequential(nn.SiLU(), nn.Linear(width, width), nn.SiLU())
        self.node, self.pull = nn.Linear(2 * width, width), nn.Linear(width, 6)
        nn.init.zeros_(self.pull.weight)
        self.register_buffer("waves", _WAVES.float(), persistent=False)
        self.register_buffer("shells", _SHELLS / _SHELLS.sum(0), persistent=False)
        self.register_buffer("kinds", torch.stack([_KIND, torch.eye(8)], -1), persistent=False)

    def forward(self, x: Tensor, h: Tensor) -> tuple[Tensor, Tensor]:
        phase = (x[:, :, None] - x[:, None]) @ self.waves.T
        near = torch.cat([phase.cos() @ self.shells, self.kinds.expand(len(x), -1, -1, -1)], -1)
        pair = self.message(self.near(near) + self.own(h)[:, :, None] + self.other(h)[:, None])
        force = (self.pull(pair) @ self.shells.T * phase.sin()).sum(2) @ self.waves
        return force - force.mean(1, keepdim=True), h + self.node(torch.cat([h, pair.mean(2)], -1))
