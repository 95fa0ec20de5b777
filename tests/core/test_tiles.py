"""Tiles: windows that sum to 1, exact fusion of local denoisers, and the noise of windows of a field."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from scidiff.denoise import Denoiser
from scidiff.denoise.tiles import (
    Tiles,
    per_sample,
    per_site,
    periodic,
    reflecting,
    take,
    tiled,
    variance_corrected_fusion,
)
from scidiff.errors import ConfigError, ShapeError
from scidiff.field_noise import FieldNoise
from scidiff.process import Kind
from scidiff.random import Noise

BORDERS = pytest.mark.parametrize("border", [periodic, reflecting], ids=["periodic", "reflecting"])
SHAPES = pytest.mark.parametrize(
    ("size", "overlap", "sites"),
    [((8,), (4,), (21,)), ((8, 6), (4, 3), (8, 17)), ((6, 6, 4), (3, 3, 2), (7, 12, 9))],
    ids=["line", "plane", "space"],
)


@BORDERS
@SHAPES
@pytest.mark.parametrize("margin", [0, 1])
def test_windows_sum_to_one(border, size, overlap, sites, margin):
    size, overlap, sites = (tuple(2 * each for each in axes) for axes in (size, overlap, sites))
    tiles = Tiles(size, overlap, margin, border)
    ones = [torch.ones(1, 1, *size, dtype=torch.float64) for _ in tiles.of(sites)[0]]
    assert torch.allclose(tiles.fuse(ones, sites), torch.ones(1, 1, *sites, dtype=torch.float64), atol=1e-14)
    assert all(bool((w >= 0).all()) for tile in tiles.of(sites)[1] for w in tile)


@BORDERS
@SHAPES
def test_tiles_of_a_field_fuse_to_the_field(border, size, overlap, sites):
    tiles = Tiles(size, overlap, 0, border)
    x = Noise.range(0, 2).normal((3, *sites), step=0, stream="x")
    parts = [take(x, index) for index in tiles.of(sites)[0]]
    assert torch.allclose(tiles.fuse(parts, sites), x, atol=1e-14)


def stencil(border, radius: int):
    """A nonlinear local denoiser: it sees `radius` sites on each side, beyond the border of its input as told."""

    def function(x, t, condition):
        out = x
        for axis in range(2, x.ndim):
            n = x.shape[axis]
            site = torch.arange(n)
            out = sum(
                out.index_select(axis, border(site + k, n)) * (k + 2) for k in range(-radius, radius + 1)
            ) * torch.tanh(out)
        extra = 0.0 if condition is None else condition.reshape(*condition.shape, *(1,) * (x.ndim - condition.ndim))
        return out * (1 + t) + extra

    return Denoiser(function, Kind.MEAN)


@BORDERS
@SHAPES
@pytest.mark.parametrize("together", [1, 3, 100])
def test_a_local_denoiser_is_the_same_in_tiles(border, size, overlap, sites, together, dtype):
    """With a margin of the radius the tiles give what the whole field gives, to round-off of a sum of weights."""
    size, overlap = tuple(2 * s for s in size), tuple(2 * v for v in overlap)
    sites = tuple(2 * s for s in sites)
    x = Noise.range(0, 2).normal((2, *sites), step=0, stream="x").to(dtype)
    t = torch.tensor([0.2, 0.7], dtype=torch.float64).to(dtype)
    inner = stencil(border, 1)
    wide = tiled(inner, Tiles(size, overlap, 1, border), together=together)
    whole = inner(x, t.reshape(-1, *(1,) * (x.ndim - 1)), None)
    found = wide(x, t)
    assert found.dtype == dtype and wide.kind is Kind.MEAN
    scale = float(whole.abs().max())
    assert float((found - whole).abs().max()) < 32 * torch.finfo(dtype).eps * scale
    without = tiled(inner, Tiles(size, overlap, 0, border), together=together)(x, t)
    if len(sites) > 1 or border is periodic:
        assert float((without - whole).abs().max()) > 1e-3 * scale


def test_time_of_every_site_and_conditions_are_cut():
    tiles, sites = Tiles((8, 8), (4, 4), 1), (16, 12)
    x = Noise.range(0, 2).normal((1, *sites), step=0, stream="x")
    t = Noise.range(0, 2).uniform((1, *sites), step=0, stream="t")
    product = Denoiser(lambda x, t, c: x * t if c is None else x * t + c, Kind.EPS)
    assert torch.allclose(tiled(product, tiles, together=3)(x, t), x * t, atol=1e-14)
    field = tiled(product, tiles, together=3, crop=per_site)(x, t, 2 * x)
    assert torch.allclose(field, x * t + 2 * x, atol=1e-14)
    label = torch.tensor([1.0, 5.0], dtype=torch.float64).reshape(2, 1, 1, 1)
    assert torch.allclose(tiled(product, tiles, crop=per_sample)(x, t, label), x * t + label, atol=1e-14)
    assert torch.allclose(tiled(product, tiles)(x, 0.5), x * 0.5, atol=1e-14)
    with pytest.raises(ConfigError, match="per_sample"):
        tiled(product, tiles)(x, t, label)


def test_the_batch_is_bounded():
    sizes = []

    def function(x, t, condition):
        sizes.append(len(x))
        return x

    tiles = Tiles((8, 8), (4, 4))
    tiled(Denoiser(function, Kind.MEAN), tiles, together=3)(torch.zeros(2, 1, 16, 16), 0.5)
    assert sizes == [6] * 5 + [2]


def test_reflection_and_period():
    assert reflecting(torch.arange(-3, 7), 4).tolist() == [2, 1, 0, 0, 1, 2, 3, 3, 2, 1]
    assert periodic(torch.arange(-2, 6), 4).tolist() == [2, 3, 0, 1, 2, 3, 0, 1]


def test_corrected_noise_has_unit_variance_and_naive_noise_has_not():
    """Exact, by the squared weights: naive averaging of independent tile noise leaves sum w^2, 1/4 where four meet."""
    tiles, sites = Tiles((8, 8), (4, 4)), (16, 16)
    index, _ = tiles.of(sites)
    zero = [torch.zeros(1, 1, 8, 8, dtype=torch.float64) for _ in index]
    corrected, naive = torch.zeros(2, 1, 1, *sites, dtype=torch.float64)
    for k in range(len(index)):
        # one tile at a time has unit noise: variances of independent tiles add
        one = [torch.ones_like(each) if j == k else each for j, each in enumerate(zero)]
        corrected += _response(tiles, zero, one, index, sites) ** 2
        naive += tiles.fuse(one, sites) ** 2
    assert torch.allclose(corrected, torch.ones_like(corrected), atol=1e-13)
    assert torch.allclose(naive, tiles.fuse([torch.ones_like(z) for z in zero], sites, power=2), atol=1e-13)
    assert float(naive.min()) < 0.3 and float(naive.max()) <= 1 + 1e-13
    mean = [take(torch.arange(256.0, dtype=torch.float64).reshape(1, 1, *sites), each) for each in index]
    fused = variance_corrected_fusion(tiles, mean, zero, sites)
    assert torch.allclose(fused.reshape(-1), torch.arange(256.0, dtype=torch.float64), atol=1e-12)


def _response(tiles, zero, one, index, sites):
    return variance_corrected_fusion(tiles, zero, one, sites)


@pytest.mark.parametrize("bad", [((8,), (5,), 0), ((8,), (4,), 2), ((8, 8), (4,), 0), ((), (), 0), ((8,), (0,), 0)])
def test_impossible_tiles_are_refused(bad):
    with pytest.raises(ConfigError, match="overlap"):
        Tiles(*bad)


def test_wrong_fields_are_refused():
    same = Denoiser(lambda x, t, c: x, Kind.MEAN)
    with pytest.raises(ShapeError, match="smaller tiles"):
        tiled(same, Tiles((8, 8), (4, 4)))(torch.zeros(1, 1, 4, 16), 0.5)
    with pytest.raises(ShapeError, match="sites"):
        tiled(same, Tiles((8, 8), (4, 4)))(torch.zeros(1, 16, 16), 0.5)
    with pytest.raises(ShapeError, match="prediction"):
        tiled(Denoiser(lambda x, t, c: x[:, :1], Kind.MEAN), Tiles((8,), (4,)))(torch.zeros(1, 2, 16), 0.5)
    with pytest.raises(ConfigError, match="one kind"):
        tiled(Denoiser(lambda x, t, c: x, {"a": Kind.MEAN}), Tiles((8,), (4,)))


# ---- noise of windows ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("axes", [1, 2, 3])
def test_windows_agree_with_the_whole_bit_for_bit(axes):
    noise = FieldNoise.of(3, 2, axes=axes)
    edge = noise.block
    sites = (2 * edge + 5, edge + 3, edge + 2)[:axes]
    whole = noise.normal((2, *sites), step=4, stream="table")
    for start, size in (((0, 0, 0), (3, 4, 5)), ((edge - 2, edge - 1, 1), (7, 4, 6)), ((5, 2, edge), (edge + 9, 5, 2))):
        part = noise.window(start[:axes]).normal((2, *size[:axes]), step=4, stream="table")
        cut = tuple(slice(a, a + n) for a, n in zip(start[:axes], size[:axes], strict=True))
        assert torch.equal(part, whole[(slice(None), slice(None), *cut)])
    assert torch.equal(noise.normal((1, *sites), step=4, stream="table"), whole[:, :1])
    assert torch.equal(noise.take([1]).normal((2, *sites), step=4, stream="table"), whole[1:])
    for other in (noise.normal((2, *sites), step=5, stream="table"), noise.normal((2, *sites), step=4, stream="x")):
        assert not bool((other == whole).any())


def test_windows_lie_across_the_seam_of_a_torus_and_far_out():
    noise = FieldNoise.of(0, 1, period=(100, 70))
    whole = noise.normal((100, 70), step=0, stream="x")
    part = noise.window((95, -3)).normal((10, 8), step=0, stream="x")
    assert torch.equal(part, whole.roll((5, 3), (1, 2))[:, :10, :8])
    twice = noise.window((0, 0)).normal((100, 140), step=0, stream="x")
    assert torch.equal(twice, torch.cat([whole, whole], 2))
    open_field = FieldNoise.of(0, 1)
    far = open_field.window((-(10**9), 10**12)).normal((4, 4), step=0, stream="x")
    near = open_field.window((-(10**9) + 1, 10**12 + 2)).normal((3, 2), step=0, stream="x")
    assert torch.equal(far[:, 1:, 2:], near)


def test_noise_of_a_field_is_white():
    """Mean, variance, fourth moment and neighbour products of 256^2 draws across 16 blocks: five standard errors."""
    x = FieldNoise.of(1, 1).normal((256, 256), step=0, stream="x")[0].numpy()
    n = x.size**0.5
    assert abs(x.mean()) < 5 / n and abs((x**2).mean() - 1) < 5 * 2**0.5 / n
    assert abs((x**4).mean() - 3) < 5 * 96**0.5 / n
    for axis in (0, 1):
        for lag in (1, 64):
            assert abs((x * np.roll(x, lag, axis)).mean()) < 5 / n


def test_draws_without_sites_are_plain():
    noise = FieldNoise.of(5, 3)
    assert torch.equal(noise.normal((), step=1, stream="x"), Noise.range(5, 3).normal((), step=1, stream="x"))
    with pytest.raises(ConfigError, match="one to three axes"):
        FieldNoise.of(0, 1, axes=2, period=(5,))
