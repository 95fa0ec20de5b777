"""Molecules to arrays and back: the identity on RDKit's molecules."""

from __future__ import annotations

import random
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from rdkit import Chem
from scidiff.domains.molecules.datasets.moses import moses_path, read_moses
from scidiff.domains.molecules.graphs import GraphSet, decode, edges, encode, pair_count, pair_index, parse
from scidiff.domains.molecules.vocabulary import Bond, Vocabulary

from scidiff.errors import DataError

from .molecule_cases import MOSES, QM9, molecules


def changed(smiles: Sequence[str]) -> tuple[list[tuple[str, str]], Vocabulary]:
    """Molecules that come back as others, as pairs of canonical SMILES."""
    found = [parse(one) for one in smiles]
    vocabulary = Vocabulary.from_molecules(found)
    pairs = [(Chem.MolToSmiles(m), Chem.MolToSmiles(decode(*encode(m, vocabulary), vocabulary))) for m in found]
    return [pair for pair in pairs if pair[0] != pair[1]], vocabulary


def test_every_kind_of_molecule_comes_back() -> None:
    different, vocabulary = changed(molecules())
    assert different == []
    assert {"[nH]", "[n+]", "[o+]", "[cH-]", "[cH+]", "[NH3+]", "[O-]", "s", "[B-]"} <= set(vocabulary.symbols)


def test_qm9_comes_back(scidiff_data: Path) -> None:
    """A thousand rows of the raw list, charged ones included; 99.9 % is the promise."""
    rows = (scidiff_data / "qm9" / "qm9_smiles.csv").read_text().split()[1:]
    readable = [row for row in random.Random(0).sample(rows, 1000) if Chem.MolFromSmiles(row) and "." not in row]
    assert len(readable) > 950
    assert len(changed(readable)[0]) <= len(readable) // 1000


@pytest.mark.network
@pytest.mark.slow
def test_moses_comes_back() -> None:
    """20,000 training molecules; 99.98 % is the published share of this encoding (arXiv:2602.17602)."""
    rows = random.Random(0).sample(read_moses(moses_path(progress=False), "train"), 20_000)
    different, vocabulary = changed(rows)
    assert set(vocabulary.symbols) <= set(MOSES.symbols)
    assert len(different) <= 4


def test_pairs_of_the_first_atoms_come_first() -> None:
    long_i, long_j = pair_index(12)
    for size in range(1, 13):
        i, j = pair_index(size)
        assert len(i) == pair_count(size)
        assert np.array_equal(i, long_i[: len(i)]) and np.array_equal(j, long_j[: len(j)])
        assert (i < j).all()
        assert np.array_equal(pair_count(j) + i, np.arange(len(i)))


def test_edges_and_classes_are_those_of_rdkit() -> None:
    molecule = parse("O=C1C=CNC(c2ccccc2)=C1C#N")
    atoms, bonds = encode(molecule, QM9)
    assert [QM9.symbols[k] for k in atoms[:3]] == ["O", "C", "C"] or atoms.dtype == np.uint8
    order = {1.0: Bond.SINGLE, 2.0: Bond.DOUBLE, 3.0: Bond.TRIPLE, 1.5: Bond.AROMATIC}
    expected = {
        (*sorted((b.GetBeginAtomIdx(), b.GetEndAtomIdx())), order[b.GetBondTypeAsDouble()]) for b in molecule.GetBonds()
    }
    assert set(edges(bonds, molecule.GetNumAtoms())) == expected
    assert (bonds > 0).sum() == molecule.GetNumBonds()


def test_padding_moves_nothing() -> None:
    found = [parse(smiles) for smiles in ("C", "CCO", "c1cc[nH]c1", "C1CC1C#N")]
    graphs = GraphSet.from_molecules(found, QM9)
    assert (graphs.atoms.dtype, graphs.bonds.dtype, graphs.sizes.tolist()) == (np.uint8, np.uint8, [1, 3, 5, 5])
    for row, molecule in enumerate(found):
        atoms, bonds = encode(molecule, QM9)
        assert np.array_equal(graphs.atoms[row, : len(atoms)], atoms)
        assert np.array_equal(graphs.bonds[row, : len(bonds)], bonds)
        assert not graphs.atoms[row, len(atoms) :].any() and not graphs.bonds[row, len(bonds) :].any()
        assert Chem.MolToSmiles(graphs.decode(row, QM9)) == Chem.MolToSmiles(molecule)
    assert len(GraphSet.from_molecules([], QM9)) == 0


def test_stereo_marks_are_dropped() -> None:
    assert Chem.MolToSmiles(parse("C[C@H](F)/C=C/O")) == "CC(F)C=CO"


@pytest.mark.parametrize("smiles", ["", "C(", "c1cccc1", "C(C)(C)(C)(C)C", "not a molecule"])
def test_unreadable_strings_are_refused(smiles: str) -> None:
    with pytest.raises(DataError, match="cannot be read or sanitized"):
        parse(smiles)


def test_what_the_classes_do_not_hold_is_refused() -> None:
    with pytest.raises(DataError, match=r"atom Br of 'CBr' is not in the vocabulary \(C O N"):
        encode(parse("CBr"), QM9)
    with pytest.raises(DataError, match="DATIVE; expected single, double, triple or aromatic"):
        encode(parse("CN->O"), QM9)


def test_an_overfull_atom_is_no_molecule() -> None:
    atoms, bonds = np.zeros(6, dtype=np.int64), np.zeros(pair_count(6), dtype=np.int64)
    bonds[[pair_count(j) for j in range(1, 6)]] = Bond.SINGLE
    with pytest.raises(DataError, match="the graph is not a molecule"):
        decode(atoms, bonds, QM9)
