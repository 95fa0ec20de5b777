"""Units of fields and the dimension check of an equation.

A unit is a product of powers of length, time, mass and temperature. A term of an equation is a product of powers of
fields, differentiated so many times in space and in time; an equation is sound if all of its terms have one unit.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import astuple, dataclass

from .errors import DimensionError

__all__ = ["ONE", "Term", "Unit", "check_dimensions"]


@dataclass(frozen=True)
class Unit:
    """Powers of length, time, mass and temperature.

    Parameters
    ----------
    length, time, mass, temperature
        Exponents.
    """

    length: float = 0
    time: float = 0
    mass: float = 0
    temperature: float = 0

    def __mul__(self, other: Unit) -> Unit:
        return Unit(*(a + b for a, b in zip(astuple(self), astuple(other), strict=True)))

    def __pow__(self, power: float) -> Unit:
        return Unit(*(a * power for a in astuple(self)))

    def __truediv__(self, other: Unit) -> Unit:
        return self * other**-1

    def __str__(self) -> str:
        parts = [f"{name}^{a:g}" if a != 1 else name for name, a in zip(_SI, astuple(self), strict=True) if a]
        return " ".join(parts) or "1"


_SI = ("m", "s", "kg", "K")
ONE = Unit()


@dataclass(frozen=True)
class Term:
    """One term of an equation.

    Parameters
    ----------
    text
        The term as it is written.
    powers
        Power of each field and parameter in it.
    space, time
        Number of derivatives.
    """

    text: str
    powers: Mapping[str, float]
    space: int = 0
    time: int = 0

    def unit(self, units: Mapping[str, Unit]) -> Unit:
        """Unit of the term, from those of the fields."""
        out = Unit(length=-self.space, time=-self.time)
        for name, power in self.powers.items():
            out = out * units[name] ** power
        return out


def check_dimensions(terms: tuple[Term, ...], units: Mapping[str, Unit]) -> Unit:
    """Return the common unit of the terms.

    Parameters
    ----------
    terms
        Terms of one equation.
    units
        Unit of each field and parameter that occurs.

    Raises
    ------
    DimensionError
        If two terms have different units; it names both.
    """
    first, *rest = terms
    unit = first.unit(units)
    for term in rest:
        if term.unit(units) != unit:
            raise DimensionError(
                f"'{term.text}' has unit {term.unit(units)} and '{first.text}' has {unit}; expected one unit: "
                "look for a missing coefficient or derivative",
                term.text,
            )
    return unit
