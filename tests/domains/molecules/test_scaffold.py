"""Queries: what is read from them, what is refused, and what "contains" means."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scidiff.domains.molecules.graphs import edges, pair_count, parse
from scidiff.domains.molecules.scaffold import Scaffold, contains, parse_query
from scidiff.domains.molecules.start import Start
from scidiff.domains.molecules.vocabulary import Bond

from scidiff.errors import ConfigError, DataError

from .molecule_cases import CHARGED, MOSES, QM9, built, faults, predicted, project, start_state, tokens

PRIOR = np.full(15, 1 / 15)


@pytest.mark.parametrize(
    ("query", "valence", "attachments", "least"),
    [
        ("c1ccccc1", [1] * 6, 0, 7),
        ("*c1ccccc1", [0] * 6, 1, 7),
        ("[*:1]c1cc[nH]c1[*:2]", [0] * 5, 2, 7),
        ("c1cc[nH]c1", [1, 1, 1, 0, 1], 0, 6),
        ("C*.*C", [0, 0], 2, 4),
        ("C.C", [4, 4], 0, 3),
        ("*C#C*", [0, 0], 2, 4),
        ("*=C=*", [0], 2, 3),
        ("C[C@H](F)/C=C/F", [3, 1, 0, 1, 1, 0], 0, 7),
        ("[#6]1:[#6]:[#6]:[#6]:[#6]:[#6]:1", [1] * 6, 0, 7),
        ("[#6]-1=[#6]-[#6]=[#6]-[#6]=[#6]-1", [1] * 6, 0, 7),
        ("[#6][#7]", [3, 2], 0, 3),
        ("[#6](-*)=[#8]", [0, 0], 1, 3),
        ("CF.CF.CF.CF", [3, 0] * 4, 0, 9),
    ],
)
def test_what_a_query_says(query: str, valence: list[int], attachments: int, least: int) -> None:
    scaffold = Scaffold.parse(query, QM9)
    assert (scaffold.valence.tolist(), scaffold.attachments) == (valence, attachments)
    assert int(np.flatnonzero(scaffold.sizes(PRIOR, QM9)).min()) == least


@pytest.mark.parametrize(
    ("query", "words"),
    [
        ("", "not a SMILES or SMARTS of at least one atom"),
        ("what", "not a SMILES or SMARTS"),
        ("C(", "not a SMILES or SMARTS"),
        ("c1cccc1", "not a SMILES or SMARTS"),
        ("*C(*)(*)(*)*", "RDKit can read and sanitize"),
        ("*", "at least one atom"),
        ("*.*", "at least one atom"),
        ("**", "at least one atom"),
        ("CBr", r"atoms Br that the model does not know; it knows C O N"),
        ("[NH3+]C", r"atoms \[NH3\+\]"),
        ("C.*", "an attachment point .* write it as C"),
        ("C*C", "an attachment point"),
        ("*1ccccc1", "an attachment point"),
        ("C**", "an attachment point"),
        ("N#N", "nowhere to grow"),
        ("FC(F)(F)F", "nowhere to grow"),
        ("C*.C", "nowhere to grow"),
        ("[CH3]", "unpaired electrons at C0"),
        ("C[O]", "unpaired electrons at O1"),
        ("*[CH2]", "unpaired electrons"),
        ("[13CH4]", "isotope"),
        ("C~C", "UNSPECIFIED; expected single"),
        ("C$*", "QUADRUPLE; expected single"),
        ("[C,N]C", r"not definite \(\[C,N\]\)"),
        ("[!C]C", "not definite"),
        ("[CX4]C", "not definite"),
        ("[O;H1]C", "not definite"),
        ("[$(C=O)]C", "not definite"),
        ("[R]C", "not definite"),
        ("A", "not definite"),
        ("C!-C", r"not definite \(!-\)"),
        ("[#6]@[#6]", r"not definite \(@\)"),
        ("[#6]~[#6]", r"not definite \(~\)"),
    ],
)
def test_what_cannot_be_kept_is_refused(query: str, words: str) -> None:
    with pytest.raises(DataError, match=words):
        Scaffold.parse(query, QM9)


def test_a_dative_bond_is_refused() -> None:
    with pytest.raises(DataError, match="DATIVE"):
        Scaffold.parse("N->B", CHARGED)


@pytest.mark.parametrize("query", ["CCCCCCCCCCCCCC", "C" * 300, "c1ccccc1.c1ccccc1.CC"])
def test_no_room_is_refused(query: str) -> None:
    with pytest.raises(
        ConfigError, match=r"cannot be completed: .* at least \d+ heavy atoms.* the model makes 0 to 14"
    ):
        Scaffold.parse(query, QM9).sizes(PRIOR, QM9)


def test_sizes_are_the_prior_where_completion_is_possible() -> None:
    """Four fragments are joined by one carbon; or by three oxygen atoms, which bind two each."""
    cut = Scaffold.parse("*O.*O.*O", tokens("C O")).sizes(np.arange(12.0), tokens("C O"))
    assert np.flatnonzero(cut).tolist() == list(range(6, 12))
    assert np.allclose(cut[6:], np.arange(6.0, 12.0) / np.arange(6.0, 12.0).sum())
    linked = Scaffold.parse("O.O.O.O", tokens("O F"))
    assert np.flatnonzero(linked.sizes(PRIOR, tokens("O F"))).min() == 7
    linked = Scaffold.parse("O.O.O.O", tokens("C O"))
    assert np.flatnonzero(linked.sizes(PRIOR, tokens("C O"))).min() == 5


@pytest.mark.parametrize(("query", "names"), [("*O.*O.*O", "O F"), ("O=*", "F")])
def test_what_the_atoms_of_the_model_cannot_complete_is_refused(query: str, names: str) -> None:
    """Three ends cannot be joined by atoms of two bonds, and F takes no double bond."""
    with pytest.raises(ConfigError, match="cannot be completed"):
        Scaffold.parse(query, tokens("O F")).sizes(PRIOR, tokens(names))


@pytest.mark.parametrize(
    ("molecule", "query", "answer"),
    [
        ("Cc1ccccc1", "c1ccccc1", True),
        ("C1CCCCC1", "c1ccccc1", False),
        ("c1ccccc1", "C1CCCCC1", False),
        ("CC(=O)NC", "*C(=O)N*", True),
        ("O=c1nc1C1C=C1", "NC=O", True),
        ("CC(=O)OC", "NC=O", False),
        ("O=c1ccocc1", "C1=COC=CC1", True),
        ("C1=COCCC1", "C1=COC=CC1", False),
        ("C1=CC2=CC=CC=C2C=C1", "c1ccccc1", True),
        ("C[NH3+]", "CN", True),
        ("CN", "C[NH3+]", False),
        ("Cn1cccc1", "*n1cccc1", True),
        ("Cc1ccc[nH]1", "*n1cccc1", True),
        ("c1ccccc1CCN", "c1ccccc1.N", True),
        ("C=CC=C", "CC=CC", False),
    ],
)
def test_containing(molecule: str, query: str, answer: bool) -> None:
    """Atoms and bond orders decide, up to the choice of a Kekulé structure."""
    assert contains(parse(molecule), parse_query(query)) is answer


QUERIES = {
    "moses": [
        "*c1ccc(*)cc1",
        "*c1cc[nH]c1",
        "*N1CCN(*)CC1",
        "*C#C*",
        "*S(*)(=O)=O",
        "*c1ccccc1.*c1ccncc1",
        "*=C1CCCC1",
    ],
    "charged": ["*C(=O)[O-]", "[NH3+]*", "*[N+](*)(*)*", "*c1cc[nH+]cc1", "[O-][N+](=O)c1ccc(*)cc1"],
}


@settings(max_examples=40)
@given(st.sampled_from([*QUERIES["moses"], *QUERIES["charged"]]), st.integers(0, 5), st.integers(0, 2**32))
def test_exit_vectors_are_used_as_declared(query: str, more: int, seed: int) -> None:
    """Every attachment point carries a new atom by the bond that was written; closed atoms have no new neighbour."""
    vocabulary = CHARGED if query in QUERIES["charged"] else MOSES
    scaffold = Scaffold.parse(query, vocabulary)
    size, count = scaffold.smallest + more, len(scaffold.tokens)
    sizes = [size] * 4
    random = np.random.default_rng(seed)
    state = start_state(vocabulary, sizes, size, seed=seed, scaffold=scaffold)
    atoms = 3 * random.normal(size=(4, size, len(vocabulary)))
    m = predicted(vocabulary, state, atoms, 3 * random.normal(size=(4, pair_count(size), 5)))
    classes, _ = project(vocabulary, state, m)
    declared = {edge for edge in edges(scaffold.bonds, count + scaffold.attachments) if edge[1] >= count}
    for row, molecule in enumerate(built(vocabulary, classes, sizes, count)):
        assert faults(molecule, size) == []
        assert contains(molecule, scaffold.query)
        crossing = {edge for edge in edges(classes["bonds"][row], size) if edge[0] < count <= edge[1]}
        assert crossing == {edge for edge in declared if edge[0] < count}
        assert len(crossing) == scaffold.attachments


def test_a_start_keeps_given_sites_and_pads() -> None:
    scaffold = Scaffold.parse("*c1ccccc1", QM9)
    start = Start.of(scaffold, np.array([8, 9]), 9)
    assert start.mask.sum(1).tolist() == [8, 9]
    assert torch.equal(start.free["atoms"], start.mask & (torch.arange(9) >= 6))
    free_pairs = {(i, j) for i in range(9) for j in range(i + 1, 9) if start.free["bonds"][0, pair_count(j) + i]}
    assert free_pairs == {(6, 7)}
    assert start.clean["bonds"][0, pair_count(6) : pair_count(7)].sum() == Bond.SINGLE
    empty = Start.of(None, np.array([2, 3]), 3)
    assert empty.free["bonds"].tolist() == [[True, False, False], [True, True, True]]
