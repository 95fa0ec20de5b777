"""Kekulé structures against chemistry that is known, and against RDKit's own search."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rdkit import Chem, rdBase
from scidiff.domains.molecules.graphs import edges, encode, parse
from scidiff.domains.molecules.kekule import KekuleForm, kekule_form
from scidiff.domains.molecules.vocabulary import Bond, Vocabulary

from .molecule_cases import QM9, molecules

C, N, NH, O = (QM9.symbols.index(symbol) for symbol in ("c", "n", "[nH]", "o"))


def ring(*tokens: int) -> KekuleForm:
    size = len(tokens)
    return kekule_form(tokens, [(*sorted((k, (k + 1) % size)), Bond.AROMATIC) for k in range(size)], QM9)


def doubles(form: KekuleForm) -> int:
    return sum(order == 2 for _, _, order in form.orders)


@pytest.mark.parametrize(
    ("name", "smiles", "count"),
    [
        ("benzene", "c1ccccc1", 3),
        ("pyrrole", "c1cc[nH]c1", 2),
        ("indole", "c1ccc2[nH]ccc2c1", 4),
        ("azulene", "c1ccc2cccc-2cc1", 5),
        ("purine", "c1ncc2nc[nH]c2n1", 4),
        ("pyridone", "O=c1cccc[nH]1", 3),
        ("caffeine", "Cn1cnc2c1c(=O)n(C)c(=O)n2C", 4),
        ("porphine", "c1cc2cc3ccc(cc4ccc(cc5ccc(cc1n2)[nH]5)n4)[nH]3", 11),
        ("pyrene", "c1cc2ccc3cccc4ccc(c1)c2c34", 8),
        ("biphenyl", "c1ccc(-c2ccccc2)cc1", 6),
        ("pyrylium", "c1cc[o+]cc1", 3),
        ("cyclopentadienide", "c1cc[cH-]c1", 2),
        ("tropylium", "c1ccc[cH+]cc1", 3),
        ("pyridine oxide", "[O-][n+]1ccccc1", 3),
    ],
)
def test_known_structures(name: str, smiles: str, count: int) -> None:
    molecule = parse(smiles)
    vocabulary = Vocabulary.from_molecules([molecule])
    atoms, bonds = encode(molecule, vocabulary)
    form = kekule_form(atoms.tolist(), edges(bonds, len(atoms)), vocabulary)
    assert form.unmatched == []
    assert doubles(form) == count, name


def test_orders_fill_the_valences_of_real_molecules() -> None:
    """In every molecule each pi electron has its partner, and there are as many double bonds as RDKit finds."""
    for smiles in molecules():
        molecule = parse(smiles)
        vocabulary = Vocabulary.from_molecules([molecule])
        atoms, bonds = encode(molecule, vocabulary)
        form = kekule_form(atoms.tolist(), edges(bonds, len(atoms)), vocabulary)
        Chem.Kekulize(molecule, clearAromaticFlags=True)
        assert form.unmatched == []
        assert doubles(form) == sum(bond.GetBondType() == Chem.BondType.DOUBLE for bond in molecule.GetBonds())


def test_an_odd_ring_leaves_one_atom_over_and_prefers_a_hetero_atom() -> None:
    assert len(ring(C, C, C, C, C).unmatched) == 1
    assert ring(C, C, N, C, C).unmatched == [2]
    assert ring(C, C, C, C, C, C, N).unmatched == [6]
    assert ring(N, C, NH, C, C).unmatched == []
    assert ring(C, C, C, NH, C, C).unmatched in ([0], [1], [2], [4], [5])
    assert ring(O, C, C, C, C).unmatched == []


def test_without_aromatic_bonds_nothing_changes() -> None:
    bonds = [(0, 1, Bond.DOUBLE), (1, 2, Bond.SINGLE), (2, 3, Bond.TRIPLE)]
    assert kekule_form([0, 0, 0, 0], bonds, QM9) == KekuleForm(bonds, [])


@st.composite
def fused_rings(draw: st.DrawFn) -> tuple[list[int], list[tuple[int, int, int]]]:
    """Up to four rings of five to seven atoms, fused along bonds, with hetero atoms on the rim."""
    size = draw(st.integers(5, 7))
    bonds = {(k, k + 1) for k in range(size - 1)} | {(0, size - 1)}
    for _ in range(draw(st.integers(0, 3))):
        degree = np.bincount(np.array(sorted(bonds)).ravel(), minlength=size)
        open_bonds = sorted(pair for pair in bonds if degree[pair[0]] == degree[pair[1]] == 2)
        if not open_bonds:
            break
        first, last = draw(st.sampled_from(open_bonds))
        extra = draw(st.integers(3, 5))
        path = [first, *range(size, size + extra), last]
        bonds |= {tuple(sorted(step)) for step in pairwise(path)}
        size += extra
    degree = np.bincount(np.array(sorted(bonds)).ravel(), minlength=size)
    tokens = [draw(st.sampled_from([C, C, C, N, NH, O])) if degree[k] == 2 else C for k in range(size)]
    return tokens, [(i, j, int(Bond.AROMATIC)) for i, j in sorted(bonds)]


def rdkit_finds_a_structure(tokens: list[int], bonds: list[tuple[int, int, int]]) -> bool:
    editable = Chem.RWMol()
    for k in tokens:
        atom = Chem.Atom(QM9.tokens[k].element)
        atom.SetIsAromatic(True)
        atom.SetNumExplicitHs(QM9.tokens[k].hydrogens)
        editable.AddAtom(atom)
    for i, j, _ in bonds:
        editable.AddBond(i, j, Chem.BondType.AROMATIC)
    molecule = editable.GetMol()
    with rdBase.BlockLogs():
        return Chem.SanitizeMol(molecule, catchErrors=True) == Chem.SanitizeFlags.SANITIZE_NONE


@settings(max_examples=150)
@given(fused_rings())
def test_a_structure_exists_where_rdkit_finds_one(case: tuple[list[int], list[tuple[int, int, int]]]) -> None:
    tokens, bonds = case
    form = kekule_form(tokens, bonds, QM9)
    assert (form.unmatched == []) == rdkit_finds_a_structure(tokens, bonds)
    assert sorted((i, j) for i, j, _ in form.orders) == sorted((i, j) for i, j, _ in bonds)
    ends = [atom for i, j, order in form.orders if order == 2 for atom in (i, j)]
    assert len(ends) == len(set(ends))
    assert not {tokens[atom] for atom in ends} & {NH, O}


@settings(max_examples=80)
@given(fused_rings())
def test_a_given_ring_keeps_its_own_structure(case: tuple[list[int], list[tuple[int, int, int]]]) -> None:
    """Whatever is fused to a given benzene ring, its six pi electrons pair up among themselves."""
    tokens, bonds = case
    size = len(tokens)
    tokens = [*tokens, *[C] * 6]
    bonds = [*bonds, *((size + k, size + (k + 1) % 6, int(Bond.AROMATIC)) for k in range(6))]
    bonds = [(min(i, j), max(i, j), bond) for i, j, bond in bonds]
    bonds += [(0, size, int(Bond.AROMATIC)), (2, size + 1, int(Bond.AROMATIC))]
    form = kekule_form(tokens, bonds, QM9, range(size, size + 6))
    inside = [(i, j) for i, j, order in form.orders if order == 2 and j >= size]
    assert len(inside) == 3
    assert all(i >= size for i, _ in inside)
    assert all(atom < size for atom in form.unmatched)
