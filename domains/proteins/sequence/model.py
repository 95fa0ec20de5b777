"""The sequence model: load it, and draw residue types for backbones.

Masks are removed by the reverse posterior of the masking process in the core's loop, ``steps`` network calls for all
chains; `temperature` sharpens every prediction. Known types may be kept: they are clean sites, which never move.

It is learned from small chains, hence ``biased``, and weak: a designed sequence is a proposal, not a claim that it
folds. What the model recovers of natural sequences stands in its card beside what their composition gives.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Self

import numpy as np
import torch
from torch import Tensor

from scidiff.denoise.denoiser import Denoiser
from scidiff.errors import ConfigError, ShapeError
from scidiff.process.base import Kind
from scidiff.random import Noise
from scidiff.sample.discrete.ctmc import Ancestral
from scidiff.sample.discrete.sharpen import Temperature
from scidiff.sample.grids import Grid, uniform_grid
from scidiff.sample.loop import run
from scidiff.sample.samples import Samples, Status
from scidiff.sample.state import RunState

from ..chains import Chains
from ..residues import UNKNOWN
from ..torsion.model import load_as
from .graph import residue_graph
from .network import SequenceConfig, SequenceNetwork
from .task import sequence_process

__all__ = ["DesignedSequences", "SequenceModel", "load"]

_CLASSES = {"proteins/sequence": "scidiff.domains.proteins.sequence.model:SequenceModel"}


@dataclass(frozen=True)
class DesignedSequences(Samples):
    """Samples whose items are chains of one row with their drawn sequence.

    `records` holds ``recovery``, the share of known types of the given chain that were drawn again, NaN where none was
    known or all were kept.
    """

    @property
    def chains(self) -> Chains:
        """All chains in one batch."""
        return Chains.cat(list(self.items))

    @property
    def sequences(self) -> list[str]:
        """One-letter sequence of each chain."""
        return [one.letters(0) for one in self.items]


def load(model: str | Path, *, device: str = "cpu") -> SequenceModel:
    """Load a model file; parameters and errors as of `torsion.model.load`."""
    return load_as(model, _CLASSES, device)


@dataclass(frozen=True)
class SequenceModel:
    """A network that predicts residue types on a backbone.

    Parameters
    ----------
    name
        Name of the model file.
    network
        Predicts logits of types.
    card
        The model's card: data, training, metrics.
    """

    name: str
    network: SequenceNetwork
    card: Mapping[str, Any] = field(default_factory=dict)

    @classmethod
    def of_card(cls, name: str, card: Mapping[str, Any]) -> Self:
        """Model of a card, its weights still random."""
        return cls(name, SequenceNetwork(SequenceConfig.from_json(card["task"]["network"])), card)

    def denoiser(self) -> Denoiser:
        """The network as a denoiser of types; its condition is ``{"xyz", "mask"}`` of the backbones."""
        weight = next(self.network.parameters())

        def function(x: Tensor, t: Tensor, condition: dict[str, Tensor]) -> Tensor:
            place = weight.device
            graph = residue_graph(
                condition["xyz"].float().to(place), condition["mask"].to(place), self.network.config.neighbours
            )
            return self.network(x.to(place), graph).to(x.device)

        return Denoiser(function, Kind.LOGITS)

    def design_sequence(
        self,
        chains: Chains,
        *,
        steps: int = 20,
        seed: int = 0,
        temperature: float = 1.0,
        keep: Tensor | None = None,
    ) -> DesignedSequences:
        """Draw residue types for backbones.

        Parameters
        ----------
        chains
            Backbones; their own sequence is read only where it is kept, and to measure the recovery.
        steps, seed
            Network calls for each chain, and the seed of the run.
        temperature
            Exponent ``1/temperature`` of every prediction; below 1 sequences are more alike.
        keep
            True for residues whose type is kept, shape of ``chains.mask``.

        Raises
        ------
        ConfigError
            If a number is out of range, or an unknown type is to be kept.
        ShapeError
            If `keep` has another shape.
        """
        kept = self._kept(chains, keep)
        if not temperature > 0:
            raise ConfigError(f"temperature is {temperature}; expected a positive number, 1 changes nothing")
        noise, free = Noise.range(seed, len(chains)), chains.mask & ~kept
        process = sequence_process()
        state = run(
            self.denoiser(),
            process,
            Ancestral(),
            Grid(uniform_grid(steps)),
            noise=noise,
            shape=(chains.xyz.shape[1],),
            free=free,
            clean=torch.where(kept, chains.sequence, 0),
            condition={"xyz": chains.xyz, "mask": chains.mask},
            transforms=() if temperature == 1 else (Temperature(temperature),),
        )
        facts = {
            "model": self.name,
            "model_sha256": str(self.card.get("sha256", "")),
            "steps": steps,
            "rule": "reverse posterior of masks (D3PM)",
            "label": "biased",
            "temperature": temperature,
        }
        return _designed(chains, state, free, facts)

    def _kept(self, chains: Chains, keep: Tensor | None) -> Tensor:
        """Residues whose type is kept."""
        if keep is None:
            return torch.zeros_like(chains.mask)
        if keep.shape != chains.mask.shape:
            raise ShapeError(f"keep has shape {tuple(keep.shape)}; expected {tuple(chains.mask.shape)} of the chains")
        kept = keep.bool() & chains.mask
        if bool((kept & (chains.sequence == UNKNOWN)).any()):
            raise ConfigError("a residue of unknown type is to be kept; give its type, or let it be drawn")
        return kept


def _designed(chains: Chains, state: RunState, free: Tensor, facts: Mapping[str, Any]) -> DesignedSequences:
    """Samples of a finished run."""
    drawn = replace(chains, sequence=torch.where(chains.mask, state.x, UNKNOWN))
    known = free & (chains.sequence != UNKNOWN)
    hits = ((drawn.sequence == chains.sequence) & known).sum(1).double()
    return DesignedSequences(
        [drawn.take([k]) for k in range(len(drawn))],
        [Status.OK] * len(drawn),
        state.noise.samples.astype(np.int64),
        state.noise.seed,
        state.calls.numpy(),
        {"recovery": torch.where(known.any(1), hits / known.sum(1), torch.nan).numpy()},
        facts,
    )
