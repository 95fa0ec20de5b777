r"""Seeds of a training run's draws, as a function of where the run is.

Micro-step :math:`i` of rank :math:`r` among :math:`R` has the counter :math:`c = iR + r`. Its seed is
:math:`F(c + h \bmod 2^{32})`, where :math:`h` is a 32-bit hash of the run's seed and :math:`F` the 32-bit finaliser of
MurmurHash3, a bijection: two counters of a run never share a seed (torch's CPU generator keeps 32 bits of one).
Nothing of a generator's state has to be saved to resume.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager

import torch

__all__ = ["draw_seed", "global_draws", "seed_global_draws"]

_MASK = 0xFFFFFFFF


def draw_seed(seed: int, index: int, rank: int, world: int) -> int:
    """Seed of the draws of one micro-step on one process.

    Parameters
    ----------
    seed
        Seed of the run.
    index
        Micro-steps done before, over the whole run.
    rank
        Number of the process, from 0.
    world
        Number of processes.

    Returns
    -------
    int
        A seed below 2^32, different for every ``(index, rank)`` while ``index * world`` stays below 2^32.
    """
    h = int.from_bytes(hashlib.blake2b(str(seed).encode(), digest_size=4).digest(), "little")
    z = (index * world + rank + h) & _MASK
    z = ((z ^ (z >> 16)) * 0x85EBCA6B) & _MASK
    z = ((z ^ (z >> 13)) * 0xC2B2AE35) & _MASK
    return z ^ (z >> 16)


def seed_global_draws(seed: int, device: torch.device) -> None:
    """Seed torch's own generators, which dropout draws from.

    Parameters
    ----------
    seed
        The seed.
    device
        Device of the network.
    """
    torch.default_generator.manual_seed(seed)
    if device.type == "cuda":
        torch.cuda.default_generators[device.index or 0].manual_seed(seed)


@contextmanager
def global_draws(device: torch.device) -> Iterator[None]:
    """Give torch's own generators their state back after a ``with`` block.

    Parameters
    ----------
    device
        Device of the network.
    """
    devices = [device.index or 0] if device.type == "cuda" else []
    with torch.random.fork_rng(devices=devices):
        yield
