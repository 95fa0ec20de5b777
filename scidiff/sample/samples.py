"""What a sampler returns: the samples, and everything that is needed to trust, cite and repeat them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import Enum
from typing import Any, Self

import numpy as np

__all__ = ["Samples", "Status"]


class Status(Enum):
    """What became of one sample. A bad sample never stops a batch."""

    OK = "ok"
    NON_FINITE = "non_finite"
    INVALID = "invalid"


@dataclass(frozen=True)
class Samples:
    """Samples of one run.

    Parameters
    ----------
    items
        The samples, in the domain's own form.
    status
        What became of each.
    index
        Identity of each sample within its seed; with the seed and the model it names the sample.
    seed
        Seed of the run.
    calls
        Network calls made for each sample.
    records
        Per-sample numbers by name, e.g. the cost of a constraint.
    provenance
        Model, method, its label and citation, settings, versions, seconds.
    """

    items: Sequence[Any]
    status: Sequence[Status]
    index: np.ndarray
    seed: int
    calls: np.ndarray
    records: Mapping[str, np.ndarray] = field(default_factory=dict)
    provenance: Mapping[str, Any] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.items)

    def __getitem__(self, row: int) -> Any:
        return self.items[row]

    @property
    def ok(self) -> np.ndarray:
        """True where a sample is good."""
        return np.array([status is Status.OK for status in self.status], dtype=bool)

    def take(self, rows: Sequence[int] | np.ndarray) -> Self:
        """Samples of the chosen rows, by numbers in the given order or by a boolean mask."""
        rows = np.arange(len(self))[np.asarray(rows, dtype=None if len(rows) else np.int64)]
        return replace(
            self,
            items=[self.items[k] for k in rows],
            status=[self.status[k] for k in rows],
            index=self.index[rows],
            calls=self.calls[rows],
            records={name: values[rows] for name, values in self.records.items()},
        )

    def _repr_html_(self) -> str:
        """Card for notebooks; a science adds its pictures."""
        from scidiff.sample.display import samples_card

        return samples_card(self, "samples")
