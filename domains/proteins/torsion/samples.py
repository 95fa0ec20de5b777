"""What the chain model returns: chains with their status, before and after closing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from scidiff.errors import ConfigError
from scidiff.random import Noise
from scidiff.sample.samples import Samples, Status

from ..chains import Chains
from ..secondary import hydrogen_bonds
from ..superpose import rmsd
from ..validation import validate
from .bonds import ladder_bonds
from .drawing import Drawn

__all__ = ["BackboneSamples", "build_samples"]

_CUT = -0.5


@dataclass(frozen=True)
class BackboneSamples(Samples):
    """Samples whose items are chains, as `drawing.Drawn`.

    A sample is ``ok`` if it follows every local rule of `scidiff.domains.proteins.validate`, clashes included.
    `records` holds ``ca_gap``, RMSD between the chain and the predicted CA, Å; ``moved``, RMSD of CA between the raw
    and the closed chain, Å; ``asked`` and ``formed``, hydrogen bonds between strands that the plan asks for and that
    are there; ``raw_valid``, 1 where the raw chain followed the local rules.
    """

    @property
    def chains(self) -> Chains:
        """All chains in one batch, closed and relaxed; names are those of the samples."""
        return self._joined([item.chain for item in self.items])

    @property
    def raw(self) -> Chains:
        """All chains before closing: predictions brought onto exact local geometry, nothing else."""
        return self._joined([item.raw for item in self.items])

    @property
    def plans(self) -> list[str]:
        """Plan of each sample, as `plans.Plan` writes it."""
        return [str(item.plan) for item in self.items]

    def _joined(self, parts: Sequence[Chains]) -> Chains:
        if not parts:
            raise ConfigError("there is no sample; expected at least one")
        whole = Chains.cat(parts)
        return Chains(whole.xyz, whole.mask, whole.sequence, tuple(str(k) for k in self.index))

    def save(self, path: str | Path) -> Path:
        """Write the chains that are ok to a ``.cif``, ``.bcif`` or ``.pdb`` file.

        Raises
        ------
        ConfigError
            If the ending is another one, or no sample is ok.
        """
        from ..writers import write

        facts = {name: value for name, value in self.provenance.items() if isinstance(value, str | int | float)}
        return write(path, self.take(self.ok).chains, {"seed": self.seed, **facts})

    def view(self, columns: int = 4) -> Any:
        """Cartoons in a notebook; see `scidiff.domains.proteins.view.view`."""
        from ..view import view

        return view(self.chains, columns)

    def _repr_html_(self) -> str:
        """Card for notebooks: ribbons of the first chains, and the gates of all; `view` turns them."""
        from ..display import backbones_card

        return backbones_card(self)


def build_samples(drawn: Sequence[Drawn], noise: Noise, steps: int, facts: Mapping[str, Any]) -> BackboneSamples:
    """Judge what was drawn.

    Parameters
    ----------
    drawn
        Samples in order.
    noise
        Their streams.
    steps
        Network calls of each.
    facts
        Provenance.
    """
    chains, raw = (Chains.cat([getattr(one, name) for one in drawn]) for name in ("chain", "raw"))
    finite = chains.xyz.isfinite().flatten(1).all(1)
    valid = validate(chains).valid & finite
    asked, formed = _bond_counts(chains, drawn)
    return BackboneSamples(
        drawn,
        [_status(bool(good), bool(sound)) for good, sound in zip(valid, finite, strict=True)],
        noise.samples.astype(np.int64),
        noise.seed,
        np.full(len(drawn), steps),
        {
            "ca_gap": np.array([one.gap for one in drawn]),
            "moved": rmsd(raw.ca, chains.ca, chains.mask).numpy(),
            "asked": asked,
            "formed": formed,
            "raw_valid": validate(raw).valid.numpy().astype(np.int64),
        },
        facts,
    )


def _status(good: bool, finite: bool) -> Status:
    return Status.OK if good else Status.INVALID if finite else Status.NON_FINITE


def _bond_counts(chains: Chains, drawn: Sequence[Drawn]) -> tuple[np.ndarray, np.ndarray]:
    """Bonds between strands that plans ask for, in the phase that has more of them, and those that are formed."""
    there = hydrogen_bonds(chains) < _CUT
    asked, formed = np.zeros(len(drawn), dtype=np.int64), np.zeros(len(drawn), dtype=np.int64)
    for row, one in enumerate(drawn):
        for ladder in one.plan.ladders:
            phases = [part for part in ladder_bonds(ladder, len(one.plan)) if part]
            counts = [(int(torch.stack([there[row, a, d] for a, d in part]).sum()), len(part)) for part in phases]
            if counts:
                best = max(counts, key=lambda pair: pair[0] / pair[1])
                formed[row] += best[0]
                asked[row] += best[1]
    return asked, formed
