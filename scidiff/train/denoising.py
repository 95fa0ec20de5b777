r"""Training of a denoiser on rows of data, for any Gaussian or discrete process, with any allocation of noise levels.

.. math::
    \ell(\theta) = \frac1B \sum_i w_i \sum_{\text{sites}} \ell\bigl(m_\theta(x_{t_i}, t_i), x_0^{(i)}\bigr),
    \qquad (u_i, t_i, w_i) \text{ from the allocation}.

Validation integrates the entropy rate of the averaged network over the whole axis, evenly and with fixed noise: an
upper bound of the information that noise takes away, ``H[x_0]`` on a finite set, in nats per sample. It does not
depend on the allocation, so runs with different ones are compared by it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from scidiff.errors import ConfigError
from scidiff.process.base import Kind, site_time
from scidiff.process.discrete import DiscreteProcess
from scidiff.process.gaussian import GaussianProcess
from scidiff.random import SharedNoise, Source
from scidiff.spaces import Space
from scidiff.train.card import sha256_of, told
from scidiff.train.couplings import Coupling
from scidiff.train.entropy_rate import entropy_rate
from scidiff.train.noise_allocation import FixedNoise, InfoNoise, NoiseDraw
from scidiff.train.noise_levels import UniformLevels, even_positions

__all__ = ["DenoisingTask"]


@dataclass
class DenoisingTask:
    """Training on the rows of a tensor; the contract of `scidiff.train.Task`.

    Parameters
    ----------
    data, valid
        Training and validation rows, shape ``(count, *event)``.
    process
        Law of the noise.
    denoiser
        Network ``(x_t, t, condition) -> prediction``, called as in sampling: ``t`` has the shape of ``x_t``, float64;
        one that wants one time for each sample asks `scidiff.process.sample_time`. The condition is ``None`` here.
    kind
        What the network predicts.
    levels
        Allocation of noise levels.
    name
        Name of the data, for the card.
    batch_size
        Rows per batch and process.
    seed
        Seed of the data order and of the validation noise.
    validation_draws
        Noise levels per validation row.
    coupling
        Which noise of a training batch goes with which row, for Gaussian processes; as drawn by default. Validation
        takes the noise as it is drawn.

    Raises
    ------
    ConfigError
        If a set has no row, or a coupling comes with a discrete process.
    """

    data: Tensor
    valid: Tensor
    process: GaussianProcess | DiscreteProcess
    denoiser: nn.Module
    kind: Kind
    levels: FixedNoise | InfoNoise
    name: str = "rows of a tensor"
    batch_size: int = 256
    seed: int = 0
    validation_draws: int = 1
    coupling: Coupling | None = None
    network: nn.Module = field(init=False)

    def __post_init__(self) -> None:
        """Join network and allocation, so that they are saved together."""
        if not len(self.data) or not len(self.valid) or self.batch_size < 1 or self.validation_draws < 1:
            raise ConfigError(
                f"{len(self.data)} training rows, {len(self.valid)} validation rows, batch_size {self.batch_size}, "
                f"validation_draws {self.validation_draws}; expected all positive"
            )
        if self.coupling is not None and not isinstance(self.process, GaussianProcess):
            raise ConfigError(
                f"a coupling came with a {type(self.process).__name__}, whose prior has no paths to the data; expected "
                "a GaussianProcess, or no coupling"
            )
        self.network = nn.ModuleDict({"denoiser": self.denoiser, "levels": self.levels})

    def batch(self, step: int, rank: int, world: int) -> Tensor:
        """Rows drawn at random, a function of the three numbers."""
        rows = np.random.default_rng([self.seed, step, rank, world]).integers(len(self.data), size=self.batch_size)
        return self.data[torch.from_numpy(rows)]

    def loss(self, network: nn.Module, batch: Tensor, generator: torch.Generator) -> tuple[Tensor, dict[str, Tensor]]:
        """Weighted loss per sample; the measured rates go to the allocation."""
        draw = self.levels.draw(len(batch), generator)
        noise = SharedNoise(generator, len(batch))
        if self.coupling is not None:
            noise = _Coupled(noise, self.coupling, self.process.space, batch)
        m, x_t = self._predict(batch, draw.t, noise)
        terms = self.process.loss(m, batch, x_t, draw.t).flatten(1).sum(1)
        self.levels.record(draw.u, entropy_rate(self.process, m, batch, x_t, draw.t, self._level(draw)))
        return (draw.weight * terms).mean(), draw.metrics()

    @torch.no_grad()
    def validate(self, network: nn.Module) -> dict[str, float]:
        """Integral of the entropy rate over the axis, nats per sample, with its standard error over rows."""
        axis = self.levels.axis
        device = next(self.denoiser.parameters()).device
        generator = torch.Generator(device=device).manual_seed(self.seed)
        rows = self.valid.to(device)
        parts = []
        for _ in range(self.validation_draws):
            u = UniformLevels().quantile(axis, even_positions(len(rows), generator))
            t = axis.time(u)
            m, x_t = self._predict(rows, t, SharedNoise(generator, len(rows)))
            level = u if isinstance(self.process, GaussianProcess) else None
            parts.append((axis.high - axis.low) * entropy_rate(self.process, m, rows, x_t, t, level))
        bound = torch.stack(parts).mean(0)
        return {"entropy": float(bound.mean()), "entropy_standard_error": float(bound.std() / len(bound) ** 0.5)}

    def card(self) -> dict[str, Any]:
        """What the run is."""
        return {
            "data": self.name,
            "sha256": sha256_of(self.data, self.valid),
            "rows": [len(self.data), len(self.valid)],
            "event": list(self.data.shape[1:]),
            "process": told(self.process),
            "denoiser": told(self.denoiser),
            "kind": self.kind.value,
            "noise": self.levels.describe(),
            "coupling": "as drawn" if self.coupling is None else told(self.coupling),
            "batch_size": self.batch_size,
            "seed": self.seed,
        }

    def mean(self, x_t: Tensor, t: Tensor, condition: Any = None) -> Tensor:
        """Denoised mean, or its logits, asked of the network as a sampler asks.

        Parameters
        ----------
        x_t, t
            Noisy states, and the time of each, shape ``(batch,)``.
        condition
            What the network is told besides.
        """
        return self.process.convert(
            self.denoiser(x_t, site_time(t, x_t).expand(x_t.shape), condition), self.kind, x_t, t
        )

    def _predict(self, x0: Tensor, t: Tensor, noise: Source) -> tuple[Tensor, Tensor]:
        x_t = self.process.noise(x0, t, noise)
        return self.mean(x_t, t), x_t

    def _level(self, draw: NoiseDraw) -> Tensor | None:
        return draw.u if isinstance(self.process, GaussianProcess) else None


@dataclass(frozen=True, eq=False)
class _Coupled:
    """Noise of a batch, its rows moved to those of the data that a coupling joins them with."""

    noise: SharedNoise
    coupling: Coupling
    space: Space
    x0: Tensor

    def __len__(self) -> int:
        return len(self.noise)

    def uniform(self, shape: Sequence[int] = (), *, step: int = 0, stream: str = "") -> Tensor:
        """Draw as the batch does."""
        return self.noise.uniform(shape, step=step, stream=stream)

    def normal(self, shape: Sequence[int] = (), *, step: int = 0, stream: str = "") -> Tensor:
        """Draw normals, and let the coupling pair them with the data."""
        eps = self.noise.normal(shape, step=step, stream=stream)
        i, j = self.coupling(self.space, self.x0, eps, self.noise.generator)
        return torch.empty_like(eps).index_copy_(0, i.to(eps.device), eps[j.to(eps.device)])
