"""The training task: pure batches, losses in closed form, and a bound that an exact denoiser attains."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from itertools import product

import numpy as np
import pytest
import torch
from scidiff.domains.molecules.graphs import GraphSet, pair_count, parse
from scidiff.domains.molecules.noising import graph_process
from scidiff.domains.molecules.training import GraphBatch, MoleculeTask, smiles_hash
from scidiff.domains.molecules.vocabulary import Bond, Vocabulary
from torch import Tensor, nn

from .molecule_cases import QM9, small_network, tokens

SMILES = """C CC CCO C1CC1 c1ccccc1 c1cc[nH]c1 CC(=O)N OC#N C1CCOC1 FC(F)F NC=O O=C1CC1 CC#C CN(C)C c1ccncc1 OCCO C=CC=O
CC(C)O N#CCN c1cocc1""".split()

FLOAT32 = 1e-6
"""Relative error of sums weighted by sizes that are inverted in float32."""


def task(graphs: GraphSet, vocabulary: Vocabulary = QM9, **settings) -> MoleculeTask:
    config = small_network(vocabulary, int(graphs.sizes.max())).config
    return MoleculeTask(graphs, graphs, vocabulary, config, {"name": "test"}, **settings)


def numbered(count: int) -> GraphSet:
    """Rows that can be told apart by their first two atoms; of sizes 3 to 6 in turn."""
    atoms = np.zeros((count, 6), dtype=np.uint8)
    atoms[:, 0], atoms[:, 1] = np.arange(count) % 256, np.arange(count) // 256
    sizes = 3 + np.arange(count, dtype=np.int64) % 4
    return GraphSet(atoms, np.zeros((count, 15), dtype=np.uint8), sizes)


def rows(batch: GraphBatch) -> list[int]:
    return (batch.atoms[:, 0] + 256 * batch.atoms[:, 1]).tolist()


# ---- batches ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("count", "batch_size", "world"), [(1000, 32, 1), (1000, 16, 3), (640, 64, 2), (90, 32, 2)])
def test_an_epoch_shows_every_row_of_its_full_batches_once(count: int, batch_size: int, world: int) -> None:
    one = task(numbered(count), batch_size=batch_size)
    steps = count // (batch_size * world)
    epochs = []
    for epoch in range(2):
        batches = [one.batch(epoch * steps + step, rank, world) for step in range(steps) for rank in range(world)]
        assert all(len(batch.sizes) == batch_size for batch in batches)
        shown = [row for batch in batches for row in rows(batch)]
        assert len(set(shown)) == len(shown) == steps * world * batch_size
        epochs.append(shown)
    assert epochs[0] != epochs[1]


def test_a_batch_is_a_function_of_its_three_numbers() -> None:
    one, other = task(numbered(500), batch_size=16), task(numbered(500), batch_size=16)
    calls = [(0, 0, 2), (40, 1, 2), (3, 1, 2), (0, 0, 2), (31, 0, 1), (40, 1, 2)]
    first = {call: rows(one.batch(*call)) for call in calls}
    assert {call: rows(other.batch(*call)) for call in reversed(calls)} == first
    assert rows(task(numbered(500), batch_size=16, seed=1).batch(0, 0, 2)) != first[0, 0, 2]


def test_batches_hold_molecules_of_similar_size() -> None:
    """In windows of 32 sorted batches of a set with four sizes, at most three batches are mixed."""
    one = task(numbered(1024), batch_size=32)
    mixed = [len(set(one.batch(step, 0, 1).sizes.tolist())) > 1 for step in range(32)]
    assert sum(mixed) <= 3


def test_a_batch_is_padded_to_its_largest_molecule() -> None:
    graphs = GraphSet.from_molecules([parse(smiles) for smiles in SMILES], QM9)
    batch = GraphBatch.of(graphs, np.array([0, 2]))
    assert (batch.atoms.shape, batch.bonds.shape) == ((2, 3), (2, 3))
    assert batch.mask.tolist() == [[True, False, False], [True, True, True]]
    assert batch.bonds.tolist() == [[0, 0, 0], [Bond.SINGLE, 0, Bond.SINGLE]]


# ---- losses ----------------------------------------------------------------------------------------------------------


class Constant(nn.Module):
    """Equal logits for all classes."""

    def forward(self, x: dict[str, Tensor], t: dict[str, Tensor], mask: Tensor) -> dict[str, Tensor]:
        return {"atoms": torch.zeros(*x["atoms"].shape, len(QM9)), "bonds": torch.zeros(*x["bonds"].shape, 5)}


def test_the_loss_of_a_constant_network() -> None:
    """Pairs cost log 5 each. An atom is masked with probability 1/3, in its group with 1/6, and clean with 1/2.

    The times of a batch are spread evenly, so that the mean over t has the error of a Riemann sum, below 1/(2 batch),
    plus the binomial error of the states: 4 standard deviations of a Bernoulli variable of size log 8.
    """
    graphs = GraphSet.from_molecules([parse("CC(=O)N")] * 2000, QM9)
    one = task(graphs, given_share=0.0)
    batch = GraphBatch.of(graphs, np.arange(2000))
    loss, parts = one.loss(Constant(), batch, torch.Generator().manual_seed(0))
    assert float(parts["loss_bonds"]) == pytest.approx(6 / 4 * math.log(5), rel=FLOAT32)
    groups = np.array(QM9.groups)
    inside = [math.log((groups == groups[k]).sum()) for k in graphs.atoms[0]]
    expected = math.log(len(QM9)) / 3 + np.mean(inside) / 6
    error = 4 * 0.5 * math.log(8) / math.sqrt(8000) + 1e-3
    assert float(parts["loss_atoms"]) == pytest.approx(expected, abs=error)
    assert float(loss) == pytest.approx(float(parts["loss_atoms"] + parts["loss_bonds"]))


def test_given_parts_are_shown_clean_and_cost_nothing() -> None:
    """A fully connected pair of atoms, one of them given: only the other atom and the bond remain to be predicted."""
    graphs = GraphSet.from_molecules([parse("CCO")] * 500, QM9)
    seen = []

    class Watching(Constant):
        def forward(self, x, t, mask):
            seen.append((x, t))
            return super().forward(x, t, mask)

    one = task(graphs, given_share=1.0)
    _, parts = one.loss(Watching(), GraphBatch.of(graphs, np.arange(500)), torch.Generator().manual_seed(0))
    x, t = seen[0]
    given = t["atoms"] == 0
    assert 0.5 < float(given.any(1).double().mean()) < 0.8
    assert torch.equal(x["atoms"][given], torch.from_numpy(graphs.atoms).long()[given])
    free_pairs = (t["bonds"] > 0).sum(1)
    assert float(parts["loss_bonds"]) == pytest.approx(float(free_pairs.double().mean()) * math.log(5) / 3, rel=FLOAT32)


def test_training_learns_a_small_set() -> None:
    graphs = GraphSet.from_molecules([parse(smiles) for smiles in SMILES], QM9)
    one = task(graphs, batch_size=20)
    network, generator = one.network.train(), torch.Generator().manual_seed(0)
    optimizer = torch.optim.Adam(network.parameters(), lr=1e-2)
    losses = []
    for step in range(80):
        loss, _ = one.loss(network, one.batch(step, 0, 1), generator)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(float(loss.detach()))
    assert np.mean(losses[-10:]) < 0.6 * losses[0]


# ---- the bound -------------------------------------------------------------------------------------------------------


class Exact(nn.Module):
    """Exact posteriors of a law on graphs of two atoms, by summing over all of them."""

    def __init__(self, vocabulary: Vocabulary, law: np.ndarray) -> None:
        super().__init__()
        self.process, self.law = graph_process(vocabulary), torch.from_numpy(law)

    def forward(self, x: dict[str, Tensor], t: dict[str, Tensor], mask: Tensor) -> dict[str, Tensor]:
        chance = {}
        for key, factor in self.process.factors.items():
            chance[key] = factor.kernel.column(x[key], t[key])[..., : factor.kernel.clean]
        first, second, bond = chance["atoms"][:, 0], chance["atoms"][:, 1], chance["bonds"][:, 0]
        joint = torch.einsum("abc,ra,rb,rc->rabc", self.law, first, second, bond)
        joint = joint / joint.sum((1, 2, 3), keepdim=True)
        atoms = torch.stack([joint.sum((2, 3)), joint.sum((1, 3))], 1)
        return {"atoms": atoms.log(), "bonds": joint.sum((1, 2)).log().unsqueeze(1)}


def law_of_pairs(count: int) -> np.ndarray:
    """A law with strong dependence between the atoms and their bond."""
    law = np.random.default_rng(0).gamma(0.3, size=(count, count, len(Bond))) + 1e-3
    return law / law.sum()


@pytest.mark.parametrize("graph", [(0, 0, 1), (0, 1, 2), (2, 1, 0), (1, 1, 4)])
def test_the_bound_of_an_exact_denoiser_is_the_likelihood(graph: tuple[int, int, int]) -> None:
    """With exact rates the continuous-time bound is tight for every graph: ``-log p(graph)``, here per two atoms.

    4,000 copies of one graph, so that the standard error is that of times and states alone; four of them are allowed.
    """
    vocabulary, count = tokens("C O F"), 4000
    law = law_of_pairs(3)
    atoms = np.tile(np.array(graph[:2], dtype=np.uint8), (count, 1))
    graphs = GraphSet(atoms, np.full((count, 1), graph[2], dtype=np.uint8), np.full(count, 2))
    found = task(graphs, vocabulary, batch_size=1000).validate(Exact(vocabulary, law))
    exact = -math.log(law[graph]) / 2
    assert found["nelbo_standard_error"] < 0.05 * exact
    assert abs(found["nelbo_per_atom"] - exact) < 4 * found["nelbo_standard_error"]


def test_the_bound_of_a_wrong_denoiser_is_larger() -> None:
    """Averaged over the data, a denoiser of another law costs the Kullback-Leibler divergence more: cross-entropy."""
    vocabulary, truth = tokens("C O F"), law_of_pairs(3)
    wrong = np.flip(truth, axis=(0, 2)).copy()
    outcomes = np.array(list(product(range(3), range(3), range(5))), dtype=np.uint8)
    drawn = outcomes[np.random.default_rng(1).choice(45, size=6000, p=truth.ravel())]
    graphs = GraphSet(drawn[:, :2], drawn[:, 2:], np.full(6000, 2))
    one = task(graphs, vocabulary, batch_size=1000)
    bounds = {}
    for name, law in (("truth", truth), ("wrong", wrong)):
        found = one.validate(Exact(vocabulary, law))
        exact = -np.log(law[tuple(drawn.T)]).mean() / 2
        assert abs(found["nelbo_per_atom"] - exact) < 4 * found["nelbo_standard_error"]
        bounds[name] = found["nelbo_per_atom"]
    assert bounds["wrong"] > bounds["truth"] + 0.5


def test_validation_repeats_itself() -> None:
    graphs = GraphSet.from_molecules([parse(smiles) for smiles in SMILES], QM9)
    one = task(graphs, batch_size=7)
    assert one.validate(one.network) == one.validate(one.network)


# ---- card ------------------------------------------------------------------------------------------------------------


def test_the_card_says_what_the_model_needs() -> None:
    graphs = GraphSet.from_molecules([parse(smiles) for smiles in SMILES], QM9)
    card = task(graphs).card()
    assert json.loads(json.dumps(card)) == card == task(graphs).card()
    assert card["domain"] == "molecules" and len(card["vocabulary"]) == len(QM9)
    assert np.allclose(card["size_prior"], np.bincount(graphs.sizes) / len(SMILES))
    first, again, other = (task(graphs, seed=seed).network.atom_class.weight for seed in (0, 0, 1))
    assert torch.equal(first, again) and not torch.equal(first, other)
    assert smiles_hash(["C", "O"]) != smiles_hash(["O", "C"])


def test_padding_costs_nothing() -> None:
    """The same molecule alone and beside a larger one: the terms of its real sites are counted, and only these."""
    graphs = GraphSet.from_molecules([parse("CC"), parse("C1CCCCC1")], QM9)
    wide = replace(GraphBatch.of(graphs, np.array([0, 1])))
    one = task(graphs, given_share=0.0)
    _, parts = one.loss(Constant(), wide, torch.Generator().manual_seed(0))
    expected = np.mean([1 / 2, pair_count(6) / 6]) * math.log(5)
    assert float(parts["loss_bonds"]) == pytest.approx(expected, rel=FLOAT32)
