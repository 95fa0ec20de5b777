"""A small science, whole: data, network, model, validity.

A cell is a cube of edge 1 with four A and four B atoms, repeated without end: eight points of the torus of fractional
coordinates, here as angles ``2 pi u``. A atoms form a face-centred lattice, and B atoms the same lattice moved by

    (1/2, 1/2, 1/2)   rock salt: six B neighbours at .500            (1/4, 1/4, 1/4)   zinc blende: four at .433

Data are both, with thermal displacements, at any place of the cell, atoms in any order. The network sees only
differences of angles, and atoms of one kind alike: it commutes with translations and with exchanges by construction.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from scidiff.io.checkpoint import load_into, load_model
from scidiff.process import GeodesicFlow, Kind
from scidiff.random import Noise
from scidiff.sample import Grid, Retracted, run, uniform_grid
from scidiff.spaces import Power, Torus
from scidiff.train import DiagonalTask, TrainConfig, diagonal_denoiser
from scidiff.train import train as run_training

__all__ = ["PHASES", "SPACE", "CrystalModel", "Network", "draw_cells", "load", "train", "validate"]

SPACE = Power(Torus(3), (8,))
FLOW = GeodesicFlow(SPACE)
PHASES = {"rock salt": (1 / 2, 6, 0.5), "zinc blende": (1 / 4, 4, math.sqrt(3) / 4)}
"""Shift of B along the diagonal, number of neighbours and their distance, by name."""
_FCC = torch.tensor([[0, 0, 0], [0, 0.5, 0.5], [0.5, 0, 0.5], [0.5, 0.5, 0]], dtype=torch.float64)
_KINDS = torch.tensor([0.0] * 4 + [1.0] * 4)
_WAVES = torch.tensor([k for k in product((-2, -1, 0, 1, 2), repeat=3) if 0 < sum(map(abs, k)) <= 3])
_WEIGHTS = Path(__file__).parent / "weights" / "crystals.safetensors"


def draw_cells(count: int, seed: int, *, displacement: float = 0.015) -> Tensor:
    """Cells of both phases, shape ``(count, 8, 3)``, angles; `displacement` is a standard deviation in cell edges."""
    noise = Noise.range(seed, count)
    shift = torch.where(noise.uniform((1, 1), step=0, stream="phase") < 0.5, 1 / 2, 1 / 4)
    cells = torch.cat([_FCC.expand(count, 4, 3), _FCC + shift], dim=1)
    cells = cells + noise.uniform((1, 3), step=0, stream="place")
    cells = cells + displacement * noise.normal((8, 3), step=0, stream="heat")
    return SPACE.project(2 * math.pi * cells)


class Network(nn.Module):
    """Velocity of every atom: two rounds of messages over all pairs, made of waves of their differences."""

    def __init__(self, width: int = 48) -> None:
        super().__init__()
        pair = len(_WAVES) * 2 + 4
        self.first = nn.Sequential(nn.Linear(pair, width), nn.SiLU(), nn.Linear(width, width), nn.SiLU())
        self.second = nn.Sequential(nn.Linear(3 * width + pair, width), nn.SiLU(), nn.Linear(width, width), nn.SiLU())
        self.out = nn.Linear(2 * width, 3)

    def forward(self, x: Tensor, t: Tensor, s: Tensor, condition: Any = None) -> Tensor:
        """Velocities, shape ``(batch, 8, 3)``; the time is one for a sample."""
        x = x.to(self.out.weight.dtype)
        phase = (x[:, :, None] - x[:, None]) @ _WAVES.to(x).T
        time = torch.as_tensor(t).to(x).reshape(len(x), -1)[:, 0].reshape(-1, 1, 1, 1).expand(-1, 8, 8, 1)
        kinds = torch.stack(torch.meshgrid(_KINDS, _KINDS, indexing="ij"), -1).to(x).expand(len(x), 8, 8, 2)
        pairs = torch.cat([phase.cos(), phase.sin(), time, kinds, 1 - time], dim=-1)
        messages = self.first(pairs)
        nodes = messages.mean(2)
        both = [nodes[:, :, None].expand_as(messages), nodes[:, None].expand_as(messages)]
        return self.out(torch.cat([nodes, self.second(torch.cat([messages, *both, pairs], -1)).mean(2)], -1))


@dataclass(frozen=True)
class CrystalModel:
    """A trained network: `sample` is all that a domain has to give."""

    network: Network
    card: Mapping[str, Any]

    def sample(self, count: int, *, steps: int = 20, seed: int = 0, first: int = 0) -> Tensor:
        """Cells as fractional coordinates in [0, 1), float64, shape ``(count, 8, 3)``, one network call a step."""
        velocity = diagonal_denoiser(self.network, Kind.V)
        noise = Noise.range(seed, count, first) if first else Noise.range(seed, count)
        end = run(velocity, FLOW, Retracted(2), Grid(uniform_grid(steps)), noise=noise, shape=SPACE.shape)
        return (end.x / (2 * math.pi)) % 1.0


def validate(cells: Tensor, *, tolerance: float = 0.1) -> dict[str, Tensor]:
    """Say of each cell which phase it is: every A atom has the B neighbours of the phase, each within `tolerance`."""
    apart = cells[:, :4, None] - cells[:, None, 4:]
    images = torch.tensor(list(product((-1.0, 0.0, 1.0), repeat=3)), dtype=cells.dtype)
    distance = (apart[..., None, :] + images).norm(dim=-1).flatten(2).sort(-1).values
    found = {}
    for name, (_, neighbours, length) in PHASES.items():
        near, next_one = distance[..., :neighbours], distance[..., neighbours]
        found[name] = ((near - length).abs() <= tolerance).all(-1).all(-1) & (next_one > length + tolerance).all(-1)
    found["valid"] = found["rock salt"] | found["zinc blende"]
    return found


def train(folder: str | Path, *, steps: int = 3000, seed: int = 0, progress: bool = True) -> Path:
    """Train a model; a folder with a stopped run goes on where it was. Returns the weights file."""
    torch.manual_seed(seed)
    task = DiagonalTask(Network(), FLOW, Kind.V, draw_cells(20_000, seed).float(), size=128, seed=seed)
    config = TrainConfig(steps=steps, learning_rate=3e-3, warmup=100, ema=0.999, seed=seed, threads=1)
    return run_training(task, config, Path(folder), accelerator="cpu", progress=progress).model


def load(path: str | Path = _WEIGHTS) -> CrystalModel:
    """Load the bundled model, or a file that `train` wrote."""
    tensors, card = load_model(path)
    network = Network()
    load_into(network, tensors, card)
    return CrystalModel(network.eval(), card)
