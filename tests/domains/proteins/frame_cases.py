"""A small untrained model of frames, and inputs, that its tests share."""

from __future__ import annotations

import torch
from scidiff.domains.proteins.frames.model import FrameModel
from scidiff.domains.proteins.frames.network import FrameConfig, FrameNetwork
from scidiff.domains.proteins.frames.rotations import RotationFlow, RotationLaw
from scidiff.domains.proteins.torsion.condition import Condition
from scidiff.domains.proteins.torsion.draw_plans import PlanSource

from scidiff.random import Noise
from scidiff.spaces.so3 import SO3

from . import torsion_cases

TINY = FrameConfig(layers=2, width=16, pair=8, product=4, heads=2, queries=2, values=3)


def untrained(law: RotationLaw | None = None, seed: int = 0) -> FrameModel:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        network = FrameNetwork(TINY).eval()
        # away from the small weights of the first steps, so that every path through the network matters
        for layer in network.layers:
            layer.scale.data.fill_(1.0)
    return FrameModel("untrained", network, PlanSource.read(torsion_cases.PLANS), {}, law or RotationFlow())


def inputs(batch: int, length: int, seed: int = 0) -> tuple[dict, dict, Condition]:
    x, t, condition = torsion_cases.inputs(batch, length, seed)
    rotation = SO3().uniform(Noise.range(seed, batch), (length, 4), step=0, stream="test/rotation").float()
    turn = (t["ca"] ** 2).unsqueeze(1).expand(batch, length)
    return {"rotation": rotation, "ca": x["ca"]}, {"rotation": turn, "ca": t["ca"]}, condition
