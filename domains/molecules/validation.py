"""The rules of a valid molecule, checked on any SMILES by RDKit alone.

Valid means: RDKit reads and sanitizes it, it is one connected molecule, and no atom carries a radical electron. The
check knows nothing of how the molecule was made.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from scidiff.errors import ConfigError

from .metrics.intervals import Interval, wilson
from .metrics.parsing import judge
from .samples import MoleculeSamples

__all__ = ["Validation", "validate"]


@dataclass(frozen=True)
class Validation:
    """Verdicts on molecules, one by one and in sum.

    Parameters
    ----------
    reasons
        For each molecule ``"ok"`` or the first rule that it breaks.
    canonical
        Canonical SMILES, ``None`` where it cannot be read.
    """

    reasons: tuple[str, ...]
    canonical: tuple[str | None, ...]

    def __len__(self) -> int:
        return len(self.reasons)

    @property
    def valid(self) -> float:
        """Share of valid molecules."""
        return self.reasons.count("ok") / len(self)

    @property
    def interval(self) -> Interval:
        """Wilson interval of `valid`, 95 %."""
        return wilson(self.reasons.count("ok"), len(self))

    @property
    def unique(self) -> float:
        """Share of different molecules among the valid ones."""
        good = [smiles for smiles, reason in zip(self.canonical, self.reasons, strict=True) if reason == "ok"]
        return len(set(good)) / len(good) if good else 0.0

    def as_json(self) -> dict[str, object]:
        """Metrics by their published names, with counts."""
        return {
            "count": len(self),
            "valid": self.valid,
            "valid_interval": list(self.interval),
            "unique": self.unique,
            "reasons": dict(Counter(self.reasons)),
        }

    def _repr_html_(self) -> str:
        """Card for notebooks."""
        from .display import validation_card

        return validation_card(self)


def validate(molecules: MoleculeSamples | Sequence[str | None]) -> Validation:
    """Check molecules.

    Parameters
    ----------
    molecules
        Samples, or SMILES with ``None`` for a failed attempt; at least one.

    Returns
    -------
    Validation
        The verdicts.

    Raises
    ------
    ConfigError
        If there is no molecule.

    Examples
    --------
    >>> from scidiff.domains import molecules
    >>> molecules.validate(["CCO", "C.C", "C(C)(C)(C)(C)C"]).valid  # two pieces, and a carbon of five bonds
    0.3333333333333333
    """
    smiles = molecules.smiles if isinstance(molecules, MoleculeSamples) else molecules
    if not len(smiles):
        raise ConfigError("no molecule came; expected at least one, or None for an attempt that failed")
    verdicts = [judge(one) for one in smiles]
    reasons = []
    for verdict in verdicts:
        if verdict.canonical is None:
            reasons.append("not readable" if verdict.returned else "not returned")
        else:
            reasons.append("not connected" if not verdict.connected else "ok" if verdict.closed_shell else "radical")
    return Validation(tuple(reasons), tuple(verdict.canonical for verdict in verdicts))
