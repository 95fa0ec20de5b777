"""Claims of tiles and of multiresolution on Gaussian fields, by exact propagation of their law."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

from scidiff.bench.core.check import Claim
from scidiff.denoise.tiles import Tiles, tiled, variance_corrected_fusion
from scidiff.field_noise import FieldNoise
from scidiff.process import GaussianProcess, VPSchedule
from scidiff.random import Noise
from scidiff.sample import RunState, TableRule, ancestral, dpmpp_3m, log_snr_grid, run
from scidiff.spaces import Euclidean
from scidiff.testing_targets.fields import TorusField, fourier_w2, propagate

__all__ = ["claims"]

_SCHEDULE = VPSchedule()
_LINE = TorusField((64,), 1.5)
_PLANE = TorusField((64, 64), 4.0, 2.0)
_TILES = Tiles((32,), (16,), margin=4)
_STEPS = 40


def claims() -> Iterator[Claim]:
    """Yield the claims of tiles and of multiresolution."""
    yield from _tiles()
    yield from _noise()
    yield from _multiresolution()


def _tiles() -> Iterator[Claim]:
    yield Claim(
        "tiles/worst variance of a site, DPM-Solver++ 3M",
        "exact",
        lambda _seed: _data_variance(),
        truth=1,
        tolerance=0.01,
        why="variance of the data at every site; the solver errs by 0.1 %, the rest is what tiles do not see",
        calls=_STEPS,
    )
    yield Claim(
        "tiles/worst variance against the whole field, plane, ancestral",
        "exact",
        lambda _seed: _plane_variance(),
        truth=1,
        tolerance=0.01,
        why="16^2 sites in tiles of 8^2 with a margin of one correlation length; exact propagation of both laws",
        calls=8,
        full=True,
    )
    yield Claim(
        "tiles/variance lost by averaging independent noise",
        "biased",
        lambda _seed: _lost(),
        least=0.3,
        why="sum w^2 = 1/2 in the middle of an overlap; a bias that is stated has to be there",
        calls=20,
    )


def _noise() -> Iterator[Claim]:
    yield Claim(
        "tiles/covariance of variance-corrected noise",
        "exact",
        lambda _seed: _corrected(),
        truth=0,
        tolerance=1e-13,
        why="largest deviation from the identity, by unit noise at every site of every tile; round-off",
    )
    yield Claim(
        "tiles/noise of overlapping windows",
        "exact",
        _windows,
        truth=0,
        tolerance=0,
        why="largest difference between a window and the whole: the same draws, bit for bit",
    )


def _multiresolution() -> Iterator[Claim]:
    why = "W2 over the size of the field, from the transfer function of every Fourier mode; 8^2 to 64^2 sites, "
    yield Claim(
        "multiresolution/W2, threshold 1, matched bands",
        "exact",
        lambda _seed: _w2(1.0, matched=True)[0],
        truth=0,
        tolerance=0.009,
        why=why + "three restarts of the solver of 0.3 % each",
        calls=_STEPS,
    )
    yield Claim(
        "multiresolution/W2, threshold 1",
        "biased",
        lambda _seed: _w2(1.0)[0],
        least=0.02,
        why=why + "bands enter without the signal that the noise hides",
        calls=_STEPS,
    )
    yield Claim(
        "multiresolution/sites denoised, over those of the fine grid",
        "exact",
        lambda _seed: _w2(1.0)[1],
        truth=_share_of_sites(),
        tolerance=1e-12,
        why="a grid of n sites serves while lam at the end of a step is below -1/2 log S(n / 2); counted on the grid",
        calls=_STEPS,
    )


def _fused(tiles: Tiles, field: TorusField):
    return tiled(field.denoiser(_SCHEDULE, tiles.size), tiles, together=64)


def _farthest(ratio: Tensor) -> float:
    """Entry that is farthest from one."""
    return float(ratio[(ratio - 1).abs().argmax()])


def _data_variance() -> float:
    rule = TableRule(dpmpp_3m(_SCHEDULE, log_snr_grid(_SCHEDULE, _STEPS)))
    eye = torch.eye(64, dtype=torch.float64)[:, None]
    start = RunState.at(float(_SCHEDULE.sigma(1.0)) * eye, 1.0, Noise.range(0, 64))
    process = GaussianProcess(Euclidean((1, 64)), _SCHEDULE)
    response = torch.as_tensor(run(_fused(_TILES, _LINE), process, rule, rule.plan, state=start).x)[:, 0]
    return _farthest((response.T @ response).diagonal())


def _plane_variance() -> float:
    field, tiles = TorusField((16, 16), 0.7), Tiles((8, 8), (4, 4), margin=1)
    table = ancestral(_SCHEDULE, log_snr_grid(_SCHEDULE, 8))
    whole = propagate(table, field.denoiser(_SCHEDULE), field.sites).diagonal()
    return _farthest(propagate(table, _fused(tiles, field), field.sites).diagonal() / whole)


def _lost() -> float:
    table = ancestral(_SCHEDULE, log_snr_grid(_SCHEDULE, 20))
    ones = [torch.ones(1, 1, 32, dtype=torch.float64)] * len(_TILES.of(_LINE.sites)[0])
    left = _TILES.fuse(ones, _LINE.sites, power=2)
    whole = propagate(table, _LINE.denoiser(_SCHEDULE), _LINE.sites).diagonal()
    return float(1 - (propagate(table, _fused(_TILES, _LINE), _LINE.sites, left).diagonal() / whole).min())


def _corrected() -> float:
    count = len(_TILES.of(_LINE.sites)[0])
    units = list(torch.eye(32 * count, dtype=torch.float64).reshape(32 * count, count, 1, 32).unbind(1))
    noise = variance_corrected_fusion(_TILES, [torch.zeros_like(each) for each in units], units, _LINE.sites)[:, 0]
    return float((noise.T @ noise - torch.eye(64, dtype=torch.float64)).abs().max())


def _windows(seed: int) -> float:
    noise = FieldNoise.of(seed, 2, period=(100, 130))
    whole = noise.normal((3, 100, 130), step=1, stream="table")
    part = noise.window((60, 90)).normal((3, 30, 40), step=1, stream="table")
    return float((part - whole[:, :, 60:90, 90:130]).abs().max())


def _share_of_sites() -> float:
    """Cost by the half log signal-to-noise ratio at which the Nyquist band of every grid rises above the noise."""
    lam = _SCHEDULE.lam(log_snr_grid(_SCHEDULE, _STEPS)[1:])
    rises = {n: -0.5 * _PLANE.at(torch.tensor(n / 2.0)).log() for n in (8, 16, 32)}
    sites = [min([n for n, limit in rises.items() if each < limit], default=64) ** 2 for each in lam]
    return sum(sites) / (_STEPS * 64**2)


def _w2(threshold: float, matched: bool = False) -> tuple[float, float]:
    sizes = [(n, n) for n in (8, 16, 32, 64)]
    grid = log_snr_grid(_SCHEDULE, _STEPS)
    return fourier_w2(_PLANE, _SCHEDULE, grid, dpmpp_3m, sizes, threshold=threshold, matched=matched)
