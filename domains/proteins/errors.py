"""The error of a structure: it names the chain and the residue, and says what to do."""

from __future__ import annotations

from scidiff.errors import DataError

__all__ = ["StructureError"]


class StructureError(DataError):
    """A residue of a structure cannot be used as it is.

    Parameters
    ----------
    what
        What came.
    expected
        What was expected, and what to do about it.
    chain
        Label of the chain; empty where the fault belongs to no chain.
    residue
        Number of the residue with its insertion code, as in the file; empty where it belongs to no residue.
    """

    def __init__(self, what: str, expected: str, chain: str = "", residue: str = "") -> None:
        self.chain, self.residue = chain, residue
        place = f"chain '{chain}'" * bool(chain) + f" residue {residue}" * bool(residue)
        super().__init__(f"{place}: {what}; {expected}" if place else f"{what}; {expected}")
