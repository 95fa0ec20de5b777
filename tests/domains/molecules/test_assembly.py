"""The rule of joining against enumeration of all joining trees."""

from __future__ import annotations

from copy import deepcopy
from itertools import combinations, combinations_with_replacement, product

import networkx
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scidiff.domains.molecules.assembly import ORDER, Assembly
from scidiff.domains.molecules.clamping import given_pairs
from scidiff.domains.molecules.graphs import pair_count
from scidiff.domains.molecules.vocabulary import Bond

Part = tuple[int, int]


def assembly(parts: list[Part]) -> Assembly:
    """One row: each part is a given atom with free valence, a new one, or both, bonded to each other."""
    valence, new, budget, bonded = [], [], [], []
    for given_valence, new_valence in parts:
        first = len(valence)
        if given_valence or not new_valence:
            valence, new, budget = [*valence, given_valence], [*new, False], [*budget, 0]
        if new_valence:
            both = len(valence) > first
            valence, new, budget = [*valence, 0], [*new, True], [*budget, new_valence + both]
            if both:
                bonded.append(pair_count(first + 1) + first)
    return started(np.array(valence), np.array(new), np.array(budget), bonded)


def started(valence: np.ndarray, new: np.ndarray, budget: np.ndarray, bonded: list[int]) -> Assembly:
    size = len(valence)
    pairs = given_pairs(torch.from_numpy(~new)[None], torch.from_numpy(new | (valence > 0))[None]).numpy()
    pairs[0, bonded] = True
    bonds = np.zeros((1, pair_count(size)), dtype=np.int64)
    bonds[0, bonded] = Bond.SINGLE
    found = Assembly(np.ones((1, size), dtype=bool), {"atoms": new[None], "bonds": ~pairs}, bonds, valence[None])
    found.begin(budget[None])
    return found


def trees(count: int) -> list[list[tuple[int, int]]]:
    """All trees on `count` labelled parts."""
    return [
        list(chosen)
        for chosen in combinations(combinations(range(count), 2), count - 1)
        if networkx.is_connected(networkx.from_edgelist(chosen)) and len({k for e in chosen for k in e}) == count
    ]


def uses(count: int) -> np.ndarray:
    """Free valences, given and new, that each part spends: one row for every tree and every choice of its ends."""
    rows = []
    for tree in trees(count):
        for ends in product(((0, 1), (1, 0), (1, 1)), repeat=count - 1):
            rows.append(np.zeros((count, 2), dtype=int))
            for (a, b), (end_a, end_b) in zip(tree, ends, strict=True):
                rows[-1][a, end_a] += 1
                rows[-1][b, end_b] += 1
    return np.array(rows)


@pytest.mark.parametrize("count", [2, 3, 4])
def test_the_rule_says_exactly_when_a_joining_tree_exists(count: int) -> None:
    """All multisets of up to four parts with up to three free valences each, given and new; given atoms never bond."""
    table = uses(count)
    kinds = [(given, new) for given in range(4) for new in range(4) if given + new <= 3]
    answers = set()
    for parts in combinations_with_replacement(kinds, count):
        answer = bool((table <= np.array(parts)).all((1, 2)).any())
        assert bool(assembly(list(parts)).joinable[0]) == answer, parts
        answers.add(answer)
    assert answers == {True, False}


@st.composite
def starts(draw: st.DrawFn) -> Assembly:
    """Graphs that can be joined: some new atoms, some given ones, some bonds between them."""
    new = np.array(draw(st.lists(st.booleans(), min_size=2, max_size=7)))
    valence = np.where(new, 0, draw(st.lists(st.integers(0, 3), min_size=len(new), max_size=len(new))))
    budget = np.array(draw(st.lists(st.integers(1, 4), min_size=len(new), max_size=len(new))))
    return started(valence, new, budget, [])


def moves(state: Assembly, free: np.ndarray) -> list[int]:
    return [int(k) for k in np.flatnonzero(free) if state.room(np.array([0]), state.i[[k]], state.j[[k]])[0] > 0]


def bound(state: Assembly, pair: int, order: int) -> Assembly:
    after = deepcopy(state)
    after.bind(np.array([0]), state.i[[pair]], state.j[[pair]], np.array([order]))
    return after


@settings(max_examples=150)
@given(starts(), st.randoms(use_true_random=False))
def test_room_keeps_the_graph_joinable_and_is_the_largest_that_does(state: Assembly, random) -> None:
    if not state.joinable[0]:
        return
    new = state.new[0]
    free = new[state.i] | new[state.j]
    for _ in range(6):
        pairs = np.flatnonzero(free)
        if not len(pairs):
            return
        pair = int(random.choice(pairs.tolist()))
        room = int(state.room(np.array([0]), state.i[[pair]], state.j[[pair]])[0])
        assert 0 <= room <= ORDER.max()
        for order in range(1, ORDER.max() + 1):
            assert bool(bound(state, pair, order).joinable[0]) == (order <= room)
        free[pair] = False
        if room:
            state = bound(state, pair, random.randint(1, room))


@pytest.mark.parametrize("given_valences", [(), (1,), (3, 3), (3, 3, 3), (2, 1, 3)])
def test_room_is_exact_where_new_valence_is_scarce(given_valences: tuple[int, ...]) -> None:
    """Two or three new atoms of every budget beside given ones: every pair, every order."""
    for budgets in [*product(range(1, 5), repeat=2), *product((1, 2, 4), repeat=3)]:
        count = len(given_valences) + len(budgets)
        new = np.arange(count) >= len(given_valences)
        state = started(np.array([*given_valences, *[0] * len(budgets)]), new, np.array([*new[~new], *budgets]), [])
        if not state.joinable[0]:
            continue
        for pair in np.flatnonzero(new[state.i] | new[state.j]).tolist():
            room = int(state.room(np.array([0]), state.i[[pair]], state.j[[pair]])[0])
            for order in range(1, ORDER.max() + 1):
                assert bool(bound(state, pair, order).joinable[0]) == (order <= room)


@settings(max_examples=100)
@given(starts(), st.randoms(use_true_random=False))
def test_joining_at_random_never_ends_before_one_part_is_left(state: Assembly, random) -> None:
    if not state.joinable[0]:
        return
    new = state.new[0]
    for _ in range(len(new) - 1):
        if state.parts[0] == 1:
            break
        apart = state.apart(np.array([0]))[0] & (new[state.i] | new[state.j])
        state = bound(state, random.choice(moves(state, apart)), Bond.SINGLE)
    assert state.parts[0] == 1


def test_need_and_last_chances() -> None:
    """Three parts with given valence 2 in one of them: four ends to find, two of them on the given atom."""
    state = assembly([(2, 0), (0, 1), (0, 1)])
    assert state.need.tolist() == [2]
    state = started(np.array([0, 0, 0, 0]), np.array([False, True, True, True]), np.array([0, 2, 2, 2]), [0, 1])
    assert state.parts.tolist() == [2]
    assert state.last_of_part.tolist() == [[False, False, True, True]]


def test_padding_and_rows_do_not_mix() -> None:
    real = np.array([[True, True, False], [True, True, True]])
    pairs = np.array([[True, False, False], [True, True, True]])
    state = Assembly(
        real, {"atoms": real, "bonds": pairs}, np.zeros((2, 3), dtype=np.int64), np.zeros((2, 3), dtype=int)
    )
    state.begin(np.array([[1, 1, 0], [1, 1, 1]]))
    assert state.parts.tolist() == [2, 3]
    assert state.joinable.tolist() == [True, False]
