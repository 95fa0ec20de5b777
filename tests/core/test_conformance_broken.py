"""Every check of processes and denoisers fails on an object that is broken in that way, and says what is broken."""

from __future__ import annotations

from dataclasses import dataclass, replace

import pytest
import torch
from torch import Tensor, nn

from scidiff.denoise import Denoiser
from scidiff.errors import ConfigError
from scidiff.process import GaussianProcess, Kind, ProductProcess, VPSchedule
from scidiff.spaces import Euclidean
from scidiff.testing import check_denoiser, check_process

from .conformance_cases import gaussian, gaussian_views, mixture, normal, product

VP = VPSchedule()


@dataclass(frozen=True)
class Sound(GaussianProcess):
    """A process that each case breaks in one way."""

    def still(self, x: Tensor) -> Tensor:
        return x


class NotAtZero(Sound):
    def noise(self, x0, t, noise, **names):
        return super().noise(x0, t, noise, **names) + 1e-6


class ByBatch(Sound):
    def noise(self, x0, t, noise, **names):
        x = super().noise(x0, t, noise, **names)
        return torch.where(torch.as_tensor(t) > 0, x + 0.1 * x.mean(0), x)


class Remembers(Sound):
    calls = [0]  # noqa: RUF012

    def prior(self, noise, shape, *, stream="prior"):
        self.calls[0] += 1
        return super().prior(noise, shape, stream=f"{stream}{self.calls[0]}")


class Seedless(Sound):
    def prior(self, noise, shape, *, stream="prior"):
        return super().prior(replace(noise, seed=0), shape, stream=stream)


class OneDraw(Sound):
    def prior(self, noise, shape, *, stream="prior"):
        return super().prior(noise, shape, stream=stream)[:1].expand(len(noise), *shape)


class WidePrior(Sound):
    def prior(self, noise, shape, *, stream="prior"):
        return 1.3 * super().prior(noise, shape, stream=stream)


class TooMuchNoise(Sound):
    def renoise(self, x_s, s, t, noise, *, step=0, stream="renoise"):
        x = super().renoise(x_s, s, t, noise, step=step, stream=stream)
        inner = (torch.as_tensor(s) > 0) & (torch.as_tensor(t) > torch.as_tensor(s))
        return torch.where(inner, x + 0.3 * noise.normal(x.shape[1:], step=step, stream="more").to(x), x)


class FromCleanOnly(Sound):
    def renoise(self, x_s, s, t, noise, *, step=0, stream="renoise"):
        if bool((torch.as_tensor(s) > 0).any()) and bool((torch.as_tensor(t) != torch.as_tensor(s)).any()):
            raise ConfigError("no law")
        return super().renoise(x_s, s, t, noise, step=step, stream=stream)


class OtherClean(Sound):
    def renoise(self, x_s, s, t, noise, *, step=0, stream="renoise"):
        x = super().renoise(x_s, s, t, noise, step=step, stream=stream)
        return torch.where(torch.as_tensor(s) == 0, 1.2 * x, x)


class NeverStill(Sound):
    def renoise(self, x_s, s, t, noise, *, step=0, stream="renoise"):
        return super().renoise(x_s, s, t, noise, step=step, stream=stream) + 1e-3 * torch.as_tensor(s)


class Backwards(Sound):
    def renoise(self, x_s, s, t, noise, *, step=0, stream="renoise"):
        s, t = torch.as_tensor(s), torch.as_tensor(t)
        return super().renoise(x_s, torch.minimum(s, t), t, noise, step=step, stream=stream)


class OneClock(Sound):
    def noise(self, x0, t, noise, **names):
        return super().noise(x0, torch.as_tensor(t, dtype=torch.float64).max(), noise, **names)


class RowClock(Sound):
    def noise(self, x0, t, noise, **names):
        t = torch.as_tensor(t, dtype=torch.float64)
        return super().noise(x0, t.flatten(1).amax(1) if t.ndim > 1 else t, noise, **names)


class Doubles(Sound):
    def noise(self, x0, t, noise, **names):
        return super().noise(x0, t, noise, **names).double()


class HalfPrecision(Sound):
    def noise(self, x0, t, noise, **names):
        x = super().noise(x0, t, noise, **names)
        return x.half().to(x.dtype) if x.dtype == torch.float32 else x


class Infinite(Sound):
    def prior(self, noise, shape, *, stream="prior"):
        return super().prior(noise, shape, stream=stream) / torch.arange(len(noise)).reshape(-1, 1, 1)


class Flattened(Sound):
    def prior(self, noise, shape, *, stream="prior"):
        return super().prior(noise, shape, stream=stream).flatten(1)


class Shrinks(Sound):
    def convert(self, prediction, kind, x_t, t, to=Kind.MEAN):
        return 0.5 * super().convert(prediction, kind, x_t, t, to)


class WrongEps(Sound):
    def convert(self, prediction, kind, x_t, t, to=Kind.MEAN):
        return super().convert(1.01 * prediction if kind is Kind.EPS else prediction, kind, x_t, t, to)


class TakesAll(Sound):
    def convert(self, prediction, kind, x_t, t, to=Kind.MEAN):
        return super().convert(prediction, Kind.MEAN if kind is Kind.LOGITS else kind, x_t, t, to)


class MeanLoss(Sound):
    def loss(self, m, x0, x_t, t):
        return super().loss(m, x0, x_t, t).mean()


class SharedLoss(Sound):
    def loss(self, m, x0, x_t, t):
        return super().loss(m, x0, x_t, t) + len(m)


class EndlessLoss(Sound):
    def loss(self, m, x0, x_t, t):
        return super().loss(m, x0, x_t, t) / 0.0


BROKEN_PROCESSES = {
    NotAtZero: "t = 0 is not the data",
    ByBatch: "part of the batch",
    Remembers: "two calls differ",
    Seedless: "does not depend on the seed",
    OneDraw: "same draw",
    WidePrior: "law of the prior",
    TooMuchNoise: "then from s to t",
    FromCleanOnly: "raise|no law",
    OtherClean: "renoise from t = 0",
    NeverStill: "to itself moves",
    Backwards: "s > t",
    OneClock: "clean sample beside",
    RowClock: "clean site beside",
    Doubles: "float32 data is torch.float64",
    HalfPrecision: "in float32 is not that in float64",
    Infinite: "not finite",
    Flattened: "the data",
    Shrinks: "not idempotent",
    WrongEps: "EPS does not give back",
    TakesAll: "LOGITS is not refused",
    MeanLoss: "one row per sample",
    SharedLoss: "loss of a part",
    EndlessLoss: "the loss has",
}


@pytest.mark.parametrize(("broken", "says"), BROKEN_PROCESSES.items(), ids=lambda each: getattr(each, "__name__", ""))
def test_a_broken_process_is_caught(broken, says):
    process = broken(Euclidean((3, 2)), VP)
    with pytest.raises((AssertionError, ConfigError), match=says):
        check_process(process, normal(3, 2), views=gaussian_views(process))


def test_a_process_is_not_said_to_be_less_than_it_is():
    case = gaussian(VP)
    with pytest.raises(AssertionError, match="set memoryless"):
        check_process(case.process, case.x0, views=case.views, memoryless=False)
    with pytest.raises(AssertionError, match="set per_site"):
        check_process(case.process, case.x0, views=case.views, per_site=False)
    with pytest.raises(AssertionError, match="EPS is not refused"):
        check_process(case.process, case.x0)
    with pytest.raises(AssertionError, match="at least 4"):
        check_process(case.process, case.x0[:3])


def test_factors_that_share_their_noise_are_caught():
    class Twins(ProductProcess):
        def prior(self, noise, shape, *, stream="prior"):
            return self._each("prior", noise, shape)

    case = product()
    with pytest.raises(AssertionError, match="draw the same noise"):
        check_process(Twins(case.process.factors), case.x0, views=case.views)


# ---- denoisers -------------------------------------------------------------------------------------------------------

EXACT = mixture(torch.tensor([0.1, 0.2, 0.05]))


def counted():
    calls = []

    def function(x, t, condition):
        calls.append(1)
        return EXACT(x, t) + 1e-6 * len(calls)

    return function


def buffered():
    buffer = torch.empty(0, dtype=torch.float64)

    def function(x, t, condition):
        return buffer.resize_(x.shape).copy_(EXACT(x, t))

    return function


def changed(x, t, condition):
    m = EXACT(x, t)
    x += 1.0
    return m


def random(x, t, condition):
    return EXACT(x, t) + 0 * torch.rand(1)


def at_clean(x, t, condition):
    return EXACT(x, t) / torch.where(torch.as_tensor(t) > 0, 1.0, 0.0)


BROKEN_DENOISERS = {
    "counts its calls": (counted(), Kind.MEAN, "after other calls"),
    "reuses its output": (buffered(), Kind.MEAN, "a later call changes|after other calls"),
    "changes its input": (changed, Kind.MEAN, "changes its input"),
    "draws by itself": (random, Kind.MEAN, "generator of torch"),
    "normalises the batch": (lambda x, t, c: EXACT(x, t) - x.mean(0), Kind.MEAN, "rows of a cut batch"),
    "numbers the rows": (lambda x, t, c: EXACT(x, t) * (1 + torch.arange(len(x))[:, None]), Kind.MEAN, "permuted"),
    "takes the largest time": (lambda x, t, c: EXACT(x, torch.as_tensor(t).max()), Kind.MEAN, "time of one sample"),
    "declares another kind": (lambda x, t, c: EXACT(x, t), Kind.LOGITS, "does not take"),
    "is not finite at the data": (at_clean, Kind.MEAN, "not finite"),
    "has another shape": (lambda x, t, c: EXACT(x, t)[:, :1], Kind.MEAN, "does not take"),
    "gives factors": (lambda x, t, c: {"a": x}, Kind.MEAN, "factors"),
    "reads the shape of the time": (lambda x, t, c: EXACT(x, t) + 1e-3 * t.ndim, Kind.MEAN, "one time for all"),
}


@pytest.mark.parametrize(("function", "kind", "says"), BROKEN_DENOISERS.values(), ids=BROKEN_DENOISERS)
def test_a_broken_denoiser_is_caught(function, kind, says):
    with pytest.raises(AssertionError, match=says):
        check_denoiser(Denoiser(function, kind), GaussianProcess(Euclidean((2,)), VP), normal(2))


def test_a_network_in_training_mode_is_caught():
    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.layer, self.drop = nn.Linear(2, 2), nn.Dropout(0.5)

        def forward(self, x, t, condition):
            return self.drop(self.layer(x.float())).to(x)

    net, process = Net(), GaussianProcess(Euclidean((2,)), VP)
    with pytest.raises(AssertionError, match="generator of torch"):
        check_denoiser(Denoiser(net, Kind.V), process, normal(2))
    net.eval()
    check_denoiser(Denoiser(net, Kind.V), process, normal(2))
