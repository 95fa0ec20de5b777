"""A design as typed segments: what is kept, what is free, where chains end, what stays symmetric.

A design is a row of `Fixed`, `Free` and `Break`. A fixed segment takes residues ``start ... stop`` of a chain of a
reference structure; residues whose type may change are listed in ``hidden``. Fixed segments of one ``group`` keep their
relative pose; groups move freely against each other. `layouts` draws the free lengths uniformly among all that fit the
total length.

``parse_contigs`` and ``contigs`` are inverse to each other.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from scidiff.errors import ConfigError

from .chains import Chains
from .errors import StructureError

__all__ = ["Break", "Design", "Fixed", "Free", "Layout", "layouts", "locate"]


@dataclass(frozen=True)
class Fixed:
    """Residues that are kept.

    Parameters
    ----------
    chain
        Chain label of the reference, case-sensitive.
    start, stop
        First and last residue number, both kept.
    hidden
        Numbers of residues whose type may change.
    group
        Segments of one group keep their relative pose.

    Raises
    ------
    ConfigError
        If the range is empty, or a hidden residue lies outside.
    """

    chain: str
    start: int
    stop: int
    hidden: tuple[int, ...] = ()
    group: int = 0

    def __post_init__(self) -> None:
        if self.stop < self.start:
            raise ConfigError(f"segment {self} ends before it starts; write {self.chain}{self.stop}-{self.start}")
        outside = [number for number in self.hidden if not self.start <= number <= self.stop]
        if outside:
            raise ConfigError(f"hidden residue {self.chain}{outside[0]} lies outside {self}; correct one of the two")
        object.__setattr__(self, "hidden", tuple(sorted(set(self.hidden))))

    def __len__(self) -> int:
        return self.stop - self.start + 1

    def __str__(self) -> str:
        return f"{self.chain}{self.start}-{self.stop}"


@dataclass(frozen=True)
class Free:
    """New residues.

    Parameters
    ----------
    low, high
        Least and largest number.

    Raises
    ------
    ConfigError
        If ``0 <= low <= high`` and ``high >= 1`` do not hold.
    """

    low: int
    high: int

    def __post_init__(self) -> None:
        if not 0 <= self.low <= self.high or self.high < 1:
            raise ConfigError(
                f"free segment {self.low}-{self.high}; expected the smaller number first, one residue at least"
            )

    def __str__(self) -> str:
        return f"{self.low}-{self.high}"


@dataclass(frozen=True)
class Break:
    """End of a chain of the design."""

    def __str__(self) -> str:
        return "0"


@dataclass(frozen=True)
class Design:
    """A design specification.

    Parameters
    ----------
    segments
        The segments in order.
    length
        Least and largest total number of residues; None leaves it to the segments.
    symmetry
        Symbol as of `symmetry.parse_symmetry`; empty for none. The design is then the asymmetric unit.
    any_order
        Whether fixed segments may change their order, as in MotifBench.

    Raises
    ------
    ConfigError
        If the segments make no chain, one residue is kept twice, or no length fits.
    """

    segments: tuple[Fixed | Free | Break, ...]
    length: tuple[int, int] | None = None
    symmetry: str = ""
    any_order: bool = False

    def __post_init__(self) -> None:
        from .symmetry import parse_symmetry

        pieces = self.pieces
        if not all(pieces):
            raise ConfigError("a chain of the design has no segment; remove the chain break before or after it")
        seen: dict[str, set[int]] = {}
        for part in self.fixed:
            numbers, taken = set(range(part.start, part.stop + 1)), seen.setdefault(part.chain, set())
            twice = sorted(numbers & taken)
            if twice:
                raise ConfigError(f"residue {part.chain}{twice[0]} is kept twice; let the segments not overlap")
            taken |= numbers
        if self.symmetry:
            parse_symmetry(self.symmetry)
        low, high = self.bounds
        if self.length is not None and (
            self.length[0] > self.length[1] or low > self.length[1] or high < self.length[0]
        ):
            raise ConfigError(
                f"the segments make {low} to {high} residues, of which {sum(map(len, self.fixed))} are kept; the "
                f"length asked for is {self.length[0]} to {self.length[1]}: change the length or free segments"
            )

    @property
    def fixed(self) -> tuple[Fixed, ...]:
        """The segments that are kept."""
        return tuple(part for part in self.segments if isinstance(part, Fixed))

    @property
    def bounds(self) -> tuple[int, int]:
        """Least and largest total of the segments, before `length` is heeded."""
        kept = sum(map(len, self.fixed))
        free = [part for part in self.segments if isinstance(part, Free)]
        return kept + sum(part.low for part in free), kept + sum(part.high for part in free)

    @property
    def pieces(self) -> list[list[Fixed | Free]]:
        """Segments of each chain of the design."""
        found: list[list[Fixed | Free]] = [[]]
        for part in self.segments:
            if isinstance(part, Break):
                found.append([])
            else:
                found[-1].append(part)
        return found


@dataclass(frozen=True, eq=False)
class Layout:
    """A design with all lengths drawn.

    Parameters
    ----------
    source
        For each residue of the design the row and place in the reference ``(row, place)``, or ``(-1, -1)``; shape
        ``(length, 2)``.
    hidden
        True where a kept residue may change its type, shape ``(length,)``.
    group
        Pose group of kept residues, -1 elsewhere, shape ``(length,)``.
    chain
        Chain of the design, 0, 1, ..., shape ``(length,)``.
    table
        Numbering map: ``(chain, number)`` of the design to ``(chain, number)`` of the reference.
    """

    source: np.ndarray
    hidden: np.ndarray
    group: np.ndarray
    chain: np.ndarray
    table: dict[tuple[int, int], tuple[str, int]]

    def __len__(self) -> int:
        return len(self.source)

    @property
    def fixed(self) -> np.ndarray:
        """True where a residue is kept, shape ``(length,)``."""
        return self.source[:, 0] >= 0


def locate(part: Fixed, reference: Chains) -> list[tuple[int, int]]:
    """Find the residues of a segment.

    Parameters
    ----------
    part
        The segment.
    reference
        The structure it speaks of.

    Returns
    -------
    list
        ``(row, place)`` of each residue in order.

    Raises
    ------
    StructureError
        If a chain or residue is not there; names it and the fix.
    """
    rows = [row for row, label in enumerate(reference.labels) if label == part.chain]
    if not rows:
        known = sorted(set(reference.labels))
        near = next((label for label in known if label.lower() == part.chain.lower()), "")
        hint = f"did you mean '{near}'?" if near else "use one of these"
        raise StructureError("the reference has no such chain", f"it has {', '.join(known)}; {hint}", part.chain)
    places: dict[int, list[tuple[int, int]]] = {}
    for row in rows:
        for place, number in enumerate(reference.numbers[row, reference.mask[row]].tolist()):
            places.setdefault(number, []).append((row, place))
    found = []
    for number in range(part.start, part.stop + 1):
        here = places.get(number, [])
        if not here:
            runs = ", ".join(f"{part.chain}{a}-{b}" for a, b in _runs(sorted(places)))
            raise StructureError("not in the reference", f"it has {runs}: divide the segment", part.chain, str(number))
        if len(here) > 1:
            raise StructureError("the number comes twice", "renumber the reference", part.chain, str(number))
        found.append(here[0])
    return found


def _runs(numbers: Sequence[int]) -> list[tuple[int, int]]:
    """Ranges of successive numbers."""
    found: list[tuple[int, int]] = []
    for number in numbers:
        if found and number == found[-1][1] + 1:
            found[-1] = (found[-1][0], number)
        else:
            found.append((number, number))
    return found


def layouts(design: Design, reference: Chains, count: int, seed: int) -> list[Layout]:
    """Draw the free lengths, uniformly among all combinations that fit.

    Parameters
    ----------
    design
        The design.
    reference
        The structure that its fixed segments speak of.
    count
        Number of layouts.
    seed
        Seed; layout ``k`` depends on the seed and ``k`` alone.

    Returns
    -------
    list of Layout
        The layouts.

    Raises
    ------
    StructureError
        If a fixed residue is not in the reference.
    """
    kept = {part: locate(part, reference) for part in design.fixed}
    return [_layout(design, kept, np.random.default_rng((seed, k))) for k in range(count)]


def _lengths(design: Design, rng: np.random.Generator) -> list[int]:
    """Lengths of the free segments: exact uniform draw by counting combinations from the end."""
    free = [part for part in design.segments if isinstance(part, Free)]
    kept = sum(map(len, design.fixed))
    low, high = design.length or design.bounds
    low, high = max(low - kept, 0), high - kept
    ways = [[1 if low <= total <= high else 0 for total in range(high + 1)]]
    for part in reversed(free):
        after = ways[-1]
        ways.append(
            [sum(after[t + n] for n in range(part.low, part.high + 1) if t + n <= high) for t in range(high + 1)]
        )
    total, drawn = 0, []
    for part, after in zip(free, reversed(ways[:-1]), strict=True):
        weight = np.array([after[total + n] if total + n <= high else 0 for n in range(part.low, part.high + 1)], float)
        drawn.append(part.low + int(rng.choice(len(weight), p=weight / weight.sum())))
        total += drawn[-1]
    return drawn


def _layout(design: Design, kept: dict[Fixed, list[tuple[int, int]]], rng: np.random.Generator) -> Layout:
    """One layout."""
    drawn = iter(_lengths(design, rng))
    order = [design.fixed[k] for k in rng.permutation(len(kept))] if design.any_order else list(design.fixed)
    parts = iter(order)
    source, hidden, group, chain = [], [], [], []
    table: dict[tuple[int, int], tuple[str, int]] = {}
    for row, piece in enumerate(design.pieces):
        number = 0
        for segment in piece:
            if isinstance(segment, Free):
                size = next(drawn)
                source += [(-1, -1)] * size
                hidden, group, chain = hidden + [False] * size, group + [-1] * size, chain + [row] * size
                number += size
                continue
            part = next(parts)
            source += kept[part]
            for old in range(part.start, part.stop + 1):
                number += 1
                table[row, number] = (part.chain, old)
            hidden += [old in part.hidden for old in range(part.start, part.stop + 1)]
            group, chain = group + [part.group] * len(part), chain + [row] * len(part)
    return Layout(np.array(source).reshape(-1, 2), np.array(hidden), np.array(group), np.array(chain), table)
