"""What the particles of a run did: effective sizes, ancestors, resamplings, and a draw of equal weights."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from scidiff.guidance.particles import effective_size, systematic
from scidiff.random import Noise
from scidiff.sample.state import RunState

__all__ = ["Particulars"]


@dataclass(frozen=True, eq=False)
class Particulars:
    """Records of one group of particles.

    Parameters
    ----------
    ess
        Effective size before each step, and that of the last weights.
    resampled
        Number of times that the group was resampled before the end.
    ancestors
        Particles of the start that have descendants.
    log_z
        Estimate of the log-normaliser.
    """

    ess: tuple[float, ...]
    resampled: int
    ancestors: int
    log_z: float

    @classmethod
    def of(cls, state: RunState) -> Particulars:
        """Read the records of a finished run of one group."""
        records = state.records
        ess = [*records["particles/ess"][0].tolist(), float(effective_size(state.log_w))]
        mean = torch.logsumexp(state.log_w, 0) - torch.log(torch.tensor(float(len(state))))
        return cls(
            tuple(ess),
            int(records["particles/resampled"][0]),
            len(records["particles/ancestor"].unique()),
            float(records["particles/log_z"][0] + mean),
        )

    def resampled_rows(self, log_w: Tensor, noise: Noise) -> Tensor:
        """Rows of a systematic draw by the last weights."""
        u = Noise(noise.seed, noise.samples[:1], "/end").uniform((), step=0, stream="resample")
        return systematic(log_w.unsqueeze(0), u.to(log_w))[0]

    def as_json(self) -> dict[str, Any]:
        """All members, and the least effective size."""
        return {
            "ess": [round(size, 2) for size in self.ess],
            "least_ess": round(min(self.ess), 2),
            "resampled": self.resampled,
            "ancestors": self.ancestors,
            "log_z": self.log_z,
        }
