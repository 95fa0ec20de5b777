"""A small untrained model and plans that the tests of the chain model share."""

from __future__ import annotations

import torch
from scidiff.domains.proteins.torsion.condition import Condition, blank
from scidiff.domains.proteins.torsion.draw_plans import PlanSource
from scidiff.domains.proteins.torsion.model import TorsionModel
from scidiff.domains.proteins.torsion.network import NetworkConfig, TorsionNetwork

from scidiff.random import Noise

TINY = NetworkConfig(layers=2, width=16, pair=8, product=4, heads=2)
PLANS = (
    "-HHHHHHHHHH----EEEEE---EEEEE-- 15a27*5",
    "--EEEEEE--EEEEEE---HHHHHHHHHH- 2a15*6",
    "-EEEE--HHHHHHHH---EEEE-- 1p18*4",
)


def untrained(seed: int = 0) -> TorsionModel:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        network = TorsionNetwork(TINY).eval()
        # away from the small weights of the first steps, so that every path through the network matters
        for layer in network.layers:
            layer.scale.data.fill_(1.0)
    return TorsionModel("untrained", network, PlanSource.read(PLANS))


def inputs(batch: int, length: int, seed: int = 0) -> tuple[dict, dict, Condition]:
    noise = Noise.range(seed, batch)
    x = {
        "torsion": (noise.uniform((length, 2, 1), step=0, stream="test/torsion").float() - 0.5) * 6,
        "ca": noise.normal((length, 3), step=0, stream="test/ca").float(),
    }
    x["ca"] = x["ca"] - x["ca"].mean(1, keepdim=True)
    time = noise.uniform((), step=0, stream="test/time").float()
    t = {"torsion": time.reshape(-1, 1, 1).expand(batch, length, 2), "ca": time}
    condition = blank(torch.ones(batch, length, dtype=torch.bool))
    condition["states"] = (noise.uniform((length,), step=0, stream="test/states") * 4).long()
    pairing = (noise.uniform((length, length), step=0, stream="test/pairing") * 4).long()
    condition["pairing"] = torch.maximum(pairing, pairing.transpose(1, 2))
    condition["group"][:, 3:8] = 1
    condition["motif_torsions"] = noise.normal((length, 2), step=0, stream="test/motif").float()
    condition["motif_xyz"] = 4 * noise.normal((length, 3, 3), step=0, stream="test/xyz").float()
    return x, t, condition
