"""What a training run of the sequence model is: chains with noise on their atoms, and the likelihood bound of masks.

A type survives with ``1 - t``, else it is masked. The loss is the continuous-time bound on ``-log p(sequence |
backbone)`` per residue in nats, which for masks is the cross-entropy of masked residues over ``t``, the value of
`DiscreteProcess.nelbo`. The exponential of its mean over held-out chains bounds their perplexity from above and is what
`validate` calls so, beside

    composition_perplexity   exp(-sum_v p_v log q_v), q the composition of training chains, p that of held-out ones
    composition_recovery     share of held-out residues of the most frequent training type
    recovery                 share of types that the most probable one hits when all are masked
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from scidiff.process.base import Kind
from scidiff.process.discrete import DiscreteProcess
from scidiff.process.kernels import mask as mask_kernel
from scidiff.random import SharedNoise
from scidiff.spaces import Categorical
from scidiff.train.batches import to_device

from ..chains import Chains
from ..residues import UNKNOWN
from .graph import ResidueGraph, residue_graph
from .network import SequenceConfig, SequenceNetwork

__all__ = ["SequenceBatch", "SequenceTask", "composition", "sequence_process"]

_FIRST_TIME = 0.02
_JITTER = 0.1
_PSEUDO = 1.0
_GROUP = 16


def sequence_process() -> DiscreteProcess:
    """Masking of residue types: 20 clean classes, and the mask, which is the code of an unknown residue."""
    return DiscreteProcess(Categorical(UNKNOWN + 1, (None,)), mask_kernel(UNKNOWN))


def composition(chains: Chains) -> Tensor:
    """Share of each type among the known residues, one pseudo-count each, float64, shape ``(20,)``."""
    codes = chains.sequence[chains.mask]
    count = torch.bincount(codes[codes != UNKNOWN], minlength=UNKNOWN).double() + _PSEUDO
    return count / count.sum()


@dataclass(frozen=True)
class SequenceBatch:
    """Types ``(batch, length)``, True where they are known, and the graph of the backbones."""

    types: Tensor
    known: Tensor
    graph: ResidueGraph


@dataclass
class SequenceTask:
    """Training of the sequence model; the contract of `scidiff.train.Task`.

    Parameters
    ----------
    train, valid
        Chains with sequences.
    network_config
        Size of the network.
    data
        Facts on the data for the card.
    batch_size
        Chains per batch and process.
    seed
        Seed of the initial weights, of the data order and of validation noise.
    """

    train: Chains
    valid: Chains
    network_config: SequenceConfig
    data: dict[str, Any]
    batch_size: int = 16
    seed: int = 0
    network: nn.Module = field(init=False)

    def __post_init__(self) -> None:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(self.seed)
            self.network = SequenceNetwork(self.network_config)

    def batch(self, step: int, rank: int, world: int) -> SequenceBatch:
        """Batch number `step`: chains with normal noise of 0.1 Å on every coordinate."""
        random = np.random.default_rng([self.seed, step, rank])
        rows = random.choice(len(self.train), min(self.batch_size, len(self.train)), replace=False)
        chains = self.train.take(rows)
        return self._batch(chains, torch.from_numpy(_JITTER * random.standard_normal(chains.xyz.shape)))

    def loss(
        self, network: nn.Module, batch: SequenceBatch, generator: torch.Generator
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """Mean bound per residue; it and the cross-entropy of masked residues apart."""
        noise = SharedNoise(generator, len(batch.types))
        shift, order = noise.uniform()[0], noise.uniform().argsort()
        t = _FIRST_TIME + (1 - _FIRST_TIME) * (order + shift) / len(noise)
        bound, entropy = self._bound(network, batch, t, noise)
        return bound.mean(), {"bound": bound.detach().mean(), "entropy": entropy.detach().mean()}

    @torch.no_grad()
    def validate(self, network: nn.Module) -> dict[str, float]:
        """Bound, perplexity and recovery on held-out chains, beside what their composition gives."""
        device = next(network.parameters()).device
        generator = torch.Generator(device=device).manual_seed(self.seed)
        bounds, hits, count = [], 0, 0
        for begin in range(0, len(self.valid), _GROUP):
            rows = list(range(begin, min(begin + _GROUP, len(self.valid))))
            batch = to_device(self._batch(self.valid.take(rows), None), device)
            noise = SharedNoise(generator, len(batch.types))
            for k in range(4):
                t = (k + noise.uniform()) / 4
                bounds.append(self._bound(network, batch, t, noise)[0])
            best = network(torch.full_like(batch.types, UNKNOWN), batch.graph).argmax(-1)
            hits += int(((best == batch.types) & batch.known).sum())
            count += int(batch.known.sum())
        mean = float(torch.cat(bounds).mean())
        q, p = composition(self.train), composition(self.valid)
        return {
            "bound": mean,
            "perplexity": math.exp(mean),
            "recovery": hits / count,
            "composition_perplexity": float((-(p * q.log()).sum()).exp()),
            "composition_recovery": float(p[q.argmax()]),
        }

    def card(self) -> dict[str, Any]:
        """Everything that the model file needs besides the weights."""
        return {
            "domain": "proteins/sequence",
            "data": self.data,
            "network": self.network_config.to_json(),
            "batch_size": self.batch_size,
            "seed": self.seed,
            "composition": composition(self.train).tolist(),
        }

    def _batch(self, chains: Chains, jitter: Tensor | None) -> SequenceBatch:
        known = chains.mask & (chains.sequence != UNKNOWN)
        xyz = chains.xyz if jitter is None else chains.xyz + jitter
        graph = residue_graph(xyz.float(), chains.mask, self.network_config.neighbours)
        return SequenceBatch(torch.where(known, chains.sequence, 0), known, graph)

    def _bound(self, network: nn.Module, batch: SequenceBatch, t: Tensor, noise: SharedNoise) -> tuple[Tensor, Tensor]:
        """Bound per known residue of each chain, and cross-entropy of its masked residues; unknown ones are masked."""
        process = sequence_process()
        time = torch.where(batch.known, t.unsqueeze(1), 1.0)
        x_t = process.noise(batch.types, time, noise)
        m = process.convert(network(x_t, batch.graph), Kind.LOGITS, x_t, time)
        hidden = batch.known & (x_t == UNKNOWN)
        entropy = torch.where(hidden, process.loss(m, batch.types, x_t, time), 0.0).sum(1)
        return entropy / t / batch.known.sum(1).clamp(min=1), entropy / hidden.sum(1).clamp(min=1)
