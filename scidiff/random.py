"""Counter-based randomness: one stream per sample, nothing hidden.

A draw is a pure function of four numbers, ``xi = f(seed, sample, step, stream)``. The generator is Philox-4x64
[1]_ with key ``(seed, sample)`` and counter ``(block, stream, step, 0)``: NumPy's bit stream for it is fixed for ever,
and only the raw 64-bit words are used here, so that

* the noise of a sample is bit-identical for any batch split, order, device and worker count,
* a longer event begins with the draws of a shorter one (padding changes nothing),
* a rejected, repeated or parallel step sees the same noise again.

Uniforms are ``u = (k + 1/2) / 2^52`` with ``k`` the upper 52 bits, exact in float64, hence ``0 < u < 1``; normals are
``Phi^-1(u)``. All draws are float64 and made on the CPU.

References
----------
.. [1] J. Salmon et al., "Parallel random numbers: as easy as 1, 2, 3", SC 2011, doi:10.1145/2063384.2063405
"""

from __future__ import annotations

import hashlib
import math
import operator
from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from typing import Any, Protocol

import numpy as np
import torch
from scipy.special import ndtri
from torch import Tensor

from scidiff.errors import ConfigError
from scidiff.philox import words

__all__ = ["Noise", "SharedNoise", "Source", "stream_id"]

_ULP = 2.0**-52


class Source(Protocol):
    """Anything that draws noise for a batch: `Noise` while sampling, `SharedNoise` while training."""

    def __len__(self) -> int: ...

    def uniform(self, shape: Sequence[int] = (), *, step: int, stream: str) -> Tensor:
        """Draws in (0, 1)."""
        ...

    def normal(self, shape: Sequence[int] = (), *, step: int, stream: str) -> Tensor:
        """Draw standard normals."""
        ...


def stream_id(name: str) -> int:
    """Map the name of a stream to the 64-bit word of the counter that it owns."""
    return int.from_bytes(hashlib.blake2b(name.encode(), digest_size=8).digest(), "little")


@dataclass(frozen=True, eq=False)
class Noise:
    """Noise of a batch of samples.

    Parameters
    ----------
    seed
        Seed of the run, ``0 <= seed < 2^64``.
    samples
        Identity of each sample of the batch, unsigned 64-bit integers. A sample keeps its identity wherever the
        batch is cut.
    scope
        Ending of the name of every stream, so that parts of a state draw apart.

    Examples
    --------
    >>> from scidiff import Noise
    >>> whole = Noise.range(seed=0, count=4).normal((2,), step=0, stream="prior")
    >>> alone = Noise.range(seed=0, count=1, first=3).normal((2,), step=0, stream="prior")
    >>> bool((alone[0] == whole[3]).all())  # sample 3 has its noise in any batch
    True
    """

    seed: int
    samples: np.ndarray
    scope: str = ""

    def __post_init__(self) -> None:
        try:
            seed = operator.index(self.seed)
        except TypeError:
            seed = -1
        if not 0 <= seed < 2**64:
            raise ConfigError(f"seed is {self.seed}; expected an integer in [0, 2^64): choose another seed")
        object.__setattr__(self, "seed", seed)
        object.__setattr__(self, "samples", np.asarray(self.samples, dtype=np.uint64).reshape(-1))

    @classmethod
    def range(cls, seed: int, count: int, first: int = 0) -> Noise:
        """Noise of the samples ``first, first + 1, ..., first + count - 1``."""
        return cls(seed, np.arange(first, first + count, dtype=np.uint64))

    def __len__(self) -> int:
        return len(self.samples)

    def bits(self, shape: Sequence[int], *, step: int, stream: str) -> np.ndarray:
        """Raw 64-bit words of shape ``(len(self), *shape)``."""
        drawn = words(self.seed, self.samples, stream_id(stream + self.scope), step, math.prod(shape))
        return drawn.reshape(len(self), *shape)

    def uniform(self, shape: Sequence[int] = (), *, step: int, stream: str) -> Tensor:
        """Uniform draws in the open interval (0, 1), float64, shape ``(len(self), *shape)``.

        Parameters
        ----------
        shape
            Event shape of one sample.
        step
            Index of the interval of the run that the draw belongs to.
        stream
            Name of the purpose, e.g. ``"prior/atoms"``; streams are independent of each other.
        """
        bits = self.bits(shape, step=step, stream=stream)
        return torch.from_numpy(((bits >> np.uint64(12)).astype(np.float64) + 0.5) * _ULP)

    def normal(self, shape: Sequence[int] = (), *, step: int, stream: str) -> Tensor:
        """Draw standard normals, float64, shape ``(len(self), *shape)``; parameters as in `uniform`."""
        return torch.from_numpy(ndtri(self.uniform(shape, step=step, stream=stream).numpy()))

    def take(self, index: Tensor | np.ndarray | Sequence[int]) -> Noise:
        """Noise of the chosen rows of the batch, in the given order."""
        return replace(self, samples=self.samples[np.asarray(index)])

    def scoped(self, name: str) -> Noise:
        """Noise of the same samples for one part of the state: stream ``"prior"`` becomes ``"prior/<name>"``."""
        return replace(self, scope=f"/{name}{self.scope}")

    @staticmethod
    def cat(parts: Sequence[Noise]) -> Noise:
        """Join batches of one run.

        Raises
        ------
        ConfigError
            If the parts differ in anything but their samples.
        """
        runs = [part._run() for part in parts]
        if not runs or any(run != runs[0] for run in runs):
            raise ConfigError(f"parts come from {runs}; only batches of one run can be joined")
        return replace(parts[0], samples=np.concatenate([part.samples for part in parts]))

    def _run(self) -> dict[str, Any]:
        """All that two batches of one run share."""
        members = {field.name: getattr(self, field.name) for field in fields(self) if field.name != "samples"}
        return {"class": type(self).__name__, **members}

    def fold(self, salt: int) -> Noise:
        """Give every row a new identity, a hash of its old one, of ``salt`` and of its rank among equal rows.

        After resampling, copies of one particle must draw different noise.
        """
        rank: dict[int, int] = {}
        folded = np.empty_like(self.samples)
        for row, sample in enumerate(self.samples.tolist()):
            copy = rank.get(sample, 0)
            rank[sample] = copy + 1
            folded[row] = stream_id(f"{sample}/{salt}/{copy}")
        return replace(self, samples=folded)


@dataclass(frozen=True, eq=False)
class SharedNoise:
    """Noise of a training batch: one generator for all rows, fast, with the call signature of `Noise`.

    Draws depend on the order of calls; ``step`` and ``stream`` are accepted and not used.

    Parameters
    ----------
    generator
        Source of the draws; its device decides where they are made.
    count
        Number of rows.
    """

    generator: torch.Generator
    count: int

    def __len__(self) -> int:
        return self.count

    def uniform(self, shape: Sequence[int] = (), *, step: int = 0, stream: str = "") -> Tensor:
        """Uniform draws in the open interval (0, 1), float64."""
        device = self.generator.device
        u = torch.rand((self.count, *shape), generator=self.generator, dtype=torch.float64, device=device)
        return u.clamp_(_ULP / 2, 1 - _ULP / 2)

    def normal(self, shape: Sequence[int] = (), *, step: int = 0, stream: str = "") -> Tensor:
        """Draw standard normals, float64."""
        device = self.generator.device
        return torch.randn((self.count, *shape), generator=self.generator, dtype=torch.float64, device=device)
