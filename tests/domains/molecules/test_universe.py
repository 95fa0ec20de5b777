"""Two enumerations and a count that makes no graph agree, and the keys are what they claim to be."""

from __future__ import annotations

import random
import warnings
from itertools import permutations, product
from pathlib import Path

import numpy as np
import pytest
from rdkit import Chem
from scidiff.domains.molecules.universe import enumerate_universe, universe, universe_path, universe_split
from scidiff.domains.molecules.universe.burnside import count_graphs
from scidiff.domains.molecules.universe.graphs import VALENCE, decode, encode, free_valence, pairs, valences
from scidiff.domains.molecules.universe.growth import canonical, grow
from scidiff.domains.molecules.universe.keys import keys
from scidiff.domains.molecules.universe.skeletons import decorate

from scidiff.errors import ConfigError, IntegrityError
from scidiff.io.files import sha256_lines

COUNTS = {"CNO": [3, 15, 74, 479, 3570, 31343, 306988], "CNOF": [4, 19, 94, 621, 4715, 42068]}
FORMS = {"CNO": [3, 15, 74, 479, 3570, 31362, 307262], "CNOF": [4, 19, 94, 621, 4715, 42087]}
SIZES = [
    *[pytest.param(elements, atoms) for elements in COUNTS for atoms in range(1, 6)],
    *[pytest.param(elements, 6, marks=pytest.mark.slow) for elements in COUNTS],
]


@pytest.fixture(scope="module")
def small() -> list[str]:
    return enumerate_universe(5, "CNO")[0]


@pytest.fixture(scope="module")
def grown() -> dict[str, list[np.ndarray]]:
    return {elements: list(grow(5, elements)) for elements in COUNTS}


def brute_force(atoms: int, elements: str) -> int:
    """Count by trying every labelled graph and taking its smallest relabelling."""
    index = pairs(atoms)
    found = set()
    for letters in product(elements, repeat=atoms):
        for orders in product(range(4), repeat=len(index)):
            bonds = dict(zip(index, orders, strict=True))
            taken = [sum(order for pair, order in bonds.items() if v in pair) for v in range(atoms)]
            reached = {0}
            for _ in range(atoms):
                reached |= {v for pair, order in bonds.items() if order and reached & set(pair) for v in pair}
            if len(reached) < atoms or any(t > VALENCE[letter] for t, letter in zip(taken, letters, strict=True)):
                continue
            views = (
                (
                    tuple(letters[v] for v in order),
                    tuple(bonds[min(order[i], order[j]), max(order[i], order[j])] for i, j in index),
                )
                for order in permutations(range(atoms))
            )
            found.add(min(views))
    return len(found)


@pytest.mark.parametrize("elements", ["C", "F", "CO", "CNOF"])
def test_the_burnside_count_agrees_with_brute_force(elements: str) -> None:
    assert count_graphs(3, elements) == [brute_force(atoms, elements) for atoms in (1, 2, 3)]


def test_pairs_of_atoms_are_counted_by_hand() -> None:
    """Two atoms A and B have min(V(A), V(B), 3) bonds: CC 3, CN 3, CO 2, CF 1, NN 3, NO 2, NF 1, OO 2, OF 1, FF 1."""
    assert count_graphs(2, "CNOF") == [4, 19]


@pytest.mark.parametrize("elements", COUNTS)
def test_the_burnside_count_gives_the_number_of_kekule_forms(elements: str) -> None:
    assert count_graphs(len(FORMS[elements]), elements) == FORMS[elements]


@pytest.mark.parametrize("elements", COUNTS)
def test_both_enumerations_give_the_same_graphs(grown: dict[str, list[np.ndarray]], elements: str) -> None:
    for atoms in range(1, 6):
        codes = decorate(atoms, elements)
        assert len(codes) == FORMS[elements][atoms - 1]
        np.testing.assert_array_equal(np.sort(canonical(*decode(codes, atoms))), grown[elements][atoms - 1])


@pytest.mark.parametrize(("elements", "atoms"), SIZES)
def test_both_enumerations_give_the_published_number_of_molecules(
    grown: dict[str, list[np.ndarray]], elements: str, atoms: int
) -> None:
    codes = grown[elements][atoms - 1] if atoms < 6 else list(grow(atoms, elements))[-1]
    first = set(keys(codes, atoms, elements))
    second = set(keys(decorate(atoms, elements), atoms, elements))
    assert first == second
    assert len(first) == COUNTS[elements][atoms - 1]


@pytest.mark.slow
def test_seven_atoms_by_both_enumerations() -> None:
    codes = decorate(7, "CNO")
    np.testing.assert_array_equal(np.sort(canonical(*decode(codes, 7))), list(grow(7, "CNO"))[-1])
    assert len(codes) == FORMS["CNO"][6]
    assert len(set(keys(codes, 7, "CNO"))) == COUNTS["CNO"][6]


def test_codes_round_trip_and_ignore_the_order_of_atoms() -> None:
    draw = np.random.default_rng(0)
    codes = decorate(5, "CNO")
    labels, bonds = decode(codes, 5)
    np.testing.assert_array_equal(encode(labels, bonds), codes)
    assert (free_valence(labels, bonds, valences("CNO")) >= 0).all()
    place = {pair: index for index, pair in enumerate(pairs(5))}
    order = draw.permutation(5)
    moved = bonds[:, [place[min(order[i], order[j]), max(order[i], order[j])] for i, j in pairs(5)]]
    assert not np.array_equal(encode(labels[:, order], moved), codes)
    np.testing.assert_array_equal(canonical(labels[:, order], moved), canonical(labels, bonds))


def test_a_graph_of_equal_vertices_has_one_code() -> None:
    """A ring of six carbon atoms: all 720 orders are tried, because no invariant tells its atoms apart."""
    draw = random.Random(0)
    index = pairs(6)
    codes = set()
    for _ in range(20):
        ring = draw.sample(range(6), 6)
        edges = {tuple(sorted((ring[i], ring[i - 1]))) for i in range(6)}
        bonds = np.array([[pair in edges for pair in index]], dtype=np.int8)
        codes.add(int(canonical(np.zeros((1, 6), dtype=np.int8), bonds)[0]))
    assert len(codes) == 1


def test_every_member_obeys_the_rules() -> None:
    smiles, counts = enumerate_universe(4, "CNOF")
    assert counts == COUNTS["CNOF"][:4]
    assert len(set(smiles)) == len(smiles) == 738
    sizes = []
    for key in smiles:
        molecule = Chem.MolFromSmiles(key)
        assert Chem.MolToSmiles(molecule) == key
        assert "." not in key
        sizes.append(molecule.GetNumAtoms())
        for atom in molecule.GetAtoms():
            assert atom.GetFormalCharge() == atom.GetNumRadicalElectrons() == 0
            assert atom.GetTotalValence() == VALENCE[atom.GetSymbol()]
    assert list(zip(sizes, smiles, strict=True)) == sorted(zip(sizes, smiles, strict=True))


def test_known_molecules_are_members() -> None:
    smiles = set(enumerate_universe(5, "CNOF")[0])
    known = ["C", "O=C=O", "C#N", "CCO", "OO", "FC(F)(F)F", "c1ccoc1", "c1c[nH]cn1", "C1CC1", "NCC(=O)O", "C1=CC=1"]
    assert {Chem.CanonSmiles(name) for name in known} <= smiles
    assert not {Chem.CanonSmiles(name) for name in ["[C-]#[O+]", "C[N+](=O)[O-]", "[CH3]", "C.C", "CS"]} & smiles


def test_the_list_is_kept_and_read_back(tmp_path: Path) -> None:
    first = universe(3, "CNOF", folder=tmp_path)
    path = universe_path(3, "FONC", tmp_path)
    assert path.is_file()
    assert universe(3, "FONC", folder=tmp_path) == first == enumerate_universe(3, "CNOF")[0]
    text = path.read_text()
    assert sha256_lines(first) in text.partition("\n")[0]
    path.write_text(text.replace("\nCC\n", "\nCN\n"))
    with pytest.raises(IntegrityError, match="delete it"):
        universe(3, "CNOF", folder=tmp_path)


def test_a_cache_that_cannot_be_written_is_said(tmp_path: Path) -> None:
    (tmp_path / "plain").write_text("")
    with pytest.warns(UserWarning, match="not kept"):
        smiles = universe(2, "CO", folder=tmp_path / "plain")
    assert len(smiles) == 2 + 7


@pytest.mark.slow
def test_the_default_universe_is_the_published_one(tmp_path: Path) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert len(universe(folder=tmp_path)) == sum(COUNTS["CNOF"]) == 47_521


@pytest.mark.parametrize(("max_atoms", "elements"), [(0, "CNO"), (8, "CNO"), (3, ""), (3, "CC"), (3, "CS"), (3, "cno")])
def test_a_universe_out_of_reach_is_refused(max_atoms: int, elements: str) -> None:
    with pytest.raises(ConfigError, match="expected"):
        universe(max_atoms, elements)


def test_the_split_depends_on_key_and_seed_only(small: list[str]) -> None:
    smiles = small
    train, rest = universe_split(smiles, 0.2, seed=3)
    assert sorted([*train, *rest]) == sorted(smiles)
    smaller = smiles[: sum(COUNTS["CNO"][:4])]
    assert universe_split(smaller, 0.2, seed=3) == (
        [key for key in train if key in set(smaller)],
        [key for key in rest if key in set(smaller)],
    )
    shuffled = random.Random(0).sample(smiles, len(smiles))
    assert set(universe_split(shuffled, 0.2, seed=3)[0]) == set(train)
    assert set(universe_split(smiles, 0.4, seed=3)[0]) > set(train)
    assert set(universe_split(smiles, 0.2, seed=4)[0]) != set(train)


@pytest.mark.parametrize("fraction", [0.1, 0.2, 0.5])
def test_the_share_of_the_split_is_binomial(small: list[str], fraction: float) -> None:
    """Five standard deviations of a binomial share, averaged over 20 seeds: one in 10^6 by chance."""
    smiles = small[:600]
    taken = sum(len(universe_split(smiles, fraction, seed)[0]) for seed in range(20))
    count = 20 * len(smiles)
    assert abs(taken - count * fraction) < 5 * np.sqrt(count * fraction * (1 - fraction))


@pytest.mark.parametrize("fraction", [0.0, 1.0, -0.1, float("nan")])
def test_a_share_that_is_none_is_refused(fraction: float) -> None:
    with pytest.raises(ConfigError, match="between 0 and 1"):
        universe_split(["C"], fraction)
