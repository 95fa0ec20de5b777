"""A claim of the core, and the row that its measurement gives."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

from scidiff.bench.report import TruthRow

__all__ = ["Claim"]


@dataclass(frozen=True)
class Claim:
    """Something that the core says of itself, and how it is measured.

    With a `tolerance` the claim holds where ``|measured - truth|`` stays within it; with `least` where the measured
    number is at least that; with neither the number is only shown.

    Parameters
    ----------
    name
        Name of the row, unique in the suite, ``group/quantity/case``.
    label
        ``exact``, ``consistent(order)`` or ``biased``: what the method says of itself; ``measured`` for a figure
        of merit that has a bar and no truth.
    measure
        Takes a seed and measures.
    truth
        What is known in closed form, by enumeration or by quadrature.
    tolerance
        Largest deviation from the truth.
    least
        Least measured value.
    why
        Where the truth comes from, and the tolerance.
    calls
        Network calls for one sample.
    full
        Whether the claim takes too long for the fast part.
    """

    name: str
    label: str
    measure: Callable[[int], float]
    truth: float | None = None
    tolerance: float | None = None
    least: float | None = None
    why: str = ""
    calls: float | None = None
    full: bool = False

    def row(self, seed: int) -> TruthRow:
        """Measure, and time it.

        Parameters
        ----------
        seed
            Seed of what is drawn; claims that draw nothing do not use it.
        """
        start = time.perf_counter()
        measured = float(self.measure(seed))
        seconds = time.perf_counter() - start
        near = self.truth is not None and self.tolerance is not None
        bar = self.tolerance if near else self.least
        return TruthRow(
            name=self.name,
            label=self.label,
            value=abs(measured - float(self.truth)) if near else measured,
            bar=None if bar is None else float(bar),
            above=not near,
            calls=self.calls,
            seconds=seconds,
            note=self.why,
            measured=measured,
            truth=None if self.truth is None else float(self.truth),
        )
