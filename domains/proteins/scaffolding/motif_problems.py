"""Twenty-four motif problems cut from held-out real chains: eight of one segment, eight of two, eight of three.

The package holds names and residue numbers only; coordinates come from the cgdms chains (`data.load`). A problem asks
for scaffolds of the native length; the residues before, between and behind the segments may be up to two fewer or more
than in the native chain.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from scidiff.errors import UnknownNameError

from ..chains import Chains
from ..design import Design, Fixed, Free

__all__ = ["HeldOutProblem", "held_out_problems"]

_FILE = Path(__file__).parents[1] / "data" / "motif_problems.json"
_SLACK = 2


@dataclass(frozen=True)
class HeldOutProblem:
    """A motif problem.

    Parameters
    ----------
    chain
        Name of the native chain.
    segments
        First and last residue of each segment, from 1.
    length
        Length of the scaffold.
    """

    chain: str
    segments: tuple[tuple[int, int], ...]
    length: int

    @property
    def name(self) -> str:
        """Chain and segments."""
        return f"{self.chain}:{','.join(f'{a}-{b}' for a, b in self.segments)}"

    @property
    def label(self) -> str:
        """Chain label."""
        return self.chain.partition("_")[2]

    @property
    def design(self) -> Design:
        """The design."""
        parts: list[Fixed | Free] = []
        end = 0
        for start, stop in self.segments:
            gap = start - 1 - end
            least = 2 if end else 0
            parts += [Free(max(gap - _SLACK, least), gap + _SLACK), Fixed(self.label, start, stop)]
            end = stop
        tail = self.length - end
        parts.append(Free(max(tail - _SLACK, 0), tail + _SLACK))
        return Design(tuple(parts), (self.length, self.length))

    def reference(self, chains: Chains) -> Chains:
        """Native chain, of the held-out ones.

        Raises
        ------
        UnknownNameError
            If it is not among them.
        """
        if self.chain not in chains.names:
            raise UnknownNameError("chain", self.chain, chains.names)
        return chains.take([chains.names.index(self.chain)])


@cache
def held_out_problems() -> tuple[HeldOutProblem, ...]:
    """All problems, those of one segment first."""
    rows = json.loads(_FILE.read_text(encoding="utf-8"))["problems"]
    return tuple(HeldOutProblem(row["chain"], tuple((a, b) for a, b in row["segments"]), row["length"]) for row in rows)
