"""Molecules as torch-geometric data, and back, with charges, hydrogens, radicals and stereo marks.

The columns are those of torch-geometric's own reader of SMILES:

    x          element, chirality, degree, charge + 5, hydrogens, radical electrons, hybridisation, aromatic, in a ring
    edge_attr  bond type, stereo, conjugated                         the last two of each are derived and not read back

A mark of a stereocentre says how the neighbours turn *in some order*, and that order has to be the one of the data: it
is that of rising index here, which is the order of ``edge_index``, and ``stereo_order = "index"`` says so. In the same
way the two atoms that a double bond's mark refers to are the neighbours of least index. What does not fit into the
columns (isotopes, atom maps, other bonds and other stereo) is refused, and so are marks without the order.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

import torch
from rdkit import Chem, rdBase

from scidiff.errors import DataError, ShapeError

from .graphs import GraphSet
from .vocabulary import Vocabulary

if TYPE_CHECKING:
    from torch_geometric.data import Batch, Data

__all__ = ["from_pyg", "graphs_from_pyg", "graphs_to_pyg", "to_pyg"]

_ORDER = "index"
_CHARGE = 5
_TAGS = (
    Chem.ChiralType.CHI_UNSPECIFIED,
    Chem.ChiralType.CHI_TETRAHEDRAL_CW,
    Chem.ChiralType.CHI_TETRAHEDRAL_CCW,
)
_BONDS = {1: Chem.BondType.SINGLE, 2: Chem.BondType.DOUBLE, 3: Chem.BondType.TRIPLE, 12: Chem.BondType.AROMATIC}
_CODES = {bond: code for code, bond in _BONDS.items()}
_NONE, _CIS, _TRANS = 0, 4, 5
_SIDES = {
    Chem.BondStereo.STEREOZ: _CIS,
    Chem.BondStereo.STEREOCIS: _CIS,
    Chem.BondStereo.STEREOE: _TRANS,
    Chem.BondStereo.STEREOTRANS: _TRANS,
}
_HYBRIDS = ("UNSPECIFIED", "S", "SP", "SP2", "SP3", "SP3D", "SP3D2", "OTHER")


def to_pyg(molecules: Iterable[Chem.Mol]) -> Batch:
    """Torch-geometric batch of sanitized molecules.

    Parameters
    ----------
    molecules
        The molecules; atoms of explicit hydrogen are nodes like others.

    Returns
    -------
    torch_geometric.data.Batch
        One graph for each, with ``x`` (atoms, 9) and ``edge_attr`` (edges, 3), int64; every bond stands in both
        directions.

    Raises
    ------
    DataError
        If a molecule has isotopes, atom maps, or a bond or a stereo mark that the columns cannot hold.
    """
    from torch_geometric.data import Batch, Data

    found = []
    for molecule in molecules:
        nodes, edges = [_node(atom) for atom in molecule.GetAtoms()], []
        for bond in molecule.GetBonds():
            i, j, values = bond.GetBeginAtomIdx(), bond.GetEndAtomIdx(), _edge(bond)
            edges += [(i, j, *values), (j, i, *values)]
        table = torch.tensor(sorted(edges), dtype=torch.int64).reshape(-1, 5)
        x = torch.tensor(nodes, dtype=torch.int64).reshape(-1, 9)
        data = Data(x=x, edge_index=table[:, :2].T.contiguous(), edge_attr=table[:, 2:].contiguous())
        data.stereo_order = _ORDER
        found.append(data)
    return Batch.from_data_list(found)


def _node(atom: Chem.Atom) -> list[int]:
    """Columns of an atom."""
    if atom.GetIsotope() or atom.GetAtomMapNum():
        raise DataError(_refused(atom.GetOwningMol(), "an isotope or an atom map", "remove it first"))
    if abs(atom.GetFormalCharge()) > _CHARGE:
        raise DataError(_refused(atom.GetOwningMol(), f"the charge {atom.GetFormalCharge()}", "expected -5 to 5"))
    tag = atom.GetChiralTag()
    if tag not in _TAGS:
        raise DataError(_refused(atom.GetOwningMol(), f"a centre {tag}", "expected tetrahedral ones; remove the mark"))
    chirality = _TAGS.index(tag)
    if chirality and _odd([bond.GetOtherAtomIdx(atom.GetIdx()) for bond in atom.GetBonds()]):
        chirality = 3 - chirality
    hybrid = str(atom.GetHybridization())
    return [
        atom.GetAtomicNum(),
        chirality,
        atom.GetTotalDegree(),
        atom.GetFormalCharge() + _CHARGE,
        atom.GetTotalNumHs(),
        atom.GetNumRadicalElectrons(),
        _HYBRIDS.index(hybrid) if hybrid in _HYBRIDS else len(_HYBRIDS) - 1,
        int(atom.GetIsAromatic()),
        int(atom.IsInRing()),
    ]


def _odd(order: Sequence[int]) -> bool:
    """Whether an odd number of swaps sorts the numbers."""
    return sum(a > b for k, a in enumerate(order) for b in order[k + 1 :]) % 2 == 1


def _least(atom: Chem.Atom, other: int) -> int:
    """Neighbour of least index at one end of a double bond."""
    return min(neighbour.GetIdx() for neighbour in atom.GetNeighbors() if neighbour.GetIdx() != other)


def _edge(bond: Chem.Bond) -> tuple[int, int, int]:
    """Columns of a bond."""
    code, stereo = _CODES.get(bond.GetBondType()), bond.GetStereo()
    if code is None:
        raise DataError(_refused(bond.GetOwningMol(), f"a bond {bond.GetBondType()}", "expected 1 to 3, or aromatic"))
    side = _NONE
    if stereo != Chem.BondStereo.STEREONONE:
        if stereo not in _SIDES:
            raise DataError(_refused(bond.GetOwningMol(), f"a bond {stereo}", "remove its mark"))
        begin, end = bond.GetBeginAtom(), bond.GetEndAtom()
        wanted = (_least(begin, end.GetIdx()), _least(end, begin.GetIdx()))
        moved = sum(one != two for one, two in zip(wanted, bond.GetStereoAtoms(), strict=True))
        side = _CIS + _TRANS - _SIDES[stereo] if moved == 1 else _SIDES[stereo]
    return code, side, int(bond.GetIsConjugated())


def _refused(molecule: Chem.Mol, what: str, advice: str) -> str:
    return f"'{Chem.MolToSmiles(molecule)}' has {what}, which the columns cannot hold; {advice}"


def from_pyg(data: Data | Batch) -> list[Chem.Mol]:
    """Sanitized molecules of torch-geometric data.

    Parameters
    ----------
    data
        A graph or a batch with the columns above, made by `to_pyg` or by torch-geometric's own reader.

    Returns
    -------
    list of Chem.Mol
        The molecules, atoms in the order of the nodes.

    Raises
    ------
    ShapeError
        If the columns are others.
    DataError
        If a graph is no molecule, or has stereo marks without the order they refer to.
    """
    graphs = data.to_data_list() if hasattr(data, "to_data_list") else [data]
    return [_molecule(graph) for graph in graphs]


def _molecule(data: Any) -> Chem.Mol:
    """Check the columns of one graph and build its molecule."""
    x, index, values = data.x, data.edge_index, data.edge_attr
    shapes = [None if part is None else tuple(part.shape) for part in (x, index, values)]
    counts = [0 if part is None else len(part) for part in (x, values)]
    if shapes != [(counts[0], 9), (2, counts[1]), (counts[1], 3)]:
        raise ShapeError(f"x, edge_index, edge_attr have shapes {shapes}; expected (atoms, 9), (2, edges), (edges, 3)")
    atoms, bonds = x.tolist(), _undirected(index, values, len(x))
    marked = any(row[1] for row in atoms) or any(stereo for _, stereo, _ in bonds.values())
    if marked and getattr(data, "stereo_order", None) != _ORDER:
        raise DataError(
            'the data has stereo marks and no stereo_order = "index", so the order they refer to is not known; '
            "set columns x[:, 1] and edge_attr[:, 1] to 0 to drop them, or make the data with to_pyg"
        )
    with rdBase.BlockLogs():
        try:
            return _checked(_built(atoms, bonds), atoms)
        except (Chem.MolSanitizeException, ValueError, RuntimeError, OverflowError) as error:
            raise DataError(f"the graph is not a molecule: {error}; correct or remove it") from error


def _undirected(index: torch.Tensor, values: torch.Tensor, count: int) -> dict[tuple[int, int], tuple[int, int, int]]:
    """Columns of every bond by its ends ``i < j``, in the order in which the marks are meant."""
    found: dict[tuple[int, int], tuple[int, int, int]] = {}
    for i, j, *row in torch.cat([index, values.T]).T.tolist():
        found[i, j] = tuple(row)
    wrong = any(i == j or not 0 <= i < count or found.get((j, i)) != row for (i, j), row in found.items())
    if wrong or len(found) != len(values):
        raise DataError("bonds do not stand in both directions once, with equal columns; coalesce the edges")
    return {ends: found[ends] for ends in sorted(found) if ends[0] < ends[1]}


def _built(atoms: list[list[int]], bonds: dict[tuple[int, int], tuple[int, int, int]]) -> Chem.Mol:
    """Build the molecule; bonds are added so that each atom meets its neighbours in rising order."""
    editable = Chem.RWMol()
    for element, tag, _, charge, hydrogens, radicals, _, aromatic, _ in atoms:
        if tag >= len(_TAGS) or tag < 0:
            raise DataError(f"a node has the chirality {tag}; expected 0, 1 or 2: remove the mark")
        atom = Chem.Atom(element)
        atom.SetFormalCharge(charge - _CHARGE)
        atom.SetNoImplicit(True)
        atom.SetNumExplicitHs(hydrogens)
        atom.SetNumRadicalElectrons(radicals)
        atom.SetIsAromatic(bool(aromatic))
        atom.SetChiralTag(_TAGS[tag])
        editable.AddAtom(atom)
    for (i, j), (code, _, _) in bonds.items():
        if code not in _BONDS:
            raise DataError(f"an edge has the bond type {code}; expected one of {sorted(_BONDS)}")
        editable.AddBond(i, j, _BONDS[code])
        if code == _CODES[Chem.BondType.AROMATIC]:
            editable.GetBondBetweenAtoms(i, j).SetIsAromatic(True)
    molecule = editable.GetMol()
    Chem.SanitizeMol(molecule)
    for (i, j), (_, side, _) in bonds.items():
        if side not in (_NONE, _CIS, _TRANS):
            raise DataError(f"an edge has the stereo {side}; expected 0, 4 (cis) or 5 (trans)")
        if side:
            bond = molecule.GetBondBetweenAtoms(i, j)
            begin, end = bond.GetBeginAtom(), bond.GetEndAtom()
            bond.SetStereoAtoms(_least(begin, end.GetIdx()), _least(end, begin.GetIdx()))
            bond.SetStereo(Chem.BondStereo.STEREOCIS if side == _CIS else Chem.BondStereo.STEREOTRANS)
    return molecule


def _checked(molecule: Chem.Mol, atoms: list[list[int]]) -> Chem.Mol:
    """Let hydrogens be implicit where the valence rule gives them, and perceive stereo again."""
    for atom, row in zip(molecule.GetAtoms(), atoms, strict=True):
        plain = not (row[1] or row[5] or row[3] != _CHARGE or (row[7] and row[0] != 6))
        if plain:
            atom.SetNoImplicit(False)
            atom.SetNumExplicitHs(0)
            atom.UpdatePropertyCache(strict=True)
            if atom.GetTotalNumHs() != row[4]:
                atom.SetNoImplicit(True)
                atom.SetNumExplicitHs(row[4])
                atom.UpdatePropertyCache(strict=True)
    Chem.SetDoubleBondNeighborDirections(molecule)
    Chem.AssignStereochemistry(molecule, cleanIt=True, force=True)
    return molecule


def graphs_to_pyg(graphs: GraphSet, vocabulary: Vocabulary) -> Batch:
    """Torch-geometric batch of an encoded set; see `to_pyg`.

    Parameters
    ----------
    graphs
        The set.
    vocabulary
        Its tokens.
    """
    return to_pyg([graphs.decode(row, vocabulary) for row in range(len(graphs))])


def graphs_from_pyg(data: Data | Batch, vocabulary: Vocabulary) -> GraphSet:
    """Encode torch-geometric data; see `from_pyg`.

    Parameters
    ----------
    data
        The graphs.
    vocabulary
        Tokens to encode with.

    Raises
    ------
    DataError
        As for `from_pyg`; or if an atom is not in the vocabulary, or a molecule has stereo marks, which an encoded set
        does not hold.
    """
    molecules = from_pyg(data)
    for molecule in molecules:
        tags = any(atom.GetChiralTag() != _TAGS[0] for atom in molecule.GetAtoms())
        if tags or any(bond.GetStereo() != Chem.BondStereo.STEREONONE for bond in molecule.GetBonds()):
            raise DataError(
                f"'{Chem.MolToSmiles(molecule)}' has stereo marks, which an encoded set does not hold; "
                "set columns x[:, 1] and edge_attr[:, 1] to 0 to drop them"
            )
    return GraphSet.from_molecules(molecules, vocabulary)
