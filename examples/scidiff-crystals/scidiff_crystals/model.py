"""The model: a flow on the torus from uniform atoms to crystals, trained, loaded and sampled.

Every draw of the prior is first exchanged and moved to where its crystal is near [1]_: the law of the prior does not
change, as it is invariant under both, and paths become short. What the network predicts commutes with both as well.

References
----------
.. [1] L. Klein et al., "Equivariant flow matching", arXiv:2306.15030
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from scidiff.errors import CheckpointError, UnknownNameError
from scidiff.io.checkpoint import load_into, load_model
from scidiff.process import GeodesicFlow, Kind
from scidiff.random import Noise
from scidiff.sample import Grid, Retracted, run, uniform_grid
from scidiff.sample.samples import Samples, Status
from scidiff.train import DiagonalTask, TimePairs, TrainConfig, TrainResult, diagonal_denoiser
from scidiff.train import train as run_training

from .crystals import SPACE, align, certify, draw_cells
from .network import Network

__all__ = ["CrystalModel", "CrystalTask", "load", "train"]

WEIGHTS = Path(__file__).parent / "weights"


@dataclass(frozen=True)
class AlignedFlow(GeodesicFlow):
    """Geodesics between a cell and the draw of the prior that is aligned with it."""

    def path(self, x0: Tensor, x1: Tensor, t: Tensor | float) -> Tensor:
        """Point at time ``t``."""
        return super().path(x0, align(x1.double(), x0.double()), t)


FLOW = AlignedFlow(SPACE)


class CrystalTask(DiagonalTask):
    """Flow matching on drawn crystals; validation on crystals that are not among them."""

    def __init__(self, network: Network, seed: int = 0, rows: int = 20_000, size: int = 128) -> None:
        data = draw_cells(rows, seed).float()
        super().__init__(network, FLOW, Kind.V, data, size=size, seed=seed, times=TimePairs(ends=0.1))

    @torch.no_grad()
    def validate(self, network: torch.nn.Module, count: int = 2000) -> dict[str, float]:
        """Mean squared error of the velocity, and that of velocity zero."""
        paths = self.paths({"x0": draw_cells(count, self.seed + 1).float()}, torch.Generator().manual_seed(self.seed))
        target = FLOW.target(paths.x0, paths.x, paths.t, Kind.V)
        error = target - network(paths.x, paths.t, paths.t)
        return {"held_out": float(error.square().sum() / count), "zero": float(target.square().sum() / count)}

    def card(self) -> dict[str, Any]:
        """What is trained on what."""
        return {**super().card(), "domain": "crystals"}


def train(folder: str | Path, *, steps: int = 5000, seed: int = 0, progress: bool | None = None) -> TrainResult:
    """Train a model; a folder with a stopped run goes on where it was."""
    torch.manual_seed(seed)
    config = TrainConfig(steps=steps, learning_rate=3e-3, warmup=100, seed=seed, threads=1, checkpoint_every=500)
    return run_training(CrystalTask(Network(), seed), config, folder, accelerator="cpu", progress=progress)


def load(model: str | Path = "crystals") -> CrystalModel:
    """Load the bundled model by its name, or a file that `train` wrote."""
    path = WEIGHTS / f"{model}.safetensors" if str(model) == "crystals" else Path(model)
    if path.suffix != ".safetensors" or not path.exists():
        raise UnknownNameError("model", str(model), ["crystals"])
    tensors, card = load_model(path)
    if card.get("task", {}).get("domain") != "crystals":
        raise CheckpointError(f"{path} is no model of crystals; expected one that 'scidiff crystals train' wrote")
    network = Network()
    load_into(network, tensors, card)
    return CrystalModel(network.eval(), card)


@dataclass(frozen=True)
class CrystalModel:
    """A trained network with its card."""

    network: Network
    card: Mapping[str, Any]

    def sample(self, count: int, *, steps: int = 20, seed: int = 0, first: int = 0) -> Samples:
        """Draw cells, one network call a step; `first` is the index of the first.

        Items are fractional coordinates in [0, 1), shape ``(8, 3)``, A atoms first. The records are the certificate;
        a cell that is not valid by it has status ``invalid``.
        """
        noise = Noise.range(seed, count, first)
        velocity = diagonal_denoiser(self.network, Kind.V)
        end = run(velocity, FLOW, Retracted(2), Grid(uniform_grid(steps) ** 1.5), noise=noise, shape=SPACE.shape)
        found = certify(end.x)
        status = [Status.OK if good else Status.INVALID for good in found.valid]
        records = {name: getattr(found, name).numpy() for name in ("displacement", "excess", "contact")}
        records["phase"] = np.array(found.phase)
        facts = {"model": self.card.get("sha256"), "steps": steps, "label": "consistent(2)"}
        cells = list((end.x / (2 * torch.pi) % 1.0).numpy())
        return Samples(cells, status, noise.samples, seed, end.calls.numpy(), records, facts)
