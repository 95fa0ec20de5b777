"""A set of chains beside real ones: validity, gates, secondary structure, distributions, diversity, novelty.

Every number has a row of held-out real chains next to it, measured in the same way. No number here is designability:
that needs a folding network, for which `motifbench.Refolder` is the hook.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import torch

from .chains import Chains
from .diversity import diversity
from .setwise import class_shares, distribution_distances, structure_shares
from .tmalign import nearest
from .validation import Report, validate

__all__ = ["SetReport", "evaluate", "real_row"]

_REAL = Path(__file__).parent / "data" / "real_sets.json"
MOST_PAIRED = 48
"""Chains that are compared pair by pair; the first ones of a larger set."""


@dataclass(frozen=True, eq=False)
class SetReport:
    """What is known of a set of chains.

    Parameters
    ----------
    report
        Verdicts on the chains one by one.
    numbers
        Numbers of the set by name.
    real
        The same numbers of held-out real chains, where they are known.
    """

    report: Report
    numbers: Mapping[str, float]
    real: Mapping[str, float]

    def as_json(self) -> dict[str, Any]:
        """One JSON object."""
        facts = self.report.as_json()
        facts["gates_together"] = self.report.gates_together()
        facts["set"] = {name: {"value": v, "real_chains": self.real.get(name)} for name, v in self.numbers.items()}
        return facts

    def _repr_html_(self) -> str:
        """Card for notebooks."""
        from scidiff.io.html import report_card

        return report_card(f"{len(self.report)} chains, beside real ones", self.as_json())

    def lines(self) -> list[str]:
        """A table for people: number, value, interval where there is one, value of real chains."""
        gates = self.report.gates_together()
        low, high = gates["interval"]
        text = [f"{'':24s}{'this set':>10s}{'real':>10s}"]
        text.append(
            f"{'all gates together':24s}{gates['value']:10.3f}{gates['real_chains']:10.3f}  [{low:.2f}, {high:.2f}]"
        )
        facts = self.report.as_json()
        for name in ("valid", *(f"gate_{gate}" for gate in self.report.gates)):
            share = facts["shares"][name]
            low, high = share["interval"]
            text.append(f"{name:24s}{share['value']:10.3f}{share['real_chains']:10.3f}  [{low:.2f}, {high:.2f}]")
        for name, value in self.numbers.items():
            real = self.real.get(name)
            text.append(f"{name:24s}{value:10.3f}" + (f"{real:10.3f}" if real is not None else f"{'-':>10s}"))
        return text


@cache
def real_row() -> dict[str, float]:
    """Numbers of held-out real chains, measured by ``evaluate`` against the compact training chains."""
    return json.loads(_REAL.read_text(encoding="utf-8"))["numbers"] if _REAL.is_file() else {}


def evaluate(
    chains: Chains, reference: Chains | None = None, library: Chains | None = None, *, paired: int = MOST_PAIRED
) -> SetReport:
    """Measure a set.

    Parameters
    ----------
    chains
        The set.
    reference
        Real chains for the distances of distributions; left out without.
    library
        Training chains for the nearest TM-score; left out without. About half a second a chain.
    paired
        Chains that are compared pair by pair; 0 leaves the comparison out.

    Returns
    -------
    SetReport
        The report.
    """
    report = validate(chains)
    helix, strand = structure_shares(chains)
    numbers = {
        "helix": float(helix.mean()),
        "strand": float(strand.mean()),
        "with_strands": float((strand >= 0.1).double().mean()),
        "rg_ratio": float(report.numbers["rg_ratio"].mean()),
        **{f"class_{name}": share for name, share in class_shares(chains).items()},
    }
    if reference is not None:
        numbers |= distribution_distances(chains, reference)
    if paired > 1 and len(chains) > 1:
        some = chains.take(range(min(paired, len(chains))))
        found = diversity(some)
        numbers |= {"mean_pairwise_tm": found.mean_tm, "clusters_per_chain": found.clusters / len(some)}
    if library is not None:
        score = nearest(chains, library)[0].double()
        numbers["nearest_tm"], numbers["nearest_tm_largest"] = float(score.mean()), float(score.max())
        numbers["nearest_tm_above_0.7"] = float((score > 0.7).double().mean())
    return SetReport(
        report, {name: value for name, value in numbers.items() if torch.isfinite(torch.tensor(value))}, real_row()
    )
