"""The U-Net of fields: zero at first, equivariant to shifts, any size, both paddings, bf16."""

from __future__ import annotations

import pytest
import torch

from scidiff.errors import ConfigError, ShapeError
from scidiff.nets.unet import UNet, UNetConfig, level_features

BASE = {"width": 8, "multipliers": (1, 2), "groups": 4, "embedding": 8}


def network(**changes) -> UNet:
    """Network with a head that is not zero, in float64."""
    made = UNet(UNetConfig(**{"channels": 2, "outputs": 3, "conditions": 1, **BASE, **changes})).double()
    generator = torch.Generator().manual_seed(5)
    with torch.no_grad():
        for p in made.parameters():
            p.add_(0.1 * torch.randn(p.shape, generator=generator, dtype=p.dtype))
    return made.requires_grad_(False)


def fields(rows: int, columns: int, batch: int = 2) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    x, c = (torch.randn(batch, k, rows, columns, generator=generator, dtype=torch.float64) for k in (2, 1))
    return x, torch.linspace(-2, 3, batch, dtype=torch.float64), c


def test_an_untrained_network_returns_zero():
    x, lam, c = fields(16, 16)
    made = UNet(UNetConfig(2, 3, 1, **BASE))
    assert torch.equal(made(x, lam, c), torch.zeros(2, 3, 16, 16))


@pytest.mark.parametrize("stem", [1, 2])
@pytest.mark.parametrize("blocks", [1, 2])
def test_shifts_by_the_factor_commute_to_round_off(stem, blocks):
    made = network(stem=stem, blocks=blocks)
    x, lam, c = fields(24, 32)
    by = made.config.factor, 3 * made.config.factor
    moved = made(torch.roll(x, by, (2, 3)), lam, torch.roll(c, by, (2, 3)))
    want = torch.roll(made(x, lam, c), by, (2, 3))
    # the same sums in another order: round-off of float64, a few hundred terms deep
    assert float((moved - want).abs().max()) <= 1e-11 * float(want.abs().max())


@pytest.mark.parametrize(("periodic", "rows", "columns"), [((True, False), True, False), ((False, True), False, True)])
def test_each_axis_has_its_own_padding(periodic, rows, columns):
    made = network(periodic=periodic)
    x, lam, c = fields(16, 16)
    want = made(x, lam, c)
    for axis, wraps in ((2, rows), (3, columns)):
        by = made.config.factor
        moved = made(torch.roll(x, by, axis), lam, torch.roll(c, by, axis))
        gap = float((moved - torch.roll(want, by, axis)).abs().max()) / float(want.abs().max())
        assert (gap < 1e-11) if wraps else (gap > 1e-3)


def test_a_periodic_field_of_two_periods_is_seen_as_one():
    made = network()
    x, lam, c = fields(16, 16)
    twice = made(x.tile(1, 1, 1, 2), lam, c.tile(1, 1, 1, 2))
    want = made(x, lam, c).tile(1, 1, 1, 2)
    # group norms take means over the field, which are those of one period
    assert float((twice - want).abs().max()) <= 1e-11 * float(want.abs().max())


def test_level_condition_and_state_are_all_used():
    made = network()
    x, lam, c = fields(16, 16)
    want = made(x, lam, c)
    for other in (made(x + 1, lam, c), made(x, lam + 1, c), made(x, lam, c + 1)):
        assert float((other - want).abs().max()) > 1e-4


def test_two_levels_are_told_apart_and_infinite_ones_are_bounds():
    made = network(levels=2)
    x, lam, c = fields(16, 16)
    pair = torch.stack([lam, lam + 1], 1)
    assert float((made(x, pair, c) - made(x, pair.flip(1), c)).abs().max()) > 1e-4
    ends = torch.tensor([[float("inf"), float("-inf")]] * 2)
    assert torch.equal(made(x, ends, c), made(x, torch.tensor([[12.0, -12.0]] * 2), c))


def test_level_features_are_bounded_and_differ():
    features = level_features(torch.linspace(-12, 12, 50).unsqueeze(1), 16)
    assert features.shape == (50, 16) and float(features.abs().max()) <= 1
    assert float(torch.cdist(features, features).fill_diagonal_(9).min()) > 1e-2


@pytest.mark.parametrize("channels_last", [False, True], ids=["contiguous", "channels-last"])
def test_autocast_to_bf16_agrees_to_its_precision(channels_last):
    made = network().float()
    if channels_last:
        made = made.to(memory_format=torch.channels_last)
    x, lam, c = (part.float() for part in fields(16, 16))
    want = made(x, lam, c)
    with torch.autocast("cpu", torch.bfloat16):
        got = made(x, lam, c).float()
    # 2^-9 relative round-off at each of some ten roundings, which add in squares
    assert float((got - want).norm() / want.norm()) < 10**0.5 * 2**-8


def test_gradients_reach_every_parameter():
    made = network().requires_grad_(True)
    made(*fields(16, 16)).square().sum().backward()
    assert all(p.grad is not None and float(p.grad.abs().max()) > 0 for p in made.parameters())


def test_the_configuration_survives_json():
    config = UNetConfig(2, 3, 1, **BASE, periodic=(True, False))
    assert UNetConfig.from_json(config.to_json()) == config


@pytest.mark.parametrize(
    "changes",
    [{"width": 6}, {"multipliers": ()}, {"embedding": 5}, {"blocks": 0}],
    ids=["width", "none", "odd", "zero"],
)
def test_sizes_that_do_not_fit_are_refused(changes):
    with pytest.raises(ConfigError, match="expected"):
        UNetConfig(2, 2, 0, **{**BASE, **changes})


def test_fields_that_do_not_fit_are_refused():
    made = network()
    x, lam, c = fields(16, 16)
    with pytest.raises(ShapeError, match="divisible by 2"):
        made(x[..., :15], lam, c[..., :15])
    with pytest.raises(ShapeError, match="condition"):
        made(x, lam)
    with pytest.raises(ShapeError, match="lam"):
        made(x, lam[:1], c)
