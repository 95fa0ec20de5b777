"""Chains that the tests of proteins share."""

from __future__ import annotations

import os
from dataclasses import replace

import pytest
import torch
from scidiff.domains.proteins.benchmark import random_backbones
from scidiff.domains.proteins.chains import Chains
from scidiff.domains.proteins.data import at_hand, load, select
from scidiff.domains.proteins.ideal_chains import HELIX_TORSIONS, uniform_chain

from scidiff.random import Noise

needs_chains = pytest.mark.skipif(
    not os.environ.get("SCIDIFF_DATA") or not at_hand(), reason="needs the cgdms chains: set SCIDIFF_DATA"
)


def held_out() -> Chains:
    return select(load("valid", progress=False))


def helix(length: int = 20) -> Chains:
    return uniform_chain(length, HELIX_TORSIONS)


def shaken(chains: Chains, size: float, seed: int = 0) -> Chains:
    noise = Noise.range(seed, len(chains)).normal(tuple(chains.xyz.shape[1:]), step=0, stream="test/shaken")
    return replace(chains, xyz=chains.xyz + size * noise.to(chains.xyz))


def random_rotation(seed: int = 0) -> torch.Tensor:
    matrix = torch.linalg.qr(Noise.range(seed, 1).normal((3, 3), step=0, stream="test/rotation")[0])[0]
    return matrix * torch.linalg.det(matrix)


__all__ = ["held_out", "helix", "needs_chains", "random_backbones", "random_rotation", "shaken"]
