"""Validity by construction: only molecules come out of the projection, and their law is the stated one."""

from __future__ import annotations

from collections import Counter
from itertools import product
from typing import NamedTuple

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from rdkit import Chem
from scidiff.domains.molecules.graphs import GraphSet, edges, pair_count, pair_index, parse
from scidiff.domains.molecules.kekule import kekule_form
from scidiff.domains.molecules.projection import ValenceProjection
from scidiff.domains.molecules.scaffold import Scaffold, contains
from scidiff.domains.molecules.vocabulary import Bond, Vocabulary
from scipy.stats import chi2

from scidiff.sample.state import RunState
from scidiff.spaces.categorical import one_hot_log

from .molecule_cases import CHARGED, MOSES, QM9, built, faults, molecules, predicted, project, start_state, tokens

VOCABULARIES = {"qm9": QM9, "moses": MOSES, "charged": CHARGED, "O F": tokens("O F"), "[nH] n o": tokens("[nH] n o")}
SCAFFOLDS = ["c1ccccc1", "*c1cc[nH]c1", "*C(=O)N*", "C*.*c1ccncc1", "*C#C*", "C1CC1.O", "*=C1CCC1", "FC(F)(F)*", "OCO"]


def logits(random: np.random.Generator, shape: tuple[int, ...], kind: str) -> np.ndarray:
    """Predictions of every temper: flat, mild, peaked, overflowing, or set on one class."""
    x = random.normal(size=shape)
    if kind.startswith("class"):
        x[..., int(kind[5:]) % shape[-1]] += 1e3
        return x
    if kind.startswith("favour"):
        x[..., int(kind[6:]) % shape[-1]] += 5
        return x
    return {"flat": 0 * x, "mild": x, "peaked": 8 * x, "sign": 1e3 * np.sign(x), "wild": 1e3 * x}[kind]


KINDS = ["flat", "mild", "peaked", "sign", "wild", *(f"class{k}" for k in range(12)), *(f"favour{k}" for k in range(5))]


def random_prediction(
    vocabulary: Vocabulary, state: RunState, seed: int, atoms: str, bonds: str
) -> dict[str, torch.Tensor]:
    random = np.random.default_rng(seed)
    shapes = {"atoms": (*state.x["atoms"].shape, len(vocabulary)), "bonds": (*state.x["bonds"].shape, len(Bond))}
    return predicted(vocabulary, state, logits(random, shapes["atoms"], atoms), logits(random, shapes["bonds"], bonds))


@settings(max_examples=100)
@given(
    st.sampled_from(sorted(VOCABULARIES)),
    st.lists(st.integers(1, 12), min_size=20, max_size=20),
    st.sampled_from(KINDS),
    st.sampled_from(KINDS),
    st.integers(0, 2**32),
)
def test_whatever_is_predicted_a_molecule_comes_out(
    name: str, sizes: list[int], atoms: str, bonds: str, seed: int
) -> None:
    """2,000 molecules: connected, sanitizable, closed-shell, of the size asked for, and with no pi electron over."""
    vocabulary = VOCABULARIES[name]
    state = start_state(vocabulary, sizes, 12, seed=seed)
    classes, after = project(vocabulary, state, random_prediction(vocabulary, state, seed, atoms, bonds))
    for row, (molecule, size) in enumerate(zip(built(vocabulary, classes, sizes), sizes, strict=True)):
        assert faults(molecule, size) == []
        bonds = edges(classes["bonds"][row], size)
        assert kekule_form(classes["atoms"][row].tolist(), bonds, vocabulary).unmatched == []
    assert torch.isfinite(after.records["cost"]).all()


@settings(max_examples=60)
@given(
    st.sampled_from(SCAFFOLDS),
    st.lists(st.integers(0, 6), min_size=12, max_size=12),
    st.sampled_from(KINDS),
    st.sampled_from(KINDS),
    st.integers(0, 2**32),
)
def test_given_parts_stay_as_they_are(query: str, more: list[int], atoms: str, bonds: str, seed: int) -> None:
    """700 molecules around scaffolds: valid as without, no given site moves, and the query is found."""
    scaffold = Scaffold.parse(query, MOSES)
    least = int(np.flatnonzero(scaffold.sizes(np.ones(30), MOSES)).min())
    sizes = [least + extra for extra in more]
    state = start_state(MOSES, sizes, least + 6, seed=seed, scaffold=scaffold)
    classes, _ = project(MOSES, state, random_prediction(MOSES, state, seed, atoms, bonds))
    for key, free in state.free.items():
        assert np.array_equal(classes[key][~free.numpy()], state.x[key][~free].numpy())
    for molecule, size in zip(built(MOSES, classes, sizes, len(scaffold.tokens)), sizes, strict=True):
        assert faults(molecule, size) == []
        assert contains(molecule, scaffold.query)


def test_a_valid_molecule_passes_unchanged_and_free_of_charge() -> None:
    """A prediction that is certain of a molecule is left alone: the projection is a projection."""
    found = [parse(smiles) for smiles in molecules()]
    vocabulary = Vocabulary.from_molecules(found)
    graphs = GraphSet.from_molecules(found, vocabulary)
    state = start_state(vocabulary, graphs.sizes.tolist(), graphs.atoms.shape[1])
    x0 = {"atoms": torch.from_numpy(graphs.atoms).long(), "bonds": torch.from_numpy(graphs.bonds).long()}
    m = {"atoms": one_hot_log(x0["atoms"], len(vocabulary)), "bonds": one_hot_log(x0["bonds"], len(Bond))}
    classes, after = project(vocabulary, state, m)
    for key, value in x0.items():
        assert np.array_equal(classes[key], value.numpy())
    assert not after.records["cost"].any()


# ---- the law ---------------------------------------------------------------------------------------------------------


class Way(NamedTuple):
    """One way through the draws: classes of atoms and pairs, its probability, its cost, and the number of joins."""

    outcome: tuple[int, ...]
    weight: float
    cost: float
    joins: int


class Reference:
    """The documented draws one after the other, with their probabilities; an independent account, of new atoms only."""

    def __init__(self, vocabulary: Vocabulary, atoms: np.ndarray, bonds: np.ndarray) -> None:
        self.budgets = [int(b) for b in vocabulary.budgets]
        self.aromatic = [bool(a) for a in vocabulary.aromatic]
        self.atoms, self.bonds = atoms, bonds
        self.size = len(atoms)
        self.i, self.j = (index.tolist() for index in pair_index(self.size))
        entropy = -(bonds * np.log(bonds)).sum(-1)
        self.order = np.argsort(entropy).tolist()

    def joinable(self, kinds: tuple[int, ...], bonds: dict[int, int]) -> bool:
        """Whether free valences suffice to join the parts; every order must fit as well."""
        left = [self.budgets[k] for k in kinds]
        part = list(range(self.size))
        for pair, bond in bonds.items():
            if bond:
                a, b = self.i[pair], self.j[pair]
                left[a] -= 1 if bond == Bond.AROMATIC else bond
                left[b] -= 1 if bond == Bond.AROMATIC else bond
                part = [part[a] if p == part[b] else p for p in part]
        if min(left) < 0:
            return False
        parts = set(part)
        free = [sum(v for v, p in zip(left, part, strict=True) if p == one) for one in parts]
        return len(parts) == 1 or (min(free) > 0 and sum(free) >= 2 * (len(parts) - 1))

    def suits(self, kinds: tuple[int, ...], pair: int, bond: int) -> bool:
        ends = [self.aromatic[kinds[self.i[pair]]], self.aromatic[kinds[self.j[pair]]]]
        return {Bond.AROMATIC: all(ends), Bond.TRIPLE: not any(ends)}.get(Bond(bond), True)

    def enough(self, kinds: tuple[int, ...]) -> bool:
        """Whether atoms drawn so far, with the best that may follow, can be joined."""
        budgets = [self.budgets[k] for k in kinds] + [max(self.budgets)] * (self.size - len(kinds))
        return self.size == 1 or (min(budgets) > 0 and sum(budgets) >= 2 * (self.size - 1))

    def draws(self) -> list[Way]:
        """Every way through the draws."""
        ways: list[tuple[tuple[int, ...], float, float]] = [((), 1.0, 0.0)]
        for site in range(self.size):
            ways = [way for kinds, weight, cost in ways for way in self._branch(kinds, weight, cost, site)]
        return [end for kinds, weight, cost in ways for end in self._bonds(kinds, {}, weight, cost)]

    def _branch(self, kinds: tuple[int, ...], weight: float, cost: float, site: int):
        options = [k for k in range(len(self.budgets)) if self.enough((*kinds, k))]
        mass = sum(self.atoms[site][k] for k in options)
        return [((*kinds, k), weight * self.atoms[site][k] / mass, cost - np.log(mass)) for k in options]

    def _bonds(self, kinds: tuple[int, ...], bonds: dict[int, int], weight: float, cost: float):
        if len(bonds) == len(self.order):
            return self._join(kinds, bonds, weight, cost)
        pair = self.order[len(bonds)]
        fits = [b for b in Bond if self.suits(kinds, pair, b) and (not b or self.joinable(kinds, {**bonds, pair: b}))]
        mass = sum(self.bonds[pair][b] for b in fits)
        return [
            end
            for b in fits
            for end in self._bonds(
                kinds, {**bonds, pair: int(b)}, weight * self.bonds[pair][b] / mass, cost - np.log(mass)
            )
        ]

    def _join(self, kinds: tuple[int, ...], bonds: dict[int, int], weight: float, cost: float, joins: int = 0):
        part = list(range(self.size))
        for pair, bond in bonds.items():
            if bond:
                part = [part[self.i[pair]] if p == part[self.j[pair]] else p for p in part]
        if len(set(part)) == 1:
            return [Way((*kinds, *(bonds[k] for k in range(len(bonds)))), weight, cost, joins)]
        odds = {
            (pair, b): self.bonds[pair][b] / self.bonds[pair][0]
            for pair in bonds
            for b in Bond
            if b and part[self.i[pair]] != part[self.j[pair]]
            if self.suits(kinds, pair, b) and self.joinable(kinds, {**bonds, pair: b})
        }
        total = sum(odds.values())
        return [
            end
            for (pair, b), odd in odds.items()
            for end in self._join(kinds, {**bonds, pair: int(b)}, weight * odd / total, cost - np.log(odd), joins + 1)
        ]


@pytest.mark.parametrize(("names", "size"), [("C c O", 2), ("O F C", 3), ("O F", 4)])
def test_the_law_is_that_of_the_documented_draws(names: str, size: int) -> None:
    """Frequencies of 20,000 draws against the enumerated law, and every cost against its own formula.

    The threshold is the quantile of chi-square at one in a million; outcomes expected less than five times are pooled.
    """
    vocabulary, random, count = tokens(names), np.random.default_rng(size), 20_000
    logit = {"atoms": random.normal(size=(size, len(vocabulary))), "bonds": random.normal(size=(pair_count(size), 5))}
    state = start_state(vocabulary, [size] * count, size, seed=5)
    m = predicted(vocabulary, state, *(np.tile(value, (count, 1, 1)) for value in logit.values()))
    reference = Reference(vocabulary, m["atoms"][0].exp().numpy(), m["bonds"][0].exp().numpy())
    law: Counter[tuple[int, ...]] = Counter()
    costs: dict[tuple[int, ...], set[float]] = {}
    for way in reference.draws():
        law[way.outcome] += way.weight
        costs.setdefault(way.outcome, set()).add(round(float(way.cost), 9))
    assert abs(sum(law.values()) - 1) < 1e-12
    classes, after = project(vocabulary, state, m)
    drawn = [tuple(row) for row in np.concatenate([classes["atoms"], classes["bonds"]], 1).tolist()]
    seen = Counter(drawn)
    assert set(seen) <= set(law)
    common = [outcome for outcome, weight in law.items() if weight * count >= 5]
    expected = np.array([law[outcome] * count for outcome in common])
    observed = np.array([seen[outcome] for outcome in common])
    rare = count - expected.sum()
    statistic = ((observed - expected) ** 2 / expected).sum() + (count - observed.sum() - rare) ** 2 / max(rare, 5)
    assert statistic < chi2.ppf(1 - 1e-6, len(common))
    for outcome, cost in zip(drawn, after.records["cost"].tolist(), strict=True):
        assert any(abs(cost - one) < 2e-9 for one in costs[outcome]), (outcome, cost)


def test_the_cost_is_a_log_ratio_of_probabilities() -> None:
    """Where nothing is joined, cost = log P(draw) - log F(draw), so ``E exp(-cost)`` is the valid mass of ``F``."""
    vocabulary = tokens("C O F")
    random = np.random.default_rng(1)
    reference = Reference(vocabulary, random.dirichlet(np.ones(3), 3), random.dirichlet(np.ones(5), 3))
    valid = 0.0
    for kinds in product(range(3), repeat=3):
        for bonds in product(range(5), repeat=3):
            chosen = dict(enumerate(bonds))
            whole = all(reference.suits(kinds, pair, bond) for pair, bond in chosen.items())
            joined = sum(bond > 0 for bond in bonds) >= 2
            if whole and joined and reference.joinable(kinds, chosen):
                valid += np.prod([reference.atoms[s][k] for s, k in enumerate(kinds)]) * np.prod(
                    [reference.bonds[p][b] for p, b in chosen.items()]
                )
    direct = [way for way in reference.draws() if not way.joins]
    for way in direct:
        assert abs(np.log(way.weight) - way.cost - np.log(factorised(reference, way.outcome))) < 1e-12
    assert abs(sum(way.weight * np.exp(-way.cost) for way in direct) - valid) < 1e-12


def factorised(reference: Reference, outcome: tuple[int, ...]) -> float:
    atoms = [reference.atoms[site][k] for site, k in enumerate(outcome[: reference.size])]
    bonds = [reference.bonds[pair][b] for pair, b in enumerate(outcome[reference.size :])]
    return float(np.prod(atoms) * np.prod(bonds))


@settings(max_examples=30)
@given(st.sampled_from(["mild", "peaked", "favour2"]), st.integers(0, 2**32))
def test_masks_only_cost(kind: str, seed: int) -> None:
    """Without joins and repairs no cost is negative: a mask removes mass. Round-off: 60 draws of 1e-16."""
    vocabulary = tokens("C O N")
    state = start_state(vocabulary, [1, 2, 3, 12] * 8, 12, seed=seed)
    m = random_prediction(vocabulary, state, seed, kind, kind)
    m["bonds"][..., Bond.NONE] -= 50
    _, after = project(vocabulary, state, {**m, "bonds": torch.log_softmax(m["bonds"], -1)})
    assert float(after.records["cost"].min()) > -1e-13


# ---- invariances -----------------------------------------------------------------------------------------------------


@settings(max_examples=15)
@given(st.sampled_from(["mild", "peaked", "favour4"]), st.integers(0, 2**32))
def test_padding_and_batches_change_nothing(kind: str, seed: int) -> None:
    """A sample is the same alone, in any batch, and with any padding."""
    sizes = [1, 2, 5, 9, 9, 3]
    state = start_state(QM9, sizes, 9, seed=seed)
    m = random_prediction(QM9, state, seed, kind, kind)
    together, after = project(QM9, state, m)
    for row, size in enumerate(sizes):
        pairs = pair_count(size)
        alone = start_state(QM9, [size], size, seed=seed, samples=[row])
        part = {"atoms": m["atoms"][[row], :size], "bonds": m["bonds"][[row], :pairs]}
        classes, records = project(QM9, alone, part)
        assert np.array_equal(classes["atoms"][0], together["atoms"][row, :size])
        assert np.array_equal(classes["bonds"][0], together["bonds"][row, :pairs])
        assert abs(float(records.records["cost"]) - float(after.records["cost"][row])) < 1e-9


def test_until_their_time_bonds_pass_as_they_are() -> None:
    state = start_state(QM9, [5, 7], 7)
    m = random_prediction(QM9, state, 0, "mild", "mild")
    certain, after = ValenceProjection(QM9, 0.5)(m, state, None)
    assert certain["bonds"] is m["bonds"]
    assert torch.equal(certain["atoms"].exp().sum(-1), torch.ones(2, 7, dtype=torch.float64))
    assert int(torch.isfinite(certain["atoms"]).sum()) == 14
    twice, again = ValenceProjection(QM9, 0.5)(m, after, None)
    assert torch.allclose(again.records["cost"], 2 * after.records["cost_last"])
    assert torch.equal(twice["atoms"], certain["atoms"])


# ---- repairs ---------------------------------------------------------------------------------------------------------


def ring_prediction(vocabulary: Vocabulary, kinds: str, state: RunState) -> dict[str, torch.Tensor]:
    """Prediction that is sure (odds 20 nats) of an aromatic ring of the given tokens."""
    names = kinds.split()
    size = len(names)
    atoms, bonds = np.zeros((1, size, len(vocabulary))), np.zeros((1, pair_count(size), 5))
    for k, name in enumerate(names):
        atoms[0, k, vocabulary.symbols.index(name)] = 20.0
    bonds[..., Bond.NONE] = 20.0
    for k in range(size):
        i, j = sorted((k, (k + 1) % size))
        bonds[0, pair_count(j) + i] = [0, 0, 0, 0, 20.0]
    return predicted(vocabulary, state, atoms, bonds)


def repaired(vocabulary: Vocabulary, kinds: str) -> tuple[str, float]:
    size = len(kinds.split())
    state = start_state(vocabulary, [size], size, seed=3)
    classes, after = project(vocabulary, state, ring_prediction(vocabulary, kinds, state))
    return Chem.MolToSmiles(built(vocabulary, classes, [size])[0]), float(after.records["cost"])


def test_an_odd_ring_is_repaired_at_the_price_of_the_change() -> None:
    """Every changed class has odds of 20 nats; the masks of a prediction this sure cost less than 1e-6.

    Where no token ``[nH]`` is open, the bonds of ``n`` become single, and RDKit perceives the same pyrrole.
    """
    assert repaired(QM9, "c c n c c") == ("c1cc[nH]c1", pytest.approx(20.0, abs=1e-6))
    assert repaired(tokens("c n"), "c c n c c") == ("c1cc[nH]c1", pytest.approx(40.0, abs=1e-6))
    assert repaired(QM9, "c c c c c") == ("C1=CCC=C1", pytest.approx(40.0, abs=1e-6))
    assert repaired(QM9, "c c c c n c") == ("c1ccncc1", pytest.approx(0.0, abs=1e-6))


def test_what_f_excludes_is_taken_only_where_nothing_else_is_valid() -> None:
    """``F`` wants three triple bonds between three oxygen atoms: each pair takes what fits, and the cost shows it."""
    vocabulary = tokens("O F")
    state = start_state(vocabulary, [3], 3)
    m = {"atoms": torch.full((1, 3, 2), -torch.inf, dtype=torch.float64), "bonds": torch.zeros(1, 3, 5).double()}
    m["atoms"][..., 0] = 0.0
    m["bonds"][:] = one_hot_log(torch.full((1, 3), int(Bond.TRIPLE)), 5)
    classes, after = project(vocabulary, state, m)
    assert Chem.MolToSmiles(built(vocabulary, classes, [3])[0]) in ("OOO", "O1OO1")
    assert float(after.records["cost"]) > 1e5
