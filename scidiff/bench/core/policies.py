"""Claims of the evaluation policies: what skipping is worth, beside multistep solvers at the same number of calls."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import cache

import torch
from torch import Tensor

from scidiff.bench.core.check import Claim
from scidiff.process import GaussianProcess
from scidiff.random import Noise
from scidiff.sample import (
    DPKeys,
    Model,
    Policy,
    Recorder,
    RunState,
    Sensitivity,
    Stride,
    Table,
    TableRule,
    ddim,
    dp_keys,
    dpmpp_2m,
    dpmpp_3m,
    log_snr_grid,
    run,
    sensitivities,
)
from scidiff.spaces import Euclidean
from scidiff.testing_targets.gaussian import VE, target_a

__all__ = ["claims"]

_PROCESS, _COUNT, _CALLS, _DENSE, _FINE = GaussianProcess(Euclidean((4,)), VE), 300, 12, 48, 400
_WHY = "median distance of 300 ends to 400 steps of 2M on Target A, starts that no calibration has seen; shown, no bar"


def claims() -> Iterator[Claim]:
    """Yield the claims of the policies."""
    plain: dict[str, Callable[[], Table]] = {
        "plain DDIM": lambda: ddim(VE, _grid(_CALLS)),
        "plain 2M": lambda: dpmpp_2m(VE, _grid(_CALLS)),
        "plain 3M": lambda: dpmpp_3m(VE, _grid(_CALLS)),
    }
    for name, table in plain.items():
        yield _claim(name, lambda seed, table=table: _error(seed, table()))
    skipping: dict[str, Callable[[int], Policy]] = {
        "stride, reused": lambda order: Stride(VE, 4 * _step(), order),
        "stride, extrapolated": lambda order: Stride(VE, 4 * _step(), order),
        "keys by dynamic programming": _keys,
        "sensitivity": _sensitivity,
    }
    for name, policy in skipping.items():
        order = 0 if name == "stride, reused" else 1
        yield _claim(
            f"DDIM of {_DENSE} steps, {name}",
            lambda seed, policy=policy, order=order: _error(seed, ddim(VE, _grid(_DENSE)), policy(order)),
        )


def _claim(name: str, measure: Callable[[int], float]) -> Claim:
    return Claim(f"policy/median error at about {_CALLS} calls/{name}", "measured", measure, why=_WHY, calls=_CALLS)


@cache
def _grid(steps: int) -> Tensor:
    return log_snr_grid(VE, steps, floor=0.01)


def _step() -> float:
    lam = VE.lam(_grid(_DENSE))
    return float(lam[1] - lam[0])


def _start(seed: int) -> RunState:
    return RunState.start(_PROCESS, Noise.range(seed, _COUNT), (4,))


def _end(seed: int, table: Table, policy: Policy | None = None) -> RunState:
    rule = TableRule(table)
    return run(target_a().denoiser, _PROCESS, rule, rule.plan, state=_start(seed), policy=policy)


@cache
def _truth(seed: int) -> Tensor:
    return _end(seed, dpmpp_2m(VE, _grid(_FINE))).x


def _error(seed: int, table: Table, policy: Policy | None = None) -> float:
    return float((_end(seed, table, policy).x - _truth(seed)).norm(dim=1).median())


@cache
def _dense() -> Recorder:
    """Predictions of a dense run from starts of their own."""
    seen, rule = Recorder(), TableRule(ddim(VE, _grid(_DENSE)))
    run(target_a().denoiser, _PROCESS, rule, rule.plan, state=_start(1000), transforms=(seen,))
    return seen


def _keys(order: int) -> DPKeys:
    seen = _dense()
    lam = VE.lam(torch.stack([t[0, 0] for t in seen.t]))
    return DPKeys(VE, dp_keys(lam, torch.stack(seen.m), _CALLS, order)[0], order)


def _sensitivity(order: int) -> Sensitivity:
    """Sensitivity policy whose bound makes about the given number of calls, by bisection on other starts."""
    tables = sensitivities(Model(target_a().denoiser, _PROCESS), TableRule(ddim(VE, _grid(_DENSE))), _start(1000))
    low, high = 1e-3, 100.0
    for _ in range(12):
        eps = (low * high) ** 0.5
        policy = Sensitivity(VE, *tables, eps=eps, longest=4.0, order=order)
        calls = float(_end(1000, ddim(VE, _grid(_DENSE)), policy).calls.double().mean())
        low, high = (eps, high) if calls > _CALLS else (low, eps)
    return Sensitivity(VE, *tables, eps=high, longest=4.0, order=order)
