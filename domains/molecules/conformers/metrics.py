"""How far the bond lengths and angles of one set of conformers are from those of another.

Two sets hold conformers of the same molecules. Lengths are pooled by bond type, the two elements and the order, and
angles by angle type, the two bonds at a central atom. For a type with `a` in one set and `b` in the other

    W1(a, b) = int |F_a(x) - F_b(x)| dx

is the mean distance over which length, or angle, has to be moved to turn one distribution into the other; Å or
degrees. `pooled` is the mean over types weighted by their number in the reference, `worst` the largest over types of at
least `FEWEST` molecules.

`local` does not pool: it is the mean, over single bonds or angles of single molecules, of the W1 between the few values
in either set. It sees what pooling hides, a bond too long here and too short there; a second draw of the reference
itself gives the least value that can be expected of it. `within` judges whole conformers, where a mean over bonds
cannot show that a few shapes are wrong.

Intervals are the value plus and minus 1.96 standard errors of a bootstrap over molecules, the same molecules drawn for
both sets. Percentiles would not do: W1 is convex, so resampled values lie a little high where distributions nearly
agree. For the same reason the value itself lies a little above that of infinitely many molecules.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

import numpy as np
from rdkit import Chem
from scipy.special import ndtri

from scidiff.errors import ShapeError

from ..vocabulary import Bond
from .data import ConformerSet

__all__ = ["FEWEST", "Comparison", "Measured", "angles", "bonds", "compare", "within"]

FEWEST = 30
"""Molecules that a type must occur in to be looked at alone."""
_NORMAL = float(ndtri(0.975))
_SIGNS = {Bond.SINGLE: "-", Bond.DOUBLE: "=", Bond.TRIPLE: "#", Bond.AROMATIC: ":"}


@dataclass(frozen=True)
class Measured:
    """Lengths or angles of one set.

    Parameters
    ----------
    kind
        Type of each, e.g. ``"C-O"`` or ``"C-C=O"``, shape ``(terms,)``.
    molecule
        Place of its molecule, int64, shape ``(terms,)``.
    values
        Å or degrees, shape ``(terms, conformers)``.
    """

    kind: np.ndarray
    molecule: np.ndarray
    values: np.ndarray


def _name(atom: Chem.Atom) -> str:
    return atom.GetSymbol()


def _sign(bond: Chem.Bond) -> str:
    from ..graphs import bond_class

    return _SIGNS[bond_class(bond)]


def _bond_terms(molecule: Chem.Mol) -> Iterable[tuple[str, tuple[int, int]]]:
    for bond in molecule.GetBonds():
        first, last = sorted((_name(bond.GetBeginAtom()), _name(bond.GetEndAtom())))
        yield first + _sign(bond) + last, (bond.GetBeginAtomIdx(), bond.GetEndAtomIdx())


def _angle_terms(molecule: Chem.Mol) -> Iterable[tuple[str, tuple[int, int, int]]]:
    for atom in molecule.GetAtoms():
        around = list(atom.GetBonds())
        for k, one in enumerate(around):
            for other in around[:k]:
                i, j = one.GetOtherAtom(atom), other.GetOtherAtom(atom)
                left, right = _name(i) + _sign(one), _name(j) + _sign(other)
                first, last = sorted((left, right))
                yield first + _name(atom) + last[::-1], (i.GetIdx(), atom.GetIdx(), j.GetIdx())


def _measure(
    conformers: ConformerSet,
    terms: Callable[[Chem.Mol], Iterable[tuple[str, tuple[int, ...]]]],
    value: Callable[[np.ndarray], np.ndarray],
) -> Measured:
    kinds: list[str] = []
    rows: list[int] = []
    places: list[tuple[int, ...]] = []
    for row, molecule in enumerate(conformers.molecules):
        for kind, place in terms(molecule):
            kinds.append(kind)
            rows.append(row)
            places.append(place)
    index = np.array(places, dtype=np.int64)
    molecule = np.array(rows, dtype=np.int64)
    points = conformers.positions[molecule[:, None], :, index].astype(np.float64)
    return Measured(np.array(kinds), molecule, value(points))


def bonds(conformers: ConformerSet) -> Measured:
    """Lengths of all bonds between heavy atoms, Å."""
    return _measure(conformers, _bond_terms, lambda p: np.linalg.norm(p[:, 0] - p[:, 1], axis=-1))


def angles(conformers: ConformerSet) -> Measured:
    """Angles between two bonds at a heavy atom, degrees."""

    def value(p: np.ndarray) -> np.ndarray:
        u, v = p[:, 0] - p[:, 1], p[:, 2] - p[:, 1]
        cross = np.linalg.norm(np.cross(u, v), axis=-1)
        return np.degrees(np.arctan2(cross, (u * v).sum(-1)))

    return _measure(conformers, _angle_terms, value)


def within(found: Measured, reference: Measured, tolerance: float, molecules: int) -> np.ndarray:
    """Whether all values of a conformer lie close to a value of the same bond or angle in the reference.

    Parameters
    ----------
    found, reference
        What is judged, and what it is compared with; of the same molecules.
    tolerance
        Å or degrees.
    molecules
        Number of molecules; one without any bond or angle has nothing to miss.

    Returns
    -------
    close
        Boolean, shape ``(molecules, conformers)``.
    """
    gap = np.abs(found.values[:, :, None] - reference.values[:, None, :]).min(2)
    largest = np.zeros((molecules, found.values.shape[1]))
    np.maximum.at(largest, found.molecule, gap)
    return largest <= tolerance


@dataclass(frozen=True)
class Comparison:
    """Distances between two sets.

    Parameters
    ----------
    pooled, worst, local
        See the module's head; Å or degrees.
    intervals
        95 % interval of each of the three, by name.
    worst_kind
        The type that `worst` belongs to.
    kinds
        W1 of every type of at least `FEWEST` molecules.
    count
        Number of bonds or angles in the reference, over all conformers.
    """

    pooled: float
    worst: float
    local: float
    intervals: dict[str, tuple[float, float]]
    worst_kind: str
    kinds: dict[str, float]
    count: int


def compare(found: Measured, reference: Measured, *, seed: int = 0, repeats: int = 200) -> Comparison:
    """Compare lengths or angles of two sets of conformers of the same molecules.

    Parameters
    ----------
    found, reference
        What is judged, and what it is compared with.
    seed, repeats
        Of the bootstrap.

    Raises
    ------
    ShapeError
        If the sets hold other molecules, or more conformers in one of them.
    """
    same = np.array_equal(found.kind, reference.kind) and np.array_equal(found.molecule, reference.molecule)
    if not same or found.values.shape != reference.values.shape:
        raise ShapeError(
            f"the two sets hold different molecules or numbers of conformers, {found.values.shape} and "
            f"{reference.values.shape} values; cut them with `common` first"
        )
    groups = _groups(found, reference)
    local = np.abs(np.sort(found.values, axis=1) - np.sort(reference.values, axis=1)).mean(1)
    count = int(found.molecule.max()) + 1
    random = np.random.default_rng(seed)
    value = _statistics(groups, local, found.molecule, np.ones(count))
    draws = np.array(
        [
            _statistics(groups, local, found.molecule, np.bincount(random.integers(0, count, count), minlength=count))
            for _ in range(repeats)
        ]
    )
    half = _NORMAL * draws.std(axis=0, ddof=1)
    names = ("pooled", "worst", "local")
    kinds = {group.kind: group.distance(np.ones(count)) for group in groups if group.molecules >= FEWEST}
    return Comparison(
        *value,
        {name: (max(0.0, value[k] - float(half[k])), value[k] + float(half[k])) for k, name in enumerate(names)},
        max(kinds, key=lambda kind: kinds[kind]) if kinds else "",
        kinds,
        reference.values.size,
    )


@dataclass(frozen=True)
class _Group:
    """All values of one type, sorted: points, molecule of each, and ``+1 / -1`` for the two sets."""

    kind: str
    gaps: np.ndarray
    molecule: np.ndarray
    sign: np.ndarray
    molecules: int

    def distance(self, weight: np.ndarray) -> float:
        """W1 with a weight for each molecule; both sets have as many values of each, so the totals are equal."""
        w = weight[self.molecule]
        total = w.sum() / 2
        return float(np.abs(np.cumsum(self.sign * w)[:-1]) @ self.gaps / total) if total else 0.0

    def size(self, weight: np.ndarray) -> float:
        """Number of reference values, weighted."""
        return float(weight[self.molecule].sum()) / 2


def _groups(found: Measured, reference: Measured) -> list[_Group]:
    groups = []
    each = found.values.shape[1]
    for kind in np.unique(found.kind):
        rows = np.flatnonzero(found.kind == kind)
        points = np.concatenate([found.values[rows].ravel(), reference.values[rows].ravel()])
        molecule = np.tile(found.molecule[rows].repeat(each), 2)
        sign = np.array([1.0, -1.0]).repeat(len(rows) * each)
        order = np.argsort(points, kind="stable")
        distinct = len(np.unique(found.molecule[rows]))
        groups.append(_Group(str(kind), np.diff(points[order]), molecule[order], sign[order], distinct))
    return groups


def _statistics(
    groups: list[_Group], local: np.ndarray, molecule: np.ndarray, weight: np.ndarray
) -> tuple[float, float, float]:
    distances = np.array([group.distance(weight) for group in groups])
    sizes = np.array([group.size(weight) for group in groups])
    common = np.array([group.molecules >= FEWEST for group in groups])
    worst = float(distances[common].max()) if common.any() else float(distances.max())
    w = weight[molecule]
    return float(distances @ sizes / sizes.sum()), worst, float(local @ w / w.sum())
