"""Checks of a process: the contract of `scidiff.process.Process`, by its own draws.

What holds for every draw (``x_0`` at ``t = 0``, one time or equal times per site, batch splits) is checked to
round-off; laws (``x_t`` given ``x_s`` given ``x_0``) by the means of bounded functions of pairs ``(x_0, x_t)``, with a
bound that a right process exceeds with probability 1e-6.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor

from scidiff.process.base import Kind, Process, ProductProcess
from scidiff.random import Noise
from scidiff.spaces import State
from scidiff.testing.require import require
from scidiff.testing.states import close, finite, parts, refused, same_law, take

__all__ = ["View", "check_process"]

View = Callable[[Tensor, Tensor, Tensor], Tensor]
_S, _T = 0.3, 0.7
_ROUNDS = 1024


def check_process(
    process: Process | ProductProcess,
    x0: State,
    *,
    views: Mapping[Kind, View] | Mapping[str, Mapping[Kind, View]] | None = None,
    memoryless: bool = True,
    per_site: bool = True,
    prior_gap: float = 0.05,
    prediction: Callable[[Tensor, float], Tensor] | None = None,
    seed: int = 0,
    count: int = 4000,
) -> None:
    """Check that a process keeps the contract of `scidiff.process.Process`; a product is checked factor by factor.

    Checked are: that noise is a function of seed, sample and stream, the same in every batch; that ``t = 0`` is the
    data and ``s = t`` stays; that a time may be one number, one per sample or one per site, and a clean site stays
    clean beside noisy ones; that ``x_t`` given ``x_s`` given ``x_0`` has the law of ``x_t`` given ``x_0``, and ``x_1``
    that of the prior; that float32 data give float32 states near those of float64; that conversions of kinds invert
    what they are said to invert, are idempotent, and refuse all other kinds; and that the loss is finite, per sample.

    Parameters
    ----------
    process
        The process.
    x0
        At least four data, float64 or int64, shape ``(batch, *event)``, or one such tensor per factor.
    views
        For each further kind that `convert` takes, the function ``(m, x_t, t)`` that gives the prediction of that kind
        which says the same as ``m``, ``t`` being one float64 number; for a product one such mapping per factor. Any
        other kind has to be refused.
    memoryless
        Whether `renoise` draws from any ``s <= t``; if not, only from clean sites, and other times have to be refused.
    per_site
        Whether sites of one sample may have different times; if not, such times have to be refused.
    prior_gap
        Difference in the mean of a function bounded by 1 that the signal left at ``t = 1`` may make.
    prediction
        Makes a prediction ``m`` of the kind of the process at ``(x_t, t)``; by default ``process.target`` where there
        is one, and random log-probabilities on a finite set.
    seed
        Seed of all draws.
    count
        Draws of each law.

    Raises
    ------
    AssertionError
        If a law does not hold.
    """
    common = {"memoryless": memoryless, "per_site": per_site, "prior_gap": prior_gap, "seed": seed, "count": count}
    if isinstance(process, ProductProcess):
        for name, factor in process.factors.items():
            check_process(factor, x0[name], views=(views or {}).get(name, {}), prediction=prediction, **common)
        _check_product(process, x0, seed)
        return
    _check_factor(process, x0, views or {}, prediction, **common)


def _check_factor(
    process: Process,
    x0: Tensor,
    views: Mapping[Kind, View],
    prediction: Callable[[Tensor, float], Tensor] | None,
    *,
    memoryless: bool,
    per_site: bool,
    prior_gap: float,
    seed: int,
    count: int,
) -> None:
    require(len(x0) >= 4, f"{len(x0)} data came; the check needs at least 4")
    x0 = x0.double() if x0.is_floating_point() else x0
    slack = _ROUNDS * torch.finfo(torch.float64).eps
    _check_draws(process, x0, seed, slack)
    _check_ends(process, x0, seed, slack)
    _check_times(process, x0, seed, slack, per_site)
    if x0.is_floating_point():
        _check_precision(process, x0, seed)
    _check_kinds(process, x0, seed, slack, views, prediction)
    _check_laws(process, x0, seed, count, memoryless, prior_gap)


def _draws(process: Process, x0: Tensor, noise: Noise) -> dict[str, Tensor]:
    """One draw of each law."""
    return {
        "prior": process.prior(noise, tuple(x0.shape[1:])),
        "noise": process.noise(x0, _T, noise),
        "renoise": process.renoise(x0, 0.0, _T, noise),
    }


def _check_draws(process: Process, x0: Tensor, seed: int, slack: float) -> None:
    rows, noise = torch.arange(len(x0)), Noise.range(seed, len(x0))
    whole, again = (_draws(process, x0, noise) for _ in range(2))
    other = _draws(process, x0, Noise.range(seed + 1, len(x0)))
    for name, drawn in whole.items():
        require(drawn.shape == x0.shape, f"{name} has shape {tuple(drawn.shape)}, the data {tuple(x0.shape)}")
        process.space.check(drawn, name)
        finite(drawn, name)
        require(torch.equal(drawn, again[name]), f"{name} is not a function of its noise: two calls differ")
        still, alike = torch.equal(drawn, other[name]), torch.equal(drawn, drawn[:1].expand_as(drawn))
        if name == "prior":
            require(still or not alike, "prior gives every sample the same draw")
            require(alike or not still, "prior does not depend on the seed")
        else:
            require(not still, f"{name} does not depend on the seed")
    for what, index in (("a part of the batch", rows[1:3]), ("a permuted batch", rows.flip(0))):
        for name, drawn in _draws(process, x0[index], noise.take(index)).items():
            close(drawn, whole[name][index], slack, f"{name} of {what} is not that of its samples", process.space)


def _check_ends(process: Process, x0: Tensor, seed: int, slack: float) -> None:
    noise = Noise.range(seed, len(x0))
    close(process.noise(x0, 0.0, noise), x0, slack, "x_t at t = 0 is not the data", process.space)
    x = process.noise(x0, _T, noise)
    for t, start in ((0.0, x0), (_T, x)):
        stayed = process.renoise(start, t, t, noise, stream="stay")
        close(stayed, start, slack, f"renoise from t = {t} to itself moves the state", process.space)
    refused(lambda: process.renoise(x, _T, _S, noise), "renoise takes s > t, and noise cannot be removed: raise")


def _sites(process: Process, x0: Tensor) -> tuple[int, ...]:
    """Shape of the sites: of the points of a manifold, of the entries otherwise."""
    site = getattr(process, "site", None)
    return tuple(x0.shape) if site is None else site.lead(x0)


def _check_times(process: Process, x0: Tensor, seed: int, slack: float, per_site: bool) -> None:
    noise, lead = Noise.range(seed, len(x0)), _sites(process, x0)
    spread = lambda value: value.reshape(*value.shape, *(1,) * (x0.ndim - value.ndim)).expand(x0.shape)  # noqa: E731
    one, half = process.noise(x0, _T, noise), torch.full(lead, _T, dtype=torch.float64)
    rows = half.flatten(1)[:, 0] if len(lead) > 1 else half
    for what, t in (("one time per sample", rows), ("a time per site", spread(half))):
        drawn = process.noise(x0, t, noise)
        close(drawn, one, slack, f"noise with {what} differs from one time for all", process.space)
    by_row = spread(torch.arange(len(x0), dtype=torch.float64) % 2 * _T)
    mixed = process.noise(x0, by_row, noise)
    close(mixed[::2], x0[::2], slack, "a clean sample beside noisy ones is not its data", process.space)
    close(mixed[1::2], one[1::2], slack, "a sample does not have the noise of its own time", process.space)
    if len(lead) == 1:
        return
    noisy = spread((torch.arange(half.numel()) % 3 > 0).reshape(lead))
    t = noisy.double() * _T
    if not per_site:
        refused(lambda: process.noise(x0, t, noise), "times per site are not refused; set per_site, or raise")
        return
    drawn = process.noise(x0, t, noise)
    close(torch.where(noisy, x0, drawn), x0, slack, "a clean site beside noisy ones is not its datum")
    close(torch.where(noisy, drawn, one), one, slack, "a site does not have the noise of its own time")


def _check_precision(process: Process, x0: Tensor, seed: int) -> None:
    noise, eps = Noise.range(seed, len(x0)), _ROUNDS * torch.finfo(torch.float32).eps
    for name, call in (
        ("noise", lambda x: process.noise(x, _T, noise)),
        ("renoise", lambda x: process.renoise(x, 0.0, _T, noise)),
    ):
        low, high = call(x0.float()), call(x0)
        require(low.dtype == torch.float32, f"{name} of float32 data is {low.dtype}")
        require(high.dtype == torch.float64, f"{name} of float64 data is {high.dtype}")
        close(low.double(), high, eps, f"{name} in float32 is not that in float64", process.space)


def _prediction(process: Process, x0: Tensor, x: Tensor, t: float, seed: int) -> Tensor:
    """Make a prediction of the own kind of a process."""
    target = getattr(process, "target", None)
    if target is not None:
        return target(x0, x, t)
    classes = getattr(getattr(process, "kernel", None), "clean", 0)
    require(process.kind is Kind.LOGITS and classes, "pass prediction=: the process has no target to try")
    return Noise.range(seed, len(x)).normal((*x.shape[1:], classes), step=0, stream="kit/prediction")


def _check_kinds(
    process: Process,
    x0: Tensor,
    seed: int,
    slack: float,
    views: Mapping[Kind, View],
    prediction: Callable[[Tensor, float], Tensor] | None,
) -> None:
    x = process.noise(x0, _T, Noise.range(seed, len(x0)))
    raw = _prediction(process, x0, x, _T, seed) if prediction is None else prediction(x, _T)
    m = process.convert(raw, process.kind, x, _T)
    plain = lambda value: value.exp() if process.kind is Kind.LOGITS else value  # noqa: E731
    once = process.convert(m, process.kind, x, _T)
    close(plain(once), plain(m), slack, f"convert is not idempotent on {process.kind.name}")
    own, scale = [kind for kind in views if kind is not process.kind], 8 * slack
    for kind in own:
        back = process.convert(views[kind](m, x, torch.tensor(_T, dtype=torch.float64)), kind, x, _T)
        close(plain(back), plain(m), scale, f"convert from {kind.name} does not give back what was said")
    for kind in (kind for kind in Kind if kind not in own and kind is not process.kind):
        refused(
            lambda kind=kind: process.convert(m, kind, x, _T), f"kind {kind.name} is not refused; raise, or give a view"
        )
    loss = process.loss(m, x0, x, _T)
    require(tuple(loss.shape[:1]) == (len(x0),), f"the loss has shape {tuple(loss.shape)}; expected one row per sample")
    finite(loss, "the loss")
    some = torch.tensor([2, 0])
    close(process.loss(m[some], x0[some], x[some], _T), loss[some], slack, "the loss of a part is not that of its rows")


def _check_laws(process: Process, x0: Tensor, seed: int, count: int, memoryless: bool, gap: float) -> None:
    data = x0.repeat(-(-count // len(x0)), *(1,) * (x0.ndim - 1))
    noise, apart = Noise.range(seed, len(data)), Noise.range(seed + 1, len(data))
    direct = [data, process.noise(data, _T, noise)]
    clean = process.renoise(data, 0.0, _T, apart, stream="kit/clean")
    same_law(direct, [data, clean], seed, "renoise from t = 0 does not have the law of noise")
    middle = process.noise(data, _S, apart)
    if memoryless:
        later = process.renoise(middle, _S, _T, apart, stream="kit/later")
        same_law(direct, [data, later], seed, "noise to s, then from s to t, does not have the law of noise to t")
    else:
        refused(lambda: process.renoise(middle, _S, _T, apart), "renoise from 0 < s < t is not refused; set memoryless")
    last, prior = process.noise(data, 1.0, noise), process.prior(apart, tuple(x0.shape[1:])).to(data.dtype)
    same_law([data, last], [data, prior], seed, "x_1 does not have the law of the prior", gap=gap)


def _check_product(process: ProductProcess, x0: Mapping[str, Tensor], seed: int) -> None:
    noise: Any = Noise.range(seed, len(next(iter(x0.values()))))
    shape = {name: tuple(part.shape[1:]) for name, part in x0.items()}
    draws = {"prior": process.prior(noise, shape), "noise": process.noise(x0, _T, noise)}
    for name, drawn in draws.items():
        require(set(parts(drawn)) == set(x0), f"{name} of the product has factors {sorted(parts(drawn))}")
        rows = torch.tensor([1, 0])
        again = process.noise(take(x0, rows), _T, noise.take(rows)) if name == "noise" else None
        if again is not None:
            close(again, take(drawn, rows), 1e-12, "noise of a permuted product is not that of its samples")
    names = list(x0)
    for a, b in ((a, b) for a in names for b in names if a < b):
        one, two = draws["prior"][a], draws["prior"][b]
        twins = one.shape == two.shape and one.dtype == two.dtype and torch.equal(one, two)
        require(not twins, f"factors '{a}' and '{b}' draw the same noise")
