"""What a training run of the chain model is: batches of like lengths, conditions that are partly unknown, losses.

With ``u = t / s`` the error of the best linear prediction of CA (`network`), ``e = x^_0 - x_0`` and ``D`` the whitening
of `process`, the loss of a sample is

    mean |D e|^2 / u^2  +  (1/2) mean |e|^2 / (3 r u)^2  +  mean (m - log_{x_t} x_0)^2 / (1.8 t)^2  +  2 (1 - lDDT)

with ``r`` the spread of a coordinate. The third term is over torsions that are not given; the last is the smooth lDDT
of the predicted CA, over pairs within 15 Å, in which bridges of strands count `BRIDGE` times: a sheet closes when its
pairs are right to half an Å. Noise and data are superposed, which changes no law, as that of the noise is isotropic.

A part of the samples sees no plan, or only the states, or a plan with holes; a part sees a motif. So one network draws
freely, from a plan, around a motif, and with classifier-free guidance of each.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from scidiff.random import SharedNoise
from scidiff.spaces.centred import centre
from scidiff.spaces.torus import wrap
from scidiff.train.batches import to_device

from ..superpose import kabsch
from ..torsions import known_torsions
from .condition import Condition, blank
from .data import Cut, TrainingChains
from .network import NetworkConfig, TorsionNetwork
from .pairing import UNKNOWN_PAIR, UNKNOWN_STATE
from .plans import pack_plans
from .process import UNIT, polymer, whiten

__all__ = [
    "RADIUS",
    "ChainBatch",
    "TorsionTask",
    "fixed_torsions",
    "row_mean",
    "spread_times",
    "superposed",
    "unlikeness",
]

_SPREAD = math.pi / math.sqrt(3)
RADIUS = 0.6
_REACH = 15.0
_THRESHOLDS = (0.5, 1.0, 2.0, 4.0)
BRIDGE = 5.0
_FIRST_TIME = 0.01


@dataclass(frozen=True)
class ChainBatch:
    """Torsions ``(batch, length, 2)``, centred CA in units of `UNIT`, true bridges, and what the network is told."""

    torsion: Tensor
    ca: Tensor
    bridge: Tensor
    condition: Condition


def fixed_torsions(group: Tensor) -> Tensor:
    """Tell which torsions a motif fixes.

    Parameters
    ----------
    group
        Rigid body of each residue, 0 for none, shape ``(batch, length)``.

    Returns
    -------
    Tensor
        Mask, shape ``(batch, length, 2)``: phi where the residue before is in the same body, psi where the next is.
    """
    joined = (group[:, 1:] == group[:, :-1]) & (group[:, 1:] > 0)
    none = torch.zeros_like(joined[:, :1])
    return torch.stack((torch.cat((none, joined), 1), torch.cat((joined, none), 1)), dim=-1)


@dataclass
class TorsionTask:
    """Training of the chain model; the contract of `scidiff.train.Task`.

    Parameters
    ----------
    train, valid
        Chains.
    network_config
        Size of the network.
    data
        Facts on the data for the card.
    batch_size
        Chains of 64 residues per batch and process; more of shorter ones, fewer of longer ones.
    seed
        Seed of the initial weights, of the data order and of validation noise.
    """

    train: TrainingChains
    valid: TrainingChains
    network_config: NetworkConfig
    data: dict[str, Any]
    batch_size: int = 16
    seed: int = 0
    network: nn.Module = field(init=False)

    def __post_init__(self) -> None:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(self.seed)
            self.network = TorsionNetwork(self.network_config)

    def batch(self, step: int, rank: int, world: int) -> ChainBatch:
        """Batch number `step`: parts of chains, all within a fifth of one length."""
        random = np.random.default_rng([self.seed, step, rank])
        longest = max(int(self.train.lengths[random.integers(len(self.train))]), 30)
        shortest = int(0.8 * longest)
        count = int(
            np.clip(round(self.batch_size * (64 / longest) ** 2), self.batch_size // 4 + 1, self.batch_size * 2)
        )
        rows = random.choice(np.flatnonzero(self.train.lengths >= shortest), count)
        parts = [self.train.cut(int(row), shortest, longest, random) for row in rows]
        return self._batch(self.train, parts, random)

    def loss(
        self, network: nn.Module, batch: ChainBatch, generator: torch.Generator
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """Mean loss; its parts apart."""
        noise = SharedNoise(generator, len(batch.ca))
        parts = self._losses(network, batch, spread_times(noise), noise)
        total = parts["bonds"] + 0.5 * parts["places"] + parts["torsions"] + 2 * parts["lddt_loss"]
        return total.mean(), {name: value.detach().mean() for name, value in parts.items()}

    @torch.no_grad()
    def validate(self, network: nn.Module) -> dict[str, float]:
        """Losses on held-out chains with fixed noise, with their plan and without."""
        device = next(network.parameters()).device
        generator = torch.Generator(device=device).manual_seed(self.seed)
        found: dict[str, float] = {}
        order = np.argsort(self.valid.lengths)
        groups = [order[k : k + 16] for k in range(0, len(order), 16)]
        for told in (True, False):
            sums: dict[str, list[Tensor]] = {}
            for rows in groups:
                cuts = [Cut(int(k), 0, int(self.valid.lengths[k])) for k in rows]
                batch = to_device(self._batch(self.valid, cuts, None, told), device)
                noise = SharedNoise(generator, len(rows))
                for name, value in self._losses(network, batch, spread_times(noise), noise).items():
                    sums.setdefault(name, []).append(value)
            means = {name: float(torch.cat(values).mean()) for name, values in sums.items()}
            found |= {f"{name}_{'planned' if told else 'free'}": value for name, value in means.items()}
        return found

    def card(self) -> dict[str, Any]:
        """Everything that the model file needs besides the weights."""
        return {
            "domain": "proteins/chains",
            "data": self.data,
            "network": self.network_config.to_json(),
            "batch_size": self.batch_size,
            "seed": self.seed,
            "plans": pack_plans(self.train),
        }

    def _batch(
        self, source: TrainingChains, parts: list[Cut], random: np.random.Generator | None, told: bool = True
    ) -> ChainBatch:
        size = max(len(part) for part in parts)
        mask = torch.arange(size) < torch.tensor([len(part) for part in parts]).unsqueeze(1)
        condition = blank(mask)
        torsion, ca = torch.zeros(len(parts), size, 2), torch.zeros(len(parts), size, 3, dtype=torch.float64)
        bridge = torch.zeros(len(parts), size, size, dtype=torch.bool)
        for k, part in enumerate(parts):
            inside, length = slice(part.start, part.stop), len(part)
            torsion[k, :length] = source.torsions[part.row, inside].float()
            ca[k, :length] = source.chains.ca[part.row, inside] / UNIT
            states, pairing = source.plan(part)
            bridge[k, :length, :length] = pairing > 0
            if told:
                condition["states"][k, :length], condition["pairing"][k, :length, :length] = states, pairing
            if random is not None:
                _forget(condition, k, length, random)
                _give_motif(condition, k, source, part, random)
        return ChainBatch(torsion, centre(ca, mask).float(), bridge, condition)

    def _losses(self, network: nn.Module, batch: ChainBatch, t: Tensor, noise: SharedNoise) -> dict[str, Tensor]:
        """Parts of the loss of each chain."""
        mask, condition = batch.condition["mask"], batch.condition
        length = mask.shape[1]
        given = fixed_torsions(condition["group"])
        angle_time = torch.where(given, 0.0, t.reshape(-1, 1, 1))
        start = (noise.uniform((length, 2)) - 0.5) * 2 * math.pi
        target = wrap(start - batch.torsion)
        angle = wrap(batch.torsion + angle_time * target).float()
        time = t.reshape(-1, 1, 1)
        x1 = superposed(centre(polymer(noise.normal((length, 3))), mask), batch.ca.double(), mask)
        x_t = ((1 - time) * batch.ca + time * x1).float()
        out = network({"torsion": angle.unsqueeze(-1), "ca": x_t}, {"torsion": angle_time, "ca": t}, condition)
        turn = out["torsion"].squeeze(-1) / (_SPREAD * time) + target / _SPREAD
        free = known_torsions(mask)[..., :2] & ~given
        gap = (x_t + out["ca"] - batch.ca).float()
        u = (time / ((1 - time) ** 2 + time**2).sqrt()).float()
        linked = (mask[:, 1:] & mask[:, :-1]).unsqueeze(-1)
        return {
            "bonds": row_mean((whiten(gap) / u).square(), linked),
            "places": row_mean((gap / (RADIUS * u)).square(), mask.unsqueeze(-1)),
            "torsions": row_mean(turn.float().square(), free),
            "lddt_loss": unlikeness(x_t + out["ca"], batch),
        }


def spread_times(noise: SharedNoise) -> Tensor:
    """Times uniform in (0, 1), one per row, spread evenly over the batch in random order."""
    shift, order = noise.uniform()[0], noise.uniform().argsort()
    return _FIRST_TIME + (1 - _FIRST_TIME) * (order + shift) / len(noise)


def row_mean(values: Tensor, real: Tensor) -> Tensor:
    """Mean over real entries of each row."""
    real = real.expand_as(values)
    return torch.where(real, values, 0.0).flatten(1).sum(1) / real.flatten(1).sum(1).clamp(min=1)


def superposed(x1: Tensor, x0: Tensor, mask: Tensor) -> Tensor:
    """Noise turned onto the data; both are centred."""
    return x1 @ kabsch(x1, x0, mask.to(x1))[0].transpose(1, 2)


def unlikeness(ca: Tensor, batch: ChainBatch) -> Tensor:
    """One minus the smooth lDDT of each chain."""
    mask = batch.condition["mask"]
    place = torch.arange(mask.shape[1], device=ca.device)

    def apart(x: Tensor) -> Tensor:
        away = (x.unsqueeze(1) - x.unsqueeze(2)).float() * UNIT
        return (away.square().sum(-1) + 1e-6).sqrt()

    true = apart(batch.ca)
    pair = mask.unsqueeze(1) & mask.unsqueeze(2) & (true < _REACH)
    pair = pair & ((place.unsqueeze(1) - place).abs() >= 2)
    off = (apart(ca) - true).abs()
    hit = torch.stack([torch.sigmoid(limit - off) for limit in _THRESHOLDS]).mean(0)
    weight = pair * (1 + (BRIDGE - 1) * batch.bridge.float())
    return 1 - (hit * weight).sum((1, 2)) / weight.sum((1, 2)).clamp(min=1)


def _forget(condition: Condition, k: int, length: int, random: np.random.Generator) -> None:
    """Make a part of the plan of a row unknown."""
    lot = random.random()
    if lot < 0.15:
        condition["states"][k], condition["pairing"][k] = UNKNOWN_STATE, UNKNOWN_PAIR
    elif lot < 0.35:
        condition["pairing"][k] = UNKNOWN_PAIR
    elif lot < 0.5:
        hidden = torch.from_numpy(np.repeat(random.random(length // 4 + 1) < 0.3, 4)[:length])
        condition["states"][k, :length][hidden] = UNKNOWN_STATE
        either = hidden.unsqueeze(0) | hidden.unsqueeze(1)
        condition["pairing"][k, :length, :length][either] = UNKNOWN_PAIR


def _give_motif(condition: Condition, k: int, source: TrainingChains, part: Cut, random: np.random.Generator) -> None:
    """Tell the network one or two pieces of a row, as one rigid body or as two."""
    if random.random() > 0.25:
        return
    length, pieces = len(part), int(random.integers(1, 3))
    together = random.random() < 0.7
    for piece in range(pieces):
        size = int(random.integers(4, max(length // 4, 5) + 1))
        first = int(random.integers(length - size + 1))
        inside = slice(part.start + first, part.start + first + size)
        condition["group"][k, first : first + size] = 1 if together else 1 + piece
        condition["motif_torsions"][k, first : first + size] = source.torsions[part.row, inside].float()
        condition["motif_xyz"][k, first : first + size] = source.chains.xyz[part.row, inside].float()
