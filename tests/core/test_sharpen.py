"""Temperature and nucleus against hand-made laws."""

from __future__ import annotations

import pytest
import torch

from scidiff.errors import ConfigError
from scidiff.random import Noise
from scidiff.sample.discrete.sharpen import Nucleus, Temperature
from scidiff.sample.state import RunState

M = torch.tensor([[0.5, 0.3, 0.15, 0.05]], dtype=torch.float64).log()
STATE = RunState(M, M, M, Noise.range(0, 1))


def test_temperature_raises_to_a_power() -> None:
    """F^(1/tau), normalised; tau = 1 is the identity and small tau the mode."""
    squared = M.exp() ** 2 / (M.exp() ** 2).sum()
    assert torch.allclose(Temperature(0.5)(M, STATE, None)[0].exp(), squared, atol=1e-15)
    assert torch.allclose(Temperature(1.0)(M, STATE, None)[0], M, atol=1e-15)
    assert float(Temperature(1e-3)(M, STATE, None)[0].exp()[0, 0]) == pytest.approx(1.0)


def test_a_class_without_probability_stays_without() -> None:
    """-inf passes through both."""
    m = torch.tensor([[0.0, -torch.inf]], dtype=torch.float64)
    for transform in (Temperature(0.5), Nucleus(0.9)):
        assert transform(m, STATE, None)[0].exp().tolist() == [[1.0, 0.0]]


@pytest.mark.parametrize(("p", "kept"), [(0.4, 1), (0.5, 1), (0.6, 2), (0.8, 2), (0.81, 3), (1.0, 4)])
def test_nucleus_keeps_the_smallest_set_with_enough_mass(p: float, kept: int) -> None:
    """The sums of the law are 0.5, 0.8, 0.95, 1; a boundary within round-off may fall either way, hence exact steps."""
    probs = Nucleus(p - 1e-12 if p < 1 else p)(M, STATE, None)[0].exp()
    expected = torch.where(torch.arange(4) < kept, M.exp(), 0.0)
    assert torch.allclose(probs, expected / expected.sum(), atol=1e-15)


def test_factors_are_chosen_by_name() -> None:
    """Only the named factor changes."""
    m = {"atoms": M, "bonds": M}
    out = Temperature({"atoms": 0.5})(m, STATE, None)[0]
    assert torch.equal(out["bonds"], M)
    assert not torch.equal(out["atoms"], M)


@pytest.mark.parametrize(
    "make",
    [
        lambda: Temperature(0.0),
        lambda: Temperature(float("inf")),
        lambda: Temperature(float("nan")),
        lambda: Nucleus(1.5),
        lambda: Nucleus({"atoms": 0.0}),
    ],
)
def test_bad_settings(make) -> None:
    """Out of range."""
    with pytest.raises(ConfigError):
        make()


def test_unknown_factors() -> None:
    """A name that the state does not have."""
    with pytest.raises(ConfigError, match="bond"):
        Temperature({"bond": 0.5})({"bonds": M}, STATE, None)
