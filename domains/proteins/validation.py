"""Verdicts on backbones: rules, gates, and the place of every number among real chains.

**Rules** judge local geometry. **Gates** ask whether the whole looks like a protein: radius of gyration, CA clashes,
the general Ramachandran table, and regular structure by P-SEA. Not every real chain passes (`real_quantiles` has the
shares), so that a gate is read beside the real row. The gates are blind to sheets: the strand fraction by hydrogen
bonds stands beside them.

``quantile`` is the share of real chains with a smaller value, ties counted half, among the compact training chains of
40 to 80 residues. For longer or shorter chains it compares with those all the same.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
import torch
from torch import Tensor

from .chains import Chains
from .checks import measure_chains
from .intervals import wilson
from .ramachandran import Ramachandran, own
from .shape import RG_LIMIT

__all__ = ["GATES", "RULES", "Report", "Rule", "gates_of", "real_quantiles", "validate"]

_REAL = Path(__file__).parent / "data" / "real_chains.json"


@dataclass(frozen=True)
class Rule:
    """A range that a number has to lie in.

    Parameters
    ----------
    title
        What is asked.
    low, high
        The range, both ends included.
    """

    title: str
    low: float = -np.inf
    high: float = np.inf

    def holds(self, value: Tensor) -> Tensor:
        """True where the value lies in the range."""
        return (value >= self.low) & (value <= self.high)


RULES: Mapping[str, Rule] = MappingProxyType(
    {
        "bonds": Rule("bonds within 0.06 Å of ideal", low=0.995),
        "peptide_bonds": Rule("C-N within 0.06 Å of ideal", low=0.995),
        "angles": Rule("bond angles within 4 sd", low=0.98),
        "omega": Rule("omega within 20 degrees of 180", low=0.97),
        "ca_steps": Rule("CA-CA of trans peptides 3.80 ± 0.15 Å", low=0.97),
        "chirality": Rule("residues of L handedness", low=1.0),
        "left_helix": Rule("left-handed turns in helices", high=0.0),
        "clashes": Rule("CA pairs below 3.6 Å", high=0.0),
        "favoured": Rule("Ramachandran favoured, by residue class", low=0.95),
        "outliers": Rule("Ramachandran outliers, by residue class", high=0.01),
        "positive_phi": Rule("phi above 0", high=0.12),
        "rg_ratio": Rule("Rg over 2.2 L^0.38", low=0.9, high=RG_LIMIT),
        "long_range": Rule("long-range CA pairs for a residue", low=0.4),
    }
)
"""Rules of one chain, by the name of the number."""

GATES = ("rg", "clash", "ramachandran", "structure")
"""Names of the gates, as of `gates_of`."""


def gates_of(found: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Judge the gates.

    Parameters
    ----------
    found
        Numbers as of `checks.measure_chains`.

    Returns
    -------
    dict
        Masks of shape ``(batch,)``: ``rg``, ratio below 1.3; ``clash``, none; ``ramachandran``, at least 90 %
        favoured and at most 3 % outliers by the general table; ``structure``, at least 30 % helix and strand by P-SEA.
    """
    return {
        "rg": found["rg_ratio"] < RG_LIMIT,
        "clash": found["clashes"] == 0,
        "ramachandran": (found["favoured_general"] >= 0.90) & (found["outliers_general"] <= 0.03),
        "structure": found["psea_helix"] + found["psea_strand"] >= 0.30,
    }


@cache
def real_quantiles() -> dict[str, Any]:
    """Return what real chains show: quantiles 0, 1, ... 100 % of each number, and the held-out rows."""
    return json.loads(_REAL.read_text(encoding="utf-8"))


def _quantile(name: str, values: Tensor) -> np.ndarray:
    """Share of real chains below each value, ties half."""
    known = real_quantiles()["quantiles"].get(name)
    if known is None:
        return np.full(len(values), np.nan)
    grid, x = np.asarray(known), values.numpy()
    below, upto = np.searchsorted(grid, x, "left"), np.searchsorted(grid, x, "right")
    return (below + upto) / (2 * len(grid))


@dataclass(frozen=True, eq=False)
class Report:
    """Verdicts on chains, one by one and in sum.

    Parameters
    ----------
    names
        Names of the chains.
    numbers
        Numbers by name, float64, shape ``(batch,)`` each.
    table
        Name of the Ramachandran tables.
    nearest
        Names of the nearest library chains, where a library was given.
    """

    names: tuple[str, ...]
    numbers: Mapping[str, Tensor]
    table: str
    nearest: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.names)

    @property
    def rules(self) -> dict[str, Tensor]:
        """For each rule, True where a chain follows it."""
        return {name: rule.holds(self.numbers[name]) for name, rule in RULES.items()}

    @property
    def gates(self) -> dict[str, Tensor]:
        """For each gate, True where a chain passes."""
        return gates_of(self.numbers)

    @property
    def passed(self) -> Tensor:
        """True where a chain passes all gates."""
        return torch.stack(list(self.gates.values())).all(0)

    @property
    def valid(self) -> Tensor:
        """True where a chain follows the local rules: bonds, angles, omega, CA steps, handedness, clashes."""
        local = ("bonds", "peptide_bonds", "angles", "omega", "ca_steps", "chirality", "left_helix", "clashes")
        return torch.stack([self.rules[name] for name in local]).all(0)

    def gates_together(self) -> dict[str, Any]:
        """Share of chains through all gates at once with its 95 % interval (Wilson), and that of held-out chains."""
        real, hits = real_quantiles(), int(self.passed.sum())
        held_out = real["count_held_out"]
        return {
            "value": hits / len(self),
            "interval": list(wilson(hits, len(self))),
            "count": len(self),
            "real_chains": real["shares"]["passed"],
            "real_interval": list(wilson(round(real["shares"]["passed"] * held_out), held_out)),
            "real_count": held_out,
        }

    def quantile(self, name: str) -> np.ndarray:
        """Share of real chains with a smaller value of a number, for each chain; NaN where it is not known."""
        return _quantile(name, self.numbers[name])

    def rows(self) -> list[dict[str, Any]]:
        """One mapping a chain: its name, numbers, quantiles, broken rules and failed gates."""
        rules, gates = self.rules, self.gates
        quantiles = {name: self.quantile(name) for name in self.numbers}
        return [
            {
                "name": chain,
                "valid": bool(self.valid[k]),
                "passed": bool(self.passed[k]),
                "broken": [name for name, good in rules.items() if not good[k]],
                "failed_gates": [name for name, good in gates.items() if not good[k]],
                **({"nearest": self.nearest[k]} if self.nearest else {}),
                "numbers": {name: float(value[k]) for name, value in self.numbers.items()},
                "quantiles": {n: None if np.isnan(q[k]) else float(q[k]) for n, q in quantiles.items()},
            }
            for k, chain in enumerate(self.names)
        ]

    def as_json(self) -> dict[str, Any]:
        """Shares with Wilson intervals beside those of real held-out chains, and means."""
        count = len(self)
        verdicts = {"valid": self.valid, "passed": self.passed}
        verdicts |= {f"gate_{name}": good for name, good in self.gates.items()}
        verdicts |= {f"rule_{name}": good for name, good in self.rules.items()}
        real = real_quantiles()
        shares = {
            name: {
                "value": float(good.double().mean()),
                "interval": list(wilson(int(good.sum()), count)),
                "real_chains": real["shares"].get(name),
            }
            for name, good in verdicts.items()
        }
        means = {
            name: {"value": float(value.mean()), "real_chains": real["means"].get(name)}
            for name, value in self.numbers.items()
        }
        return {
            "count": count,
            "valid": shares["valid"]["value"],
            "valid_interval": shares["valid"]["interval"],
            "ramachandran_table": self.table,
            "shares": shares,
            "means": means,
        }

    def _repr_html_(self) -> str:
        """Card for notebooks."""
        from .display import report_of_chains

        return report_of_chains(self)


def validate(
    chains: Chains, *, table: Ramachandran | None = None, library: Chains | None = None, cb: Tensor | None = None
) -> Report:
    """Check backbones.

    Parameters
    ----------
    chains
        A batch.
    table
        Ramachandran tables; those of the package by default.
    library
        Training chains: the report then has ``nearest_tm``, the highest TM-score of a structural alignment to one of
        them, normalised by the chain that is checked. Costs about two seconds a chain for 560 library chains.
    cb
        CB positions as found, for the handedness; see `checks.chirality`.

    Returns
    -------
    Report
        The verdicts.
    """
    from .tmalign import nearest

    table = own() if table is None else table
    numbers = measure_chains(chains, table, cb)
    if library is None:
        return Report(chains.names, numbers, table.name)
    score, row = nearest(chains, library)
    numbers["nearest_tm"] = score.double()
    return Report(chains.names, numbers, table.name, tuple(library.names[int(k)] for k in row))
