"""What a training run of the molecular model is: batches, loss, validation.

The loss is the cross-entropy of the clean classes, atoms and pairs, summed over a molecule and divided by its atoms;
the time is uniform, one for all sites of a molecule and spread evenly over a batch. A share of the molecules has a
given part at ``t = 0`` (see `clamping`), so that scaffolds and linkers need no second model. Validation reports the
continuous-time bound on ``-log p(graph | size)`` in nats per atom, on a fixed labelling of the atoms.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from scidiff.process.base import Kind, ProductProcess
from scidiff.random import SharedNoise

from .clamping import given_pairs, grow_parts
from .graphs import GraphSet, pair_count, pair_index
from .network import GraphDenoiserConfig, GraphDenoiserNetwork
from .noising import graph_process
from .vocabulary import Vocabulary

__all__ = ["GraphBatch", "MoleculeTask"]

_BUCKET = 32


@dataclass(frozen=True)
class GraphBatch:
    """A padded batch: classes of atoms (batch, n) and pairs (batch, n (n - 1) / 2), sizes (batch,)."""

    atoms: Tensor
    bonds: Tensor
    sizes: Tensor

    @classmethod
    def of(cls, graphs: GraphSet, rows: np.ndarray) -> GraphBatch:
        """Rows of a set, padded to the largest among them."""
        sizes = graphs.sizes[rows]
        largest = int(sizes.max())
        return cls(
            torch.from_numpy(graphs.atoms[rows, :largest].astype(np.int64)),
            torch.from_numpy(graphs.bonds[rows, : pair_count(largest)].astype(np.int64)),
            torch.from_numpy(sizes),
        )

    @property
    def mask(self) -> Tensor:
        """True where an atom is real."""
        return torch.arange(self.atoms.shape[1], device=self.sizes.device) < self.sizes.unsqueeze(1)


@dataclass
class MoleculeTask:
    """Training of a molecular graph model; the contract of `scidiff.train.Task`.

    Parameters
    ----------
    train, valid
        Molecules.
    vocabulary
        Tokens of the data.
    network_config
        Size of the network.
    data
        Facts on the data for the card: name, split, hashes.
    batch_size
        Molecules per batch and process.
    given_share
        Share of molecules with a given part.
    seed
        Seed of the initial weights, of the data order and of validation noise.
    """

    train: GraphSet
    valid: GraphSet
    vocabulary: Vocabulary
    network_config: GraphDenoiserConfig
    data: dict[str, Any]
    batch_size: int = 256
    given_share: float = 0.15
    seed: int = 0
    network: nn.Module = field(init=False)
    process: ProductProcess = field(init=False)
    _order: tuple[int, np.ndarray] = field(init=False, repr=False, default=(-1, np.zeros(0, dtype=np.int64)))

    def __post_init__(self) -> None:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(self.seed)
            self.network = GraphDenoiserNetwork(self.network_config)
        self.process = graph_process(self.vocabulary)

    @cached_property
    def size_prior(self) -> list[float]:
        """Share of each number of heavy atoms in the training set, from 0 atoms on."""
        counts = np.bincount(self.train.sizes, minlength=self.network_config.largest + 1)
        return (counts / counts.sum()).tolist()

    def batch(self, step: int, rank: int, world: int) -> GraphBatch:
        """Batch number `step`: the data are shuffled every epoch and cut into batches of similar size."""
        per_epoch = max(len(self.train) // (self.batch_size * world), 1)
        epoch, place = divmod(step, per_epoch)
        order = self._epoch_order(epoch)
        first = (place * world + rank) * self.batch_size
        rows = order.take(range(first, first + min(self.batch_size, len(order))), mode="wrap")
        return GraphBatch.of(self.train, rows)

    def _epoch_order(self, epoch: int) -> np.ndarray:
        known, order = self._order
        if known != epoch:
            random = np.random.default_rng([self.seed, epoch])
            order = random.permutation(len(self.train))
            window = _BUCKET * self.batch_size
            for first in range(0, len(order), window):
                part = order[first : first + window]
                part = part[np.argsort(self.train.sizes[part], kind="stable")]
                batches = [part[k : k + self.batch_size] for k in range(0, len(part), self.batch_size)]
                full = [b for b in batches if len(b) == self.batch_size]
                rest = [b for b in batches if len(b) < self.batch_size]
                random.shuffle(full)
                order[first : first + window] = np.concatenate([*full, *rest])
            self._order = (epoch, order)
        return order

    def loss(
        self, network: nn.Module, batch: GraphBatch, generator: torch.Generator
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """Cross-entropy per atom, and its two parts."""
        noise = SharedNoise(generator, len(batch.sizes))
        time = _spread(noise)
        given, open_atoms = grow_parts(batch.bonds, batch.mask, noise, self.given_share)
        free = self._free(batch, given, open_atoms)
        parts = self._site_terms("loss", network, batch, time, free, noise)
        scale = 1.0 / batch.sizes.double()
        atoms, bonds = ((parts[key] * scale).mean() for key in ("atoms", "bonds"))
        return atoms + bonds, {"loss_atoms": atoms.detach(), "loss_bonds": bonds.detach()}

    @torch.no_grad()
    def validate(self, network: nn.Module) -> dict[str, float]:
        """Bound on ``-log p(graph | size)`` in nats per atom, with the standard error over molecules."""
        generator = torch.Generator().manual_seed(self.seed)
        bounds = []
        for first in range(0, len(self.valid), self.batch_size):
            rows = np.arange(first, min(first + self.batch_size, len(self.valid)))
            batch = GraphBatch.of(self.valid, rows)
            noise = SharedNoise(generator, len(rows))
            free = self._free(batch, torch.zeros_like(batch.mask), torch.ones_like(batch.mask))
            parts = self._site_terms("nelbo", network, batch, _spread(noise), free, noise)
            bounds.append((parts["atoms"] + parts["bonds"]) / batch.sizes)
        bound = torch.cat(bounds)
        return {"nelbo_per_atom": float(bound.mean()), "nelbo_standard_error": float(bound.std() / len(bound) ** 0.5)}

    def card(self) -> dict[str, Any]:
        """Everything that the model file needs besides the weights."""
        return {
            "domain": "molecules",
            "data": self.data,
            "vocabulary": self.vocabulary.to_json(),
            "network": self.network_config.to_json(),
            "size_prior": self.size_prior,
            "batch_size": self.batch_size,
            "given_share": self.given_share,
            "seed": self.seed,
        }

    @staticmethod
    def _free(batch: GraphBatch, given: Tensor, open_atoms: Tensor) -> dict[str, Tensor]:
        mask = batch.mask
        i, j = pair_index(mask.shape[1])
        return {"atoms": mask & ~given, "bonds": mask[:, i] & mask[:, j] & ~given_pairs(given, open_atoms)}

    def _site_terms(
        self,
        term: str,
        network: nn.Module,
        batch: GraphBatch,
        time: Tensor,
        free: dict[str, Tensor],
        noise: SharedNoise,
    ) -> dict[str, Tensor]:
        """Sum a per-site term of the process over the free sites of every molecule."""
        clean = {"atoms": batch.atoms, "bonds": batch.bonds}
        t = {key: time.unsqueeze(1) * free[key] for key in clean}
        x_t = self.process.noise(clean, t, noise)
        logits = network(x_t, t, batch.mask)
        m = self.process.convert(logits, Kind.LOGITS, x_t, t)
        terms = getattr(self.process, term)(m, clean, x_t, t)
        return {key: (terms[key] * free[key]).sum(1) for key in clean}


def _spread(noise: SharedNoise) -> Tensor:
    """Times uniform in (0, 1), one per row, spread evenly over the batch in random order."""
    shift = noise.uniform(step=0, stream="time")
    order = noise.uniform(step=0, stream="order").argsort()
    return (order + shift[0]) / len(noise)


def smiles_hash(smiles: list[str]) -> str:
    """SHA-256 of a list of SMILES, one a line."""
    return hashlib.sha256("\n".join(smiles).encode()).hexdigest()
