"""Atom tokens: the published vocabularies, and budgets against RDKit's valence model."""

from __future__ import annotations

import json
import random

import pytest
from rdkit import Chem, rdBase
from scidiff.domains.molecules.graphs import parse
from scidiff.domains.molecules.vocabulary import AtomToken, Vocabulary

from scidiff.errors import DataError

from .molecule_cases import CHARGED, MOSES, QM9, molecules, tokens

GUACAMOL = tokens(
    "C N O F B Br Cl I P S Se Si c [c+] [c-] n [nH] [n+] [nH+] [n-] s [s+] o [o+] se [se+] p [C+] [C-] [N+] [NH+] "
    "[NH2+] [NH3+] [N-] [NH-] [O+] [O-] [F+] [F-] [B-] [Br+2] [Br-] [Cl+] [Cl+2] [Cl+3] [Cl-] [I+] [I+2] [I+3] [P+] "
    "[P-] [S+] [S-] [Se+] [Se-] [Si-]"
)


def partition(vocabulary: Vocabulary) -> set[frozenset[str]]:
    groups = vocabulary.groups
    return {
        frozenset(symbol for symbol, group in zip(vocabulary.symbols, groups, strict=True) if group == one)
        for one in set(groups)
    }


def test_moses_tokens_have_the_published_groups() -> None:
    """The partition of MolHIT (arXiv:2602.17602), with 12 tokens, 4 groups and 17 states."""
    published = {
        frozenset({"C"}),
        frozenset({"N", "O", "S"}),
        frozenset({"F", "Cl", "Br"}),
        frozenset({"c", "o", "n", "[nH]", "s"}),
    }
    assert partition(MOSES) == published
    assert len(MOSES) + len(published) + 1 == 17


def test_guacamol_tokens_are_grouped_by_chemistry() -> None:
    """56 tokens and 6 groups as published, but cut by one rule instead of a list.

    MolHIT keeps halide ions with the halogens, splits ions over two groups irrespective of their sign, and gives B and
    Si one of their own; here the sign of the charge comes first, then aromaticity, then the element.
    """
    assert len(GUACAMOL) == 56
    assert len(set(GUACAMOL.tokens)) == 56
    cut = partition(GUACAMOL)
    assert len(cut) == 6
    assert frozenset({"F", "Cl", "Br", "I"}) in cut
    assert frozenset({"N", "O", "B", "P", "S", "Se", "Si"}) in cut
    assert frozenset({"c", "n", "[nH]", "s", "o", "se", "p"}) in cut
    assert {symbol for group in cut for symbol in group} == set(GUACAMOL.symbols)
    for group in cut:
        assert len({("+" in symbol, "-" in symbol) for symbol in group}) == 1


def with_bonds(token: AtomToken, count: int) -> Chem.Mol | None:
    """The atom of a token with `count` single bonds to carbon, if RDKit accepts it."""
    editable = Chem.RWMol()
    atom = Chem.Atom(token.element)
    atom.SetFormalCharge(token.charge)
    editable.AddAtom(atom)
    for _ in range(count):
        editable.AddBond(0, editable.AddAtom(Chem.Atom("C")), Chem.BondType.SINGLE)
    molecule = editable.GetMol()
    with rdBase.BlockLogs():
        sane = Chem.SanitizeMol(molecule, catchErrors=True) == Chem.SanitizeFlags.SANITIZE_NONE
    return molecule if sane else None


PLAIN = [t for t in {*QM9.tokens, *MOSES.tokens, *CHARGED.tokens, *GUACAMOL.tokens} if not t.aromatic]


@pytest.mark.parametrize("token", sorted(PLAIN), ids=lambda token: token.symbol)
def test_a_budget_is_what_rdkit_allows(token: AtomToken) -> None:
    """Every number of bonds up to the budget makes a closed shell; one more than a neutral atom's is refused."""
    for count in range(token.budget + 1):
        molecule = with_bonds(token, count)
        assert molecule is not None
        assert not any(atom.GetNumRadicalElectrons() for atom in molecule.GetAtoms())
    assert token.charge or with_bonds(token, token.budget + 1) is None


def test_budgets_close_the_books_of_real_molecules() -> None:
    """Budget = sigma bonds + pi electron + implied hydrogens, at every atom that is not hypervalent."""
    checked = 0
    for smiles in molecules():
        molecule = parse(smiles)
        kekule = Chem.Mol(molecule)
        Chem.Kekulize(kekule, clearAromaticFlags=True)
        for atom, localised in zip(molecule.GetAtoms(), kekule.GetAtoms(), strict=True):
            token = AtomToken.of(atom)
            bonds = sum(int(bond.GetBondTypeAsDouble()) for bond in localised.GetBonds())
            implied = atom.GetTotalNumHs() - token.hydrogens
            assert implied >= 0
            assert bonds + implied <= token.budget + (token.aromatic and token.element == "S")
            if token.element not in ("S", "P", "I"):
                assert bonds + implied == token.budget, (smiles, token.symbol)
                checked += 1
    assert checked > 4000


def test_json_round_trip() -> None:
    for vocabulary in (QM9, MOSES, CHARGED, GUACAMOL):
        again = Vocabulary.from_json(json.loads(json.dumps(vocabulary.to_json())))
        assert again == vocabulary
        assert (again.symbols, again.groups, again.budgets.tolist()) == (
            vocabulary.symbols,
            vocabulary.groups,
            vocabulary.budgets.tolist(),
        )


@pytest.mark.parametrize(
    ("token", "symbol"),
    [
        (AtomToken("C"), "C"),
        (AtomToken("C", True), "c"),
        (AtomToken("N", True, 0, 1), "[nH]"),
        (AtomToken("N", False, 1, 3), "[NH3+]"),
        (AtomToken("O", False, -1), "[O-]"),
        (AtomToken("Br", False, 2), "[Br+2]"),
        (AtomToken("N", True, 1, 1), "[nH+]"),
        (AtomToken("Cl"), "Cl"),
    ],
)
def test_symbols(token: AtomToken, symbol: str) -> None:
    assert token.symbol == symbol


def test_the_order_depends_on_counts_only() -> None:
    found = [parse(smiles) for smiles in molecules()]
    vocabulary = Vocabulary.from_molecules(found)
    assert vocabulary.tokens[0] == AtomToken("C", True)
    for seed in range(3):
        random.Random(seed).shuffle(found)
        assert Vocabulary.from_molecules(found) == vocabulary
    assert [vocabulary.index[token] for token in vocabulary.tokens] == list(range(len(vocabulary)))


def test_an_element_without_valence_is_refused() -> None:
    with pytest.raises(DataError, match="Fe with charge 0 has no known valence"):
        _ = AtomToken("Fe").budget
