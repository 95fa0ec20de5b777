"""Tiles of a stationary Gaussian field: the law of the fused samples is known exactly, at the seams and between."""

from __future__ import annotations

import pytest
import torch

from scidiff.denoise.tiles import Tiles, reflecting, tiled, variance_corrected_fusion
from scidiff.field_noise import FieldNoise
from scidiff.process import GaussianProcess, VPSchedule
from scidiff.random import Noise
from scidiff.sample import RunState, TableRule, ancestral, ddim, dpmpp_3m, log_snr_grid, run
from scidiff.spaces import Euclidean
from scidiff.testing_targets.fields import TorusField, propagate

SCHEDULE = VPSchedule()
LINE = TorusField((64,), 1.5)
TILES = Tiles((32,), (16,), margin=4)


def fused(tiles: Tiles, field: TorusField = LINE):
    return tiled(field.denoiser(SCHEDULE, tiles.size), tiles, together=64)


def spectrum(law: torch.Tensor) -> torch.Tensor:
    wave = torch.fft.fft(torch.eye(len(law), dtype=torch.complex128), norm="ortho")
    return torch.einsum("ik,ij,jk->k", wave.conj(), law.to(wave.dtype), wave).real


@pytest.mark.parametrize("solver", [ancestral, ddim], ids=["ancestral", "ddim"])
def test_variance_and_spectrum_are_those_of_the_whole_field(solver):
    """Exact propagation: 0.01 % of the variance at every site; 5 % of each mode, as long ones span several tiles."""
    table = solver(SCHEDULE, log_snr_grid(SCHEDULE, 20))
    law = propagate(table, fused(TILES), LINE.sites)
    whole = propagate(table, LINE.denoiser(SCHEDULE), LINE.sites)
    assert float((law.diagonal() / whole.diagonal() - 1).abs().max()) < 1e-4
    assert float((spectrum(law) / spectrum(whole) - 1).abs().max()) < 0.05


def test_a_good_solver_reaches_the_law_of_the_data_within_one_percent():
    """40 steps of DPM-Solver++ 3M, whose error on the whole field is below 0.1 %: the bar is 1 % at every site."""
    rule = TableRule(dpmpp_3m(SCHEDULE, log_snr_grid(SCHEDULE, 40)))
    process = GaussianProcess(Euclidean((1, 64)), SCHEDULE)
    eye = torch.eye(64, dtype=torch.float64)[:, None]
    start = RunState.at(float(SCHEDULE.sigma(1.0)) * eye, 1.0, Noise.range(0, 64))
    for denoiser, bar in ((LINE.denoiser(SCHEDULE), 1e-3), (fused(TILES), 1e-2)):
        response = run(denoiser, process, rule, rule.plan, state=start).x[:, 0]
        law = response.T @ response
        assert float((law.diagonal() - 1).abs().max()) < bar
    # the narrower the overlap without weight, the more a tile misses of its surroundings
    bare = run(fused(Tiles((32,), (1,))), process, rule, rule.plan, state=start).x[:, 0]
    assert float(((bare.T @ bare).diagonal() - 1).abs().max()) > 0.01


def test_averaging_noise_of_tiles_loses_variance_and_the_correction_restores_it():
    """Noise of variance sum w^2, which is 1/2 in the middle of an overlap: half of the field's variance is gone there.

    The corrected noise is white of variance 1, so that its law is that of one noise field.
    """
    table = ancestral(SCHEDULE, log_snr_grid(SCHEDULE, 20))
    whole = propagate(table, LINE.denoiser(SCHEDULE), LINE.sites).diagonal()
    ones = [torch.ones(1, 1, 32, dtype=torch.float64)] * len(TILES.of(LINE.sites)[0])
    left = TILES.fuse(ones, LINE.sites, power=2)
    naive = propagate(table, fused(TILES), LINE.sites, left).diagonal() / whole
    assert float(naive.min()) < 0.6 and float(naive.max()) > 0.99
    seam = left.reshape(-1) < 0.6
    assert bool(seam.any()) and float(naive[seam].max()) < 0.8
    # unit noise at every site of every tile, one at a time
    count = len(ones)
    units = list(torch.eye(32 * count, dtype=torch.float64).reshape(32 * count, count, 1, 32).unbind(1))
    plain = TILES.fuse(units, LINE.sites)[:, 0]
    assert torch.allclose(plain.T @ plain, torch.diag(left.reshape(-1)), atol=1e-13)
    mended = variance_corrected_fusion(TILES, [torch.zeros_like(each) for each in units], units, LINE.sites)[:, 0]
    assert torch.allclose(mended.T @ mended, torch.eye(64, dtype=torch.float64), atol=1e-13)


def test_a_plane_in_tiles():
    field = TorusField((16, 16), 0.7)
    table = ancestral(SCHEDULE, log_snr_grid(SCHEDULE, 8))
    law = propagate(table, fused(Tiles((8, 8), (4, 4), margin=1), field), field.sites)
    whole = propagate(table, field.denoiser(SCHEDULE), field.sites)
    assert float((law.diagonal() / whole.diagonal() - 1).abs().max()) < 0.01


def test_reflecting_borders_have_the_variance_of_the_mirrored_field():
    """A field mirrored at both ends: the tile sees the mirror image; where it is exact, so is the fused mean."""
    tiles = Tiles((16,), (8,), margin=3, border=reflecting)
    line = TorusField((96,), 1.0)
    inner = line.denoiser(SCHEDULE, (16,))
    x = Noise.range(0, 4).normal((1, 48), step=0, stream="x")
    mirrored = torch.cat([x, x.flip(2)], 2)
    t = torch.full((4, 1, 1), 0.5, dtype=torch.float64)
    found = tiled(inner, tiles)(x, t)
    whole = torch.as_tensor(line.denoiser(SCHEDULE)(mirrored, t))[..., :48]
    # three sites of margin at a length of one site leave exp(-3) of what lies beyond
    assert float((found - whole).abs().max()) < 0.05 * float(whole.abs().max())


def test_windows_of_a_run_see_the_noise_of_the_whole():
    """The loop on two overlapping windows with noise of the field: far from their ends the samples agree."""
    table = ancestral(SCHEDULE, log_snr_grid(SCHEDULE, 10))
    rule = TableRule(table)
    field = TorusField((64,), 0.5)
    inner = field.denoiser(SCHEDULE, (32,))
    process = GaussianProcess(Euclidean((1, 32)), SCHEDULE)
    noise = FieldNoise.of(4, 3, axes=1, period=(64,))
    parts = [run(inner, process, rule, rule.plan, noise=noise.window((first,)), shape=(1, 32)).x for first in (0, 16)]
    shared = parts[0][..., 24], parts[1][..., 8]
    scale = float(parts[0].std())
    # eight sites from both ends, at a length of half a site and ten steps: 0.3 % was measured
    assert float((shared[0] - shared[1]).abs().max()) < 1e-2 * scale
    other = run(inner, process, rule, rule.plan, noise=Noise.range(4, 3), shape=(1, 32)).x
    assert float((parts[0] - other).abs().max()) > 0.1 * scale
