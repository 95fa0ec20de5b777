"""Motif scaffolding: layouts that can be closed, samples around the motif, the motif exact, and what the condition did.

    done = scaffold(model, problem.design, reference, 32, steps=20, seed=0)
    done.chains, done.rmsd, done.good                   # motif native to 1e-3 Å where the linkers closed
    done.effect                                         # against samples drawn without the motif

A layout is kept only if every linker can span its gap. With `TwistSettings` the samples of one layout are one group of
particles (`twisted`), and `Scaffolds.particles` has their effective sizes. Chains longer than the model was trained on
are drawn all the same, as they come, with a warning.
"""

from __future__ import annotations

import time
import warnings
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from scidiff.errors import ConfigError
from scidiff.random import Noise

from ..chains import Chains
from ..design import Design, Layout, layouts
from ..intervals import wilson
from ..relaxation import Relaxation
from ..residues import UNKNOWN
from ..validation import Report, validate
from .closure import Kept
from .effect import Effect, effect
from .placing import PLACING, kept_rmsd, place
from .twisted import TwistSettings

if TYPE_CHECKING:
    from ..torsion.model import TorsionModel
    from .particulars import Particulars

__all__ = ["MOTIF_RMSD", "Scaffolds", "ScaffoldSettings", "reachable", "scaffold"]

MOTIF_RMSD = 0.2
"""A scaffold holds its motif when the RMSD of N, CA and C is at most this, Å."""
_STRETCH = 3.4
_TRIES = 50


@dataclass(frozen=True)
class ScaffoldSettings:
    """How scaffolds are made.

    Parameters
    ----------
    steps
        Network calls for each chain.
    per_layout
        Samples of one layout; with particles, the size of a group.
    twist
        Draw as twisted particles with these settings; plainly by default.
    placing
        Relaxation around the motif.
    compare
        Samples without the motif that the effect is measured against, for each layout; 0 measures none.
    """

    steps: int = 20
    per_layout: int = 8
    twist: TwistSettings | None = None
    placing: Relaxation = PLACING
    compare: int = 0


@dataclass(frozen=True, eq=False)
class Scaffolds:
    """Scaffolds of a motif.

    Parameters
    ----------
    chains
        The chains; the first body of the motif lies where the reference has it.
    layouts
        Layout of each.
    rmsd
        RMSD of the motif, N, CA and C, Å, shape ``(count,)``.
    predicted
        RMSD of the motif's CA in the network's own prediction, Å, before anything was put in, shape ``(count,)``.
    error
        What the closure left, Å.
    report
        Verdicts on the chains.
    particles
        Records of each group, where particles were used.
    effect
        What the motif did, where it was measured.
    facts
        Seed, calls, seconds, method.
    """

    chains: Chains
    layouts: tuple[Layout, ...]
    rmsd: Tensor
    predicted: Tensor
    error: Tensor
    report: Report
    particles: tuple[Particulars, ...] = ()
    effect: Effect | None = None
    facts: dict[str, Any] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.chains)

    @property
    def held(self) -> Tensor:
        """True where the motif is within 0.2 Å."""
        return self.rmsd <= MOTIF_RMSD

    @property
    def good(self) -> Tensor:
        """True where the motif is held and all gates are passed."""
        return self.held & self.report.passed

    def as_json(self) -> dict[str, Any]:
        """Shares with intervals, motif deviations, effective sizes, effect."""
        facts = {
            "count": len(self),
            "motif_held": _share(self.held),
            "motif_held_and_gates": _share(self.good),
            "valid": float(self.report.valid.double().mean()),
            "gates_together": self.report.gates_together(),
            "motif_rmsd": [float(x) for x in self.rmsd],
            "predicted_motif_rmsd": [float(x) for x in self.predicted],
            "closure_error": [float(x) for x in self.error],
            **self.facts,
        }
        if self.particles:
            facts["particles"] = [one.as_json() for one in self.particles]
        if self.effect is not None:
            facts["effect"] = self.effect.as_json()
        return facts


def _share(good: Tensor) -> dict[str, Any]:
    """A share with its interval."""
    return {"value": float(good.double().mean()), "interval": list(wilson(int(good.sum()), len(good)))}


def reachable(layout: Layout, reference: Chains) -> bool:
    """Whether every linker between segments of one body can span its gap: 3.4 Å for each step from CA to CA."""
    last: dict[int, int] = {}
    for k in range(len(layout)):
        if not layout.fixed[k]:
            continue
        body = int(layout.group[k])
        before = last.get(body)
        if before is not None and not _bonded(layout, reference, before, k):
            one, two = (reference.xyz[tuple(layout.source[i])] for i in (before, k))
            if k - before < 2 or float((one[1] - two[1]).norm()) > _STRETCH * (k - before):
                return False
        last[body] = k
    return True


def _bonded(layout: Layout, reference: Chains, before: int, k: int) -> bool:
    one, two = (reference.xyz[tuple(layout.source[i])] for i in (before, k))
    return k == before + 1 and float((two[0] - one[2]).norm()) < 1.8


def _drawn_layouts(design: Design, reference: Chains, count: int, seed: int) -> list[Layout]:
    """Layouts of one chain whose linkers reach."""
    if len(design.pieces) != 1:
        raise ConfigError(
            f"the design has {len(design.pieces)} chains; the model draws one: leave out the chain breaks"
        )
    found = [one for one in layouts(design, reference, count * _TRIES, seed) if reachable(one, reference)][:count]
    if not found:
        raise ConfigError(
            f"none of {count * _TRIES} layouts of {'/'.join(map(str, design.segments))} can be closed: linkers are too "
            "short for the gaps they span; lengthen the free segments, or change the order of the fixed ones"
        )
    return (found * count)[:count]


def _kept(layout: Layout, reference: Chains, count: int) -> tuple[Kept, Tensor]:
    """Kept residues of a layout and their types, for a batch."""
    from ..torsion.motif import Motif

    motif = Motif.of_layout(layout, reference)
    types = torch.full((len(layout),), UNKNOWN)
    for k in range(len(layout)):
        if layout.fixed[k] and not layout.hidden[k]:
            types[k] = reference.sequence[tuple(layout.source[k])]
    kept = Kept(motif.group.expand(count, -1), motif.xyz.expand(count, -1, -1, -1))
    return kept, types.expand(count, -1)


def _deviation(predicted: Tensor, kept: Kept) -> Tensor:
    """RMSD of the motif's CA in predicted CA."""
    points = predicted.unsqueeze(2).expand(-1, -1, 3, -1)
    return kept_rmsd(points, kept, slice(1, 2))


def scaffold(
    model: TorsionModel,
    design: Design,
    reference: Chains,
    count: int,
    *,
    seed: int = 0,
    settings: ScaffoldSettings | None = None,
) -> Scaffolds:
    """Build scaffolds around the fixed segments of a design.

    Parameters
    ----------
    model
        The model, as of `torsion.load`.
    design
        The design, of one chain.
    reference
        The structure that its fixed segments speak of.
    count
        Number of scaffolds.
    seed
        Seed of layouts and chains.
    settings
        Steps, particles, comparison.

    Returns
    -------
    Scaffolds
        The scaffolds.

    Raises
    ------
    ConfigError
        If the design has several chains, keeps nothing, or cannot be closed; if the model is of another formulation.
    StructureError
        If a fixed residue is not in the reference.
    """
    from .drawer import ScaffoldDrawer

    settings, begun = settings or ScaffoldSettings(), time.perf_counter()
    if not design.fixed or count < 1:
        raise ConfigError(f"{count} scaffolds of {len(design.fixed)} fixed segments; expected one of both at least")
    groups = -(-count // settings.per_layout)
    drawn = _drawn_layouts(design, reference, groups, seed)
    parts: list[tuple[Any, ...]] = []
    free: list[float] = []
    for g, layout in enumerate(drawn):
        size = min(settings.per_layout, count - g * settings.per_layout)
        _warn(len(layout))
        kept, types = _kept(layout, reference, size)
        make = _maker(ScaffoldDrawer, model, settings, layout, reference, size)
        chains, predicted, particles = make.drawn(Noise.range(seed, size, g * settings.per_layout), len(layout))
        placed = place(chains, kept, settings.placing, types)
        parts.append((placed, _deviation(predicted, kept), particles, [layout] * size))
        if settings.compare:
            plain = _maker(ScaffoldDrawer, model, settings, None, reference, size)
            other = plain.drawn(Noise.range(seed, settings.compare, g * settings.compare), len(layout))[1]
            free += _deviation(other, _kept(layout, reference, settings.compare)[0]).tolist()
    facts = {"seed": seed, "steps": settings.steps, "model": model.name, "seconds": time.perf_counter() - begun}
    return _joined(parts, free, facts)


def _maker(
    kind: Any, model: Any, settings: ScaffoldSettings, layout: Layout | None, reference: Chains, size: int
) -> Any:
    """A drawer for one layout, or without a motif."""
    from ..torsion.fit import Fit
    from ..torsion.model import of_torsions
    from ..torsion.motif import Motif

    motif = None if layout is None else Motif.of_layout(layout, reference)
    twist = settings.twist if layout is not None and size > 1 else None
    return kind(of_torsions(model, "scaffolds"), settings.steps, motif, None, 1.0, 1.0, True, Fit(), twist)


def _warn(length: int) -> None:
    from ..torsion.model import LONGEST

    if length > LONGEST:
        warnings.warn(
            f"the scaffold has {length} residues and the model was trained on chains of at most {LONGEST}; it is "
            "drawn all the same, as it comes",
            stacklevel=3,
        )


def _joined(parts: Sequence[tuple[Any, ...]], free: list[float], facts: dict[str, Any]) -> Scaffolds:
    """One object of all layouts."""
    chains = Chains.cat([part[0].chains for part in parts])
    chains = Chains(chains.xyz, chains.mask, chains.sequence, tuple(str(k) for k in range(len(chains))))
    join = lambda values: torch.cat(list(values))  # noqa: E731
    predicted = join(part[1] for part in parts)
    done = effect(predicted.tolist(), free) if len(free) > 1 and len(predicted) > 1 else None
    return Scaffolds(
        chains,
        tuple(layout for part in parts for layout in part[3]),
        join(part[0].rmsd for part in parts),
        predicted,
        join(part[0].error for part in parts),
        validate(chains),
        tuple(part[2] for part in parts if part[2] is not None),
        done,
        facts,
    )
