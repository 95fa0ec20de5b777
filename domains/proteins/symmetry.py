"""Point groups and screws acting on chains: C_n, D_n, T, O, I and helical arrays, as rotations and shifts of R^3.

An assembly is the orbit of its asymmetric unit, ``x -> R_g x + s_g``, so that it is symmetric by construction, to
round-off; nothing is re-centred. Point groups fix the origin: C_n and D_n have the n-fold axis along z, D_n a two-fold
axis along x, T and O have two-fold or four-fold axes along x, y, z, and I has two-fold axes there. ``screw(rise, angle,
count)`` is no group but a piece of one: copy ``k`` is turned by ``k angle`` about z and moved by ``k rise`` along it.

``project`` goes the other way: it returns the asymmetric unit whose orbit is nearest to a given assembly in the least
squares sense, the mean of ``R_g^T (x_g - s_g)``.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from scidiff.errors import ConfigError, ShapeError
from scidiff.spaces.so3 import to_matrix, versor

from .chains import Chains, default_label

__all__ = [
    "Symmetry",
    "cyclic",
    "dihedral_group",
    "icosahedral",
    "octahedral",
    "parse_symmetry",
    "screw",
    "tetrahedral",
]

_TURN = 2 * math.pi
_SAME = 1e-6


@dataclass(frozen=True, eq=False)
class Symmetry:
    """Motions that carry the asymmetric unit to each copy; the first is the identity.

    Parameters
    ----------
    name
        Schoenflies symbol, or a description.
    rotations
        Matrices, float64, shape ``(order, 3, 3)``.
    shifts
        Å, float64, shape ``(order, 3)``.
    """

    name: str
    rotations: Tensor
    shifts: Tensor

    def __len__(self) -> int:
        return len(self.rotations)

    def orbit(self, x: Tensor) -> Tensor:
        """Copies of points ``(..., 3)``, shape ``(order, ..., 3)``."""
        turned = torch.einsum("gij,...j->g...i", self.rotations.to(x), x)
        return turned + self.shifts.to(x).view(len(self), *([1] * (x.ndim - 1)), 3)

    def project(self, x: Tensor) -> Tensor:
        """Unit whose orbit is nearest to copies ``(order, ..., 3)``, shape ``(..., 3)``."""
        if x.shape[0] != len(self) or x.shape[-1] != 3:
            raise ShapeError(f"copies have shape {tuple(x.shape)}; expected ({len(self)}, ..., 3) for {self.name}")
        centred = x - self.shifts.to(x).view(len(self), *([1] * (x.ndim - 2)), 3)
        return torch.einsum("gij,g...i->...j", self.rotations.to(x), centred) / len(self)

    def error(self, x: Tensor) -> Tensor:
        """Largest distance of copies ``(order, ..., 3)`` from the orbit of the first, Å."""
        return (self.orbit(x[0]) - x).norm(dim=-1).max()

    def assemble(self, unit: Chains) -> Chains:
        """Repeat the chains of an asymmetric unit.

        Parameters
        ----------
        unit
            One chain or several.

        Returns
        -------
        Chains
            ``order * len(unit)`` chains, copy after copy, with labels A, B, ...
        """
        copies, order = self.orbit(unit.xyz.to(torch.float64)), len(self)
        same = {name: getattr(unit, name).repeat(order, 1) for name in ("mask", "sequence", "numbers", "confidence")}
        names = tuple(f"{name}/{self.name}.{g + 1}" for g in range(order) for name in unit.names)
        labels = tuple(default_label(k) for k in range(len(names)))
        return replace(unit, xyz=copies.flatten(0, 1), names=names, labels=labels, **same)


def _group(name: str, generators: Sequence[Tensor]) -> Symmetry:
    """Close generators, rotation vectors, under multiplication."""
    turns = [to_matrix(versor(vector)) for vector in generators]
    found = [torch.eye(3, dtype=torch.float64)]
    for element in found:
        for turn in turns:
            product = turn @ element
            if not any((product - other).abs().max() < _SAME for other in found):
                found.append(product)
    return Symmetry(name, torch.stack(found), torch.zeros(len(found), 3, dtype=torch.float64))


def _turn(order: int, axis: Sequence[float]) -> Tensor:
    direction = torch.tensor(axis, dtype=torch.float64)
    return direction / direction.norm() * (_TURN / order)


def cyclic(order: int) -> Symmetry:
    """C_n, the n-fold axis along z.

    Raises
    ------
    ConfigError
        If the order is not in 1 ... 60.
    """
    if not 1 <= order <= 60:
        raise ConfigError(f"C{order} is no point group here; expected an order from 1 to 60")
    return _group(f"C{order}", [_turn(order, (0, 0, 1))] if order > 1 else [])


def dihedral_group(order: int) -> Symmetry:
    """D_n for even and odd n: n-fold axis along z, two-fold axis along x.

    Raises
    ------
    ConfigError
        If the order is not in 2 ... 60.
    """
    if not 2 <= order <= 60:
        raise ConfigError(f"D{order} is no dihedral group here; expected an order from 2 to 60, or C2 instead of D1")
    return _group(f"D{order}", [_turn(order, (0, 0, 1)), _turn(2, (1, 0, 0))])


def tetrahedral() -> Symmetry:
    """T, twelve rotations."""
    return _group("T", [_turn(3, (1, 1, 1)), _turn(2, (0, 0, 1))])


def octahedral() -> Symmetry:
    """O, 24 rotations."""
    return _group("O", [_turn(3, (1, 1, 1)), _turn(4, (0, 0, 1))])


def icosahedral() -> Symmetry:
    """I, 60 rotations."""
    return _group("I", [_turn(5, (0, 1, (1 + math.sqrt(5)) / 2)), _turn(2, (0, 0, 1))])


def screw(rise: float, angle: float, count: int) -> Symmetry:
    """Helical array about z.

    Parameters
    ----------
    rise
        Shift from one copy to the next, Å.
    angle
        Turn from one copy to the next, degrees.
    count
        Number of copies, at least 1.

    Returns
    -------
    Symmetry
        The motions.

    Raises
    ------
    ConfigError
        If there is no copy, a number is not finite, or copies fall on each other.
    """
    if count < 1 or not math.isfinite(rise) or not math.isfinite(angle):
        raise ConfigError(f"screw with rise {rise}, angle {angle}, count {count}; expected finite numbers and a copy")
    if rise == 0 and any(abs(math.remainder(k * angle, 360)) < 1e-9 for k in range(1, count)):
        raise ConfigError(
            f"a screw without rise and with angle {angle} puts two of {count} copies in one place; use fewer"
        )
    place = torch.arange(count, dtype=torch.float64)
    axis = torch.tensor([0.0, 0.0, 1.0], dtype=torch.float64)
    turns = to_matrix(versor(place.unsqueeze(1) * math.radians(angle) * axis))
    return Symmetry(f"screw({rise:g},{angle:g},{count})", turns, place.unsqueeze(1) * rise * axis)


_SCREW = re.compile(r"screw\(([-+.\deE]+),([-+.\deE]+),(\d+)\)")


def parse_symmetry(text: str) -> Symmetry:
    """Read ``C3``, ``D5``, ``T``, ``O``, ``I`` or ``screw(rise,angle,count)``.

    Parameters
    ----------
    text
        Letters of any case; RFdiffusion's words ``tetrahedral``, ``octahedral`` and ``icosahedral`` are known too.

    Returns
    -------
    Symmetry
        The motions.

    Raises
    ------
    ConfigError
        If the text names no symmetry.
    """
    word = "".join(text.split()).lower()
    solids = {"t": tetrahedral, "o": octahedral, "i": icosahedral}
    solids |= {"tetrahedral": tetrahedral, "octahedral": octahedral, "icosahedral": icosahedral}
    if word in solids:
        return solids[word]()
    axial = re.fullmatch(r"([cd])(\d{1,3})", word)
    if axial:
        return (cyclic if axial[1] == "c" else dihedral_group)(int(axial[2]))
    helical = _SCREW.fullmatch(word)
    if helical:
        try:
            return screw(float(helical[1]), float(helical[2]), int(helical[3]))
        except ValueError as error:
            raise ConfigError(f"symmetry '{text}': {error}; expected screw(rise,angle,count)") from error
    raise ConfigError(f"symmetry '{text}' is not known; expected C2, D3, T, O, I or screw(rise,angle,count)")
