"""Kept residues: native geometry, exact pose, frozen residues that do not move; and what a condition did."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from scidiff.domains.proteins.chains import Chains
from scidiff.domains.proteins.checks import bond_checks
from scidiff.domains.proteins.ideal_chains import from_degrees
from scidiff.domains.proteins.relaxation import Relaxation
from scidiff.domains.proteins.relaxation_benchmark import bent
from scidiff.domains.proteins.scaffolding.closure import Kept, close
from scidiff.domains.proteins.scaffolding.effect import effect
from scidiff.domains.proteins.scaffolding.placing import kept_rmsd, place
from scidiff.domains.proteins.scaffolding.vary import frozen_mask, vary
from scidiff.domains.proteins.torsions import measure

from scidiff.errors import ConfigError, ShapeError

from .protein_cases import shaken
from .torsion_cases import untrained


def native() -> Chains:
    """A chain whose bonds and angles are not ideal."""
    turns = [(-57.0, -47.0)] * 10 + [(-80.0, 120.0), (60.0, 30.0)] + [(-120.0, 130.0)] * 8 + [(-60.0, 140.0)] * 8
    return shaken(from_degrees(turns), 0.02)


def kept_of(chain: Chains, group: list[int], count: int = 1) -> Kept:
    return Kept(torch.tensor(group).expand(count, -1), chain.xyz.expand(count, -1, -1, -1))


ONE = [0] * 4 + [1] * 6 + [0] * 18
TWO = [0] * 4 + [1] * 6 + [0] * 5 + [1] * 6 + [0] * 7
NESTED = [0] * 2 + [1] * 4 + [0] * 4 + [2] * 4 + [0] * 3 + [1] * 3 + [0] * 4 + [2] * 3 + [0]


@pytest.mark.parametrize("group", [ONE, TWO, NESTED], ids=["one", "two", "nested"])
def test_kept_residues_are_native_to_round_off(group):
    chain = native()
    kept = kept_of(chain, group)
    done = close(measure(bent(chain, 10.0, 0).xyz, chain.mask), kept)
    assert float(done.error.max()) < 1e-8
    # a product of some thirty rotations in float64
    assert float(kept_rmsd(done.xyz, kept).max()) < 1e-7
    here = torch.tensor(group) > 0
    given, found = measure(chain.xyz, chain.mask), measure(done.xyz, chain.mask)
    assert float((given.angles - found.angles)[0, here, 0].abs().max()) < 1e-7


def test_free_residues_stay_within_the_rules():
    chain = native()
    kept = kept_of(chain, TWO)
    done = close(measure(bent(chain, 10.0, 1).xyz, chain.mask), kept)
    free = replace(chain, xyz=done.xyz).part(0, 10, 15)
    checks = bond_checks(free, measure(free.xyz, free.mask))
    assert float(checks["bonds"]) == float(checks["angles"]) == float(checks["omega"]) == 1.0


def test_what_cannot_be_closed_is_reported():
    chain = native()
    far = chain.xyz.clone()
    far[0, 15:21] += 60.0
    done = close(measure(chain.xyz, chain.mask), Kept(torch.tensor([TWO]), far))
    assert float(done.error.max()) > 10
    assert bool(done.xyz.isfinite().all())


def test_placing_puts_the_first_body_on_the_given_atoms_and_keeps_it():
    chain = native()
    kept = kept_of(chain, TWO)
    done = place(bent(chain, 8.0, 2), kept, Relaxation(steps=10))
    assert bool(done.closed.all()) and float(done.rmsd.max()) < 1e-6
    here = torch.tensor(TWO) > 0
    assert torch.equal(done.chains.xyz[0, here], chain.xyz[0, here])


def test_frozen_residues_do_not_move():
    chain = native()
    mask = frozen_mask(chain, "A5-10/A16-21")
    assert mask.nonzero().squeeze(1).tolist() == [*range(4, 10), *range(15, 21)]
    done = vary(untrained(), chain, mask, count=2, steps=2, level=0.3)
    closed = done.moved < 1e-3
    assert bool(closed.any())
    assert float(done.moved[closed].max()) == 0.0
    assert float(done.changed.min()) > 0.1


def test_what_varying_refuses():
    chain = native()
    with pytest.raises(ConfigError, match="write A5-12"):
        frozen_mask(chain, "5-12")
    with pytest.raises(ConfigError, match="leave some free"):
        vary(untrained(), chain, torch.ones(28, dtype=torch.bool))
    with pytest.raises(ShapeError):
        vary(untrained(), chain, torch.ones(3, dtype=torch.bool))


def test_the_effect_tells_a_real_condition_from_an_ignored_one():
    random = np.random.default_rng(0)
    near, far, other = random.normal(1, 0.3, 30), random.normal(3, 0.5, 30), random.normal(3, 0.5, 30)
    acted, ignored = effect(near, far), effect(other, far)
    assert acted.acted and acted.area > 0.95
    # 95 % of areas of equal laws lie within 1.96 sqrt((2 n + 1) / (12 n^2)) of one half
    assert abs(ignored.area - 0.5) < 2.6 * (61 / (12 * 900)) ** 0.5 and not ignored.acted
    # every pair in order: area one, whatever the distances
    assert effect([1, 2], [3, 4]).area == 1.0 and effect([1, 2], [1, 2]).area == 0.5
    with pytest.raises(ConfigError):
        effect([1.0], [2.0, 3.0])
