"""Metrics of generated molecules: rates, distances, scores, each with an interval and a stated definition.

The names below are loaded when they are used::

    report = evaluate(smiles, reference=test, train=train)
    report["fcd"].value, report["fcd"].low, report["fcd"].high
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .evaluation import METRICS as METRICS
    from .evaluation import Settings as Settings
    from .evaluation import evaluate as evaluate
    from .golden import Golden as Golden
    from .golden import golden_check as golden_check
    from .molecule_set import MoleculeSet as MoleculeSet
    from .parsing import check as check
    from .report import Metric as Metric
    from .report import Report as Report

_LAZY = {
    "METRICS": "evaluation",
    "Golden": "golden",
    "Metric": "report",
    "MoleculeSet": "molecule_set",
    "Report": "report",
    "Settings": "evaluation",
    "check": "parsing",
    "evaluate": "evaluation",
    "golden_check": "golden",
}

__all__ = ["METRICS", "Golden", "Metric", "MoleculeSet", "Report", "Settings", "check", "evaluate", "golden_check"]


def __getattr__(name: str) -> Any:
    if name not in _LAZY:
        raise AttributeError(f"module '{__name__}' has no attribute '{name}'; it has {', '.join(__all__)}")
    value = getattr(import_module(f".{_LAZY[name]}", __name__), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *_LAZY})
