"""Denoisers made wrong on purpose, to see what a sampler does with errors that a network has.

``log F`` gets normal noise of a given size at every class, renormalised. The noise is a function of the state alone:
the same state is always misjudged in the same way, as by a network, and a sampler cannot average it away.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor

from scidiff.denoise.denoiser import Denoiser
from scidiff.errors import ConfigError
from scidiff.process.base import Kind
from scidiff.process.discrete import DiscreteProcess
from scidiff.random import Noise

__all__ = ["corrupted"]

_PRIME = np.uint64(1099511628211)
_OFFSET = np.uint64(14695981039346656037)


def corrupted(denoiser: Denoiser, process: DiscreteProcess, scale: float, *, seed: int = 0) -> Denoiser:
    """Denoiser with log-noise of standard deviation `scale`.

    Parameters
    ----------
    denoiser
        The one to corrupt, on a single factor.
    process
        Process of the sites; impossible classes stay impossible.
    scale
        Standard deviation in nats, >= 0; 0 changes nothing.
    seed
        Seed of the noise; another seed is another wrong denoiser.

    Returns
    -------
    Denoiser
        Of `Kind.LOGITS`.
    """
    if not scale >= 0:
        raise ConfigError(f"scale is {scale}; expected a standard deviation >= 0, in nats")

    def function(x: Tensor, t: Tensor, condition: Any) -> Tensor:
        m = process.convert(denoiser(x, t, condition), denoiser.kind, x, t)
        noise = Noise(seed, _codes(x)).normal(m.shape[1:], step=0, stream="corruption").to(m.device)
        return torch.log_softmax(m + scale * noise, dim=-1)

    return Denoiser(function, Kind.LOGITS)


def _codes(x: Tensor) -> np.ndarray:
    """64-bit hash of every state (FNV-1a over its sites)."""
    sites = x.flatten(1).cpu().numpy().astype(np.uint64)
    out = np.full(len(sites), _OFFSET, dtype=np.uint64)
    for column in sites.T:
        out = (out ^ column) * _PRIME
    return out
