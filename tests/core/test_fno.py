"""The Fourier neural operator: one operator on all grids, shifts, the kept modes, the aliasing probe."""

from __future__ import annotations

import pytest
import torch

from scidiff.errors import ConfigError, ShapeError
from scidiff.nets.field_cost import field_cost
from scidiff.nets.fno import FNO, FNOConfig, resampled
from scidiff.nets.unet import UNet, UNetConfig

BASE = {"channels": 2, "outputs": 2, "conditions": 1, "width": 6, "modes": 5, "layers": 2, "embedding": 8}


def network(**changes) -> FNO:
    """Network with a head that is not zero, in float64."""
    made = FNO(FNOConfig(**{**BASE, **changes}), seed=1).double()
    generator = torch.Generator().manual_seed(5)
    with torch.no_grad():
        for p in made.head.parameters():
            p.normal_(generator=generator)
    return made.requires_grad_(False)


def smooth(size: int, channels: int, seed: int, modes: int = 4) -> torch.Tensor:
    """The same trigonometric polynomials of |k| < modes on every grid."""
    generator = torch.Generator().manual_seed(seed)
    coarse = torch.randn(2, channels, 2 * modes, 2 * modes, generator=generator, dtype=torch.float64)
    return resampled(coarse, size, size)


def at(made: FNO, size: int) -> torch.Tensor:
    """Output on a grid for the same fields."""
    lam = torch.tensor([-1.0, 1.5], dtype=torch.float64)
    return made(smooth(size, 2, 0), lam, smooth(size, 1, 1))


def gap(coarse: torch.Tensor, fine: torch.Tensor) -> float:
    """Relative distance on the points that the two grids share."""
    step = fine.shape[-1] // coarse.shape[-1]
    shared = fine[..., ::step, ::step]
    return float((coarse - shared).norm() / shared.norm())


def test_resampling_is_exact_for_polynomials_and_inverts():
    x = torch.arange(48, dtype=torch.float64) * (2 * torch.pi / 48)
    field = torch.cos(3 * x)[:, None] * torch.sin(5 * x)[None, :]
    y = torch.arange(16, dtype=torch.float64) * (2 * torch.pi / 16)
    want = torch.cos(3 * y)[:, None] * torch.sin(5 * y)[None, :]
    # round-off of two transforms
    assert float((resampled(field, 16, 16) - want).abs().max()) < 1e-13
    assert float((resampled(resampled(field, 16, 16), 48, 48) - field).abs().max()) < 1e-13


def test_resampling_drops_the_nyquist_modes():
    x = torch.arange(32, dtype=torch.float64) * (2 * torch.pi / 32)
    high = torch.cos(8 * x)[:, None].expand(32, 32)
    assert float(resampled(high, 16, 16).abs().max()) < 1e-13


def test_an_untrained_network_returns_zero():
    made = FNO(FNOConfig(**BASE)).double()
    assert float(at(made, 16).detach().abs().max()) == 0


@pytest.mark.parametrize("dealias", [False, True], ids=["plain", "dealiased"])
def test_every_shift_commutes_to_round_off(dealias):
    made = network(dealias=dealias)
    x, lam, c = smooth(16, 2, 0), torch.zeros(2), smooth(16, 1, 1)
    by = 3, 7
    moved = made(torch.roll(x, by, (2, 3)), lam, torch.roll(c, by, (2, 3)))
    want = torch.roll(made(x, lam, c), by, (2, 3))
    # odd shifts too: phases of the transforms differ by round-off alone
    assert float((moved - want).abs().max()) <= 1e-12 * float(want.abs().max())


def test_the_same_field_gives_the_same_output_on_finer_grids():
    made = network()
    coarse, middle, fine = at(made, 32), at(made, 64), at(made, 128)
    first, second = gap(coarse, middle), gap(middle, fine)
    # central differences are of second order, the rest is exact or spectral: a quarter, within the next order
    assert second < 0.3 * first
    assert second < 0.02


def test_a_forgotten_mesh_width_would_be_seen():
    made, forgetful = network(), network()
    for layer in forgetful.layers:
        layer.reference *= 2
    right, wrong = gap(at(made, 32), at(made, 64)), gap(at(made, 32), at(forgetful, 64))
    assert wrong > 5 * right


def test_dealiasing_keeps_the_low_modes_from_the_grid():
    """Without derivatives what differs between grids is the aliasing of the activations alone."""
    errors = {}
    for dealias in (False, True):
        made = network(dealias=dealias)
        for layer in made.layers:
            layer.local.weight[:, 6:] = 0
        coarse, fine = (resampled(at(made, size), 10, 10) for size in (16, 64))
        errors[dealias] = float((coarse - fine).norm() / fine.norm())
    assert errors[True] < 0.5 * errors[False]


def test_the_modal_part_is_blind_beyond_its_modes():
    """Aliasing probe: mode N/2 + 3 of a grid of N points folds to N/2 - 3, which is not kept."""
    layer, size = network().layers[0], 16
    x = torch.arange(size, dtype=torch.float64) * (2 * torch.pi / size)
    probe = torch.cos((size // 2 + 3) * x)[None, None, :, None].expand(1, 6, size, size)
    kept = torch.cos(4 * x)[None, None, :, None].expand(1, 6, size, size)
    assert float(layer._spectral(probe).abs().max()) < 1e-14
    assert float(layer._spectral(kept).abs().max()) > 1e-2


def test_bf16_and_gradients():
    made = network().float().requires_grad_(True)
    x, lam, c = smooth(16, 2, 0).float(), torch.zeros(2), smooth(16, 1, 1).float()
    want = made(x, lam, c)
    with torch.autocast("cpu", torch.bfloat16):
        got = made(x, lam, c).float()
    # 2^-9 relative round-off at each of some ten roundings
    assert float((got - want).norm() / want.norm()) < 10**0.5 * 2**-8
    want.square().sum().backward()
    assert all(p.grad is not None and float(p.grad.abs().max()) > 0 for p in made.parameters())


def test_bad_input_is_refused():
    made = network()
    with pytest.raises(ShapeError, match="Nyquist"):
        at(made, 8)
    with pytest.raises(ShapeError, match="condition"):
        made(smooth(16, 2, 0), torch.zeros(2))
    with pytest.raises(ConfigError, match="expected"):
        FNOConfig(**{**BASE, "modes": 0})
    assert FNOConfig.from_json(made.config.to_json()) == made.config


def test_the_cost_table_has_a_row_for_each_grid():
    for made in (network(), UNet(UNetConfig(2, 2, 1, width=8, multipliers=(1, 2), groups=4, embedding=8))):
        rows = field_cost(made.requires_grad_(True), (16, 32), batch=2, repeats=1)
        assert [row.size for row in rows] == [16, 32]
        assert all(0 < row.forward < row.both for row in rows)
        assert rows[0].parameters == sum(p.numel() for p in made.parameters())
