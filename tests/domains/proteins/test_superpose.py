"""Superposition and scores: known answers, invariances, and the published programs."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
import torch
from scidiff.domains.proteins.quaternion_fit import fit
from scidiff.domains.proteins.superpose import apply, kabsch, lddt, rmsd, tm_scale, tm_score
from scidiff.domains.proteins.tmalign import align_paths, nearest, pair_tm

from scidiff.errors import ShapeError
from scidiff.random import Noise

from .protein_cases import held_out, needs_chains, random_rotation


def cloud(batch: int, size: int, seed: int = 0) -> torch.Tensor:
    return 8 * Noise.range(seed, batch).normal((size, 3), step=0, stream="test/cloud")


@pytest.mark.parametrize("method", [kabsch, fit], ids=["svd", "quaternion"])
def test_a_motion_is_found_again(method):
    x, turn, shift = cloud(5, 12), random_rotation(1), torch.tensor([3.0, -2.0, 9.0], dtype=torch.float64)
    rotation, found = method(x, x @ turn.T + shift, torch.ones(5, 12, dtype=torch.float64))
    # the eigenvector is known to the root of round-off where the eigenvalue is polished to round-off
    assert float((rotation - turn).abs().max()) < 1e-7
    assert float((found - shift).abs().max()) < 1e-6


@pytest.mark.parametrize("size", [3, 4, 30])
def test_both_methods_agree_and_are_proper(size):
    x, y = cloud(200, size, 2), cloud(200, size, 3)
    weight = Noise.range(4, 200).uniform((size,), step=0, stream="test/weight")
    one, two = kabsch(x, y, weight), fit(x, y, weight)

    def cost(motion: tuple) -> torch.Tensor:
        return (((apply(motion, x) - y) ** 2).sum(-1) * weight).sum(-1)

    assert float((torch.linalg.det(two[0]) - 1).abs().max()) < 1e-9
    # the cost is flat at its minimum: an angle off by 1e-5 costs 1e-10 of it
    assert float((cost(two) / cost(one) - 1).abs().max()) < 1e-7


def test_a_mirror_image_is_not_superposed():
    x = cloud(1, 20, 5)
    mirrored = x * torch.tensor([1.0, 1.0, -1.0], dtype=x.dtype)
    assert float(rmsd(x, mirrored)) > 1
    assert float(torch.linalg.det(kabsch(x, mirrored, torch.ones(1, 20, dtype=x.dtype))[0])) > 0


def test_points_on_a_line_give_a_rotation():
    x = torch.arange(6.0, dtype=torch.float64).view(1, 6, 1) * torch.tensor([1.0, 0.0, 0.0], dtype=torch.float64)
    motion = fit(x, x @ random_rotation(6).T, torch.ones(1, 6, dtype=torch.float64))
    assert bool(motion[0].isfinite().all())
    assert float((torch.linalg.det(motion[0]) - 1).abs().max()) < 1e-9


def test_scores_of_equal_chains_are_one():
    x = cloud(3, 40, 7)
    moved = x @ random_rotation(8).T + 5
    assert float((tm_score(x, moved) - 1).abs().max()) < 1e-9
    assert float((lddt(moved, x) - 1).abs().max()) < 1e-9
    assert float(rmsd(x, moved).max()) < 1e-6


def test_the_scale_of_tm():
    assert tm_scale(torch.tensor([10, 20, 100])).tolist() == pytest.approx([0.5, 0.5, 1.24 * 85 ** (1 / 3) - 1.8])


def test_padding_does_not_count():
    x, y = cloud(1, 30, 9), cloud(1, 30, 10)
    mask = torch.arange(30).unsqueeze(0) < 20
    for score in (rmsd, tm_score, lddt):
        assert float((score(x, y, mask) - score(x[:, :20], y[:, :20])).abs()) < 1e-9


def test_shapes_are_refused():
    with pytest.raises(ShapeError, match="batch, n, 3"):
        rmsd(cloud(1, 4), cloud(1, 5))


def test_lddt_is_that_of_biotite():
    import biotite.structure as bs

    x, y = cloud(1, 40, 11), cloud(1, 40, 11) + 0.1 * cloud(1, 40, 12)
    arrays = []
    for points in (x[0], y[0]):
        atoms = bs.AtomArray(40)
        atoms.coord, atoms.res_id, atoms.chain_id = points.numpy().astype("f4"), np.arange(40), np.full(40, "A")
        arrays.append(atoms)
    # the coordinates of biotite are single precision: a distance may cross a threshold
    assert float(lddt(y, x)) == pytest.approx(float(bs.lddt(*arrays)), abs=2e-3)


def brute(score: np.ndarray, gap: float) -> float:
    """Best value of the same programme, cell by cell."""
    rows, columns = score.shape
    value, was_match = np.zeros((rows + 1, columns + 1)), np.zeros((rows + 1, columns + 1), bool)
    for i in range(1, rows + 1):
        for j in range(1, columns + 1):
            match = value[i - 1, j - 1] + score[i - 1, j - 1]
            up, left = value[i - 1, j] + gap * was_match[i - 1, j], value[i, j - 1] + gap * was_match[i, j - 1]
            was_match[i, j] = match >= left and match > up
            value[i, j] = max(match, up, left)
    return value[-1, -1]


@pytest.mark.parametrize("gap", [0.0, -0.6])
def test_the_diagonals_are_the_cells(gap):
    score = Noise.range(13, 6).uniform((9, 12), step=0, stream="test/score")
    partner = align_paths(score, gap)
    for k in range(6):
        pairs = [(i, int(j)) for i, j in enumerate(partner[k]) if j >= 0]
        assert all(a[0] < b[0] and a[1] < b[1] for a, b in pairwise(pairs))
        total = sum(float(score[k, i, j]) for i, j in pairs)
        if gap == 0:
            assert total == pytest.approx(brute(score[k].numpy(), gap), abs=1e-12)
        assert total >= brute(score[k].numpy(), gap) - 1e-12


@needs_chains
def test_fixed_alignments_score_as_the_published_program():
    tmtools = pytest.importorskip("tmtools")
    chains = held_out().take(range(12))
    sizes = torch.tensor([0.5, 2.0, 4.0]).repeat(4).view(-1, 1, 1)
    y = chains.ca + sizes * Noise.range(14, 12).normal(tuple(chains.ca.shape[1:]), step=0, stream="test/noise")
    ours = tm_score(chains.ca, y, chains.mask)
    for k in range(12):
        real, letters = chains.mask[k], chains.letters(k)
        pair = [z[k][real].numpy().copy() for z in (chains.ca, y)]
        theirs = tmtools.tm_align(*pair, letters, letters, alignment=[letters, letters]).tm_norm_chain1
        # both search from fragments; ours may find more, and misses at most a little
        assert theirs - 0.005 < float(ours[k]) < theirs + 0.03


@needs_chains
def test_structural_alignments_score_as_the_published_program():
    tmtools = pytest.importorskip("tmtools")
    chains = held_out()
    one, two = chains.take(range(12)), chains.take(range(20, 32))
    ours = pair_tm(one.ca, one.mask, two.ca, two.mask)
    short = []
    for k in range(12):
        x, y = one.ca[k][one.mask[k]].numpy().copy(), two.ca[k][two.mask[k]].numpy().copy()
        found = tmtools.tm_align(x, y, one.letters(k), two.letters(k))
        short += [found.tm_norm_chain1 - float(ours[k, 0]), found.tm_norm_chain2 - float(ours[k, 1])]
    # measured on 240 scores of unrelated pairs: mean 0.02
    assert np.mean(short) < 0.04


@needs_chains
def test_a_chain_is_its_own_nearest():
    chains = held_out().take(range(6))
    moved = chains.take([2, 4]).moved(random_rotation(15), torch.tensor([4.0, 5.0, 6.0]))
    score, row = nearest(moved, chains, keep=3)
    assert row.tolist() == [2, 4]
    # single precision
    assert float((score - 1).abs().max()) < 1e-4
